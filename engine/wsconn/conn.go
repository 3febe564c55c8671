package wsconn

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gobwas/ws"
	"github.com/roomcast/roomcast/engine"
)

// ErrClosed is what Serve, Write and Drain return after Close.
var ErrClosed = errors.New("wsconn: connection closed by this side")

// linger is how long a closed connection waits for the peer's answer. Closing
// a socket with bytes unread resets it, and the peer might lose our close frame.
const linger = time.Second

// Conn is the server's side of one WebSocket connection.
//
// Who closes what: the goroutine in Serve closes the net.Conn, as the last
// thing it does. Close only marks the Conn, sends the close frame and the FIN,
// and sets deadlines. So it never waits, also when the sink of Serve blocks for
// ever: the peer sees the end, while descriptor and goroutine stay until the
// sink returns. Who blocks in a sink must stop when its session ends.
// Serve is owed also to a Conn that was closed before: it releases it.
type Conn struct {
	nc  net.Conn
	raw syscall.RawConn // nil where nc can't be used without blocking
	cfg *Config

	wire    engine.Wire
	deflate bool
	closed  atomic.Bool

	// What readable knows of the goroutine that it runs on.
	stack stack

	// turn is the right to write to nc. It is only ever waited for where
	// blocking is allowed, or where its holder can't block.
	turn sync.Mutex
	half bool   // out is half written: nothing may come in between
	shut bool   // the close frame is written
	head []byte // rest of half written control frames

	// out is what Write left for Drain. Only for these two.
	out *engine.Output

	control control

	// Used by the goroutine in Serve only.
	sink  engine.Sink
	err   error    // why reading ended
	held  []byte   // start of a small frame that isn't there as a whole
	large *large   // payload of a large frame
	msg   *message // fragments that have come
	full  int64    // when pace's bucket is full again, in Unix nanoseconds
}

// stack is the state of the goroutine that reads. Handling a message makes its
// stack grow to 4 KiB or more, from which the runtime never goes back to 2.
type stack uint8

const (
	firstStack stack = iota // nothing has come yet
	freshStack              // a new goroutine, which hasn't handled anything
	grownStack
	renewStack // serveRaw has returned to be called on a new one
)

var _ engine.Conn = (*Conn)(nil)

// newConn takes over nc. first are bytes that have been read from it already.
func newConn(nc net.Conn, cfg *Config, w engine.Wire, deflate bool, first []byte) (*Conn, error) {
	raw, err := rawConn(nc)
	return &Conn{nc: nc, raw: raw, cfg: cfg, wire: w, deflate: deflate, held: first}, err
}

// wire is the form of batches for a peer.
func wire(rev int, b64 bool) engine.Wire { return engine.WebSocketWire(rev, b64) }

// Transport implements engine.Conn.
func (c *Conn) Transport() string { return "websocket" }

// Serve implements engine.Conn. It returns io.EOF when the peer closed or was
// lost, ErrClosed after Close, a *ProtocolError, or the sink's error. After the
// last two, and after Close, it first waits up to a second for the peer's end.
func (c *Conn) Serve(sink engine.Sink) error {
	c.sink = sink
	renew := false
	defer func() {
		if !renew {
			c.nc.Close()
		}
	}()
	if c.raw != nil {
		if renew = c.serveRaw(); renew {
			return engine.ErrRenew
		}
	} else {
		c.serveBlocking()
	}
	if tcp, ok := c.nc.(*net.TCPConn); ok && c.isHalf() {
		// A peer that doesn't read has nothing of a frame cut in half: the
		// kernel may forget what it holds.
		tcp.SetLinger(0)
	}
	switch {
	case c.err != nil:
		return c.err
	case c.closed.Load():
		return ErrClosed
	default:
		return io.EOF
	}
}

// Close implements engine.Conn: it sends an empty close frame, which the peer
// sees as 1005. A Drain that blocks is interrupted; its frames are lost.
func (c *Conn) Close() error {
	if c.close(0) && c.raw == nil {
		// When the reader is in a sink that doesn't return, this cuts the line.
		time.AfterFunc(linger, func() { c.nc.Close() })
	}
	return nil
}

// close begins the closing handshake. It reports whether it was the first to.
func (c *Conn) close(code ws.StatusCode) bool {
	if c.closed.Swap(true) {
		return false
	}
	c.control.close(code)
	if c.raw == nil {
		// Writing might block: that is for the reader, whom this wakes.
		c.nc.SetReadDeadline(past)
		c.nc.SetWriteDeadline(past)
		return true
	}
	c.nc.SetReadDeadline(time.Now().Add(linger))
	if c.turn.TryLock() {
		c.release()
	} else {
		c.nc.SetWriteDeadline(past) // a Drain may be blocked
	}
	return true
}

// past is a deadline that wakes who waits.
var past = time.Unix(1, 0)

// isHalf reports whether a frame is written in part.
func (c *Conn) isHalf() bool {
	c.turn.Lock()
	defer c.turn.Unlock()
	return c.half
}
