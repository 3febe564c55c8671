package socketio

import (
	"sync"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

// link is one client's connection: what its conns have in common. Its handlers
// run one at a time, so only they change it, but for refs.
type link struct {
	session *engine.Session
	id      string // Conn.ID
	initial any    // the context that ConnInitor has set
	passed  bool   // OnConnect("/") has let it in
	standIn *conn  // for the one in "/", which the client hasn't joined
	refs    int    // sockets; guarded by links.mu
}

// links are the connections of a server.
type links struct {
	mu    sync.Mutex
	all   map[*engine.Session]*link
	begun map[string]*initial // connections that ConnInitor was called for, by id
	sweep int                 // size of both at which to look for what has ended
}

// enter returns the link of a socket that connects, made if it is the
// connection's first. Each enter wants a leave.
func (l *links) enter(s *server.Socket, ownIDs bool, open func(id string) bool) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	session := s.Session()
	k := l.all[session]
	if k == nil {
		k = &link{session: session, id: s.ID()}
		// Clients of version 2 derive their ids from the session's. In that
		// of others is a secret, unless the program makes the ids.
		if ownIDs || session.Protocol() == 3 {
			k.id = session.ID()
		}
		if begun := l.begun[session.ID()]; begun != nil {
			k.initial = begun.Context()
			delete(l.begun, session.ID())
		}
		l.tidy(open)
		if l.all == nil {
			l.all = map[*engine.Session]*link{}
		}
		l.all[session] = k
	}
	k.refs++
	return k
}

// leave gives up a socket's part of its link. It reports whether it was the last.
func (l *links) leave(k *link) (last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.refs--; k.refs == 0 {
		delete(l.all, k.session)
	}
	return k.refs == 0
}

// begin keeps what ConnInitor has set until the client joins.
func (l *links) begin(c *initial, open func(id string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tidy(open)
	if l.begun == nil {
		l.begun = map[string]*initial{}
	}
	l.begun[c.id] = c
}

// tidy forgets, now and then, what nobody has seen off: handshakes that came to
// nothing, and sockets that a middleware of the program's own has refused.
func (l *links) tidy(open func(id string) bool) {
	if len(l.all)+len(l.begun) < l.sweep {
		return
	}
	for session := range l.all {
		if session.Err() != nil {
			delete(l.all, session)
		}
	}
	for id, c := range l.begun {
		if c.old() && !open(id) {
			delete(l.begun, id)
		}
	}
	l.sweep = max(64, 2*(len(l.all)+len(l.begun)))
}
