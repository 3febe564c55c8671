package queues

import "time"

// Payload is the data of a message: JSON text, with binary values taken out. It
// has the form of parser.Payload, except that JSON is one value. Stores keep it as
// it is. It is immutable: whoever gets one may share, not change it.
type Payload struct {
	JSON        []byte
	Attachments [][]byte
}

// Size returns the number of bytes of p.
func (p Payload) Size() int {
	n := len(p.JSON)
	for _, a := range p.Attachments {
		n += len(a)
	}
	return n
}

// Draft is a message to be published.
type Draft struct {
	// ID is what the message is known by, at most 64 bytes. A second message with the
	// same id within the queue's dedupe window is not stored.
	// If empty, the store makes one.
	ID string

	// Key, if not empty, orders the message: of the messages with one key only one is
	// handed out at a time, in the order in which they were published. At most 128 bytes.
	Key string

	// Priority is 0 to 3. What is ready with a higher one is handed out first.
	Priority int

	// Delay or At say when the message becomes ready: so long after it was stored, or
	// at a time of the store's clock. A message with a key can't have either.
	Delay time.Duration
	At    time.Time

	// TTL is how long the message may wait. If zero, the queue's TTL holds.
	TTL time.Duration

	Headers map[string]string
	Payload Payload
}

// Message is a stored message. Its payload and headers are shared: don't change them.
type Message struct {
	Queue    string
	ID       string
	Seq      uint64 // of the queue, from 1; grows with every message stored
	Key      string
	Priority int
	Headers  map[string]string
	Payload  Payload
	Stored   time.Time // by the store's clock

	// Attempt counts hand-outs, this one included. Above 1 the message may have been
	// worked on before.
	Attempt int
	// Failures counts the hand-outs that ended in a Nack or a lapsed lease.
	Failures int
	// Fence grows with every hand-out of the queue and stays below 2^53. Whoever writes elsewhere
	// "where last_fence < fence" has the effect of each message once.
	Fence uint64
	// Lease is how long the consumer has the message, from the hand-out on. It is renewed while
	// the consumer is alive. Zero: the message was settled when it was handed out.
	Lease time.Duration

	signer *signer // of the broker whose consumer has it
}

// Receipt returns what settles the message, over any connection to any node. It is empty if the message was settled when it was handed
// out. It is made anew at each call.
func (m *Message) Receipt() string {
	if m.signer == nil {
		return ""
	}
	return m.signer.receipt(m.Queue, m.Ref())
}

// Ref names one hand-out of a message of a queue.
type Ref struct{ Seq, Fence uint64 }

// Ref returns the hand-out by which m was received.
func (m *Message) Ref() Ref { return Ref{m.Seq, m.Fence} }

// State is where a message stands.
type State string

// The states. A settled message has none: it is deleted.
const (
	Ready     State = "ready"     // waits for a consumer
	Scheduled State = "scheduled" // waits for its time, or for its next attempt
	Leased    State = "leased"    // a consumer has it
	Blocked   State = "blocked"   // an earlier message of its key is in the way
	Dead      State = "dead"      // failed too often, rejected, or expired; waits for somebody to look at it
)

// Info is a message as Peek shows it.
type Info struct {
	Message
	State State
	// Until is when the state ends: a schedule, a lease, the TTL of a dead letter. Zero: open.
	Until time.Time
	// Node and Session hold a leased message.
	Node, Session string
	// Reason says why a message is dead: failures, attempts, rejected or expired.
	Reason string
	// Error is what the last Nack or Reject said, cut to 1 KB.
	Error string
}

// Reasons of dead letters.
const (
	DeadFailures = "failures"
	DeadAttempts = "attempts"
	DeadRejected = "rejected"
	DeadExpired  = "expired"
)

// Outcome is how a hand-out ends.
type Outcome uint8

const (
	// Ack: processed. The message is deleted.
	Ack Outcome = iota + 1
	// Nack: failed. The message is tried again after Delay, or is dead after too many failures.
	Nack
	// Release: not processed, nobody's fault. The message goes back to the head of the queue.
	Release
	// Reject: can't be processed. The message is dead.
	Reject
	// Park: the consumer went away, but its session may come back. The session keeps the message for
	// Grace; then it is released.
	Park
)

// Settlement ends a hand-out.
type Settlement struct {
	Ref
	Outcome Outcome
	// Delay, of a Nack, is the time until the next attempt. If zero, the queue's backoff
	// decides. If negative, there is none.
	Delay time.Duration
	// Grace, of a Park, is how long the session keeps the message.
	Grace time.Duration
	// Error, of a Nack or Reject, is kept with the message, cut to 1 KB.
	Error string
	// Node, if not empty, must hold the lease: a node that gives back what it holds must not
	// give back what a session has taken elsewhere since.
	Node string
}
