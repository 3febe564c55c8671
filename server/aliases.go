package server

import (
	"context"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/namespaces"
)

// The types of package namespaces that programs meet.
type (
	Namespace    = namespaces.Namespace    // a group of sockets with its own handlers and rooms
	Socket       = namespaces.Socket       // one client in one namespace
	Broadcast    = namespaces.Broadcast    // sockets that something is sent to, or done with
	Durable      = namespaces.Durable      // rooms whose members get what is sent also if they are away
	Keeper       = namespaces.Keeper       // for Namespace.KeepWith
	RemoteSocket = namespaces.RemoteSocket // a socket on any node
	Event        = namespaces.Event        // what a client sent, for Namespace.Handle
	Outgoing     = namespaces.Outgoing     // what is sent to a socket, for Namespace.OnAnyOutgoing
	ServerEvent  = namespaces.ServerEvent  // what another node sent, for Namespace.HandleServer
	Args         = namespaces.Args         // arguments, decoded on demand
	Answer       = namespaces.Answer       // a client's ack
	Waiter       = namespaces.Waiter       // for Socket.Expect
	RoomChange   = namespaces.RoomChange   // for Namespace.OnRoom
	Error        = namespaces.Error        // one that clients get to see
	DecodeError  = namespaces.DecodeError  // an argument that doesn't fit its handler
	PanicError   = namespaces.PanicError   // a panic in a handler
	Limits       = namespaces.Limits       // what one client can make a node hold
	Recovery     = namespaces.Recovery     // for Config.Recovery
	Handshake    = adapters.Handshake      // how a client connected
)

// Errors that calls return.
var (
	ErrDisconnected = namespaces.ErrDisconnected // the socket has gone
	ErrAckTimeout   = namespaces.ErrAckTimeout   // the client did not ack in time
	ErrTooManyAcks  = namespaces.ErrTooManyAcks  // see Limits.PendingAcks
	ErrTooManyRooms = namespaces.ErrTooManyRooms // see Limits.RoomsPerSocket
	ErrRoomName     = namespaces.ErrRoomName     // see Limits.RoomName
	ErrNoAck        = namespaces.ErrNoAck        // no ack was asked for, or it was sent
	ErrParent       = namespaces.ErrParent       // a parent of dynamic namespaces can't do that
	ErrNoKeeper     = namespaces.ErrNoKeeper     // no queues are open for the namespace
	ErrDurable      = namespaces.ErrDurable      // an option of a broadcast that can't be had with Durable
)

// The reasons of disconnects that sockets themselves bring about; those of the
// connection are in package engine.
const (
	ReasonClient   = namespaces.ReasonClient   // the client left the namespace
	ReasonServer   = namespaces.ReasonServer   // Socket.Disconnect
	ReasonShutdown = namespaces.ReasonShutdown // Server.Shutdown

	ReasonForced      = namespaces.ReasonForced      // Session.Close, or a packet that can't be taken
	ReasonForcedLater = namespaces.ReasonForcedLater // the latter, of a polling client that hadn't a GET open
)

// Errorf returns an *Error: one that the client gets to see, with a code for
// programs and a message for people.
func Errorf(code, format string, args ...any) error { return namespaces.Errorf(code, format, args...) }

// On registers f for an event with one argument of type T.
//
// The handlers of a socket run one after the other, in the order in which its
// events came; f may wait, also for acks of the same socket (Socket.Call). ctx
// ends when the socket disconnects. []byte anywhere in T takes binary
// attachments. An argument that doesn't fit T is answered with an error and
// reported to Namespace.OnError; the connection lives on. If the client asked
// for an ack it gets one without arguments when f returns nil, else the object
// {ok:false, code, message}: an *Error tells code and message, other errors
// only that it was "internal". Use Namespace.Handle for events with several arguments.
func On[T any](ns *Namespace, event string, f func(ctx context.Context, s *Socket, v T) error) {
	namespaces.On(ns, event, f)
}

// OnAck is On for a handler that answers: its result is the ack's argument.
func OnAck[T, R any](ns *Namespace, event string, f func(ctx context.Context, s *Socket, v T) (R, error)) {
	namespaces.OnAck(ns, event, f)
}

// Value returns what Socket.Set has kept under the key if it is a T, else the zero T.
func Value[T any](s *Socket, key string) T { return namespaces.Value[T](s, key) }
