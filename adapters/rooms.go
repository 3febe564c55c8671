package adapters

import "context"

// Rooms is the rare ability of a Local to tell about its rooms, found by type
// assertion.
type Rooms interface {
	// HasRoom reports whether a socket of this node is in the room.
	HasRoom(name string) bool
	// RoomNames returns all rooms of this node, those of single sockets included.
	RoomNames() []string
}

// RoomWatcher is the rare ability of an Adapter to follow the rooms of this
// node, found by type assertion.
type RoomWatcher interface {
	// RoomChanged is called after a room was created or deleted, perhaps for
	// several changes in another order: Rooms.HasRoom tells what holds.
	RoomChanged(name string)

	// RoomsReady waits until what other nodes send to these rooms, which are there,
	// arrives here. It gives up when ctx ends, or if there is nothing to wait for, as
	// while the other nodes can't be reached.
	RoomsReady(ctx context.Context, names []string)
}

// Gatherer is the rare ability of a Local to queue events and write them later,
// found by type assertion: what arrives together leaves together.
type Gatherer interface {
	// Gather is Apply for an Emit that may not be written before Flush.
	Gather(op *Op)
	Flush()
}
