package namespaces

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/url"
	"strings"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
)

// newID returns an id that nobody can guess: 15 random bytes, 20 characters.
func newID() string {
	var b [15]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ackBase returns where a socket's ack ids start: anywhere below 2^30.
func ackBase() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint32(b[:]) >> 2
}

// askBase is ackBase for broadcasts, whose ids are 2^30 and up.
func askBase() uint32 { return ackBase() | 1<<30 }

var noAuth = json.RawMessage("{}")

func newHandshake(r *engine.Request, auth json.RawMessage) *adapters.Handshake {
	if auth == nil {
		auth = noAuth
	}
	h := &adapters.Handshake{Auth: auth, Secure: r.Secure, XDomain: r.CrossSite, URL: r.URL}
	h.Headers = r.Header.HTTP()
	h.Time = r.Time.Format("Mon Jan 02 2006 15:04:05 GMT-0700 (MST)")
	h.Issued = r.Time.UnixMilli()
	h.Address = r.RemoteAddr
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		h.Address = host
	}
	h.Query, _ = url.ParseQuery(r.RawQuery)
	return h
}

// splitV2 takes apart the namespace as clients of version 2 send it: a URL's
// path, percent-encoded, with a query that stands for auth.
func splitV2(raw string) (name string, auth json.RawMessage) {
	if !strings.ContainsAny(raw, "?#%.\\ ") && isASCII(raw) {
		return raw, nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		name, _, _ := strings.Cut(raw, "?")
		return name, nil
	}
	name = u.EscapedPath()
	if name == "" {
		name = "/"
	}
	if u.RawQuery != "" {
		q, _ := url.ParseQuery(u.RawQuery)
		flat := make(map[string]string, len(q))
		for k, v := range q {
			flat[k] = v[len(v)-1]
		}
		auth, _ = json.Marshal(flat)
	}
	return name, auth
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
