// Package polling names the long-polling transport.
package polling

import (
	"net/http"
	"net/url"

	"github.com/roomcast/roomcast/compat/googollee/engineio/transport"
)

// Transport is long-polling.
type Transport struct {
	// Client is unused: it was the Go client's.
	Client *http.Client

	// CheckOrigin says whether pages of the request's origin may connect, beside
	// those of the server's own: answers to them get the CORS headers, with
	// credentials. If nil, that of Default counts. If that is nil too, pages of other
	// origins are refused, unless middleware in front of the server has set
	// Access-Control-Allow-Origin for them.
	CheckOrigin func(r *http.Request) bool
}

// Default is what is used if a server's options name no transports.
var Default = &Transport{Client: http.DefaultClient}

// Name returns "polling".
func (t *Transport) Name() string { return "polling" }

// Accept isn't supported.
func (t *Transport) Accept(http.ResponseWriter, *http.Request) (transport.Conn, error) {
	return nil, transport.ErrNotSupported
}

// Dial isn't supported.
func (t *Transport) Dial(*url.URL, http.Header) (transport.Conn, error) {
	return nil, transport.ErrNotSupported
}

// Addr is an address as text. Conn.LocalAddr and Conn.RemoteAddr are of this type.
type Addr struct {
	Host string
}

// Network returns "tcp".
func (a Addr) Network() string { return "tcp" }

// String returns the address.
func (a Addr) String() string { return a.Host }
