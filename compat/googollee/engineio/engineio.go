// Package engineio has the options of the connection, as googollee's package
// of that name. Its server and its client by themselves are left out.
package engineio

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/roomcast/roomcast/compat/googollee/engineio/session"
	"github.com/roomcast/roomcast/compat/googollee/engineio/transport"
)

// Options are the options of a server. The zero Options, and nil, are the defaults.
type Options struct {
	// PingInterval is the time between two heartbeats, 20 s by default, and
	// PingTimeout how long one may be late, 60 s by default.
	PingTimeout  time.Duration
	PingInterval time.Duration

	// Transports that clients may use, polling and WebSocket by default. From
	// polling they may upgrade if WebSocket comes behind it.
	Transports []transport.Transport

	// SessionIDGenerator makes the ids of sessions, which Conn.ID returns then.
	// By default they are random.
	SessionIDGenerator session.IDGenerator

	// RequestChecker is called for each request. Its error refuses the request
	// (status 403), its headers are added to the answer.
	RequestChecker CheckerFunc

	// ConnInitor is called when a client has asked for a session, before it is
	// opened. What it sets as context becomes the context of the client's Conn in "/".
	ConnInitor ConnInitorFunc
}

// CheckerFunc checks a request.
type CheckerFunc func(*http.Request) (http.Header, error)

// ConnInitorFunc initialises a connection.
type ConnInitorFunc func(*http.Request, Conn)

// Conn is an Engine.IO connection. Packets can't be read or written through
// it: NextReader and NextWriter return transport.ErrNotSupported.
type Conn interface {
	ID() string
	NextReader() (session.FrameType, io.ReadCloser, error)
	NextWriter(fType session.FrameType) (io.WriteCloser, error)
	Close() error
	URL() url.URL
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
	RemoteHeader() http.Header
	SetContext(v interface{})
	Context() interface{}
}
