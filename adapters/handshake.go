package adapters

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// Handshake tells how a socket has connected. Its JSON form is that of the
// official server's socket.handshake.
type Handshake struct {
	Headers http.Header     // of the first HTTP request of the connection
	Time    string          // when, as JavaScript prints a Date
	Issued  int64           // when, in Unix milliseconds
	Address string          // IP address of the TCP peer
	XDomain bool            // the request had an Origin header
	Secure  bool            // the connection is encrypted
	URL     string          // of that request
	Query   url.Values      // of that URL
	Auth    json.RawMessage // what the client sent with CONNECT; {} if nothing
}

// DecodeAuth decodes the client's auth object into v.
func (h *Handshake) DecodeAuth(v any) error { return json.Unmarshal(h.Auth, v) }
