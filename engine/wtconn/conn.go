package wtconn

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/webtransport-go"
	"github.com/roomcast/roomcast/engine"
)

// ErrClosed is what Serve, Write and Drain return after Close.
var ErrClosed = errors.New("wtconn: connection closed by this side")

// linger is the time between the end of the stream and the end of the session
// by Close. The end of the session resets the stream: what was written just
// before, as the packet that says why, would be lost.
const linger = 250 * time.Millisecond

// Conn is a WebTransport session with its first bidirectional stream, which
// the client opens.
type Conn struct {
	sess   *webtransport.Session
	cfg    *Config
	closed atomic.Bool
	str    atomic.Pointer[webtransport.Stream] // nil until the client has opened it

	mu  sync.Mutex // the right to write to str
	out *engine.Output
}

var _ engine.Conn = (*Conn)(nil)

func newConn(sess *webtransport.Session, cfg *Config) *Conn {
	return &Conn{sess: sess, cfg: cfg}
}

// Transport implements engine.Conn.
func (c *Conn) Transport() string { return "webtransport" }

// Serve implements engine.Conn. It waits for the client's stream as long as
// there is no Close.
func (c *Conn) Serve(sink engine.Sink) error {
	err := c.serve(sink)
	if !c.closed.Swap(true) {
		c.end()
		return err
	}
	c.finish()
	<-c.sess.Context().Done() // by the peer, or by Close's timer
	if err == nil || err == io.EOF {
		return ErrClosed
	}
	return err
}

func (c *Conn) serve(sink engine.Sink) error {
	str, err := c.sess.AcceptStream(context.Background())
	if err != nil {
		return io.EOF // the session has ended
	}
	c.str.Store(str)
	if c.closed.Load() { // Close may have found no stream to wake
		return ErrClosed
	}
	r := reader{src: str, sink: sink, max: c.cfg.MaxMessage, closed: &c.closed}
	return r.run()
}

// Write implements engine.Conn. It only encodes: a QUIC stream can't be written
// to without blocking.
func (c *Conn) Write(batches []*engine.Batch) (done bool, err error) {
	if c.closed.Load() {
		return true, ErrClosed
	}
	out := engine.NewOutput()
	for _, b := range batches {
		addBatch(out, b)
	}
	c.out = out
	return false, nil
}

// addBatch adds b to out without empty binary messages: their frame, of length
// 0, is what receivers take for an error.
func addBatch(out *engine.Output, b *engine.Batch) {
	packets := b.Packets()
	for i, p := range packets {
		if !p.Binary || len(p.Data) > 0 {
			continue
		}
		if i > 0 {
			out.Add(engine.NewBatch(false, packets[:i]...), engine.WebTransport)
		}
		if i+1 < len(packets) {
			addBatch(out, engine.NewBatch(false, packets[i+1:]...))
		}
		return
	}
	out.Add(b, engine.WebTransport)
}

// Drain implements engine.Conn. It fails with a timeout after Config.WriteTimeout.
func (c *Conn) Drain() error {
	out, str := c.out, c.str.Load()
	if out == nil {
		return nil
	}
	c.out = nil
	defer out.Release()
	if str == nil {
		return errors.New("wtconn: write before the client has opened its stream")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var deadline time.Time
	if c.cfg.WriteTimeout > 0 {
		deadline = time.Now().Add(c.cfg.WriteTimeout)
	}
	str.SetWriteDeadline(deadline)
	// Close marks the Conn before it sets a deadline to wake us, so either we
	// see the mark, or its deadline replaces ours.
	for _, b := range out.Buffers() {
		if c.closed.Load() {
			return ErrClosed
		}
		if _, err := str.Write(b); err != nil {
			if c.closed.Load() {
				return ErrClosed
			}
			return err
		}
	}
	return nil
}

// Close implements engine.Conn. Serve ends the stream, and a little later a
// timer ends the session, whatever Serve's sink does.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	str := c.str.Load()
	if str == nil {
		time.AfterFunc(0, c.end)
		return nil
	}
	past := time.Unix(1, 0)
	str.SetReadDeadline(past)
	str.SetWriteDeadline(past)
	time.AfterFunc(linger, c.end)
	return nil
}

// finish ends the stream's way out, behind what has been written.
func (c *Conn) finish() {
	if str := c.str.Load(); str != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		str.Close()
	}
}

// end ends the session. It may take some milliseconds.
func (c *Conn) end() { c.sess.CloseWithError(0, "") }
