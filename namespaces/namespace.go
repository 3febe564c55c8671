package namespaces

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/rooms"
)

// Namespace is a group of sockets with its own handlers and rooms. Clients
// join it by its name; one connection carries any number of namespaces.
type Namespace struct {
	reg     *Registry
	name    string
	adapter adapters.Adapter
	watcher adapters.RoomWatcher // the adapter, or nil
	log     adapters.Log         // nil without recovery
	hooks   atomic.Pointer[hooks]
	index   rooms.Index[*Socket]
	ask     atomic.Uint32 // ack ids of broadcasts

	// Of a parent: which names it stands for, and its children (under reg.mu).
	pattern  func(name string) bool
	allow    func(ctx context.Context, name string, auth json.RawMessage) bool
	children map[string]*Namespace
	parent   *Namespace // of a child

	mu      sync.RWMutex
	sockets map[string]*Socket   // by id; those that are connected, or just about to be
	claims  map[string]*Socket   // by private id; with recovery
	freed   sync.Cond            // of mu: a claim was given up
	touched map[*Socket]struct{} // whose data has changed and isn't saved
	events  []*ServerEvent       // the first one runs, the others wait
	joining int                  // sockets between CONNECT and its answer
	kept    time.Time            // until when sessions that have ended can be recovered, if their log ends with the namespace
	closed  bool

	// order is held while a logged event is appended to its receivers, and while
	// a socket enters or changes rooms, so that each socket has one place in the log.
	order  sync.Mutex
	tail   adapters.Offset // the last logged event that was delivered
	losses uint64          // how often events were lost behind it
	fan    engine.Fanout   // sessions that Deliver has appended to, until Flush

	homeless []*adapters.Op // delivered events that have no place in the log yet
	doubt    uint64         // how often there were none any more, plus one
}

// hooks are the program's functions. A set is never changed, only replaced.
type hooks struct {
	use           []func(context.Context, *Socket) error
	useEvent      []func(context.Context, *Event) error
	connect       []func(context.Context, *Socket) error
	disconnecting []func(context.Context, *Socket, string)
	disconnect    []func(context.Context, *Socket, string)
	upgrade       []func(context.Context, *Socket)
	handlers      map[string]*handler
	other         func(context.Context, *Event) error
	any           []func(context.Context, *Event)
	anyOut        []func(context.Context, *Socket, Outgoing)
	failed        []func(context.Context, *Socket, error)
	room          []func(RoomChange)
	server        map[string]func(context.Context, *ServerEvent) error
	keeper        Keeper // of what is sent durably; may be nil
}

// change replaces the hooks by a changed copy.
func (ns *Namespace) change(edit func(h *hooks)) *Namespace {
	for {
		old := ns.hooks.Load()
		h := *old
		h.handlers = maps.Clone(old.handlers)
		h.server = maps.Clone(old.server)
		edit(&h)
		if ns.hooks.CompareAndSwap(old, &h) {
			return ns
		}
	}
}

// with appends without touching the array of an older set.
func with[T any](list []T, v T) []T { return append(slices.Clip(list), v) }

// Name returns the namespace's name, such as "/chat".
func (ns *Namespace) Name() string { return ns.name }

// Use adds a middleware, run for each socket that wants to join, in the order of
// registration, before it is connected. An error refuses the socket: the client's connect_error
// gets the error's message, and its data if it is (or wraps) an *Error. The
// socket may join rooms here; its context ends when the client goes away.
func (ns *Namespace) Use(f func(ctx context.Context, s *Socket) error) {
	ns.change(func(h *hooks) { h.use = with(h.use, f) })
}

// UseEvent adds a middleware for events, run before their handler, in the order of
// registration. It may change the event's name and arguments: the next middleware and the
// handler see what it leaves. An error keeps the event from them and is dealt with as
// if the handler had returned it.
func (ns *Namespace) UseEvent(f func(ctx context.Context, e *Event) error) {
	ns.change(func(h *hooks) { h.useEvent = with(h.useEvent, f) })
}

// OnConnect registers f to run when a socket has joined the namespace, before
// its events are handled. An error disconnects the socket.
func (ns *Namespace) OnConnect(f func(ctx context.Context, s *Socket) error) {
	ns.change(func(h *hooks) { h.connect = with(h.connect, f) })
}

// OnDisconnecting registers f to run when a socket goes away, while it still
// is in its rooms, unless its handlers have taken more than 30 s to end. ctx has ended by then.
func (ns *Namespace) OnDisconnecting(f func(ctx context.Context, s *Socket, reason string)) {
	ns.change(func(h *hooks) { h.disconnecting = with(h.disconnecting, f) })
}

// OnDisconnect registers f to run when a socket has gone and left its rooms.
func (ns *Namespace) OnDisconnect(f func(ctx context.Context, s *Socket, reason string)) {
	ns.change(func(h *hooks) { h.disconnect = with(h.disconnect, f) })
}

// OnUpgrade registers f to run when a socket's connection has moved to another
// transport.
func (ns *Namespace) OnUpgrade(f func(ctx context.Context, s *Socket)) {
	ns.change(func(h *hooks) { h.upgrade = with(h.upgrade, f) })
}

// OnAny registers f to see every event before middlewares and handlers do.
func (ns *Namespace) OnAny(f func(ctx context.Context, e *Event)) {
	ns.change(func(h *hooks) { h.any = with(h.any, f) })
}

// Outgoing is an event on its way to a socket.
type Outgoing struct {
	Name string
	Args Args // the arguments behind the name; they must not be changed
}

// OnAnyOutgoing registers f to see every event that is sent to a socket of this
// node, by itself or by a broadcast, acks excepted. f runs with the socket's handlers, so it sees an
// event about when it is sent. It only looks on: a socket of which more events wait for f than may
// wait for its handlers (Limits.WaitingEvents, WaitingBytes) is sent them unseen (Stats.Unseen).
func (ns *Namespace) OnAnyOutgoing(f func(ctx context.Context, s *Socket, out Outgoing)) {
	ns.change(func(h *hooks) { h.anyOut = with(h.anyOut, f) })
}

// OnError registers f to hear of errors that handlers return, of panics in
// them (as *PanicError) and of arguments that could not be decoded. Without it they are logged.
func (ns *Namespace) OnError(f func(ctx context.Context, s *Socket, err error)) {
	ns.change(func(h *hooks) { h.failed = with(h.failed, f) })
}

// RoomChange tells what happened to a room on this node.
type RoomChange struct {
	Room   string // its name
	Socket string // id
	Joined bool   // or left
	Edge   bool   // the room was created by this join, or deleted by this leave
}

// OnRoom registers f to hear of joins and leaves on this node.
func (ns *Namespace) OnRoom(f func(RoomChange)) {
	ns.change(func(h *hooks) { h.room = with(h.room, f) })
}

// Sockets returns the sockets that are connected to this node.
func (ns *Namespace) Sockets() []*Socket {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	list := make([]*Socket, 0, len(ns.sockets))
	for _, s := range ns.sockets {
		if s.state.Load() != connecting {
			list = append(list, s)
		}
	}
	return list
}

// Socket returns the socket with that id if it is connected to this node, or nil.
func (ns *Namespace) Socket(id string) *Socket {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	if s := ns.sockets[id]; s != nil && s.state.Load() != connecting {
		return s
	}
	return nil
}

// Members returns the sockets of this node that are in a room.
func (ns *Namespace) Members(room string) []*Socket {
	members := ns.index.Select(rooms.Target{Rooms: []string{room}})
	return slices.AppendSeq(make([]*Socket, 0, members.Max()), members.All())
}

// Rooms returns the names of the rooms on this node, in no order. Each socket
// has a room of its own, named by its id.
func (ns *Namespace) Rooms() []string { return ns.index.Names() }

// Count returns how many sockets of this node are in a room.
func (ns *Namespace) Count(room string) int { return ns.index.Len(room) }

// Nodes returns how many nodes of the cluster have this namespace open.
func (ns *Namespace) Nodes(ctx context.Context) (int, error) { return ns.adapter.Nodes(ctx) }

// isParent reports whether ns stands for dynamic namespaces.
func (ns *Namespace) isParent() bool { return ns.children != nil }

func (ns *Namespace) childList() []*Namespace {
	ns.reg.mu.RLock()
	defer ns.reg.mu.RUnlock()
	return slices.Collect(maps.Values(ns.children))
}

// PanicError is what a handler's panic becomes.
type PanicError struct {
	Where string // such as `handler of "say"`
	Value any    // that it panicked with
	Stack []byte // as of debug.Stack
}

// Error says where and with what, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic in %s: %v", e.Where, e.Value) }

// guard runs f and turns a panic into an error, so that no input ends the process.
func (ns *Namespace) guard(where string, f func() error) (err error) { return ns.reg.guard(where, f) }

func (reg *Registry) guard(where string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = reg.panicked(where, v)
		}
	}()
	return f()
}

func (reg *Registry) panicked(where string, v any) error {
	reg.stats.panics.Add(1)
	return &PanicError{where, v, debug.Stack()}
}

func quote(s string) string { return strconv.Quote(s) }

// noteRooms tells the adapter and the room hooks what has changed.
func (ns *Namespace) noteRooms(s *Socket, joined bool, changes []rooms.Change) {
	if ns.watcher != nil {
		for _, c := range changes {
			if c.Edge {
				ns.watcher.RoomChanged(c.Room)
			}
		}
	}
	for _, f := range ns.hooks.Load().room {
		for _, c := range changes {
			ns.report(s, ns.guard("room hook", func() error {
				f(RoomChange{c.Room, s.id, joined, c.Edge})
				return nil
			}))
		}
	}
}
