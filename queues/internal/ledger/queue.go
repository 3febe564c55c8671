package ledger

import (
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/internal/record"
)

type state uint8

const (
	gone state = iota
	ready
	scheduled
	leased
	blocked
	dead
)

// message is what the ledger has in mind of a message of a queue.
type message struct {
	seq      uint64
	fence    uint64 // of the last hand-out by this process; 0: none
	times    [2]int64
	places   [2]int32 // in the heaps, from 1; 0: not in
	stored   int64
	size     int32
	attempt  int32
	failures int32
	priority uint8
	state    state
	parked   bool
	tries    bool  // stored
	line     *line // ready, blocked, dead: where it waits
	key      *key
	holder   *holder // leased
	letter   *letter // dead
}

// holder has leases. Messages claimed together share one.
type holder struct {
	node, session string
	grace         int64
}

// letter is why and since when a message is dead.
type letter struct {
	id     string
	reason string
	died   int64
}

// key is what orders messages: active is the one that may be handed out, or is; the others wait.
type key struct {
	name    string
	active  *message
	waiting line
}

// queue is one work queue. Ready messages are in lines, one for each priority; scheduled
// and leased ones in deadlines; blocked ones wait at their key.
type queue struct {
	name          string
	no            uint32
	cfg           queues.Config
	publishPaused bool
	consumePaused bool
	marks         marks
	seq           uint64 // of the last message
	fence         uint64 // of the last hand-out
	loaded        uint64 // no hand-out before the ledger was loaded had a higher fence
	ready         [4]line
	deadlines     heap
	expiries      heap
	dead          line
	keys          map[string]*key
	touched       map[uint64]*message // handed out once, not settled, not dead
	sessions      map[string]int      // leases of each
	ids           ids
	bytes         int64
	nScheduled    int
	nLeased       int
	nBlocked      int
	allowed       float64 // when the consume rate allows the next message, in Unix ms
	waiters       map[string]int
	stats         queues.Stats
}

// marks are numbers on disk, ahead of what was used, so that they are written seldom.
type marks struct {
	seq   uint64 // no message has a higher number
	fence uint64 // no hand-out has a higher one
	// claimed: messages up to this number may have been handed out, though nothing on disk says so.
	claimed uint64
}

// How far ahead marks are.
const (
	seqAhead     = 1 << 12
	fenceAhead   = 1 << 16
	claimedAhead = 1 << 10
)

func newQueue(name string, no uint32, cfg queues.Config) *queue {
	q := &queue{
		name:     name,
		no:       no,
		cfg:      cfg,
		keys:     map[string]*key{},
		touched:  map[uint64]*message{},
		sessions: map[string]int{},
		waiters:  map[string]int{},
	}
	for i := range q.ready {
		q.ready[i].state = ready
	}
	q.dead.state = dead
	q.deadlines.by, q.expiries.by = byDeadline, byExpiry
	return q
}

func (q *queue) len() int {
	return q.nReady() + q.nScheduled + q.nLeased + q.nBlocked
}

func (q *queue) nReady() (n int) {
	for i := range q.ready {
		n += q.ready[i].n
	}
	return n
}

func (l *Ledger) queue(name string) (*queue, error) {
	q := l.queues[name]
	if q == nil {
		return nil, queues.ErrNotFound
	}
	return q, nil
}

// mark writes the marks when what is used has reached them.
func (l *Ledger) mark(q *queue, claimed uint64) {
	m := q.marks
	if q.seq > m.seq {
		m.seq = q.seq + seqAhead
	}
	if q.fence > m.fence {
		m.fence = q.fence + fenceAhead
	}
	if claimed > m.claimed {
		m.claimed = claimed + claimedAhead
	}
	if m != q.marks {
		q.marks = m
		l.kv.Set(kindKey(keyMarks, q.no), numbers(m.seq, m.fence, m.claimed))
	}
}

// insert puts a message that is new, or comes back from the dead, where it belongs.
func (q *queue) insert(m *message, due int64, keyName string) {
	q.bytes += int64(m.size)
	if m.times[byExpiry] > 0 {
		q.expiries.set(m, m.times[byExpiry])
	}
	if keyName != "" {
		k := q.keys[keyName]
		if due > 0 && q.cfg.OnFail == queues.Skip { // it lets others pass
			m.key = &key{name: keyName}
			m.key.waiting.state = blocked
			q.schedule(m, due)
			return
		}
		if k == nil {
			k = &key{name: keyName}
			k.waiting.state = blocked
			q.keys[keyName] = k
		}
		m.key = k
		if k.active != nil {
			k.waiting.pushBack(m)
			q.nBlocked++
			return
		}
		k.active = m
	}
	if due > 0 {
		q.schedule(m, due)
		return
	}
	q.ready[m.priority].pushBack(m)
}

func (q *queue) schedule(m *message, due int64) {
	m.state = scheduled
	q.nScheduled++
	q.deadlines.set(m, due)
}

// take removes m from where it is, to be put elsewhere or nowhere. It still holds its key.
func (q *queue) take(m *message) {
	switch m.state {
	case ready:
		m.line.leave(m)
	case blocked:
		m.line.leave(m)
		q.nBlocked--
	case scheduled:
		q.deadlines.remove(m)
		q.nScheduled--
	case leased:
		q.deadlines.remove(m)
		q.nLeased--
		if s := m.holder.session; s != "" {
			if q.sessions[s]--; q.sessions[s] == 0 {
				delete(q.sessions, s)
			}
		}
		m.holder, m.parked = nil, false
	}
	m.state = gone
}

// free lets the next message of m's key be ready.
func (q *queue) free(m *message) {
	k := m.key
	if k == nil || k.active != m {
		return
	}
	k.active = k.waiting.pop()
	if k.active == nil {
		delete(q.keys, k.name)
		return
	}
	q.nBlocked--
	q.ready[k.active.priority].pushBack(k.active)
}

// remove takes m out of the queue for good. Its record is the caller's to delete.
func (q *queue) remove(m *message) {
	q.take(m)
	q.free(m)
	q.expiries.remove(m)
	delete(q.touched, m.seq)
	q.bytes -= int64(m.size)
	m.state = gone
}

// erase removes m and what is stored of it.
func (l *Ledger) erase(q *queue, m *message) {
	l.forgetTries(q, m)
	q.remove(m)
	l.kv.Delete(l.at(keyMessage, q.no, m.seq))
}

// tries are what is stored of a message that came back: when it is due, and its counters.
func (l *Ledger) storeTries(q *queue, m *message, due int64, text string) {
	m.tries = true
	b := numbers(uint64(m.attempt), uint64(m.failures), uint64(due))
	l.kv.Set(l.at(keyTries, q.no, m.seq), append(b, text...))
}

func (l *Ledger) forgetTries(q *queue, m *message) {
	if m.tries {
		m.tries = false
		l.kv.Delete(l.at(keyTries, q.no, m.seq))
	}
}

// record returns what is stored of a message, unless that is missing or unreadable.
func (l *Ledger) record(q *queue, seq uint64) (r record.Record, ok bool) {
	r, err := record.Parse(l.kv.Get(l.at(keyMessage, q.no, seq)))
	return r, err == nil
}

func (l *Ledger) storeRecord(q *queue, seq uint64, r *record.Record) {
	l.kv.Set(l.at(keyMessage, q.no, seq), record.Append(nil, r))
}

// message returns m as it is handed out or shown, or nil if its record is missing.
func (l *Ledger) message(q *queue, m *message) *queues.Message {
	r, ok := l.record(q, m.seq)
	if !ok {
		return nil
	}
	return &queues.Message{
		Queue:    q.name,
		ID:       idOr(r.ID, m.seq),
		Seq:      m.seq,
		Key:      r.Key,
		Priority: r.Priority,
		Headers:  r.Headers,
		Payload:  queues.Payload{JSON: r.JSON, Attachments: r.Attachments},
		Stored:   fromMillis(r.Stored),
		Attempt:  int(m.attempt),
		Failures: int(m.failures),
		Fence:    m.fence,
	}
}
