// Package wtconn carries Engine.IO sessions over WebTransport (HTTP/3).
package wtconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
	"github.com/roomcast/roomcast/engine"
)

// Config configures a Server.
type Config struct {
	// TLS has the server's certificate. Browsers take no self-signed one unless
	// they are told its hash. It is cloned.
	TLS *tls.Config

	// MaxMessage is the size of the largest message taken from a peer, in bytes.
	// If zero, 1,000,000 is used. If negative, there is no limit.
	MaxMessage int

	// WriteTimeout is the time that a write may take. If zero, 10 s is used. If
	// negative, there is no limit.
	WriteTimeout time.Duration

	// MaxConns is the number of QUIC connections at one time, with sessions or
	// without. If zero, 10,000 is used. If negative, there is no limit.
	MaxConns int

	// Logger is slog.Default() by default.
	Logger *slog.Logger
}

func (cfg Config) withDefaults() Config {
	cfg.MaxMessage = limit(cfg.MaxMessage, 1_000_000)
	cfg.MaxConns = limit(cfg.MaxConns, 10_000)
	cfg.WriteTimeout = max(cmp.Or(cfg.WriteTimeout, 10*time.Second), 0)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	return cfg
}

// limit is v, or def for zero, or the largest int for less.
func limit(v, def int) int {
	if v < 0 {
		return int(^uint(0) >> 1)
	}
	return cmp.Or(v, def)
}

// Server serves HTTP/3 on UDP addresses, and makes WebTransport connections of
// extended CONNECT requests for an engine.Server: give it to that one's
// Config.WebTransport, and serve a handler in front of it:
//
//	wt := wtconn.NewServer(wtconn.Config{TLS: tlsConfig})
//	eng := engine.New(engine.Config{WebTransport: wt}, handler)
//	go wt.ListenAndServe(":443", eng)
//
// The requests go through engine.Server like all others: origin, limits,
// AllowRequest.
type Server struct {
	cfg     Config
	wt      *webtransport.Server
	handler atomic.Pointer[http.Handler]
	conns   atomic.Int64 // QUIC connections

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	mu     sync.Mutex // held for tasks.Add and for the end of it
}

var _ engine.Upgrader = (*Server)(nil)

// idleTimeout is how long a silent QUIC connection lives. Keep-alives at half
// of it leave the decision about silent sessions to the heartbeat.
const idleTimeout = 60 * time.Second

// NewServer returns a Server that isn't listening yet.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg.withDefaults()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wt = &webtransport.Server{
		H3: &http3.Server{
			Handler:        http.HandlerFunc(s.serveHTTP),
			MaxHeaderBytes: 32 << 10,
			Logger:         s.cfg.Logger,
		},
		CheckOrigin: func(*http.Request) bool { return true }, // engine.Server does
	}
	return s
}

// Serve serves h on pc until Close, and then returns http.ErrServerClosed. It
// closes pc.
func (s *Server) Serve(pc net.PacketConn, h http.Handler) error {
	defer pc.Close()
	if s.cfg.TLS == nil {
		return errors.New("wtconn: Config.TLS is nil: HTTP/3 needs a certificate")
	}
	s.handler.Store(&h)
	l, err := quic.ListenEarly(pc, http3.ConfigureTLSConfig(s.cfg.TLS), &quic.Config{
		EnableDatagrams:                  true, // WebTransport requires both
		EnableStreamResetPartialDelivery: true,
		MaxIdleTimeout:                   idleTimeout,
		KeepAlivePeriod:                  idleTimeout / 2,
		// A session needs two streams, and HTTP/3 three in one direction.
		MaxIncomingStreams:    32,
		MaxIncomingUniStreams: 8,
		// What a peer may send before it is read.
		MaxStreamReceiveWindow:     1 << 20,
		MaxConnectionReceiveWindow: 2 << 20,
	})
	if err != nil {
		return fmt.Errorf("wtconn: listen: %w", err)
	}
	defer l.Close()
	for {
		conn, err := l.Accept(s.ctx)
		if s.ctx.Err() != nil {
			return http.ErrServerClosed
		}
		if err != nil {
			return fmt.Errorf("wtconn: accept: %w", err)
		}
		if !s.run(func() { s.serveConn(conn) }) {
			conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
		}
	}
}

// ListenAndServe is Serve on the UDP address addr.
func (s *Server) ListenAndServe(addr string, h http.Handler) error {
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		return fmt.Errorf("wtconn: %w", err)
	}
	return s.Serve(pc, h)
}

// serveConn serves a QUIC connection to its end.
func (s *Server) serveConn(conn *quic.Conn) {
	defer s.conns.Add(-1)
	if s.conns.Add(1) > int64(s.cfg.MaxConns) {
		conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "")
		return
	}
	if err := s.wt.ServeQUICConn(conn); err != nil && s.ctx.Err() == nil {
		s.cfg.Logger.Debug("wtconn: QUIC connection", "remote", conn.RemoteAddr().String(), "error", err)
	}
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.handler.Load()).ServeHTTP(w, r)
}

// run runs f on a goroutine that Close waits for, unless Close was called.
func (s *Server) run(f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	s.tasks.Go(f)
	return true
}

// Close ends all connections at once and waits until they have. End the
// sessions of engine.Server before it.
func (s *Server) Close() error {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	err := s.wt.Close()
	s.tasks.Wait()
	return err
}

// Upgrade implements engine.Upgrader. w may be wrapped, as by Gin, if the
// wrapper has an Unwrap method. A request that this Server can't make a session
// of is answered with 400. rev and b64 have no meaning here.
func (s *Server) Upgrade(w http.ResponseWriter, r *http.Request, header http.Header, rev int, b64 bool) (engine.Conn, error) {
	h3, ok := unwrap(w)
	if !ok || r.Method != http.MethodConnect {
		http.Error(w, "not a WebTransport request", http.StatusBadRequest)
		return nil, errors.New("wtconn: not a WebTransport request over HTTP/3")
	}
	for k, v := range header {
		w.Header()[k] = v
	}
	sess, err := s.wt.Upgrade(h3, r)
	if err != nil {
		http.Error(w, "WebTransport handshake failed", http.StatusBadRequest)
		return nil, fmt.Errorf("wtconn: upgrade: %w", err)
	}
	return newConn(sess, &s.cfg), nil
}

// unwrap finds the response writer of HTTP/3 behind those of a framework.
func unwrap(w http.ResponseWriter) (http.ResponseWriter, bool) {
	for {
		if _, ok := w.(http3.HTTPStreamer); ok {
			_, ok = w.(http3.Settingser)
			return w, ok
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil, false
		}
		w = u.Unwrap()
	}
}
