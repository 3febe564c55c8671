package engine

import (
	"net/http"
	"time"
)

// Handler hears of new sessions. server wires namespaces in here.
type Handler interface {
	// Open is called once for a session, after its open packet was queued and
	// before anything it receives is handed over. The Receiver hears the rest.
	Open(s *Session) Receiver
}

// Receiver is the upper layer's side of one session. Its methods are called
// one at a time and in order.
type Receiver interface {
	// Message hands over a message packet. Unless owned, data is only valid during the call.
	// It may block: the connection is then not read (and not timed out).
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
	TransportClose Reason = "transport close"
	TransportError Reason = "transport error"
	ParseError     Reason = "parse error"
	PingTimeout    Reason = "ping timeout"
	ForcedClose    Reason = "forced close"
)

// Request is what is kept of a session's first HTTP request.
type Request struct {
	Header     http.Header
	URL        string // path and query, as sent
	RawQuery   string
	RemoteAddr string // of the TCP peer
	Host       string
	Secure     bool // over TLS
	CrossSite  bool // an Origin header was present ("xdomain")
	Time       time.Time
}

// Session is one Engine.IO client.
type Session struct{}

func (s *Session) ID() string         { panic("todo") } // secret
func (s *Session) Protocol() int      { panic("todo") } // 3 or 4
func (s *Session) Transport() string  { panic("todo") } // "polling", "websocket", "webtransport"
func (s *Session) Request() *Request  { panic("todo") }
func (s *Session) Done() <-chan struct{} { panic("todo") } // closed when the session has ended; made on first use

// Append queues b without writing it. It reports whether the caller must call
// Flush (or hand s to a Fanout): true for whoever finds the session idle.
func (s *Session) Append(b *Batch) (flush bool) { panic("todo") }

// AppendVolatile is Append, but drops b unless the transport could take it now
// (a GET is held, or nothing is queued or being written).
func (s *Session) AppendVolatile(b *Batch) (flush, queued bool) { panic("todo") }

// Flush writes all that is queued, without blocking. Only for who was told to.
func (s *Session) Flush() { panic("todo") }

// Send appends b and flushes unless the session is corked or being flushed.
func (s *Session) Send(b *Batch) { panic("todo") }

// Cork makes Send and Append only gather until Uncork, 0.5 ms have passed, or
// much has gathered. Corks nest.
func (s *Session) Cork()   { panic("todo") }
func (s *Session) Uncork() { panic("todo") }

// Push writes what a cork holds back now, for who is about to wait.
func (s *Session) Push() { panic("todo") }

// Close ends the session after what is queued has been written, like the
// official socket.close(): reason ForcedClose. CloseNow does not wait.
// Both report whether the session ended before the call returned.
func (s *Session) Close() (ended bool)    { panic("todo") }
func (s *Session) CloseNow() (ended bool) { panic("todo") }

// Fanout gathers sessions that a broadcast appended to, and hands them to the
// server's flushers. The zero Fanout is ready; reuse it after Commit.
type Fanout struct{}

func (f *Fanout) Add(s *Session) { panic("todo") }
func (f *Fanout) Commit()        { panic("todo") }

