package engine

import (
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/http"
	"strings"
)

// ServeHTTP serves polling requests, WebSocket handshakes and, over HTTP/3,
// WebTransport handshakes. It returns as soon as a connection is upgraded.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, srv.cfg.Path) {
		http.NotFound(w, r)
		return
	}
	origin := r.Header.Get("Origin")
	if srv.cors(w, r, origin) {
		return
	}
	q := parseQuery(r.URL.RawQuery)
	if isWebTransport(r) {
		q.transport, q.rev = "webtransport", 4
	} else if q.transport == "webtransport" {
		q.transport += " over HTTP" // officially unknown, too
	}
	s, no, ok := srv.verify(r, q, origin)
	switch {
	case !ok && no.code == unknownSID && srv.cfg.Stranger != nil && srv.cfg.Stranger(w, r, q.sid):
	case !ok:
		srv.refuse(w, r, no)
	case q.transport == "webtransport":
		srv.acceptWebTransport(w, r, q)
	case srv.isUpgrade(r):
		srv.acceptWebSocket(w, r, q, s)
	case s == nil:
		srv.acceptPolling(w, r, q)
	default:
		srv.poll(w, r, s)
	}
}

// isUpgrade tells whether r wants a WebSocket, and may.
func (srv *Server) isUpgrade(r *http.Request) bool {
	if !srv.websocket || len(r.Header["Upgrade"]) == 0 {
		return false
	}
	for _, v := range r.Header["Connection"] {
		for token := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "upgrade") {
				return true
			}
		}
	}
	return false
}

// isWebTransport tells whether r is the extended CONNECT of a WebTransport session.
func isWebTransport(r *http.Request) bool {
	return r.Method == http.MethodConnect && strings.HasPrefix(r.Proto, "webtransport")
}

// verify checks a request in the official order, and finds its session.
func (srv *Server) verify(r *http.Request, q query, origin string) (s *Session, no refusal, ok bool) {
	if _, known := srv.openTail[q.transport]; !known {
		return nil, refusal{code: unknownTransport, context: map[string]any{"transport": q.transport}}, false
	}
	if strings.ContainsFunc(origin, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return nil, refusal{code: badRequest, context: map[string]any{"name": "INVALID_ORIGIN", "origin": origin}}, false
	}
	if !srv.allowed(origin, r) {
		return nil, srv.foreign(r, origin), false
	}
	if q.transport == "webtransport" {
		return nil, refusal{}, true
	}
	upgrade := srv.isUpgrade(r)
	if q.sid != "" {
		return srv.verifySession(r, q, origin, upgrade)
	}
	if r.Method != http.MethodGet {
		return nil, refusal{code: badMethod, context: map[string]any{"method": r.Method}}, false
	}
	if q.transport == "websocket" && !upgrade {
		return nil, refusal{code: badRequest, context: map[string]any{"name": "TRANSPORT_HANDSHAKE_ERROR"}}, false
	}
	return nil, refusal{}, true
}

// foreign refuses an origin, and says in the log what to do about it.
func (srv *Server) foreign(r *http.Request, origin string) refusal {
	srv.stats.reject(RejectedOrigin)
	if srv.refusalLog.take(srv.now()) {
		srv.log.LogAttrs(r.Context(), slog.LevelWarn, "engine: origin refused; list it in Origins if its pages may connect",
			slog.String("origin", origin), slog.String("host", r.Host), slog.String("setting", "Origins"))
	}
	return refusal{code: forbidden, status: http.StatusForbidden,
		message: "Origin not allowed: the server's setting Origins does not list it",
		context: map[string]any{"name": "ORIGIN", "origin": origin}}
}

// verifySession checks a request with a session id.
func (srv *Server) verifySession(r *http.Request, q query, origin string, upgrade bool) (s *Session, no refusal, ok bool) {
	s = srv.Session(q.sid)
	if s == nil {
		return nil, refusal{code: unknownSID, context: map[string]any{"sid": q.sid}}, false
	}
	transport := s.Transport()
	switch {
	case !upgrade && transport != q.transport:
		return nil, mismatch(q.transport, transport), false
	case q.rev != s.Protocol():
		return nil, refusal{code: badRequest, context: map[string]any{
			"name": "PROTOCOL_MISMATCH", "protocol": q.rev, "previousProtocol": s.Protocol()}}, false
	case !s.from(origin):
		srv.stats.reject(RejectedSessionOrigin)
		return nil, refusal{code: forbidden, status: http.StatusForbidden,
			message: "Session belongs to another origin", context: map[string]any{"name": "SESSION_ORIGIN", "origin": origin}}, false
	}
	return s, refusal{}, true
}

// poll serves a polling request of a session.
func (srv *Server) poll(w http.ResponseWriter, r *http.Request, s *Session) {
	s.mu.Lock()
	p := s.poll
	s.mu.Unlock()
	switch {
	case p == nil:
		srv.refuse(w, r, mismatch("polling", s.Transport()))
	case r.Method == http.MethodGet:
		s.get(w, r, p)
	case r.Method == http.MethodPost:
		s.post(w, r, p)
	default:
		srv.stats.refused(badMethod)
		w.WriteHeader(http.StatusInternalServerError) // the official answer
	}
}

// begin does what every handshake has in common: limits, AllowRequest, the
// revision, the id. On success the caller owns a place in the server.
func (srv *Server) begin(r *http.Request, q query) (id string, no refusal, ok bool) {
	if no, ok = srv.admit(r); !ok {
		return "", no, false
	}
	if id, no, ok = srv.judge(r, q); !ok {
		srv.vacate(r.RemoteAddr)
	}
	return id, no, ok
}

func (srv *Server) judge(r *http.Request, q query) (id string, no refusal, ok bool) {
	if f := srv.cfg.AllowRequest; f != nil {
		if err := f(r); err != nil {
			return "", refusal{code: forbidden, message: err.Error(), context: map[string]any{"message": err.Error()}}, false
		}
	}
	if q.rev == 3 && !srv.cfg.EIO3 {
		return "", refusal{code: unsupportedVersion, context: map[string]any{"protocol": 3}}, false
	}
	if q.jsonp && !srv.cfg.JSONP && q.transport == "polling" {
		return "", refusal{code: badRequest, message: "JSONP is disabled",
			context: map[string]any{"name": "TRANSPORT_HANDSHAKE_ERROR", "error": "JSONP is disabled"}}, false
	}
	if srv.cfg.NewID == nil {
		return newID(), refusal{}, true
	}
	id, err := srv.cfg.NewID(r)
	if err == nil && id != "" && srv.Session(id) == nil {
		return id, refusal{}, true
	}
	return "", refusal{code: badRequest, context: map[string]any{"name": "ID_GENERATION_ERROR", "error": err}}, false
}

// newID is 120 random bits in base64url.
func newID() string {
	var b [15]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// acceptPolling opens a session for a GET, and answers with its open packet.
func (srv *Server) acceptPolling(w http.ResponseWriter, r *http.Request, q query) {
	id, no, ok := srv.begin(r, q)
	if !ok {
		srv.refuse(w, r, no)
		return
	}
	s := srv.newSession(id, newRequest(r), q.rev)
	p := &poll{b64: q.b64, jsonp: q.jsonp, j: q.j, wake: make(chan struct{}, 1)}
	s.poll = p
	if !srv.open(s) {
		srv.vacate(r.RemoteAddr)
		srv.refuse(w, r, refusal{code: badRequest, context: map[string]any{"name": "ID_GENERATION_ERROR"}})
		return
	}
	if c := srv.cfg.Cookie; c != nil && !q.jsonp {
		http.SetCookie(w, c.cookie(id))
	}
	srv.initialHeaders(w.Header(), r)
	if s.respond(w, r, p, srv.greeting(id, "polling")) != nil {
		s.finish(TransportError, ErrPollClosed)
	}
}

// greeting is what a session sends first.
func (srv *Server) greeting(id, transport string) []*Batch {
	batches := []*Batch{srv.openPacket(id, transport)}
	if text := srv.cfg.InitialPacket; text != "" {
		batches = append(batches, NewBatch(false, Packet{Type: Message, Data: []byte(text)}))
	}
	return batches
}

func (srv *Server) initialHeaders(h http.Header, r *http.Request) {
	if f := srv.cfg.OnInitialHeaders; f != nil {
		f(h, r)
	}
}

// acceptWebSocket opens a session on a WebSocket, or offers it to the session s.
func (srv *Server) acceptWebSocket(w http.ResponseWriter, r *http.Request, q query, s *Session) {
	var id string
	if s == nil && q.transport == "websocket" {
		var no refusal
		var ok bool
		if id, no, ok = srv.begin(r, q); !ok {
			srv.refuse(w, r, no)
			return
		}
	}
	req := newRequest(r)
	h := w.Header()
	if s == nil {
		srv.initialHeaders(h, r)
	}
	if f := srv.cfg.OnHeaders; f != nil {
		f(h, r)
	}
	conn, err := srv.cfg.WebSocket.Upgrade(w, r, nil, q.rev, q.b64)
	if err != nil {
		if id != "" {
			srv.vacate(req.RemoteAddr)
		}
		srv.log.Debug("engine: WebSocket handshake", "error", err)
		return
	}
	switch {
	case q.transport != "websocket": // officially 101, and closed at once
		srv.turnAway(conn)
	case s != nil:
		s.offer(conn)
	default:
		if k := srv.openOn(conn, id, req, q.rev); k != nil {
			srv.tasks.run(k.serve)
		} else {
			srv.vacate(req.RemoteAddr)
			srv.turnAway(conn)
		}
	}
}

// openOn opens a session on conn. It returns the sink for what conn reads, or
// nil if there can be no session.
func (srv *Server) openOn(conn Conn, id string, req Request, rev int) *sink {
	s := srv.newSession(id, req, rev)
	s.conn = conn
	s.Cork()
	for _, b := range srv.greeting(id, conn.Transport()) {
		s.Append(b)
	}
	if !srv.open(s) {
		s.discard()
		return nil
	}
	s.Uncork()
	return &sink{s: s, conn: conn}
}

// turnAway closes a connection that will carry no session.
func (srv *Server) turnAway(conn Conn) {
	conn.Close()
	srv.tasks.run(func() { conn.Serve(deaf{}) }) // it is owed, and releases the connection
}

// deaf is the sink of a connection that was turned away.
type deaf struct{}

func (deaf) Frame([]byte, bool, bool) error { return errEnded }
func (deaf) Handled()                       {}
