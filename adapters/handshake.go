package adapters

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// Handshake tells how a socket has connected. Its JSON form is that of the
// official server's socket.handshake: names of headers in lower case, a string
// for what came once.
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

// handshake is the JSON form.
type handshake struct {
	Headers map[string]texts `json:"headers"`
	Time    string           `json:"time"`
	Address string           `json:"address,omitempty"`
	XDomain bool             `json:"xdomain"`
	Secure  bool             `json:"secure"`
	Issued  int64            `json:"issued"`
	URL     string           `json:"url,omitempty"`
	Query   map[string]texts `json:"query"`
	Auth    json.RawMessage  `json:"auth"`
}

// MarshalJSON returns the official form.
func (h Handshake) MarshalJSON() ([]byte, error) {
	out := handshake{
		Headers: make(map[string]texts, len(h.Headers)), Time: h.Time, Address: h.Address, XDomain: h.XDomain,
		Secure: h.Secure, Issued: h.Issued, URL: h.URL, Query: make(map[string]texts, len(h.Query)), Auth: h.Auth,
	}
	for name, values := range h.Headers {
		if name != "Set-Cookie" { // the only one that is a list
			values = []string{strings.Join(values, ", ")}
		}
		out.Headers[strings.ToLower(name)] = values
	}
	for name, values := range h.Query {
		out.Query[name] = values
	}
	if out.Auth == nil {
		out.Auth = json.RawMessage("{}")
	}
	return json.Marshal(out)
}

// UnmarshalJSON takes the official form, such as another node has sent.
func (h *Handshake) UnmarshalJSON(b []byte) error {
	var in handshake
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*h = Handshake{
		Headers: make(http.Header, len(in.Headers)), Time: in.Time, Issued: in.Issued, Address: in.Address,
		XDomain: in.XDomain, Secure: in.Secure, URL: in.URL, Query: make(url.Values, len(in.Query)), Auth: in.Auth,
	}
	for name, values := range in.Headers {
		h.Headers[http.CanonicalHeaderKey(name)] = values
	}
	for name, values := range in.Query {
		h.Query[name] = values
	}
	return nil
}

// texts is a list whose JSON form is a string if it has one.
type texts []string

func (t texts) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

func (t *texts) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(t))
	}
	*t = make(texts, 1)
	return json.Unmarshal(b, &(*t)[0])
}
