package namespaces

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Errors of Durable.Emit.
var (
	// ErrNoKeeper says that the namespace has nothing that could store events: see queueapi.Open and Namespace.KeepWith.
	ErrNoKeeper = errors.New("server: no queues are open for this namespace: nothing durable can be sent")

	// ErrDurable says that the broadcast asks for what can't be had together with being stored.
	ErrDurable = errors.New("server: not possible with Durable")
)

// Keeper stores events for the members of rooms until each has got them. *queueapi.API is one.
type Keeper interface {
	// Keep stores an event for the members of rooms of a namespace, connected or not, once for who is in
	// several. There is at least one room, and none twice. When it returns nil the event is stored.
	Keep(ctx context.Context, ns *Namespace, rooms []string, event string, args []any) error
}

// KeepWith sets who stores what is sent durably to rooms of the namespace. Of a parent it means the children that
// are made from now on. queueapi.Open does it for its namespace; for others, whose clients have their inboxes open in that
// one, the program may.
func (ns *Namespace) KeepWith(k Keeper) {
	ns.change(func(h *hooks) { h.keeper = k })
}

// Durable is rooms whose members get what is sent also if they are away: it waits for them until they have
// acknowledged it. Who is a member for that the Keeper knows, not the rooms of sockets: see queueapi.API.Join.
type Durable struct{ b Broadcast }

// Durable returns the broadcast's rooms as ones whose members get what is sent also if they are away. There must be rooms, and
// nothing else: Emit fails with ErrDurable after Except, Local, Volatile, Compress(false) and Socket.To, which leaves out the
// socket, while what is stored belongs to whoever has it.
func (b Broadcast) Durable() Durable { return Durable{b} }

// Emit stores an event for all members of the rooms, once for who is in several: with queues, in their inboxes, so
// that clients get it as inbox:message with data {room, event, args}. []byte anywhere in the values goes as binary. When it
// returns nil the event is stored, and arrives soon at those who are connected; what is emitted to a room after that comes behind it.
// The error may be ErrNoKeeper, ErrDurable, ErrParent, one about encoding, or a *queues.Error: the event may be
// stored for all the same if its code is unavailable or not_durable, or if ctx has ended, and for some of several rooms.
func (d Durable) Emit(ctx context.Context, event string, args ...any) error {
	b := d.b
	if b.ns.isParent() {
		return ErrParent
	}
	if what := b.undurable(); what != "" {
		return fmt.Errorf("%w: %s", ErrDurable, what)
	}
	keeper := b.ns.hooks.Load().keeper
	if keeper == nil {
		return ErrNoKeeper
	}
	rooms := slices.Clone(b.rooms)
	slices.Sort(rooms)
	return keeper.Keep(ctx, b.ns, slices.Compact(rooms), event, args)
}

// undurable names what keeps the broadcast from being stored, if anything does.
func (b Broadcast) undurable() string {
	switch {
	case len(b.except) > 0:
		return "Except, or the To of a socket, which leaves it out"
	case b.local:
		return "Local"
	case b.volatile:
		return "Volatile"
	case b.noCompress:
		return "Compress(false)"
	case len(b.rooms) == 0:
		return "no rooms"
	}
	return ""
}
