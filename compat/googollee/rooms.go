package socketio

import (
	"context"
	"slices"
	"time"

	"github.com/roomcast/roomcast/server"
)

// nodesTimeout bounds the questions to other nodes.
const nodesTimeout = 5 * time.Second

// JoinRoom makes a connection join a room. It reports whether there is that
// namespace, as the other methods do; a connection that isn't in the namespace joins nothing.
func (s *Server) JoinRoom(namespace string, room string, connection Conn) bool {
	return s.with(namespace, connection, func(c *conn) { c.Join(room) })
}

// LeaveRoom makes a connection leave a room.
func (s *Server) LeaveRoom(namespace string, room string, connection Conn) bool {
	return s.with(namespace, connection, func(c *conn) { c.Leave(room) })
}

// LeaveAllRooms makes a connection leave all rooms.
func (s *Server) LeaveAllRooms(namespace string, connection Conn) bool {
	return s.with(namespace, connection, (*conn).LeaveAll)
}

// with calls f with the connection's conn in the namespace, if it has one.
func (s *Server) with(namespace string, connection Conn, f func(*conn)) bool {
	ns := s.known(namespace)
	if ns == nil {
		return false
	}
	if c, ok := connection.(*conn); ok && c.ns == ns {
		f(c)
		return true
	}
	// It is of another namespace, or a type of the program's that holds one.
	ns.mu.RLock()
	c := ns.byID[connection.ID()]
	ns.mu.RUnlock()
	if c != nil {
		f(c)
	}
	return true
}

// ClearRoom makes all members leave a room, on all nodes.
func (s *Server) ClearRoom(namespace string, room string) bool {
	ns := s.known(namespace)
	if ns == nil {
		return false
	}
	s.warn(ns.core.To(room).Leave(context.Background(), room))
	return true
}

// BroadcastToRoom sends an event to the members of a room, on all nodes.
func (s *Server) BroadcastToRoom(namespace string, room, event string, args ...interface{}) bool {
	ns := s.known(namespace)
	if ns == nil {
		return false
	}
	s.broadcast(ns.core.To(room), event, args)
	return true
}

// BroadcastToNamespace sends an event to all clients in a namespace, on all nodes, to each once.
func (s *Server) BroadcastToNamespace(namespace string, event string, args ...interface{}) bool {
	ns := s.known(namespace)
	if ns == nil {
		return false
	}
	s.broadcast(ns.core.All(), event, args)
	return true
}

// broadcast sends an event, and logs why if it can't.
func (s *Server) broadcast(to server.Broadcast, event string, args []any) {
	args, err := encodable(args)
	if err == nil {
		err = to.Emit(context.Background(), event, args...)
	}
	s.warn(err)
}

// warn logs what a call couldn't do that returns no error.
func (s *Server) warn(err error) {
	if err != nil {
		s.log.Warn("googollee: a broadcast failed", "error", err)
	}
}

// RoomLen returns how many clients are in a room, on all nodes that answer
// within 5 s, or -1 if there is no such namespace.
func (s *Server) RoomLen(namespace string, room string) int {
	ns := s.known(namespace)
	if ns == nil {
		return -1
	}
	n := ns.core.Count(room)
	for range ns.elsewhere([]string{room}) {
		n++
	}
	return n
}

// Rooms returns the names of all rooms, of all nodes that answer within 5 s, or
// nil if there is no such namespace.
func (s *Server) Rooms(namespace string) []string {
	ns := s.known(namespace)
	if ns == nil {
		return nil
	}
	rooms := append([]string{}, slices.DeleteFunc(ns.core.Rooms(), ns.hides)...) // not nil
	for _, theirs := range ns.elsewhere(nil) {
		rooms = append(rooms, theirs...)
	}
	slices.Sort(rooms)
	return slices.Compact(rooms)
}

// hides reports whether room is one that programs don't know of.
func (ns *namespace) hides(room string) bool {
	s := ns.core.Socket(room)
	if s == nil {
		return false
	}
	c := ns.conn(s)
	return c != nil && c.hides(s, room)
}

// elsewhere returns the rooms of each socket of other nodes that is in one of
// rooms, or of all of them.
func (ns *namespace) elsewhere(rooms []string) (theirs [][]string) {
	if !ns.srv.joined() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), nodesTimeout)
	defer cancel()
	all, err := ns.core.To(rooms...).FetchSockets(ctx)
	ns.srv.warn(err)
	for _, s := range all {
		if ns.core.Socket(s.ID) == nil {
			theirs = append(theirs, s.Rooms)
		}
	}
	return theirs
}

// ForEach calls f for each member of a room on this node.
func (s *Server) ForEach(namespace string, room string, f EachFunc) bool {
	ns := s.known(namespace)
	if ns == nil {
		return false
	}
	for _, member := range ns.core.Members(room) {
		if c := ns.conn(member); c != nil {
			f(c)
		}
	}
	return true
}
