package engine

import (
	"encoding/json"
	"net/http"
	"time"
)

// acceptWebTransport makes a connection of an extended CONNECT request. Its
// first message says what it is for: "0" opens a session, `0{"sid":"..."}`
// upgrades one. Limits and AllowRequest are applied here like for every
// handshake. If the query names a session, there is nothing to allow, and one
// connection at a time for a session that can be upgraded is within the limits.
func (srv *Server) acceptWebTransport(w http.ResponseWriter, r *http.Request, q query) {
	g := &greeter{srv: srv, req: newRequest(r)}
	no, ok := refusal{}, true
	switch s := srv.Session(q.sid); {
	case q.sid == "":
		g.id, no, ok = srv.begin(r, q)
		g.place = ok
	case s != nil && s.from(r.Header.Get("Origin")) && s.expect():
		g.guest = s
	default:
		no, ok = srv.admit(r)
		g.place = ok
	}
	if !ok {
		srv.refuse(w, r, no)
		return
	}
	conn, err := srv.cfg.WebTransport.Upgrade(w, r, nil, q.rev, false)
	if err != nil {
		g.leave()
		srv.log.Debug("engine: WebTransport handshake", "error", err)
		return
	}
	g.conn = conn
	g.timer = time.AfterFunc(srv.cfg.UpgradeTimeout, func() { conn.Close() })
	srv.tasks.run(g.serve)
}

// greeter is the sink of a WebTransport connection: first by itself, later for
// the session that the first message asked for.
type greeter struct {
	srv   *Server
	conn  Conn
	id    string // for a new session; empty if the query named one
	req   Request
	place bool     // a place in the server is taken
	guest *Session // that expects this connection
	timer *time.Timer
	sink  *sink
}

func (g *greeter) Frame(data []byte, binary, owned bool) error {
	if g.sink != nil {
		return g.sink.Frame(data, binary, owned)
	}
	g.timer.Stop()
	p, err := parseFrame(data, binary, 4)
	if err != nil || p.Type != Open {
		return errEnded
	}
	if len(p.Data) > 0 {
		g.sink = g.upgrade(p.Data)
	} else if g.id != "" {
		g.sink = g.srv.openOn(g.conn, g.id, g.req, 4)
		if g.sink != nil {
			g.place = false // it belongs to the session
		}
	}
	if g.sink == nil {
		return errEnded
	}
	return nil
}

// upgrade finds the session that is to be upgraded.
func (g *greeter) upgrade(data []byte) *sink {
	var msg struct {
		SID string `json:"sid"`
	}
	if json.Unmarshal(data, &msg) != nil {
		return nil
	}
	s := g.srv.Session(msg.SID)
	if s == nil || s.Protocol() != 4 || !s.from(g.req.Header.Get("Origin")) {
		return nil
	}
	return s.candidate(g.conn)
}

func (g *greeter) Handled() {
	if g.sink != nil {
		g.sink.Handled()
	}
}

// leave gives back what the connection was let in for.
func (g *greeter) leave() {
	if g.place {
		g.srv.vacate(g.req.RemoteAddr)
	}
	if g.guest != nil {
		g.guest.mu.Lock()
		g.guest.expects = false
		g.guest.mu.Unlock()
	}
}

// expect reports whether s can be upgraded and no other connection for that is on its way.
func (s *Session) expect() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expects || s.cand != nil || s.poll == nil || s.state.Load() == stateClosed {
		return false
	}
	s.expects = true
	return true
}

func (g *greeter) serve() {
	defer g.leave()
	err := read(g.srv, g.conn, g)
	g.timer.Stop()
	if g.sink != nil {
		g.sink.ended(err)
	} else {
		g.conn.Close()
	}
}
