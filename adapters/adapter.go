package adapters

import (
	"context"
	"iter"
)

// Driver opens adapters: the way in which this node is joined to others.
type Driver interface {
	// Open connects a namespace of this node. What other nodes publish to the namespace
	// is applied through local from now until Close.
	Open(namespace string, local Local) (Adapter, error)
}

// Adapter is one namespace's line to the other nodes.
type Adapter interface {
	// Publish sends op to all other nodes. The caller has applied it here.
	Publish(ctx context.Context, op *Op) error

	// Request sends op to all other nodes and yields their replies as they
	// arrive, until all have come or ctx ends. An error says what is missing.
	Request(ctx context.Context, op *Op) iter.Seq2[Reply, error]

	// Nodes returns how many nodes have this namespace open, this one included.
	Nodes(ctx context.Context) (int, error)

	// Close ends the line. Local is not called any more when it returns.
	Close(ctx context.Context) error
}

// Local is a namespace on this node, as adapters see it.
type Local interface {
	// Apply does what another node has published.
	Apply(op *Op)

	// Answer does what another node asks for, and yields what to reply.
	Answer(ctx context.Context, op *Op) iter.Seq[Reply]

	// Deliver queues a logged event for its local targets. The adapter calls it
	// for every event of the log, its own node's too, one at a time and in the
	// order of the log. A zero offset says that the log has not taken the event in
	// time; it is delivered once more, the same op, when it has: to those who
	// haven't got it. The adapter may hold a lock. It calls Flush soon.
	Deliver(op *Op, at Offset)

	// Flush writes what was queued. The adapter holds no lock. Calling it once
	// for several events lets them leave together.
	Flush()

	// Taken says that another node has taken over a session of this one: its
	// client is there. What is left of it here ends, without being saved.
	Taken(private string)

	// Lost says that events of the log may be missing here, up to an offset: the
	// sessions that there are can't go on as if nothing had happened.
	Lost(at Offset)

	// Review saves the connected sessions anew whose saved state says that nothing was for them since
	// its Last, which isn't true any more, and those of which that could be said
	// now, since they were sent nothing after old. It calls done when all are saved.
	Review(old Offset, done func())

	// Confirm asks the client of a session whether it is still connected here, by a ping. If it answers,
	// here is called, and then its state is saved anew. It returns false if there is no such session here.
	Confirm(private string, here func()) bool
}
