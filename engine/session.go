// Package engine is an Engine.IO server: sessions of clients over HTTP long-polling,
// WebSocket and WebTransport, in revisions 3 and 4 of the protocol, with the upgrade between
// transports, heartbeats, and limits on all that a client can make it hold.
//
// It knows nothing of what messages mean: package namespaces is its usual Handler.
//
// https://socket.io/docs/v4/engine-io-protocol/
package engine

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Handler hears of new sessions. server wires namespaces in here.
type Handler interface {
	// Open is called once for a session, after its open packet was queued and
	// before anything it receives is handed over. The Receiver hears the rest.
	// The session is corked during the call.
	Open(s *Session) Receiver
}

// Receiver is the upper layer's side of one session. Its methods are called
// one at a time and in order.
type Receiver interface {
	// Message hands over a message packet. Unless owned, data is only valid during the call.
	// It may block: the connection is then not read (and not timed out). Who
	// blocks must also wait for Session.Done.
	Message(data []byte, binary, owned bool)
	// Handled is called when all that one read (or one POST) brought was handed over.
	Handled()
	// Upgraded is called when the session has moved to another transport.
	Upgraded()
	// Closed is called once, after the last Message.
	Closed(reason Reason, cause error)
}

// Reason says why a session ended, in the words of the official server.
type Reason string

const (
	TransportClose Reason = "transport close" // the connection ended, or the client said goodbye
	TransportError Reason = "transport error" // it broke, or the client broke a rule or a limit: see the cause
	ParseError     Reason = "parse error"     // a packet or payload that isn't Engine.IO's
	PingTimeout    Reason = "ping timeout"    // no pong in time
	ForcedClose    Reason = "forced close"    // Session.Close or CloseNow
)

// Causes of a TransportError, beside other errors of a Conn.
var (
	ErrSlowConsumer       = errors.New("engine: the client reads too slowly: its send queue is full")
	ErrHeartbeatDirection = errors.New("engine: invalid heartbeat direction")
	ErrPollOverlap        = errors.New("engine: overlap from client: a second GET while one was held")
	ErrDataOverlap        = errors.New("engine: data request overlap from client: a second POST while one was being read")
	ErrPollClosed         = errors.New("engine: poll connection closed prematurely")
	ErrDataClosed         = errors.New("engine: data request connection closed prematurely")
	ErrInvalidContent     = errors.New("engine: invalid content: revision 4 has no binary payloads")
	ErrControlRate        = errors.New("engine: more pings, pongs or the like than Config.ControlRate")
	ErrMessageSize        = errors.New("engine: message larger than MaxPayload") // a Conn's error wraps it
	ErrFragments          = errors.New("engine: message in too many frames")     // likewise
	ErrTooManyPackets     = errors.New("engine: too many packets in one payload: raise MaxPacketsPerPayload")
)

// States of a session, in order.
const (
	stateOpen uint32 = iota
	stateClosing
	stateClosed
)

// Session is one Engine.IO client.
//
// Who appends to it may have to flush it; see Append. Methods may be called
// from any goroutine.
type Session struct {
	// What a broadcast touches of each of its receivers lies together, in few cache lines.
	server   *Server
	state    atomic.Uint32
	rev      uint8
	shard    uint8 // of Server.flushers
	cell     uint8 // of a Counter
	mu       sync.Mutex
	flushing bool       // somebody has to flush, or does
	blocked  bool       // conn.Write left something to Drain
	full     bool       // the queue overflowed
	inside   bool       // a reader is handing over to recv
	queue    queue      // what waits to be written
	held     load       // in queue
	flying   load       // taken from queue, being written
	conn     Conn       // nil while polling; once set, it stays
	single   [1]*Batch  // of who flushes: a batch that is written by itself
	poll     *poll      // nil unless polling
	cork     *corkTimer // armed while queue holds what a cork gathered
	corks    int32
	late     bool // a reader was inside when the heartbeat's deadline passed
	told     bool // Closed was called, or is about to be
	expects  bool // a WebTransport connection, see greeter

	id      string
	request Request
	recv    Receiver

	beat    atomic.Uint32 // of the heartbeat: quiet, waiting, rearmed
	rmu     sync.Mutex    // held while something is handed to recv; taken before mu
	control int64         // see paced; guarded by rmu

	cand     *candidate
	end      *ending
	done     chan struct{}
	origin   string
	deadline int64     // of the heartbeat, see Server.now
	asked    *question // see Ask

	slot, pos int32 // in Server.wheel, guarded by it
}

// ending is why a session ended.
type ending struct {
	reason Reason
	cause  error
}

// ID is the session id. It is a secret between client and server.
func (s *Session) ID() string { return s.id }

// Protocol is the revision of Engine.IO, 3 or 4.
func (s *Session) Protocol() int { return int(s.rev) }

// Request is the first HTTP request of the session. It must not be changed.
func (s *Session) Request() *Request { return &s.request }

// Transport is "polling", "websocket" or "webtransport".
func (s *Session) Transport() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transport()
}

func (s *Session) transport() string {
	if s.conn != nil {
		return s.conn.Transport()
	}
	return "polling"
}

// Done returns a channel that is closed when the session ends, before its
// Receiver is told.
func (s *Session) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.state.Load() == stateClosed {
			close(s.done)
		}
	}
	return s.done
}

// Err is nil while the session is open or closing. Afterwards it names the
// reason and wraps the cause.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil {
		return nil
	}
	return s.end
}

func (e *ending) Error() string {
	if e.cause == nil {
		return "engine: session closed: " + string(e.reason)
	}
	return "engine: session closed: " + string(e.reason) + ": " + e.cause.Error()
}

func (e *ending) Unwrap() error { return e.cause }

// LogValue hides the session id, which is a secret.
func (s *Session) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("transport", s.Transport()),
		slog.Int("protocol", s.Protocol()),
		slog.String("remote", s.request.RemoteAddr))
}

// closingTimeout is how long a closed polling session waits for a GET that
// takes what is queued.
const closingTimeout = 30 * time.Second
