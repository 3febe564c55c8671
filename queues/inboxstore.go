package queues

import (
	"context"
	"time"
)

// InboxStore is the part of a Store that keeps inboxes and topics.
//
// An inbox has entries with numbers from 1, without gaps in what is appended. What is lost
// before it is acknowledged leaves a gap: by expiry, or since there was no room. Its epoch is another one
// whenever numbers may have started anew. An inbox is made by the first use, except that principals have only so many of
// those of devices (InboxLimits.Devices): ErrDevices; and that there are only so many of all (InboxLimits.Inboxes):
// ErrInboxes.
type InboxStore interface {
	// Append puts entries at the end of inboxes, and tells the nodes that own them.
	Append(ctx context.Context, calls []*AppendCall)

	// Open makes owner an owner of an inbox. If mirror is set and so it was for the owners
	// that there are, all own it; otherwise owner is the only one, and those before are told that
	// they were taken over. since, if not nil, is what the client has processed: it
	// acknowledges, if the epoch is right. ErrDevices, ErrInboxes.
	Open(ctx context.Context, inbox string, owner Owner, since *Position, mirror bool, l InboxLimits) (Opened, error)

	// Read returns entries.
	Read(ctx context.Context, calls []*ReadCall)

	// Acknowledge deletes entries up to a number.
	Acknowledge(ctx context.Context, calls []*AcknowledgeCall)

	// CloseInbox ends ownership. It is no error if there is none.
	CloseInbox(ctx context.Context, inbox string, owner Owner) error

	// DeleteInbox deletes an inbox, its entries and subscriptions. Owners are told that they were taken over.
	DeleteInbox(ctx context.Context, inbox string) error

	// SweepInboxes deletes what has expired, in steps: after is where to go on, "" at the start and
	// when it is through. Inboxes that are empty, without subscriptions and owners, and
	// unused for idle are deleted.
	SweepInboxes(ctx context.Context, after string, idle time.Duration) (next string, err error)

	// Subscribe makes an inbox a member of a topic. ErrQueueFull: it is a member of too many; ErrDevices, ErrInboxes.
	Subscribe(ctx context.Context, inbox, topic string, l InboxLimits) error

	// Unsubscribe ends a membership, if there is one.
	Unsubscribe(ctx context.Context, inbox, topic string) error

	// Members returns members of a topic, about n, in steps: after is where to go on, "" at the start
	// and when it is through. Whoever is a member all the time is returned, others may be; some maybe twice.
	Members(ctx context.Context, topic, after string, n int) (inboxes []string, next string, err error)

	// InboxStats returns the numbers of an inbox, zero if there is none.
	InboxStats(ctx context.Context, inbox string) (InboxStats, error)
}

// Owner is a session that has opened an inbox at a node.
type Owner struct {
	Node   string
	Number uint64 // of the node's own; not 0
}

// Position is a place in an inbox: what is up to Seq has been processed. Epoch is below 2^53.
type Position struct{ Epoch, Seq uint64 }

// Entry is something to put into an inbox.
type Entry struct {
	// ID, if not empty, keeps a second one with the same id from being stored for about 5 minutes. At most 64 bytes.
	ID string
	// Topic and TopicSeq, if not empty, say that it is for members of the topic: it is skipped if the inbox
	// isn't one, or has got an entry of the topic with that number or a higher one.
	Topic    string
	TopicSeq uint64
	// Existing says that no inbox is made for it: where there is none the result is ErrNotFound.
	Existing bool
	// TTL is how long it may wait. If zero, the limit's holds.
	TTL     time.Duration
	Headers map[string]string
	Payload Payload
}

// InboxLimits bound an inbox. All are set but Inboxes.
type InboxLimits struct {
	MaxLen   int
	MaxBytes int64
	TTL      time.Duration
	// Overflow is what happens to an entry that doesn't fit.
	Overflow Overflow
	// Topics is how many topics the inbox may be subscribed to.
	Topics int
	// Devices is how many inboxes there may be of a principal's devices (principal/device), each for itself.
	Devices int
	// Inboxes is how many inboxes there may be of all; 0: no bound. A store with several processes may count them
	// with some delay.
	Inboxes int
}

// AppendCall puts entries into one inbox.
type AppendCall struct {
	Inbox   string
	Limits  InboxLimits
	Entries []*Entry

	Epoch   uint64
	Results []AppendResult // one for each entry
	Dropped int            // entries that had to make room
	Err     error          // ErrStoreFull, ErrUnavailable: Results is nil
}

// AppendResult tells what became of an entry.
type AppendResult struct {
	Seq       uint64
	Duplicate bool  // stored before: by id as Seq, or by topic
	Skipped   bool  // not a member of the topic
	Made      bool  // the inbox was made for it
	Err       error // ErrQueueFull, ErrDevices, ErrInboxes, ErrNotFound
}

// Opened is the state of an inbox that was opened.
type Opened struct {
	Epoch uint64
	// Acked is up to where all is processed. Reading goes on from here.
	Acked uint64
	// First and Last are the numbers of the entries that there are; First is Last+1 if none are.
	First, Last uint64
	// Recovered says that nothing was lost since the client's position. It is true if it gave none and nothing was lost.
	Recovered bool
	// Reason is why it isn't: epoch, expired or overflow.
	Reason string
}

// Reasons of Opened.
const (
	LostEpoch    = "epoch"
	LostExpired  = "expired"
	LostOverflow = "overflow"
)

// ReadCall reads entries of one inbox.
type ReadCall struct {
	Inbox    string
	Owner    Owner
	After    uint64 // entries above, and above what is acknowledged
	Max      int    // how many
	MaxBytes int    // no more when so many are reached; 0: no limit

	Entries []*InboxMessage // in order
	Acked   uint64          // up to where all is processed, by whomever
	Through uint64          // up to where was read: what is missing above Acked and After, up to here, was lost
	Last    uint64          // number of the newest entry that there ever was
	Err     error           // ErrTakenOver: owner isn't one; ErrConflict: another epoch since it was opened; ErrUnavailable
}

// InboxMessage is an entry of an inbox. Its payload and headers are shared: don't change them.
type InboxMessage struct {
	Inbox   string
	Epoch   uint64
	Seq     uint64
	ID      string
	Topic   string
	Headers map[string]string
	Payload Payload
	Stored  time.Time
}

// AcknowledgeCall deletes entries of one inbox, up to a position.
type AcknowledgeCall struct {
	Inbox string
	Owner Owner
	At    Position

	Acked uint64 // up to where all is processed now
	Err   error  // ErrTakenOver; ErrConflict: another epoch, or a number that never was; ErrUnavailable
}

// InboxStats are the numbers of an inbox.
type InboxStats struct {
	Epoch   uint64
	Len     int
	Bytes   int64
	Last    uint64
	Acked   uint64
	Owners  int
	Topics  int
	Dropped uint64 // lost, since there was no room
	Expired uint64
}
