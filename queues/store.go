package queues

import (
	"context"
	"time"
)

// Store keeps queues and inboxes, for one node or for all that share it.
//
// Its methods are made for batches: one call carries the work of all consumers and
// producers of a node, so that a store makes one round trip, or one write, of it. Work on
// several queues is a slice of calls; each gets its results, and an Err of its own if it
// failed as a whole (CodeUnavailable: nobody knows whether it was done). A store may do the
// calls of a slice in any order or at once, but each call is atomic, and its items are done
// in order.
//
// Only the store's clock counts. Times are kept in milliseconds.
//
// What arrives has been checked: names, sizes, keys, limits of batches. Configs are
// complete (Config.WithDefaults). What a store returns, it doesn't change any more.
type Store interface {
	WorkStore
	AdminStore
	InboxStore

	// Listen calls l for what concerns this node until ctx ends, and returns ctx's error, or
	// earlier with another error if it can't listen any more. It is called once per node,
	// before anything else that names the node.
	Listen(ctx context.Context, node string, l Listener) error

	// Beat says that a node is alive. It is called every second, and answers which other
	// nodes have not said so for 3 s. Whoever is told of one releases what it holds,
	// and then calls Forget.
	Beat(ctx context.Context, node string) (lost []string, err error)

	// Forget ends a node's life.
	Forget(ctx context.Context, node string) error

	// Secret returns 32 random bytes, the same for all nodes and times.
	Secret(ctx context.Context) ([]byte, error)

	// Close ends the store. No other call is made after it, or running.
	Close() error
}

// Listener is told what happens. Its methods return at once and call nothing of the store.
type Listener interface {
	// Ready says that a queue has messages for the node, which has waited (ClaimCall.Wait).
	// It is told once; to be told again, wait again. As many nodes are told as there are messages for; if they
	// don't come, a store with several processes tells others a little later.
	Ready(queue string)
	// Arrived says that an inbox which the node owns has got entries.
	Arrived(inbox string)
	// TakenOver says that an owner has lost its inbox to another.
	TakenOver(inbox string, owner Owner)
	// Missed says that something may not have been told: when listening begins, and after a fault. The
	// node looks after everything.
	Missed()
}

// WorkStore is the part of a Store that moves messages of work queues.
//
// A message is Ready, Scheduled, Leased, Blocked or Dead. All methods first move what is
// due: a message whose schedule has come is Ready; a lease that has ended is a failure (a parked
// one: a release); a message whose TTL is over is dropped or Dead. Only as many are moved as
// a call can afford; the rest moves with later calls, but nothing is handed out that is past its time.
type WorkStore interface {
	// Publish stores drafts.
	Publish(ctx context.Context, calls []*PublishCall)

	// Claim hands out ready messages.
	Claim(ctx context.Context, calls []*ClaimCall)

	// Settle ends hand-outs. A settlement counts if no newer hand-out of the message was made
	// and it still exists, even if the lease is over: Ack deletes the message and Reject makes it
	// dead, whatever its state. Nack, Release and Park of a message that isn't leased any more have no
	// effect and no error: done before. Otherwise the item's result is ErrSuperseded or ErrGone;
	// which of them it is may be unknown for messages that have ended (then ErrGone).
	Settle(ctx context.Context, calls []*SettleCall)

	// Extend lets leases end later: ExtendCall.For from now. Items of leases that are over
	// have the result ErrSuperseded or ErrGone, also if another node holds them.
	Extend(ctx context.Context, calls []*ExtendCall)

	// Sweep moves what is due, at most 256 messages, forgets ids and dead letters that are too
	// old, and returns how long until there is something to do again: 0 at once, negative never.
	Sweep(ctx context.Context, queue string) (next time.Duration, err error)

	// Release gives back what a node holds in a queue, except the hand-outs listed: messages held
	// by a session are parked for their grace, the others released. It returns how many.
	// It serves nodes that are gone, and nodes that don't know whether a Claim was done.
	Release(ctx context.Context, queue, node string, except []Ref) (int, error)

	// Rebind gives what a session holds in a queue to a node, with fresh leases and unchanged
	// fences, and returns it. Messages are complete but for the payload, which may be missing.
	Rebind(ctx context.Context, queue, session, node string) ([]*Message, error)
}

// PublishCall stores drafts in one queue.
type PublishCall struct {
	Queue  string
	Drafts []*Draft
	// Claim, if not nil, is done right after, for the same queue, unless there is an Err.
	Claim *ClaimCall

	Results []PublishResult // one for each draft
	Dropped int             // messages that had to make room
	Err     error           // ErrNotFound, ErrPaused, ErrStoreFull, ErrUnavailable: Results is nil
}

// PublishResult tells what became of a draft.
type PublishResult struct {
	ID        string
	Seq       uint64
	Duplicate bool  // the id was stored before, as Seq
	Err       error // ErrQueueFull, ErrNotDurable
}

// ClaimCall hands out messages of one queue.
type ClaimCall struct {
	Queue string
	Node  string
	Wants []Want // served in order
	// MaxBytes is a bound for all wants together: no further message is handed out when so many bytes are
	// reached. Zero: no limit.
	MaxBytes int
	// Wait asks for Listener.Ready if there is less than what is wanted.
	Wait bool

	Lease time.Duration // how long the leases are
	Next  time.Duration // when to claim again, if less was had than wanted; negative: when Ready
	Err   error         // ErrNotFound, ErrUnavailable
}

// Want is what some consumers would take.
type Want struct {
	// Session, if not empty, can keep the messages when its consumer goes away, for Grace.
	Session string
	Grace   time.Duration
	// Messages is how many, and Bytes how many bytes: no further message is handed out when so many are
	// reached. Zero Bytes: no limit.
	Messages int
	Bytes    int
	// AtMostOnce settles messages as they are handed out.
	AtMostOnce bool

	Got []*Message // the result
}

// SettleCall ends hand-outs of messages of one queue.
type SettleCall struct {
	Queue string
	Items []Settlement
	// Claim, if not nil, is done right after, for the same queue, unless there is an Err.
	Claim *ClaimCall

	Results []error // one for each item: nil, ErrSuperseded, ErrGone
	Dead    int     // messages that became dead
	Err     error   // ErrNotFound, ErrUnavailable: Results is nil
}

// ExtendCall lets leases of one queue end later.
type ExtendCall struct {
	Queue string
	Node  string        // must hold them; empty: any node
	For   time.Duration // from now; zero: the queue's lease
	Items []Ref

	Lease   time.Duration // what For was
	Results []error       // one for each item: nil, ErrSuperseded, ErrGone
	Err     error         // ErrNotFound, ErrUnavailable: Results is nil
}

// AdminStore is the part of a Store that manages work queues.
type AdminStore interface {
	// Configure makes a queue, or changes its configuration.
	Configure(ctx context.Context, queue string, c Config) error

	// Config returns a queue's configuration, complete, or ErrNotFound.
	Config(ctx context.Context, queue string) (Config, error)

	// Queues returns the names of all queues, sorted.
	Queues(ctx context.Context) ([]string, error)

	// Delete deletes a queue and all that is in it. ErrConflict: messages are leased; force
	// deletes it all the same.
	Delete(ctx context.Context, queue string, force bool) error

	// Pause stops or resumes publishing to a queue and hand-out from it.
	Pause(ctx context.Context, queue string, publish, consume bool) error

	// Purge deletes messages, at most about 1000: dead ones, or all others that aren't
	// leased. It returns how many, 0 when there are no more.
	Purge(ctx context.Context, queue string, dead bool) (int, error)

	// Redrive makes dead messages ready again, as if they were published now: behind the others, with new numbers and counters
	// at zero, but with their ids. They are those with the ids, or if there are none the n oldest, n at most 1000. It
	// returns how many: a full queue takes no more.
	Redrive(ctx context.Context, queue string, n int, ids []string) (int, error)

	// Peek returns up to n messages in one state without touching them, after skipping the
	// first offset. Ready ones come in the order of hand-out.
	Peek(ctx context.Context, queue string, state State, offset, n int) ([]*Info, error)

	// Stats returns the numbers of a queue.
	Stats(ctx context.Context, queue string) (Stats, error)
}

// Stats are the numbers of a queue. Counters are since it was made, or for stores that don't keep
// them since the store was opened.
type Stats struct {
	Ready     int
	Scheduled int
	Leased    int
	Blocked   int
	Dead      int
	Bytes     int64         // of payloads of all but the dead
	Oldest    time.Duration // how long the message at the head has been ready or waiting; 0: none is
	Waiting   int           // nodes that wait for messages

	PublishPaused bool
	ConsumePaused bool

	Published    uint64 // stored
	Duplicates   uint64 // not stored, since known
	Refused      uint64 // not stored, since full
	Delivered    uint64 // hand-outs
	Redelivered  uint64 // of those, not the first of the message
	Acked        uint64
	Nacked       uint64
	Released     uint64
	Lapsed       uint64
	DeadLettered uint64
	Expired      uint64
	Dropped      uint64
}

// Len returns how many messages are in the queue, without the dead.
func (s *Stats) Len() int { return s.Ready + s.Scheduled + s.Leased + s.Blocked }
