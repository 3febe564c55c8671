// Package websocket names the WebSocket transport.
package websocket

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/roomcast/roomcast/compat/googollee/engineio/transport"
)

// Transport is WebSocket. Only CheckOrigin is used: buffers are pooled, and the
// rest was the Go client's.
type Transport struct {
	ReadBufferSize  int
	WriteBufferSize int

	Subprotocols     []string
	TLSClientConfig  *tls.Config
	HandshakeTimeout time.Duration

	Proxy   func(*http.Request) (*url.URL, error)
	NetDial func(network, addr string) (net.Conn, error)

	// CheckOrigin says whether a request may become a WebSocket. If nil, those
	// without an Origin and those of the server's own origin may.
	CheckOrigin func(r *http.Request) bool
}

// Default is what is used if a server's options name no transports.
var Default = &Transport{}

// Name returns "websocket".
func (t *Transport) Name() string { return "websocket" }

// Accept isn't supported.
func (t *Transport) Accept(http.ResponseWriter, *http.Request) (transport.Conn, error) {
	return nil, transport.ErrNotSupported
}

// Dial isn't supported.
func (t *Transport) Dial(*url.URL, http.Header) (transport.Conn, error) {
	return nil, transport.ErrNotSupported
}
