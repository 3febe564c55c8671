// Package wsconn carries Engine.IO sessions over WebSocket.
//
// A Conn has no goroutine, buffer or queue of its own: it reads on the
// goroutine that calls Serve, with a pooled buffer that it holds only while
// bytes are there, and writes what engine hands it with one system call.
package wsconn

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/roomcast/roomcast/engine"
)

// Config has the limits of the connections that an Upgrader makes.
type Config struct {
	// MaxMessage is the size of the largest message taken from a peer, in bytes,
	// after inflation. A larger one closes the connection with 1009.
	// If zero, 1,000,000 is used. If negative, there is no limit.
	MaxMessage int

	// MaxFragments is the number of frames that a message may come in.
	// If zero, 1024 is used. If negative, there is no limit.
	MaxFragments int

	// ControlRate is how many pings and pongs a peer may send per second over time;
	// two seconds' worth may come at once. Who sends more is closed with 1008.
	// If zero, 5 is used. If negative, there is no limit.
	ControlRate int

	// WriteTimeout is the time that the handshake's answer, or one Drain, may take.
	// If zero, 10 s is used. If negative, there is no limit.
	WriteTimeout time.Duration

	// Deflate offers permessage-deflate, without context takeover, to peers
	// that ask for it. Off by default: it costs the memory and time of a
	// compression for each message and receiver.
	Deflate bool

	// DeflateThreshold is the size in bytes from which on messages are compressed.
	// If zero, 1024 is used. If negative, all are.
	DeflateThreshold int
}

func (c Config) withDefaults() Config {
	c.MaxMessage = limit(c.MaxMessage, 1_000_000)
	c.MaxFragments = limit(c.MaxFragments, 1024)
	c.ControlRate = limit(c.ControlRate, 5)
	c.WriteTimeout = max(cmp.Or(c.WriteTimeout, 10*time.Second), 0)
	c.DeflateThreshold = max(cmp.Or(c.DeflateThreshold, 1024), 0)
	return c
}

// limit is v, or def for zero, or the largest int for less.
func limit(v, def int) int {
	if v < 0 {
		return int(^uint(0) >> 1)
	}
	return cmp.Or(v, def)
}

// Upgrader makes WebSocket connections of HTTP requests. Make it with NewUpgrader.
type Upgrader struct {
	cfg Config
}

var _ engine.Upgrader = (*Upgrader)(nil)

// NewUpgrader returns an Upgrader with the limits of cfg.
func NewUpgrader(cfg Config) *Upgrader {
	return &Upgrader{cfg: cfg.withDefaults()}
}

// Upgrade implements engine.Upgrader. The headers already set on w, and those
// of header, go out with the 101. The first subprotocol that the client offers
// is accepted. A request that isn't a WebSocket handshake is answered with 400,
// and w may then still be used.
//
// w may be wrapped, as by Gin, if the wrapper has an Unwrap method.
func (u *Upgrader) Upgrade(w http.ResponseWriter, r *http.Request, header http.Header, rev int, b64 bool) (engine.Conn, error) {
	if err := checkRequest(r); err != nil {
		w.Header().Set("Sec-WebSocket-Version", "13")
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, fmt.Errorf("wsconn: %w", err)
	}
	var deflate deflateOffer
	up := ws.HTTPUpgrader{
		Timeout:  u.cfg.WriteTimeout,
		Header:   responseHeader(w.Header(), header),
		Protocol: func(string) bool { return true },
	}
	if u.cfg.Deflate {
		up.Negotiate = deflate.negotiate
	}
	nc, rw, _, err := up.Upgrade(r, w)
	if err != nil {
		if nc != nil {
			nc.Close()
		}
		return nil, fmt.Errorf("wsconn: upgrade: %w", err)
	}
	c, err := newConn(nc, &u.cfg, wire(rev, b64), deflate.accepted, buffered(rw.Reader))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("wsconn: upgrade: %w", err)
	}
	return c, nil
}

// checkRequest says what is missing from a WebSocket handshake. It runs before
// the connection is taken over, so that the answer is plain HTTP.
func checkRequest(r *http.Request) error {
	switch {
	case r.Method != http.MethodGet:
		return errors.New("websocket handshake must be a GET")
	case !r.ProtoAtLeast(1, 1) || r.ProtoMajor > 1:
		return errors.New("websocket handshake needs HTTP/1.1")
	case !hasToken(r.Header["Connection"], "upgrade") || !hasToken(r.Header["Upgrade"], "websocket"):
		return errors.New("missing or invalid Upgrade header")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return errors.New("missing or invalid Sec-WebSocket-Version header")
	case !validKey(r.Header.Get("Sec-WebSocket-Key")):
		return errors.New("missing or invalid Sec-WebSocket-Key header")
	}
	return nil
}

// hasToken reports whether one of the comma-separated values is token.
func hasToken(values []string, token string) bool {
	for _, v := range values {
		for v != "" {
			var item string
			item, v, _ = strings.Cut(v, ",")
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}

// validKey reports whether key is base64 of 16 bytes.
func validKey(key string) bool {
	if len(key) != 24 || !strings.HasSuffix(key, "==") {
		return false
	}
	for _, c := range []byte(key[:22]) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return true
}

// responseHeader is what the 101 carries besides the handshake itself.
func responseHeader(set, added http.Header) http.Header {
	if len(set) == 0 {
		return added
	}
	all := make(http.Header, len(set)+len(added))
	for _, h := range []http.Header{set, added} {
		for k, v := range h {
			all[k] = v
		}
	}
	for _, k := range []string{"Connection", "Upgrade", "Content-Length", "Content-Type", "Transfer-Encoding",
		"Sec-Websocket-Accept", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions"} {
		delete(all, k)
	}
	return all
}

// buffered returns a copy of what a client sent right behind its handshake.
func buffered(r *bufio.Reader) []byte {
	n := r.Buffered()
	if n == 0 {
		return nil
	}
	b, _ := r.Peek(n) // it is there: no error
	return append([]byte(nil), b...)
}

// closeWriter is what TCP, unix and TLS connections have to say that no more follows.
type closeWriter interface{ CloseWrite() error }

var _ closeWriter = (*net.TCPConn)(nil)
