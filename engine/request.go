package engine

import (
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Request is what is kept of a session's first HTTP request. All its strings
// share one allocation.
type Request struct {
	Header     Header
	URL        string    // path and query, as sent
	RawQuery   string    // of URL
	RemoteAddr string    // of the TCP peer, or what the host put into http.Request.RemoteAddr
	Host       string    // as in http.Request
	Secure     bool      // over TLS
	CrossSite  bool      // an Origin header was present ("xdomain")
	Time       time.Time // when it came
}

// Header is a compact, immutable http.Header: lines of "Name: value\n" with
// canonical names. Headers of the connection (Connection, Upgrade,
// Sec-WebSocket-...) are left out.
type Header string

// Get returns the first value of name, or "".
func (h Header) Get(name string) string {
	for n, v := range h.All() {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// Values returns all values of name.
func (h Header) Values(name string) (values []string) {
	for n, v := range h.All() {
		if strings.EqualFold(n, name) {
			values = append(values, v)
		}
	}
	return values
}

// All iterates over names and values; a name comes once for each of its values.
func (h Header) All() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for line := range strings.SplitSeq(string(h), "\n") {
			name, value, ok := strings.Cut(line, ": ")
			if ok && !yield(name, value) {
				return
			}
		}
	}
}

// HTTP returns h as a new http.Header.
func (h Header) HTTP() http.Header {
	m := make(http.Header)
	for n, v := range h.All() {
		m[n] = append(m[n], v)
	}
	return m
}

// keep tells whether a header is of interest beyond its request.
func keep(name string) bool {
	switch name {
	case "Connection", "Upgrade", "Content-Length", "Keep-Alive":
		return false
	}
	return !strings.HasPrefix(name, "Sec-Websocket-")
}

// newRequest copies of r what a session keeps.
func newRequest(r *http.Request) Request {
	names := make([]string, 0, 16)
	n := len(r.RequestURI) + len(r.RemoteAddr) + len(r.Host)
	for name, values := range r.Header {
		if keep(name) {
			names = append(names, name)
			for _, v := range values {
				n += len(name) + len(v) + 3
			}
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.Grow(n)
	b.WriteString(r.RequestURI)
	b.WriteString(r.RemoteAddr)
	b.WriteString(r.Host)
	for _, name := range names {
		for _, v := range r.Header[name] {
			b.WriteString(name)
			b.WriteString(": ")
			b.WriteString(v) // net/http lets no line breaks through
			b.WriteString("\n")
		}
	}
	all := b.String()
	cut := func(n int) (s string) { s, all = all[:n], all[n:]; return s }
	req := Request{
		URL:        cut(len(r.RequestURI)),
		RemoteAddr: cut(len(r.RemoteAddr)),
		Host:       cut(len(r.Host)),
		Header:     Header(all),
		Secure:     secure(r),
		CrossSite:  len(r.Header["Origin"]) > 0,
		Time:       time.Now(),
	}
	_, req.RawQuery, _ = strings.Cut(req.URL, "?")
	return req
}

// secure tells whether r is known to have come over TLS: to us, or to a proxy
// that the host trusts and whose word it has put into r.URL.Scheme.
func secure(r *http.Request) bool { return r.TLS != nil || r.URL.Scheme == "https" }
