package engine

import "sync"

// queue holds batches in order. Most hold one at most, which takes no list.
type queue struct {
	one  *Batch // if it is the only one
	many *list
}

// list is a pooled list of batches.
type list struct{ batches []*Batch }

var lists = sync.Pool{New: func() any { return &list{make([]*Batch, 0, 8)} }}

// load is what a queue holds, counted against the limits.
type load struct{ packets, bytes int32 }

func (q *queue) empty() bool { return q.one == nil && q.many == nil }

func (q *queue) push(b *Batch) {
	switch {
	case q.many != nil:
		q.many.batches = append(q.many.batches, b)
	case q.one != nil:
		q.many = lists.Get().(*list)
		q.many.batches = append(q.many.batches, q.one, b)
		q.one = nil
	default:
		q.one = b
	}
}

// batches returns what q holds. If that is one batch, it is put into slot.
func (q *queue) batches(slot *[1]*Batch) []*Batch {
	if q.many != nil {
		return q.many.batches
	}
	slot[0] = q.one
	return slot[:]
}

// written releases q, whose batches were written.
func (q *queue) written() {
	if q.many == nil {
		if q.one.again {
			q.one.Release()
		}
		return
	}
	for _, b := range q.many.batches {
		if b.again {
			b.Release()
		}
	}
	q.release()
}

func (q *queue) release() {
	if l := q.many; l != nil && cap(l.batches) <= 1024 {
		clear(l.batches)
		l.batches = l.batches[:0]
		lists.Put(l)
	}
}

// Append queues b without writing it. It reports whether the caller must call
// Flush (or hand s to a Fanout): true for whoever finds the session idle.
// A session that is closing or closed drops b.
func (s *Session) Append(b *Batch) (flush bool) { return s.append(b, true) }

// Gather is Append for who will soon undo a cork, or call Hold or Push: the cork's
// timer isn't armed.
func (s *Session) Gather(b *Batch) (flush bool) { return s.append(b, false) }

func (s *Session) append(b *Batch, arm bool) (flush bool) {
	s.mu.Lock()
	if s.state.Load() != stateOpen {
		s.mu.Unlock()
		return false
	}
	ok := s.push(b)
	if ok {
		flush = s.claim(arm)
	}
	first := !ok && !s.full
	s.full = !ok || s.full
	s.mu.Unlock()
	if first {
		s.server.slow(s)
	}
	return flush
}

// AppendAll is Append for several batches, with nothing else between them. f runs
// once they are queued, and before any of them can be written or anything else can be
// queued: what it changes is seen by whoever has heard of the batches, and by whoever
// sends something after them. It must not call s or block. It runs in any case.
func (s *Session) AppendAll(f func(), batches ...*Batch) (flush bool) {
	s.mu.Lock()
	first := false
	if s.state.Load() == stateOpen {
		for _, b := range batches {
			ok := s.push(b)
			first = first || !ok && !s.full
			s.full = s.full || !ok
		}
		flush = s.claim(true)
	}
	f()
	s.mu.Unlock()
	if first {
		s.server.slow(s)
	}
	return flush
}

// AppendVolatile is Append, but drops b unless the transport could take it
// now: a GET is held, or the connection takes what is written to it and little
// (64 packets, 64 KiB) is queued.
func (s *Session) AppendVolatile(b *Batch) (flush, queued bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() != stateOpen || !s.writable() || s.held.much() || !s.push(b) {
		return false, false
	}
	return s.claim(true), true
}

// writable tells whether the transport could take a packet now.
func (s *Session) writable() bool {
	if s.poll != nil {
		return s.poll.held
	}
	return !s.blocked
}

// much tells whether enough is queued to be written at once, cork or not.
func (l load) much() bool { return l.packets >= 64 || l.bytes >= 64<<10 }

// push puts b into the queue. It fails if that is full.
func (s *Session) push(b *Batch) (ok bool) {
	packets, size := int32(len(b.packets)), int32(b.cost())
	total := load{s.held.packets + s.flying.packets, s.held.bytes + s.flying.bytes}
	if cfg := &s.server.cfg; total.packets > 0 &&
		(int(total.packets+packets) > cfg.MaxQueuedPackets || int(total.bytes)+int(size) > cfg.MaxQueuedBytes) {
		return false
	}
	s.queue.push(b)
	s.held.packets += packets
	s.held.bytes += size
	return true
}

// claim decides whether the caller has to flush what is queued. If that is held back
// by a cork, arm says whether its timer is armed.
func (s *Session) claim(arm bool) bool {
	switch {
	case s.flushing || s.queue.empty():
		return false
	case s.corks > 0 && !s.held.much():
		if arm {
			s.armCork()
		}
		return false
	case s.poll != nil && (!s.poll.held || s.poll.woken):
		return false // the next GET takes it
	}
	s.flushing = true
	return true
}

// take empties the queue. The caller releases it when it is written.
func (s *Session) take() queue {
	q := s.queue
	s.queue = queue{}
	s.flying, s.held = s.held, load{}
	s.disarmCork()
	return q
}

// drop forgets what is queued.
func (s *Session) drop() {
	q := s.take()
	q.release()
	s.flying = load{}
}

// Flush writes all that is queued, without blocking. Only for who was told to.
func (s *Session) Flush() {
	s.mu.Lock()
	for s.conn != nil && !s.queue.empty() {
		q, conn := s.take(), s.conn
		s.mu.Unlock()

		batches := q.batches(&s.single)
		done, err := conn.Write(batches)
		switch {
		case err != nil:
			q.release()
			s.finish(TransportError, err)
			return
		case !done:
			s.mu.Lock()
			s.blocked = true
			s.mu.Unlock()
			s.drainLater(conn, q, batches)
			return
		default:
			s.server.stats.wrote(s, batches)
			q.written()
		}

		s.mu.Lock()
		s.flying, s.single[0] = load{}, nil
	}
	s.flushing = false
	if s.poll != nil {
		s.poll.wakeFor(s)
	}
	over := s.state.Load() == stateClosing && s.conn != nil
	s.mu.Unlock()
	if over {
		s.finish(ForcedClose, nil)
	}
}

// drainLater runs drain on a goroutine of its own. Its arguments go to the heap, Flush's don't.
func (s *Session) drainLater(conn Conn, q queue, batches []*Batch) {
	s.server.tasks.run(func() { s.drain(conn, q, batches) })
}

// drain waits until the connection has taken what it left, and flushes on.
func (s *Session) drain(conn Conn, q queue, batches []*Batch) {
	err := conn.Drain()
	s.server.stats.wrote(s, batches)
	q.release()
	if err != nil {
		s.finish(TransportError, err)
		return
	}
	s.mu.Lock()
	s.blocked = false
	s.flying, s.single[0] = load{}, nil
	s.mu.Unlock()
	s.Flush()
}

// Send appends b and flushes unless the session is corked or being flushed.
func (s *Session) Send(b *Batch) {
	if s.Append(b) {
		s.Flush()
	}
}
