package socketio

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"sync"

	"github.com/roomcast/roomcast/compat/googollee/engineio/transport/polling"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

// Conn is a client in a namespace. Each has its own Conn in each namespace,
// the same one in all its handlers. Its methods may be called from any goroutine.
type Conn interface {
	// Close ends the client's connection, with all its namespaces, after what
	// was sent before. OnDisconnect runs after the handler that called it.
	io.Closer
	Namespace

	// ID is the same in all namespaces of a connection, and names a room that the
	// client is in from the start. It is the client's socket.id in "/", or in the
	// namespace that the connection joined first.
	ID() string

	// URL and RemoteHeader are those of the connection's first request,
	// RemoteAddr the address that it came from, and LocalAddr the host that it named.
	URL() url.URL
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
	RemoteHeader() http.Header
}

// Namespace is what a Conn can do in its namespace.
type Namespace interface {
	// Context returns what SetContext has kept for this Conn, or nil. In "/" it
	// starts with what the server's ConnInitor has set.
	Context() interface{}
	SetContext(ctx interface{})

	// Namespace returns the name, such as "/chat".
	Namespace() string

	// Emit sends an event. A function as last argument is called with the
	// client's ack, in turn with the handlers of the connection; it is forgotten after 24
	// hours. What can't be sent is reported to OnError.
	Emit(eventName string, v ...interface{})

	Join(room string)
	Leave(room string)

	// LeaveAll leaves all rooms, that of the own id too.
	LeaveAll()

	// Rooms returns the rooms that the client is in, that of its own id too, or nil.
	Rooms() []string
}

// conn implements Conn.
//
// A client of version 3 or 4 may join other namespaces without "/". Its conn in "/" is then
// made for it, without a socket, so that OnConnect("/") has its say.
type conn struct {
	ns   *namespace
	link *link

	mu     sync.Mutex
	socket *server.Socket // nil while the client hasn't joined
	rooms  []string       // joined meanwhile
	data   any
}

var _ Conn = (*conn)(nil)

func (c *conn) ID() string        { return c.link.id }
func (c *conn) Namespace() string { return c.ns.name }

func (c *conn) Context() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data
}

func (c *conn) SetContext(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = v
}

func (c *conn) current() *server.Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket
}

func (c *conn) Emit(event string, v ...any) {
	s := c.current()
	if s == nil {
		return // there is nobody to hear it
	}
	var ack *function
	if n := len(v); n > 0 && isFunc(v[n-1]) {
		ack, v = newFunction(reflect.ValueOf(v[n-1]), 0), v[:n-1]
	}
	args, err := encodable(v)
	switch {
	case err != nil:
	case ack != nil:
		err = s.EmitAck(func(a *server.Answer, err error) { c.acked(ack, a, err) }, event, args...)
	default:
		err = s.Emit(context.Background(), event, args...)
	}
	c.report(err)
}

// acked calls an ack callback. An error says that no ack came, which nobody is told.
func (c *conn) acked(ack *function, a *server.Answer, err error) {
	if err != nil {
		return
	}
	in, err := ack.decode("ack", a.Args, nil)
	if err != nil {
		c.ns.failed(c, err)
		return
	}
	ack.call(in)
}

// report tells OnError of what a call couldn't do, in its turn: the caller may hold locks.
func (c *conn) report(err error) {
	if err == nil || errors.Is(err, server.ErrDisconnected) {
		return
	}
	if s := c.current(); s != nil {
		_ = s.Do(func(context.Context) { c.ns.failed(c, err) }) // or it has gone, and nobody minds
	}
}

func (c *conn) Join(room string) {
	c.mu.Lock()
	s := c.socket
	if s == nil && !slices.Contains(c.rooms, room) && len(c.rooms) < maxEarlyRooms {
		c.rooms = append(c.rooms, room)
	}
	c.mu.Unlock()
	if s != nil {
		c.report(s.Join(room))
	}
}

// maxEarlyRooms bounds the rooms of a conn without a socket.
const maxEarlyRooms = 1000

func (c *conn) Leave(room string) {
	c.mu.Lock()
	c.rooms = slices.DeleteFunc(c.rooms, func(r string) bool { return r == room })
	s := c.socket
	c.mu.Unlock()
	if s != nil {
		s.Leave(room)
	}
}

func (c *conn) LeaveAll() {
	c.mu.Lock()
	c.rooms = nil
	s := c.socket
	c.mu.Unlock()
	if s != nil {
		s.Leave(s.Rooms()...)
	}
}

func (c *conn) Rooms() []string {
	c.mu.Lock()
	s, rooms := c.socket, slices.Clone(c.rooms)
	c.mu.Unlock()
	if s != nil {
		rooms = slices.DeleteFunc(s.Rooms(), func(room string) bool { return c.hides(s, room) })
	}
	if len(rooms) == 0 {
		return nil // and null for a client that is told
	}
	return rooms
}

// hides reports whether room is the one that the server has made for the
// socket: programs know the one of Conn.ID.
func (c *conn) hides(s *server.Socket, room string) bool { return room == s.ID() && room != c.link.id }

func (c *conn) Close() error {
	c.link.session.Close()
	return nil
}

func (c *conn) URL() url.URL              { return urlOf(c.link.session.Request()) }
func (c *conn) LocalAddr() net.Addr       { return polling.Addr{Host: c.link.session.Request().Host} }
func (c *conn) RemoteAddr() net.Addr      { return polling.Addr{Host: c.link.session.Request().RemoteAddr} }
func (c *conn) RemoteHeader() http.Header { return c.link.session.Request().Header.HTTP() }

func urlOf(r *engine.Request) url.URL {
	u, err := url.ParseRequestURI(r.URL)
	if err != nil {
		return url.URL{Path: r.URL}
	}
	return *u
}
