package wsconn

import (
	"errors"
	"net"
	"time"

	"github.com/roomcast/roomcast/engine"
)

var errBroken = errors.New("wsconn: an earlier write failed half way: close the connection")

// Write implements engine.Conn. On connections that can't be used without
// blocking (TLS, in memory) it only encodes: Drain writes.
func (c *Conn) Write(batches []*engine.Batch) (done bool, err error) {
	if c.closed.Load() {
		return true, ErrClosed
	}
	if c.raw == nil {
		c.out = engine.NewOutput()
		c.encode(c.out, batches)
		return false, nil
	}
	c.turn.Lock()
	defer c.release()
	if err := c.writable(); err != nil {
		return true, err
	}
	if len(batches) == 1 && c.head == nil && !c.deflate {
		if b := batches[0].Shared(c.wire); b != nil {
			return c.writeShared(b)
		}
	}
	out := engine.NewOutput()
	if c.head != nil {
		out.AddBytes(c.head)
		c.head = nil
	}
	c.encode(out, batches)
	n, err := c.writeRaw(out.Buffers())
	if err != nil {
		out.Release()
		c.half = true
		return true, err
	}
	if out.Advance(n); out.Len() == 0 {
		out.Release()
		return true, nil
	}
	c.out, c.half = out, true
	return false, nil
}

// writeShared writes what most broadcasts are: bytes that all receivers share.
func (c *Conn) writeShared(b []byte) (done bool, err error) {
	n, err := c.writeOne(b)
	switch {
	case err != nil:
		c.half = true
		return true, err
	case n == len(b):
		return true, nil
	}
	c.out, c.half = engine.NewOutput(), true
	c.out.AddBytes(b[n:])
	return false, nil
}

// Drain implements engine.Conn. It fails with a timeout after Config.WriteTimeout.
func (c *Conn) Drain() error {
	out := c.out
	if out == nil {
		return nil
	}
	c.out = nil
	defer out.Release()
	c.turn.Lock()
	defer c.release()
	if c.raw == nil {
		if err := c.writable(); err != nil {
			return err
		}
	}
	c.setWriteTimeout(c.cfg.WriteTimeout)
	// Close marks the Conn before it sets a deadline to wake us, so either we
	// see the mark, or its deadline replaces ours.
	if c.closed.Load() {
		return ErrClosed
	}
	if err := c.writeBlocking(out.Buffers()); err != nil {
		if c.closed.Load() {
			return ErrClosed
		}
		return err
	}
	return nil
}

// writable says whether frames can leave. The caller has the turn.
func (c *Conn) writable() error {
	switch {
	case c.shut:
		return ErrClosed
	case c.half:
		return errBroken
	}
	return nil
}

// encode adds batches to out.
func (c *Conn) encode(out *engine.Output, batches []*engine.Batch) {
	if c.deflate {
		c.encodeDeflated(out, batches)
		return
	}
	for _, b := range batches {
		out.Add(b, c.wire)
	}
}

// setWriteTimeout gives what is written next d from now; 0 is no limit.
func (c *Conn) setWriteTimeout(d time.Duration) {
	var deadline time.Time
	if d > 0 {
		deadline = time.Now().Add(d)
	}
	c.nc.SetWriteDeadline(deadline)
}

// writeBlocking writes bufs by the deadline set. The caller has the turn.
func (c *Conn) writeBlocking(bufs net.Buffers) error {
	c.half = true
	if _, err := bufs.WriteTo(c.nc); err != nil {
		return err
	}
	c.half = false
	return nil
}

// release gives up the turn, after the control frames that wait are written:
// who queues one does not wait for the turn.
func (c *Conn) release() {
	for {
		stuck := c.flushControl()
		c.turn.Unlock()
		if stuck || !c.control.waiting() || !c.turn.TryLock() {
			return
		}
	}
}

// flushControl writes the control frames that wait, and after a close frame
// the end of all output. It reports whether something half written is in the
// way; they then wait for the next Write or Drain. The caller has the turn.
func (c *Conn) flushControl() (stuck bool) {
	if c.half || c.head != nil && !c.flushHead() {
		if c.closed.Load() {
			c.finish()
			c.nc.SetReadDeadline(past) // there can be no closing handshake
		}
		return true
	}
	if !c.control.waiting() {
		return false
	}
	b, last := c.control.take()
	if c.shut {
		return false
	}
	if c.raw != nil {
		c.head = b
		stuck = !c.flushHead()
	} else {
		c.setWriteTimeout(linger)
		stuck = c.writeBlocking(net.Buffers{b}) != nil
	}
	if last {
		c.finish()
	}
	return stuck
}

// flushHead writes half written control frames without blocking. It reports
// whether none is left. Errors are for the reader to find.
func (c *Conn) flushHead() (done bool) {
	n, _ := c.writeOne(c.head)
	if c.head = c.head[n:]; len(c.head) > 0 {
		return false
	}
	c.head = nil
	return true
}

// finish says that nothing more follows. The caller has the turn.
func (c *Conn) finish() {
	c.shut = true
	if w, ok := c.nc.(closeWriter); ok {
		w.CloseWrite()
	}
}
