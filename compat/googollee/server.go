package socketio

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/compat/googollee/engineio"
	"github.com/roomcast/roomcast/compat/googollee/engineio/session"
	"github.com/roomcast/roomcast/server"
)

// Server is a Socket.IO server, and an http.Handler for any path.
type Server struct {
	opts  engineio.Options
	cfg   server.Config
	log   *slog.Logger
	core  atomic.Pointer[server.Server] // nil until it is needed
	links links
	done  chan struct{} // closed by Close

	mu         sync.Mutex
	namespaces map[string]*namespace
	rdb        *redis.Client // nil without Adapter
	failed     error         // why the server can't start
	closed     bool
}

// NewServer returns a server; nil options are the defaults.
func NewServer(opts *engineio.Options) *Server { return NewServerWith(opts, server.Config{}) }

// NewServerWith is NewServer with settings that googollee hasn't, such as
// Engine.MaxPayload, the size in bytes up to which messages are taken (1,000,000 by
// default). What opts say comes before cfg. It isn't part of googollee's API.
func NewServerWith(opts *engineio.Options, cfg server.Config) *Server {
	s := &Server{cfg: cfg, log: cmp.Or(cfg.Logger, slog.Default()), done: make(chan struct{}), namespaces: map[string]*namespace{}}
	if opts != nil {
		s.opts = *opts
	}
	s.namespace("/")
	return s
}

var errClosed = errors.New("googollee: server closed")

// start makes the server that does the work, when it is needed for the first
// time: Adapter may be called after NewServer.
func (s *Server) start() (*server.Server, error) {
	if core := s.core.Load(); core != nil {
		return core, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if core := s.core.Load(); core != nil {
		return core, nil
	}
	if s.closed {
		return nil, errClosed
	}
	if s.failed != nil {
		return nil, s.failed
	}
	core, err := server.New(s.config())
	for _, ns := range s.namespaces {
		if err == nil {
			err = ns.attach(core)
		}
	}
	if err != nil {
		s.failed = err
		s.log.Error("googollee: the server can't start", "error", err)
		return nil, err
	}
	s.core.Store(core)
	return core, nil
}

// config returns what the options mean.
func (s *Server) config() server.Config {
	cfg, ec := s.cfg, &s.cfg.Engine
	cfg.Engine.EIO3 = true
	cfg.Engine.PingInterval = cmp.Or(s.opts.PingInterval, ec.PingInterval, 20*time.Second)
	cfg.Engine.PingTimeout = cmp.Or(s.opts.PingTimeout, ec.PingTimeout, 60*time.Second)
	cfg.Engine.CheckOrigin = s.checkOrigin
	if len(s.opts.Transports) > 0 {
		cfg.Engine.Transports, cfg.Engine.NoUpgrades = s.transports()
	}
	if s.opts.SessionIDGenerator != nil || s.opts.ConnInitor != nil {
		cfg.Engine.NewID = s.newID
	}
	cfg.OneByOne, cfg.HoldEarly = true, true
	cfg.Recovery = nil // OnConnect runs for every connection
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 45*time.Second)
	cfg.AckTimeout = cmp.Or(cfg.AckTimeout, 24*time.Hour)
	return cfg
}

// transports returns the names of the transports, and whether none of them can be upgraded to.
func (s *Server) transports() (names []string, noUpgrades bool) {
	noUpgrades = true
	polling := false
	for _, t := range s.opts.Transports {
		name := t.Name()
		names = append(names, name)
		noUpgrades = noUpgrades && !(polling && name == "websocket")
		polling = polling || name == "polling"
	}
	return names, noUpgrades
}

// newID makes the id of a session, and calls ConnInitor.
func (s *Server) newID(r *http.Request) (string, error) {
	generator := s.opts.SessionIDGenerator
	if generator == nil {
		generator = &session.DefaultIDGenerator{}
	}
	id := generator.NewID()
	if f := s.opts.ConnInitor; f != nil {
		c := newInitial(id, r, func() {
			if open := s.core.Load().Engine().Session(id); open != nil {
				open.Close()
			}
		})
		f(r, c)
		if c.refused() {
			return "", errors.New("googollee: closed by ConnInitor")
		}
		s.links.begin(c, s.isOpen)
	}
	return id, nil
}

func (s *Server) isOpen(id string) bool { return s.core.Load().Engine().Session(id) != nil }

func (s *Server) enter(sock *server.Socket) *link {
	return s.links.enter(sock, s.opts.SessionIDGenerator != nil, s.isOpen)
}

// depart gives up a socket's part of its link. With the last one goes who
// stands in for it in "/".
func (s *Server) depart(k *link) {
	if last := s.links.leave(k); last && k.standIn != nil {
		s.root().gone(k.standIn, reasonClosed)
	}
}

// Native returns the server that does the work, which has what googollee
// hasn't: other namespaces, middlewares, broadcasts with acks, and so on. It panics
// if that can't start. It isn't part of googollee's API.
func (s *Server) Native() *server.Server {
	core, err := s.start()
	if err != nil {
		panic(err)
	}
	return core
}

// Serve returns io.EOF after Close, or at once why the server can't start.
// (Clients are served without it as well.)
func (s *Server) Serve() error {
	if _, err := s.start(); err != nil && err != errClosed {
		return err
	}
	<-s.done
	return io.EOF
}

// Close ends all connections and refuses new ones. It waits for handlers,
// 5 s at most, and returns an error if some still run.
func (s *Server) Close() error {
	s.mu.Lock()
	already := s.closed
	s.closed = true
	core, rdb := s.core.Load(), s.rdb
	s.mu.Unlock()
	if already {
		return nil
	}
	close(s.done)
	var err error
	if core != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = core.Shutdown(ctx)
	}
	if rdb != nil {
		err = errors.Join(err, rdb.Close())
	}
	return err
}

// Count returns the number of connections of this node.
func (s *Server) Count() int {
	core := s.core.Load()
	if core == nil {
		return 0
	}
	st := core.Stats().Engine
	return int(st.Polling.Load() + st.WebSocket.Load() + st.WebTransport.Load())
}
