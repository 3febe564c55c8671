package engine

import (
	"net"
	"net/http"
	"sync"
)

// bucket is a token bucket for handshakes, filled at rate tokens per second up
// to twice that.
type bucket struct {
	mu     sync.Mutex
	rate   float64 // 0: no limit
	tokens float64
	last   int64 // nanoseconds
}

func newBucket(rate int) *bucket { return &bucket{rate: float64(rate), tokens: 2 * float64(rate)} }

func (b *bucket) take(now int64) bool {
	if b.rate == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+b.rate*float64(now-b.last)/1e9, 2*b.rate)
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// admit applies the limits on handshakes. If it admits one, a place is taken
// that forget gives back.
func (srv *Server) admit(r *http.Request) (no refusal, ok bool) {
	busy := func(why Rejection, status int, message string) (refusal, bool) {
		srv.stats.reject(why)
		return refusal{code: badRequest, status: status, message: message, retry: true,
			context: map[string]any{"name": "LIMIT", "limit": why.String()}}, false
	}
	if srv.draining.Load() {
		return busy(RejectedDraining, http.StatusServiceUnavailable, "Server is shutting down")
	}
	if !srv.handshakes.take(srv.now()) {
		return busy(RejectedRate, http.StatusServiceUnavailable, "Too many handshakes")
	}
	ip := addressOf(r.RemoteAddr)
	srv.mu.Lock()
	full, perIP := srv.places >= srv.cfg.MaxSessions, srv.perIP[ip] >= srv.cfg.MaxSessionsPerIP
	if !full && !perIP {
		srv.places++
		if srv.cfg.MaxSessionsPerIP < noLimit {
			srv.perIP[ip]++
		}
	}
	srv.mu.Unlock()
	switch {
	case full:
		return busy(RejectedSessions, http.StatusServiceUnavailable, "Too many sessions")
	case perIP:
		return busy(RejectedPerIP, http.StatusTooManyRequests, "Too many sessions from this address")
	}
	return refusal{}, true
}

// vacate gives the place of a session back.
func (srv *Server) vacate(remoteAddr string) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.places--
	if srv.cfg.MaxSessionsPerIP < noLimit {
		ip := addressOf(remoteAddr)
		if srv.perIP[ip]--; srv.perIP[ip] <= 0 {
			delete(srv.perIP, ip)
		}
	}
}

// addressOf is the host of a "host:port".
func addressOf(remoteAddr string) string {
	if host, _, err := net.SplitHostPort(remoteAddr); err == nil {
		return host
	}
	return remoteAddr
}
