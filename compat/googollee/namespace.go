package socketio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"github.com/roomcast/roomcast/server"
)

// The reasons that OnDisconnect is told. googollee knew no others.
const (
	reasonClosed = "client namespace disconnect" // the connection has ended
	reasonLeft   = ""                            // the client has left the namespace
)

// namespace has the program's handlers, and the conns of this node.
type namespace struct {
	srv  *Server
	name string
	core *server.Namespace // set when the server starts

	mu         sync.RWMutex
	events     map[string]*function
	connect    func(Conn) error
	disconnect func(Conn, string)
	fail       func(Conn, error)
	conns      map[*server.Socket]*conn
	byID       map[string]*conn // the same
}

// attach wires the handlers to the server's namespace.
func (ns *namespace) attach(core *server.Server) error {
	n, err := core.Open(ns.name)
	if err != nil {
		return err
	}
	ns.core = n
	n.Use(ns.enter)
	n.OnDisconnect(ns.leave)
	n.HandleOther(ns.handle)
	n.OnError(func(_ context.Context, s *server.Socket, err error) {
		if c := ns.conn(s); c != nil {
			ns.failed(c, err)
		}
	})
	return nil
}

func (ns *namespace) conn(s *server.Socket) *conn {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.conns[s]
}

func (ns *namespace) keep(s *server.Socket, c *conn) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.conns == nil {
		ns.conns = map[*server.Socket]*conn{}
		ns.byID = map[string]*conn{}
	}
	ns.conns[s] = c
	ns.byID[c.ID()] = c
}

func (ns *namespace) forget(s *server.Socket, c *conn) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	delete(ns.conns, s)
	if ns.byID[c.ID()] == c {
		delete(ns.byID, c.ID())
	}
}

// enter is the middleware of a socket: OnConnect decides.
func (ns *namespace) enter(_ context.Context, s *server.Socket) error {
	k := ns.srv.enter(s)
	c := &conn{ns: ns, link: k, socket: s}
	entered := false
	defer func() { // OnConnect may panic
		if !entered {
			ns.forget(s, c)
			ns.srv.depart(k)
		}
	}()
	root := ns.srv.root()
	switch {
	case ns != root && !k.passed: // clients of version 3 and 4 may come here first
		standIn := &conn{ns: root, link: k, data: k.initial}
		if err := root.admit(standIn, s); err != nil {
			return err
		}
		k.standIn = standIn
	case ns == root && k.standIn != nil: // now it does join
		c = k.standIn
		k.standIn = nil
		ns.keep(s, c)
		c.attach(s)
		entered = true
		return nil
	case ns == root:
		c.data = k.initial
	}
	ns.keep(s, c)
	c.attach(s)
	if err := ns.admit(c, s); err != nil {
		return err
	}
	entered = true
	return nil
}

// admit asks OnConnect. Who is refused in "/" loses the connection, once told.
func (ns *namespace) admit(c *conn, s *server.Socket) error {
	ns.mu.RLock()
	f := ns.connect
	ns.mu.RUnlock()
	root := ns == ns.srv.root()
	if root {
		defer func() { // also if f panics
			if !c.link.passed {
				context.AfterFunc(s.Context(), func() { c.link.session.Close() })
			}
		}()
	}
	if f != nil {
		if err := f(c); err != nil {
			c.LeaveAll()
			ns.gone(c, reasonClosed)
			ns.failed(c, err)
			return err
		}
	}
	c.link.passed = c.link.passed || root
	return nil
}

// attach gives c its socket, and the socket the rooms that c is in.
func (c *conn) attach(s *server.Socket) {
	c.mu.Lock()
	rooms := append([]string{s.ID()}, c.rooms...)
	if c.link.id != s.ID() {
		rooms = append(rooms, c.link.id)
	}
	c.socket, c.rooms = s, nil
	c.mu.Unlock()
	c.report(s.Join(rooms...))
}

// leave sees a socket off.
func (ns *namespace) leave(_ context.Context, s *server.Socket, reason string) {
	c := ns.conn(s)
	if c == nil {
		return
	}
	ns.forget(s, c)
	if reason == server.ReasonClient {
		ns.gone(c, reasonLeft)
	} else {
		ns.gone(c, reasonClosed)
	}
	ns.srv.depart(c.link)
}

// gone calls OnDisconnect.
func (ns *namespace) gone(c *conn, reason string) {
	ns.mu.RLock()
	f := ns.disconnect
	ns.mu.RUnlock()
	if f != nil {
		f(c, reason)
	}
}

// handle runs the handler of an event. What it returns is the ack.
func (ns *namespace) handle(_ context.Context, e *server.Event) error {
	ns.mu.RLock()
	f, c := ns.events[e.Name], ns.conns[e.Socket]
	ns.mu.RUnlock()
	if f == nil || c == nil {
		return nil
	}
	in, err := f.decode(e.Name, e.Args, []reflect.Value{reflect.ValueOf(c)})
	if err != nil {
		return err
	}
	results := f.call(in)
	if len(results) == 0 || !e.WantsAck() {
		return nil
	}
	if results, err = encodable(results); err != nil {
		return err
	}
	return e.Ack(results...)
}

// failed calls OnError.
func (ns *namespace) failed(c *conn, err error) {
	if p, ok := errors.AsType[*server.PanicError](err); ok {
		if err, ok = p.Value.(error); !ok {
			err = fmt.Errorf("event call error: %v", p.Value)
		}
	}
	ns.mu.RLock()
	f := ns.fail
	ns.mu.RUnlock()
	if f != nil {
		f(c, err)
		return
	}
	ns.srv.log.LogAttrs(context.Background(), slog.LevelWarn, "googollee: a handler failed, and there is no OnError",
		slog.String("namespace", ns.name), slog.Any("error", err))
}
