package adapters

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"
	"time"
)

// Memory is the Driver of a node that is alone. With Keep set its adapters are
// Logs, so that clients can recover what they missed; the log is lost when the
// process ends.
type Memory struct {
	// Keep is how long events are kept. If zero, there is no log.
	Keep time.Duration

	// MaxEvents and MaxBytes bound each namespace's log. The oldest events go first;
	// clients that still need them get a fresh session.
	// If zero, 100,000 events and 16 MiB are kept.
	MaxEvents int
	MaxBytes  int
}

// Open returns an adapter for a namespace.
func (d Memory) Open(namespace string, local Local) (Adapter, error) {
	if d.Keep <= 0 {
		return alone{}, nil
	}
	return &memoryLog{
		keep:      d.Keep,
		maxEvents: cmp.Or(d.MaxEvents, 100_000),
		maxBytes:  cmp.Or(d.MaxBytes, 16<<20),
		local:     local,
		sessions:  map[string]savedSession{},
	}, nil
}

// alone is the adapter of a node without others.
type alone struct{}

func (alone) Publish(context.Context, *Op) error { return nil }
func (alone) Request(context.Context, *Op) iter.Seq2[Reply, error] {
	return func(func(Reply, error) bool) {}
}
func (alone) Nodes(context.Context) (int, error) { return 1, nil }
func (alone) Close(context.Context) error        { return nil }

// memoryLog is alone with a log.
type memoryLog struct {
	alone
	keep                time.Duration
	maxEvents, maxBytes int
	local               Local

	// mu is held while Local.Deliver runs: that is what gives every receiver
	// the order of the log. Deliver only appends to queues.
	mu       sync.Mutex
	events   []memoryEvent // by offset
	bytes    int
	tail     Offset // the last event
	trimmed  Offset // the last event that was dropped
	sessions map[string]savedSession
	expiring []expiry // by time, since all are kept equally long; may name sessions that are gone
	timer    *time.Timer
	closed   bool
}

type memoryEvent struct {
	Entry
	size int
	at   time.Time
}

type savedSession struct {
	*Session
	until time.Time
}

type expiry struct {
	private string
	until   time.Time
}

// eventOverhead is what an event costs beside its data, about.
const eventOverhead = 256

func (l *memoryLog) Append(_ context.Context, op *Op) error {
	size := eventOverhead + len(op.Data.JSON)
	for _, a := range op.Data.Attachments {
		size += len(a)
	}
	l.append(op, size, time.Now())
	l.local.Flush()
	return nil
}

func (l *memoryLog) append(op *Op, size int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// The clock may step back: offsets must not.
	if ms := uint64(now.UnixMilli()); ms > l.tail.Time {
		l.tail = Offset{Time: ms}
	} else {
		l.tail.Seq++
	}
	l.events = append(l.events, memoryEvent{Entry{l.tail, op}, size, now})
	l.bytes += size
	l.trim(now)
	l.schedule()
	l.local.Deliver(op, l.tail)
}

// Behind has nothing to wait for: Append delivers at once.
func (l *memoryLog) Behind(func()) bool { return false }

// Position adds nothing: all that is in the log is delivered.
func (l *memoryLog) Position() Offset { return Offset{} }

// Reach has nothing to wait for.
func (l *memoryLog) Reach(context.Context, Offset) error { return nil }

// Outlives is false: the log ends with the process.
func (l *memoryLog) Outlives() bool { return false }

func (l *memoryLog) After(_ context.Context, at Offset, limit int) (Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.Compare(l.trimmed) < 0 {
		return Page{}, ErrTrimmed
	}
	if at.Compare(l.tail) > 0 {
		return Page{}, ErrAhead
	}
	i, found := slices.BinarySearchFunc(l.events, at, func(e memoryEvent, at Offset) int { return e.At.Compare(at) })
	if found {
		i++
	}
	n := min(limit, len(l.events)-i)
	entries := make([]Entry, n)
	for j := range entries {
		entries[j] = l.events[i+j].Entry
	}
	if n > 0 {
		at = entries[n-1].At
	}
	return Page{Entries: entries, End: at, Last: i+n == len(l.events)}, nil
}

func (l *memoryLog) Save(s *Session, keep time.Duration, done func(error)) {
	l.save(s, keep)
	done(nil)
}

func (l *memoryLog) save(s *Session, keep time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if keep <= 0 {
		delete(l.sessions, s.Private)
		return
	}
	if l.closed {
		return
	}
	until := time.Now().Add(keep)
	l.sessions[s.Private] = savedSession{s, until}
	l.expiring = append(l.expiring, expiry{s.Private, until})
	l.schedule()
}

// Take leaves the session where it is: it may be taken again until it expires.
func (l *memoryLog) Take(_ context.Context, private string) (*Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.sessions[private]
	if !ok || time.Now().After(s.until) {
		return nil, ErrUnknown
	}
	return s.Session, nil
}

func (l *memoryLog) Close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.events, l.sessions, l.expiring = nil, nil, nil
	return nil
}

// trim drops events that are too old or too many.
func (l *memoryLog) trim(now time.Time) {
	n := 0
	for n < len(l.events) {
		e := &l.events[n]
		if now.Sub(e.at) <= l.keep && len(l.events)-n <= l.maxEvents && l.bytes <= l.maxBytes {
			break
		}
		l.bytes -= e.size
		l.trimmed = e.At
		*e = memoryEvent{}
		n++
	}
	l.events = l.events[n:]
}

// schedule sees to it that what is kept goes when its time has come, also when
// nothing more happens.
func (l *memoryLog) schedule() {
	if l.timer == nil && !l.closed {
		l.timer = time.AfterFunc(l.keep+time.Second, l.sweep)
	}
}

func (l *memoryLog) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.trim(now)
	n := 0
	for ; n < len(l.expiring) && now.After(l.expiring[n].until); n++ {
		private := l.expiring[n].private
		if s, ok := l.sessions[private]; ok && now.After(s.until) {
			delete(l.sessions, private)
		}
	}
	l.expiring = slices.Delete(l.expiring, 0, n)
	l.timer = nil
	if len(l.events)+len(l.expiring) > 0 {
		l.schedule()
	}
}
