package engine

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is an Engine.IO server: an http.Handler that makes sessions of
// requests. Make one with New and end it with Shutdown.
//
// Behind it an http.Server must not have a WriteTimeout below PingInterval +
// PingTimeout, since a GET may be held that long. Headers that middleware has
// set before ServeHTTP reach every response, the 101 included.
type Server struct {
	cfg        Config
	log        *slog.Logger
	start      time.Time
	origins    *origins
	websocket  bool // enabled
	openTail   map[string]string
	control    time.Duration // between control packets of a session; 0: no limit
	handshakes *bucket
	refusalLog *bucket
	wheel      *wheel
	flushers   []flusher
	shard      atomic.Uint32
	shards     sync.Pool // of *shards
	tasks      tasks
	corkTimers sync.Pool // of *corkTimer
	stats      Stats
	draining   atomic.Bool // no new sessions

	mu       sync.RWMutex
	sessions map[string]*Session
	perIP    map[string]int
	places   int // sessions and handshakes under way
}

// New returns a server. It panics if cfg.Validate fails.
func New(cfg Config) *Server {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	cfg = cfg.withDefaults()
	srv := &Server{
		cfg:        cfg,
		log:        cfg.Logger,
		start:      time.Now(),
		websocket:  slices.Contains(cfg.Transports, "websocket"),
		openTail:   make(map[string]string),
		handshakes: newBucket(cfg.HandshakeRate),
		refusalLog: newBucket(1),
		flushers:   make([]flusher, min(runtime.GOMAXPROCS(0), 64)),
		sessions:   make(map[string]*Session),
		perIP:      make(map[string]int),
	}
	if cfg.ControlRate > 0 {
		srv.control = time.Second / time.Duration(cfg.ControlRate)
	}
	srv.origins, _ = newOrigins(cfg.Origins)
	srv.wheel = newWheel(srv)
	for i := range srv.flushers {
		srv.flushers[i].server = srv
	}
	srv.shards.New = func() any {
		sh := make(shards, len(srv.flushers))
		return &sh
	}
	for _, t := range cfg.Transports {
		srv.openTail[t] = srv.tail(t)
	}
	return srv
}

// Stats are the server's counters.
func (srv *Server) Stats() *Stats { return &srv.stats }

// Session returns an open session by its id, or nil.
func (srv *Server) Session(id string) *Session {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	return srv.sessions[id]
}

// tail is the open packet of a transport's sessions behind the session id.
func (srv *Server) tail(transport string) string {
	upgrades := []string{}
	if transport == "polling" && !srv.cfg.NoUpgrades {
		for _, t := range []string{"websocket", "webtransport"} {
			if slices.Contains(srv.cfg.Transports, t) {
				upgrades = append(upgrades, t)
			}
		}
	}
	interval, timeout := srv.cfg.PingInterval.Milliseconds(), srv.cfg.PingTimeout.Milliseconds()
	if interval == 0 { // no pings: clients add both up and hold that against a 32-bit timer
		interval = noLimit - timeout
	}
	tail, _ := json.Marshal(struct {
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}{upgrades, interval, timeout, srv.cfg.MaxPayload})
	return "," + string(tail[1:])
}

// openPacket is the first packet of a session.
func (srv *Server) openPacket(id, transport string) *Batch {
	tail := srv.openTail[transport]
	data := make([]byte, 0, len(`{"sid":""`)+len(id)+len(tail))
	data = append(data, `{"sid":`...)
	if strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		quoted, _ := json.Marshal(id)
		data = append(data, quoted...)
	} else {
		data = strconv.AppendQuote(data, id)
	}
	return NewBatch(false, Packet{Type: Open, Data: append(data, tail...)})
}

// newSession returns a session that nobody knows yet.
func (srv *Server) newSession(id string, req Request, rev int) *Session {
	n := srv.shard.Add(1)
	return &Session{
		server:  srv,
		id:      id,
		request: req,
		origin:  req.Header.Get("Origin"),
		rev:     uint8(rev),
		shard:   uint8(n % uint32(len(srv.flushers))),
		cell:    uint8(n),
		recv:    silent{},
		inside:  true, // until open has returned
	}
}

// silent is the receiver of a session that its handler does not want.
type silent struct{}

func (silent) Message([]byte, bool, bool) {}
func (silent) Handled()                   {}
func (silent) Upgraded()                  {}
func (silent) Closed(Reason, error)       {}

// open registers a session, whose transport is set, and tells the handler. It
// fails if the id is taken or the server is ending.
func (srv *Server) open(s *Session) bool {
	transport := s.transport()
	srv.mu.Lock()
	_, taken := srv.sessions[s.id]
	ok := !taken && !srv.draining.Load()
	if ok {
		srv.sessions[s.id] = s
	}
	srv.mu.Unlock()
	if !ok {
		return false
	}
	srv.stats.Opened.Add(1)
	srv.stats.gauge(transport).Add(1)
	s.arm()
	if h := srv.cfg.Handler; h != nil {
		s.rmu.Lock()
		if recv := h.Open(s); recv != nil {
			s.recv = recv
		}
		s.rmu.Unlock()
	}
	s.tell()
	return true
}

// forget removes a session that has ended.
func (srv *Server) forget(s *Session, reason Reason, cause error, transport string) {
	srv.wheel.remove(s)
	srv.stats.gauge(transport).Add(-1)
	srv.stats.closed(reason, cause)
	srv.mu.Lock()
	delete(srv.sessions, s.id)
	srv.mu.Unlock()
	srv.vacate(s.request.RemoteAddr)
}

// slow ends a session whose queue overflowed, on a goroutine of its own: who
// appended may hold locks.
func (srv *Server) slow(s *Session) {
	srv.tasks.run(func() { s.finish(TransportError, ErrSlowConsumer) })
}

// Drain refuses new sessions from now on and closes those there are evenly
// over the time over, so that clients do not all come back at once. It returns
// when none is left, or with the error of ctx when that ends first.
func (srv *Server) Drain(ctx context.Context, over time.Duration) error {
	srv.Refuse()
	all := srv.all()
	begin := time.Now()
	for i, s := range all {
		at := over * time.Duration(i+1) / time.Duration(len(all))
		if wait := at - time.Since(begin); wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
		s.Close()
	}
	for _, s := range srv.all() { // what is queued may take a while
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Done():
		}
	}
	return nil
}

// Shutdown ends all sessions without waiting for what they have queued, and
// waits for the server's goroutines. New sessions are refused with status 503.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.Refuse()
	for _, s := range srv.all() {
		s.CloseNow()
	}
	select {
	case <-srv.tasks.wait():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// all is a snapshot of the sessions.
func (srv *Server) all() []*Session {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	all := make([]*Session, 0, len(srv.sessions))
	for _, s := range srv.sessions {
		all = append(all, s)
	}
	return all
}

// polledHeaders adds the headers of successful polling responses.
func (s *Session) polledHeaders(h http.Header, r *http.Request) {
	if ua := r.UserAgent(); strings.Contains(ua, ";MSIE") || strings.Contains(ua, "Trident/") {
		h["X-Xss-Protection"] = zero
	}
	h["Cache-Control"] = noStore
	if f := s.server.cfg.OnHeaders; f != nil {
		f(h, r)
	}
}
