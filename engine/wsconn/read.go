package wsconn

import (
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/roomcast/roomcast/engine"
)

const (
	bufferSize = 16 << 10
	// smallFrame is the size of the largest payload that is put together in the
	// shared buffer, where frames behind it come along with the same read.
	smallFrame = 8 << 10
	// idleBuffer is the buffer of a connection on which reading blocks.
	idleBuffer = 512
)

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// large is the payload of a frame that has its own buffer.
type large struct {
	h    header
	data []byte // read so far
}

// message is a fragmented message under way.
type message struct {
	op         ws.OpCode
	compressed bool
	frames     int
	data       []byte
}

// take handles the bytes that a read brought, b, with what was held before in
// front. It changes b.
func (c *Conn) take(b []byte) error {
	rest, err := c.frames(b)
	if err != nil || c.large != nil || len(rest) == 0 {
		c.held = nil
	} else {
		c.hold(rest)
	}
	return c.handled(err)
}

// handled ends a read: pongs leave, and the sink hears of it.
func (c *Conn) handled(err error) error {
	if c.control.waiting() && c.turn.TryLock() {
		c.release()
	}
	c.sink.Handled()
	return err
}

// frames hands over all whole frames in b and returns the rest.
func (c *Conn) frames(b []byte) (rest []byte, err error) {
	for !c.closed.Load() {
		h, size, err := parseHeader(b)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			break
		}
		if err := c.check(h); err != nil {
			return nil, err
		}
		if len(b)-size < h.length {
			if h.length > smallFrame {
				c.large = &large{h: h}
				c.large.data = append(c.large.grow(len(b)-size), b[size:]...)
				return nil, nil
			}
			break
		}
		if err := c.frame(h, b[size:size+h.length:size+h.length], false); err != nil {
			return nil, err
		}
		b = b[size+h.length:]
	}
	return b, nil
}

// hold keeps the start of a frame in a buffer that the whole fits in.
func (c *Conn) hold(rest []byte) {
	if cap(c.held) < len(rest) {
		want := maxHeader
		if h, size, _ := parseHeader(rest); size > 0 {
			want = size + h.length
		}
		c.held = make([]byte, 0, max(want, len(rest)))
	}
	c.held = append(c.held[:0], rest...)
}

// grow returns data with room for more, of which got bytes are there: for all
// of the payload, or, so that a header alone can't take memory, for a few times
// what has come of it.
func (l *large) grow(got int) []byte {
	n := min(l.h.length, max(64<<10, 4*(len(l.data)+got)))
	return append(make([]byte, 0, n), l.data...)
}

// space is where the next bytes go.
func (l *large) space() []byte {
	if len(l.data) == cap(l.data) {
		l.data = l.grow(0)
	}
	return l.data[len(l.data):min(cap(l.data), l.h.length)]
}

// takeLarge notes that n bytes were read into the large frame's space.
func (c *Conn) takeLarge(n int) error {
	l := c.large
	l.data = l.data[:len(l.data)+n]
	if len(l.data) < l.h.length {
		return nil
	}
	c.large = nil
	return c.handled(c.frame(l.h, l.data, true))
}

// frame handles a whole frame that check has let through. It changes p.
func (c *Conn) frame(h header, p []byte, owned bool) error {
	ws.Cipher(p, h.mask, 0)
	switch h.op {
	case ws.OpPing, ws.OpPong:
		if !c.pace() {
			return &ProtocolError{ws.StatusPolicyViolation, "too many pings and pongs", engine.ErrControlRate}
		}
		if h.op == ws.OpPing {
			c.control.pong(p)
		}
		return nil
	case ws.OpClose:
		return c.peerClosed(p)
	case ws.OpContinuation:
		m := c.msg
		m.data = append(m.data, p...)
		m.frames++
		if !h.fin {
			return nil
		}
		c.msg = nil
		return c.whole(m.op, m.compressed, m.data, true)
	}
	compressed := h.rsv != 0
	if h.fin {
		return c.whole(h.op, compressed, p, owned)
	}
	if !owned {
		p = append([]byte(nil), p...)
	}
	c.msg = &message{op: h.op, compressed: compressed, frames: 1, data: p}
	return nil
}

// pace takes a token for a ping or pong, from a bucket that is full with two
// seconds' worth.
func (c *Conn) pace() bool {
	now := time.Now().UnixNano()
	full := max(c.full, now) + int64(time.Second)/int64(c.cfg.ControlRate)
	if full-now > int64(2*time.Second) {
		return false
	}
	c.full = full
	return true
}

// whole hands over a message.
func (c *Conn) whole(op ws.OpCode, compressed bool, data []byte, owned bool) error {
	if compressed {
		var err error
		if data, err = inflate(data, c.cfg.MaxMessage); err != nil {
			return err
		}
		owned = true
	}
	if op == ws.OpText && !utf8.Valid(data) {
		return &ProtocolError{Code: ws.StatusInvalidFramePayloadData, Msg: "text message is not UTF-8"}
	}
	return c.sink.Frame(data, op == ws.OpBinary, owned)
}

// peerClosed answers a close frame.
func (c *Conn) peerClosed(p []byte) error {
	code, err := checkClose(p)
	if err != nil {
		return err
	}
	c.close(code)
	return io.EOF
}

// end notes why reading ends, and begins to close. It reports whether there is
// nothing to wait for.
func (c *Conn) end(err error) (now bool) {
	if c.err == nil {
		c.err = err
	}
	code := ws.StatusCode(0)
	if p, ok := err.(*ProtocolError); ok {
		code = p.Code
	}
	c.close(code)
	return err == io.EOF
}

// serveBlocking reads from a connection on which only blocking works.
func (c *Conn) serveBlocking() {
	if !c.takeFirst() {
		c.farewell()
		return
	}
	var small [idleBuffer]byte
	full := false // small was: more is likely
	for !c.closed.Load() {
		var n int
		var err, bad error
		switch {
		case c.large != nil:
			if n, err = c.nc.Read(c.large.space()); n > 0 {
				bad = c.takeLarge(n)
			}
		case full || len(c.held) > 0:
			n, bad, err = c.readShared()
			full = n > idleBuffer
		default:
			if n, err = c.nc.Read(small[:]); n > 0 {
				full = n == len(small)
				bad = c.take(small[:n])
			}
		}
		if bad != nil {
			if c.end(bad) {
				c.farewell()
				return
			}
			break
		}
		if err != nil && !c.closed.Load() {
			return
		}
	}
	c.farewell()
	if c.isHalf() {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(linger))
	io.Copy(io.Discard, c.nc)
}

// readShared reads behind what is held, in a pooled buffer.
func (c *Conn) readShared() (n int, bad, err error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	k := copy(buf[:], c.held)
	if n, err = c.nc.Read(buf[k:]); n > 0 {
		bad = c.take(buf[:k+n])
	}
	return n, bad, err
}

// takeFirst handles what came with the handshake. It reports whether to go on.
func (c *Conn) takeFirst() bool {
	if len(c.held) == 0 || c.closed.Load() {
		return true
	}
	first := c.held
	c.held = nil
	if err := c.take(first); err != nil {
		return !c.end(err)
	}
	return true
}

// farewell writes the close frame where that may block.
func (c *Conn) farewell() {
	c.turn.Lock()
	c.release()
}
