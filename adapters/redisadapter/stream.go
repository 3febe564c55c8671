package redisadapter

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// stream is one Redis stream, which carries the events of many namespaces. Its
// order is the order in which everything is delivered, also here: what this node
// writes is delivered when it comes back.
//
//	Append -> waiting -> writer -> Redis -> reader -> Local.Deliver
//
// One goroutine writes, one reads, each with a connection of its own.
type stream struct {
	d    *StreamsDriver
	name string

	// turn is held while namespaces are told of anything, so that they are told one
	// thing at a time. It is taken before mu.
	turn    sync.Mutex
	latest  latest // what comes twice is dropped
	touched map[*streamAdapter]struct{}

	mu      sync.Mutex
	seq     uint64
	mine    []*sentEntry  // what this node has written and not read again, by seq
	waiting []*sentEntry  // those of them that are to be written
	bytes   int           // of mine
	full    bool          // the writer waits for some of mine to come back
	freed   chan struct{} // closed when one has come back, if somebody waits
	timer   *time.Timer   // runs while something of mine may have to be delivered without a place
	moved   chan struct{} // closed when pos changes, if somebody waits
	place   atomic.Pointer[adapters.Offset]
	heard   atomic.Int64 // when the reader last had an answer, Unix nanoseconds
	readAt  atomic.Int64 // when it last had one with entries
	recent  recent
	reading atomic.Pointer[dedicated]
	writing atomic.Pointer[dedicated]
	wake    chan struct{} // to the writer
	doubt   atomic.Bool   // Redis may have lost what it had taken: the writer has to look
	life    context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	// The reader's own.
	anchor  map[string]any // what the entry at the position says; nil: there is none
	checked time.Time      // when it was last there
	size    int            // how much is read at once
	history string         // of the server on which it was, see dedicated.lineage
	skipped skipped
	unseen  atomic.Int64       // entries read since the last review
	marks   [2]adapters.Offset // the positions at the last reviews, the older one first

	reviewing atomic.Bool
	looked    atomic.Pointer[adapters.Offset] // what saved states say holds up to here
}

// skipped says that entries up to a place weren't looked at when this node had lost its own.
type skipped struct {
	upTo   adapters.Offset
	forked bool // the stream isn't the one that was read: what Redis had taken may not be in it
}

// sentEntry is an entry of this node.
type sentEntry struct {
	a      *streamAdapter
	op     *adapters.Op // that is to be delivered here when it comes back; nil: none is
	fields []any
	size   int
	seq    uint64
	due    time.Time // when it is delivered without a place
	told   bool      // it was
	done   bool      // it has come back
	from   adapters.Offset
	tried  bool            // it may be in the stream
	at     adapters.Offset // where it is, as Redis has said
	behind []func()
}

func newStream(d *StreamsDriver, name string) *stream {
	s := &stream{
		d: d, name: name,
		touched: map[*streamAdapter]struct{}{}, wake: make(chan struct{}, 1),
	}
	s.size = s.mostRead()
	s.place.Store(&adapters.Offset{})
	s.looked.Store(&adapters.Offset{})
	s.life, s.stop = context.WithCancel(context.Background())
	return s
}

// begin finds the place from which on the stream is read: an entry of our own.
func (s *stream) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	at, err := s.hello(ctx, s.d.rdb, "*")
	if err != nil {
		return fmt.Errorf("redisadapter: begin to read the stream %q: %w", s.name, err)
	}
	s.setPosition(at)
	s.anchor = map[string]any{fieldHello: s.d.node}
	s.heard.Store(time.Now().UnixNano())
	s.readAt.Store(time.Now().UnixNano())
	s.running.Go(s.read)
	s.running.Go(s.write)
	return nil
}

// startTime is how long Redis may take to answer when the first namespace is opened.
const startTime = 5 * time.Second

// hello writes an entry that says nothing, with the id given.
func (s *stream) hello(ctx context.Context, c redis.Cmdable, id string) (adapters.Offset, error) {
	id, err := c.XAdd(ctx, &redis.XAddArgs{
		Stream: s.name, ID: id, MaxLen: s.d.cfg.MaxLen, Approx: true, Values: []any{fieldHello, s.d.node},
	}).Result()
	if err != nil {
		return adapters.Offset{}, err
	}
	at, ok := adapters.ParseOffset(id)
	if !ok {
		return at, fmt.Errorf("redisadapter: Redis calls an entry %q", id)
	}
	return at, nil
}

// position is the entry up to which everything was delivered here.
func (s *stream) position() adapters.Offset { return *s.place.Load() }

func (s *stream) setPosition(at adapters.Offset) {
	s.place.Store(&at)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moved != nil {
		close(s.moved)
		s.moved = nil
	}
}

// reach waits until the reader has come to a place.
func (s *stream) reach(ctx context.Context, at adapters.Offset) bool {
	for s.position().Compare(at) < 0 {
		s.mu.Lock()
		if s.moved == nil {
			s.moved = make(chan struct{})
		}
		moved := s.moved
		s.mu.Unlock()
		if s.position().Compare(at) >= 0 {
			break
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// join adds a namespace, which hears of everything behind its start.
func (s *stream) join(a *streamAdapter) {
	s.turn.Lock()
	defer s.turn.Unlock()
	a.start = s.position()
	s.d.register(a)
}

// leave removes a namespace; what goes behind its events goes now.
func (s *stream) leave(a *streamAdapter) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	a.closed = true
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
	var behind []func()
	for _, o := range s.mine {
		if o.a == a {
			o.op, o.told = nil, true
			behind = append(behind, o.behind...)
			o.behind = nil
		}
	}
	a.last = nil
	s.mu.Unlock()
	for _, f := range behind {
		f()
	}
}

// all returns the namespaces whose stream this is.
func (s *stream) all() []*streamAdapter {
	return slices.DeleteFunc(s.d.all(), func(a *streamAdapter) bool { return a.stream != s })
}

// put takes an entry to be written. It waits while too much is under way.
func (s *stream) put(ctx context.Context, o *sentEntry) error {
	s.mu.Lock()
	for s.bytes > 0 && s.bytes+o.size > s.d.cfg.MaxQueue && !o.a.closed {
		freed := s.untilFreed()
		s.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			s.d.stats.publishFailed.Add(1)
			return fmt.Errorf("redisadapter: too much waits for Redis: %w", context.Cause(ctx))
		}
		s.mu.Lock()
	}
	if o.a.closed {
		s.mu.Unlock()
		return errClosed
	}
	s.seq++
	o.seq = s.seq
	o.fields = append(o.fields, fieldSeq, o.seq)
	s.mine = append(s.mine, o)
	s.waiting = append(s.waiting, o)
	s.bytes += o.size
	s.d.stats.queued.Add(int64(o.size))
	if o.op != nil {
		o.due = time.Now().Add(s.d.cfg.Patience)
		o.a.last = o
		if s.timer == nil {
			s.timer = time.AfterFunc(s.d.cfg.Patience, s.overdue)
		}
	}
	s.mu.Unlock()
	s.rouse()
	return nil
}

// behind adds f to the last event of a namespace that is under way.
func (s *stream) behind(a *streamAdapter, f func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.last == nil {
		return false
	}
	if f != nil {
		a.last.behind = append(a.last.behind, f)
	}
	return true
}

// deliver hands an event of this node to its namespace, and then what goes behind
// it. turn is held.
func (s *stream) deliver(o *sentEntry, at adapters.Offset) {
	s.touched[o.a] = struct{}{}
	o.a.local.Deliver(o.op, at)
	s.mu.Lock()
	for len(o.behind) > 0 {
		behind := o.behind
		o.behind = nil
		s.mu.Unlock()
		for _, f := range behind {
			f()
		}
		s.mu.Lock()
	}
	if o.a.last == o {
		o.a.last = nil
	}
	s.mu.Unlock()
}

// flush has the namespaces write what was delivered; turn isn't needed.
func flush(touched map[*streamAdapter]struct{}) {
	for a := range touched {
		a.local.Flush()
	}
}

func (s *stream) takeTouched() map[*streamAdapter]struct{} {
	touched := s.touched
	s.touched = make(map[*streamAdapter]struct{}, len(touched))
	return touched
}

// overdue delivers what has waited too long for its place in the stream.
func (s *stream) overdue() {
	s.turn.Lock()
	now := time.Now()
	for {
		var o *sentEntry
		s.mu.Lock()
		s.timer = nil
		for _, m := range s.mine {
			if m.op == nil || m.told {
				continue
			}
			if wait := m.due.Sub(now); wait <= 0 {
				o = m
				o.told = true
			} else {
				s.timer = time.AfterFunc(wait, s.overdue)
			}
			break
		}
		s.mu.Unlock()
		if o == nil {
			break
		}
		s.d.unlogged.Add(1)
		s.deliver(o, adapters.Offset{})
	}
	touched := s.takeTouched()
	s.turn.Unlock()
	flush(touched)
}

// returned takes an entry off what is under way, if it is one of ours. turn is held.
func (s *stream) returned(uid string, seq uint64) *sentEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mine) == 0 || seq < s.mine[0].seq || seq > s.mine[len(s.mine)-1].seq {
		return nil
	}
	i := 0
	for s.mine[i].seq != seq {
		if i++; i == len(s.mine) || s.mine[i].seq > seq {
			return nil
		}
	}
	o := s.mine[i]
	if o.a.uid != uid {
		return nil
	}
	if o.done = true; i == 0 {
		s.mine[0] = nil
		s.mine = s.mine[1:]
	} else {
		s.mine = append(s.mine[:i], s.mine[i+1:]...)
	}
	s.release(o)
	return o
}

// release makes room: o isn't under way any more. mu is held.
func (s *stream) release(o *sentEntry) {
	s.bytes -= o.size
	s.d.stats.queued.Add(-int64(o.size))
	if s.freed != nil {
		close(s.freed)
		s.freed = nil
	}
	if s.full {
		s.full = false
		s.rouse()
	}
}

// untilFreed returns a channel that is closed with the next release. mu is held.
func (s *stream) untilFreed() <-chan struct{} {
	if s.freed == nil {
		s.freed = make(chan struct{})
	}
	return s.freed
}

// rouse wakes the writer.
func (s *stream) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// drained waits until nothing of a namespace is under way.
func (s *stream) drained(ctx context.Context, a *streamAdapter) {
	for {
		s.mu.Lock()
		left := 0
		for _, o := range s.mine {
			if o.a == a {
				left++
			}
		}
		freed := s.untilFreed()
		s.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return
		}
	}
}

// end stops the stream's goroutines and waits for them.
func (s *stream) end() {
	s.stop()
	s.running.Wait()
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, o := range s.mine {
		s.d.stats.queued.Add(-int64(o.size))
	}
	s.mine, s.waiting, s.bytes = nil, nil, 0
	s.mu.Unlock()
	s.turn.Lock() // overdue may run
	defer s.turn.Unlock()
}
