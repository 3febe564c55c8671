// Package transport has the interfaces of googollee's package of that name, so
// that lists of transports compile. Roomcast's own transports do the work: of a
// Transport only the name and, of those in polling and websocket, CheckOrigin matter.
package transport

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/roomcast/roomcast/compat/googollee/engineio/frame"
	"github.com/roomcast/roomcast/compat/googollee/engineio/packet"
)

// ErrNotSupported is what Accept and Dial return.
var ErrNotSupported = errors.New("googollee: not supported: Roomcast's transports do this themselves")

// Transport is a way to connect: polling or websocket.
type Transport interface {
	Name() string
	Accept(w http.ResponseWriter, r *http.Request) (Conn, error)
	Dial(u *url.URL, requestHeader http.Header) (Conn, error)
}

// FrameReader reads frames.
type FrameReader interface {
	NextReader() (frame.Type, packet.Type, io.ReadCloser, error)
}

// FrameWriter writes frames.
type FrameWriter interface {
	NextWriter(ft frame.Type, pt packet.Type) (io.WriteCloser, error)
}

// Conn is a transport's connection.
type Conn interface {
	FrameReader
	FrameWriter
	io.Closer
	URL() url.URL
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
	RemoteHeader() http.Header
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}
