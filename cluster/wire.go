package cluster

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Headers of requests between nodes, beside those of the client. A client's own
// headers of such names are left out.
const (
	headerPrefix = "Roomcast-"
	headerTo     = "Roomcast-Node"   // whom it is for
	headerFrom   = "Roomcast-From"   // the node that got it from the client
	headerClient = "Roomcast-Client" // http.Request.RemoteAddr there
	headerScheme = "Roomcast-Scheme" // http or https if it is known there
	headerNonce  = "Roomcast-Nonce"
	headerSeal   = "Roomcast-Seal"
)

// dropped tells whether a header isn't handed on: it is of the connection
// alone, or we say it in our own way.
func dropped(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length", "Host":
		return true
	}
	return strings.HasPrefix(name, headerPrefix)
}

// line is a header.
type line struct{ name, value string }

// message is a client's request on its way to another node.
type message struct {
	method, uri, host string
	lines             []line // sorted by name
	body              []byte
	length            int // of the body as announced; more than len(body) if it broke off
	upgrade           bool
}

var (
	errUnsuitable = errors.New("cluster: the request can't be handed on")
	errSeal       = errors.New("cluster: the seal is wrong")
)

// newMessage takes over what r says, but not its body.
func newMessage(r *http.Request, from, to ID, upgrade bool) (*message, error) {
	m := &message{method: r.Method, uri: r.URL.RequestURI(), host: r.Host, upgrade: upgrade}
	// Over HTTP/2 these may have what would end a line's part in HTTP/1.
	if !visible(m.uri) || !visible(m.host) || m.method != http.MethodGet && m.method != http.MethodPost {
		return nil, errUnsuitable
	}
	m.lines = make([]line, 0, len(r.Header)+5)
	for name, values := range r.Header {
		if dropped(name) {
			continue
		}
		for _, v := range values {
			m.lines = append(m.lines, line{name, textproto.TrimString(v)})
		}
	}
	m.lines = append(m.lines, line{headerClient, r.RemoteAddr}, line{headerFrom, from.String()}, line{headerTo, to.String()})
	scheme := r.URL.Scheme
	if r.TLS != nil {
		scheme = "https"
	}
	if scheme != "" {
		m.lines = append(m.lines, line{headerScheme, scheme})
	}
	if upgrade {
		m.lines = append(m.lines, line{"Upgrade", strings.Join(r.Header["Upgrade"], ", ")})
	}
	slices.SortStableFunc(m.lines, func(a, b line) int { return strings.Compare(a.name, b.name) })
	for _, l := range m.lines {
		if strings.ContainsAny(l.value, "\r\n\x00") {
			return nil, errUnsuitable
		}
	}
	return m, nil
}

// visible tells whether s is not empty and has no blanks or control characters.
func visible(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// received is the message that a node has sent as r, as far as its seal goes.
func received(r *http.Request) *message {
	m := &message{method: r.Method, uri: r.RequestURI, host: r.Host, length: int(max(r.ContentLength, 0))}
	for name, values := range r.Header {
		if name == "Connection" || name == "Content-Length" || name == headerSeal {
			continue
		}
		for _, v := range values {
			m.lines = append(m.lines, line{name, v})
		}
	}
	slices.SortStableFunc(m.lines, func(a, b line) int { return strings.Compare(a.name, b.name) })
	return m
}

// appendHead appends m's head in the form of HTTP/1.1. seal may be empty.
func (m *message) appendHead(b []byte, seal string) []byte {
	b = append(b, m.method...)
	b = append(b, ' ')
	b = append(b, m.uri...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, m.host...)
	b = append(b, "\r\n"...)
	if m.upgrade {
		b = append(b, "Connection: Upgrade\r\n"...)
	}
	if m.method == http.MethodPost {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(m.length), 10)
		b = append(b, "\r\n"...)
	}
	for _, l := range m.lines {
		b = append(b, l.name...)
		b = append(b, ": "...)
		b = append(b, l.value...)
		b = append(b, "\r\n"...)
	}
	if seal != "" {
		b = append(b, headerSeal+": "...)
		b = append(b, seal...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// appendSealed appends what the seal covers: all of the head. None of the parts
// can have a line break.
func (m *message) appendSealed(b []byte) []byte {
	for _, part := range []string{m.method, m.uri, m.host} {
		b = append(b, part...)
		b = append(b, '\n')
	}
	b = strconv.AppendInt(b, int64(m.length), 10)
	for _, l := range m.lines {
		b = append(b, '\n')
		b = append(b, l.name...)
		b = append(b, ':')
		b = append(b, l.value...)
	}
	return b
}

// seal returns the seal of parts, for one use.
func (k *keys) sealOf(use string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, k.seal)
	mac.Write([]byte(use))
	for _, p := range parts {
		mac.Write([]byte{0})
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// buffers are for heads and copies.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// understood reads what the other node says beside the client's request, and
// takes it out of r, which then is as the client sent it.
func understood(r *http.Request) (from, to ID, err error) {
	one := func(name string) string {
		v := r.Header[name]
		delete(r.Header, name)
		if len(v) != 1 {
			return ""
		}
		return v[0]
	}
	if from, err = ParseID(one(headerFrom)); err != nil {
		return 0, 0, err
	}
	if to, err = ParseID(one(headerTo)); err != nil {
		return 0, 0, err
	}
	client, scheme := one(headerClient), ""
	if len(r.Header[headerScheme]) > 0 {
		if scheme = one(headerScheme); scheme != "http" && scheme != "https" {
			return 0, 0, fmt.Errorf("cluster: scheme %q", scheme)
		}
	}
	delete(r.Header, headerSeal)
	for name := range r.Header {
		if strings.HasPrefix(name, headerPrefix) {
			return 0, 0, fmt.Errorf("cluster: header %q", name)
		}
	}
	r.RemoteAddr, r.URL.Scheme, r.TLS = client, scheme, nil
	return from, to, nil
}

var sealEncoding = base64.RawStdEncoding.Strict()
