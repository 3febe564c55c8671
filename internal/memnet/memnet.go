// Package memnet is a network in memory for tests: a net.Listener and
// connections with buffers and deadlines. All waiting is of a kind that
// testing/synctest understands, so that time may be fake.
package memnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// BufferSize is how many bytes one direction of a connection holds before
// writes wait, like the buffers of a kernel.
const BufferSize = 64 << 10

// Listener is a net.Listener without a network. Make one with Listen.
type Listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	port  atomic.Int32
}

// Listen returns a listener.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), done: make(chan struct{})}
}

// Accept waits for a Dial.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial. Connections live on.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is the address that clients see.
func (l *Listener) Addr() net.Addr { return addr(80) }

// Dial connects to l. It fails when l is closed, or ctx ends first.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	client, server := Pipe(addr(10000+l.port.Add(1)), addr(80))
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, fmt.Errorf("memnet: dial: %w", net.ErrClosed)
	case <-ctx.Done():
		return nil, fmt.Errorf("memnet: dial: %w", ctx.Err())
	}
}

// DialContext is Dial in the form that http.Transport wants. It ignores the address.
func (l *Listener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return l.Dial(ctx)
}

// addr is a port on the loopback address.
type addr int

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return fmt.Sprintf("127.0.0.1:%d", int(a)) }

// Pipe returns the two ends of a connection between addresses a and b.
func Pipe(a, b net.Addr) (atA, atB net.Conn) {
	ab, ba := newStream(), newStream()
	return &conn{in: ba, out: ab, local: a, remote: b}, &conn{in: ab, out: ba, local: b, remote: a}
}

type conn struct {
	in, out       *stream
	local, remote net.Addr
}

func (c *conn) Read(b []byte) (int, error)         { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error)        { return c.out.write(b) }
func (c *conn) LocalAddr() net.Addr                { return c.local }
func (c *conn) RemoteAddr() net.Addr               { return c.remote }
func (c *conn) SetReadDeadline(t time.Time) error  { c.in.reader.set(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.out.writer.set(t); return nil }

func (c *conn) SetDeadline(t time.Time) error {
	c.in.reader.set(t)
	c.out.writer.set(t)
	return nil
}

// CloseWrite lets the peer read to the end, and then io.EOF.
func (c *conn) CloseWrite() error {
	c.out.close(func(s *stream) { s.ended = true })
	return nil
}

// Close ends both directions: the peer reads what was written, then io.EOF,
// and its writes fail.
func (c *conn) Close() error {
	// First this end reads no more: what the peer writes because of the end is too late, as in a kernel.
	c.in.close(func(s *stream) { s.readerGone = true })
	c.out.close(func(s *stream) { s.ended, s.writerGone = true, true })
	c.SetDeadline(time.Time{}) // stops the timers
	return nil
}

// stream is one direction of a connection.
type stream struct {
	mu             sync.Mutex
	changed        *sync.Cond
	buf            []byte
	ended          bool // no more will be written
	writerGone     bool // the writing end was closed
	readerGone     bool // the reading end was closed
	reader, writer deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	s.reader.stream, s.writer.stream = s, s
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readerGone:
			return 0, net.ErrClosed
		case s.reader.passed:
			return 0, os.ErrDeadlineExceeded
		case len(s.buf) > 0:
			n := copy(b, s.buf)
			s.buf = s.buf[n:]
			s.changed.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.writerGone, s.ended:
			return n, net.ErrClosed
		case s.readerGone:
			return n, fmt.Errorf("memnet: write: %w", io.ErrClosedPipe)
		case s.writer.passed:
			return n, os.ErrDeadlineExceeded
		}
		if room := min(BufferSize-len(s.buf), len(b)); room > 0 {
			s.buf = append(s.buf, b[:room]...)
			n, b = n+room, b[room:]
			s.changed.Broadcast()
		}
		if len(b) == 0 {
			return n, nil
		}
		s.changed.Wait()
	}
}

func (s *stream) close(change func(*stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
	s.changed.Broadcast()
}

// deadline is a read or write deadline; its stream's lock guards it.
type deadline struct {
	stream *stream
	timer  *time.Timer
	passed bool
	sets   int // counts, so that a timer knows whether it is the last one
}

func (d *deadline) set(t time.Time) {
	s := d.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.sets++
	d.passed = !t.IsZero() && !t.After(time.Now())
	if d.passed {
		s.changed.Broadcast()
		return
	}
	if t.IsZero() {
		return
	}
	mine := d.sets
	d.timer = time.AfterFunc(time.Until(t), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if d.sets == mine {
			d.passed = true
			s.changed.Broadcast()
		}
	})
}
