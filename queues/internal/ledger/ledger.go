// Package ledger is the state of queues and inboxes of a store that has it in its
// own hands: what is where, who holds what until when. It does one call after
// another, and writes what must outlive the process into a KV, from which it can be
// loaded again. Bodies of messages are only there.
//
// A Ledger has no lock, no clock and no goroutine: queues/memqueue puts a mutex around it,
// queues/pebblequeue a committer.
package ledger

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/roomcast/roomcast/queues"
)

// KV is where a ledger keeps what must last. Keys are ordered by their bytes, and the KV's only
// while it is called. The ledger doesn't change values after it has handed them over, nor those that it gets.
type KV interface {
	Set(key, value []byte)
	Delete(key []byte)
	// DeleteRange deletes the keys from, inclusive, to, exclusive.
	DeleteRange(from, to []byte)
	// Get returns what was set, by this process or one before, or nil.
	Get(key []byte) []byte
	// Scan calls f for the keys from, inclusive, to, exclusive, in order, until it returns an error.
	// Key and value are f's only while it runs.
	Scan(from, to []byte, f func(key, value []byte) error) error
}

// Event is something to tell a node.
type Event struct {
	Node  string
	Queue string       // Listener.Ready
	Inbox string       // Listener.Arrived, or TakenOver if there is an owner
	Owner queues.Owner // of TakenOver
}

// Ledger is the state. Make one with Load.
type Ledger struct {
	kv      KV
	key     [13]byte // for at
	now     int64    // Unix milliseconds
	random  func() float64
	queues  map[string]*queue
	inboxes map[string]*inbox
	devices map[string]int // principal -> inboxes of its devices
	topics  map[string]*members
	secret  []byte
	nextNo  uint32   // of queues and inboxes
	epoch   uint64   // of the newest inbox
	names   []string // of inboxes, for SweepInboxes; nil: to be made
	events  []Event
	beats   map[string]int64 // node -> when it was alive
	nodes   atomic.Int64     // how many
}

// Begin says what time it is, in Unix milliseconds, before calls. Time doesn't run backwards.
func (l *Ledger) Begin(now int64) { l.now = max(l.now, now) }

// Events returns what to tell since it was called last. Tell it after what was done is durable.
func (l *Ledger) Events() []Event {
	events := l.events
	l.events = nil
	return events
}

// Secret returns the store's secret.
func (l *Ledger) Secret() []byte { return l.secret }

func newLedger(kv KV) *Ledger {
	return &Ledger{
		kv:      kv,
		beats:   map[string]int64{},
		random:  rand.Float64,
		queues:  map[string]*queue{},
		inboxes: map[string]*inbox{},
		devices: map[string]int{},
		topics:  map[string]*members{},
	}
}

// silence is how long a node may say nothing, in ms.
const silence = 3000

// Alone reports whether there is at most one node. It may be called at any time.
func (l *Ledger) Alone() bool { return l.nodes.Load() <= 1 }

// Beat does queues.Store.Beat.
func (l *Ledger) Beat(node string) (lost []string) {
	l.beats[node] = l.now
	l.nodes.Store(int64(len(l.beats)))
	for other, at := range l.beats {
		if at+silence < l.now {
			lost = append(lost, other)
		}
	}
	return lost
}

// Forget does queues.Store.Forget.
func (l *Ledger) Forget(node string) {
	delete(l.beats, node)
	l.nodes.Store(int64(len(l.beats)))
	for _, q := range l.queues {
		delete(q.waiters, node)
	}
	for _, b := range l.inboxes {
		b.owners = slices.DeleteFunc(b.owners, func(o owner) bool { return o.Node == node })
	}
}
