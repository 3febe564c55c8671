package engine

import (
	"sync"
	"time"
)

// States of a session's heartbeat.
const (
	beatQuiet   uint32 = iota // revision 4: no ping is open; revision 3: always
	beatWaiting               // a ping was sent, nothing was received since
	beatRearmed               // something was, but no pong
)

// now is the time on the server's clock, in nanoseconds.
func (srv *Server) now() int64 { return int64(time.Since(srv.start)) }

// arm sets the deadline of a new session's heartbeat.
func (s *Session) arm() {
	cfg := &s.server.cfg
	if cfg.PingInterval <= 0 {
		return
	}
	wait := cfg.PingInterval
	if s.rev == 3 {
		if cfg.PingTimeout <= 0 {
			return
		}
		wait += cfg.PingTimeout
	}
	s.deadline = s.server.now() + int64(wait)
	s.server.wheel.add(s, s.deadline)
}

// pinged notes the ping of a client of revision 3.
func (s *Session) pinged() {
	cfg := &s.server.cfg
	s.mu.Lock()
	s.deadline = s.server.now() + int64(cfg.PingInterval+cfg.PingTimeout)
	s.mu.Unlock()
}

// ponged notes a pong. As officially one that nobody asked for counts, too.
func (s *Session) ponged() {
	s.mu.Lock()
	s.beat.Store(beatQuiet)
	s.deadline = s.server.now() + int64(s.server.cfg.PingInterval)
	asked := s.takeAsked()
	s.mu.Unlock()
	asked.call()
}

// rearm gives a client that has sent something else than the pong once more
// the whole PingTimeout, as engine.io 6.6.12 does.
func (s *Session) rearm() {
	s.mu.Lock()
	var asked *question
	if s.beat.CompareAndSwap(beatWaiting, beatRearmed) {
		s.deadline = s.server.now() + int64(s.server.cfg.PingTimeout)
		asked = s.takeAsked()
	}
	s.mu.Unlock()
	asked.call()
}

// question is what Ask left to be called.
type question struct {
	f    func()
	next *question
}

func (q *question) call() {
	for ; q != nil; q = q.next {
		q.f()
	}
}

// takeAsked returns the questions that something received answers. mu is held.
func (s *Session) takeAsked() *question {
	q := s.asked
	s.asked = nil
	return q
}

// Ask sends a ping ahead of its time, unless one is open, and has f called when something
// is received next: the client is at the other end, however long ago it was heard of. f is called
// as a Receiver is, and must not block. It isn't if the session ends before, or has no heartbeat of ours.
func (s *Session) Ask(f func()) {
	cfg := &s.server.cfg
	if s.rev == 3 || cfg.PingInterval <= 0 || cfg.PingTimeout <= 0 {
		return
	}
	s.mu.Lock()
	if s.state.Load() != stateOpen {
		s.mu.Unlock()
		return
	}
	s.asked = &question{f, s.asked}
	ping := s.beat.CompareAndSwap(beatQuiet, beatWaiting)
	if ping {
		s.deadline = s.server.now() + int64(cfg.PingTimeout)
	}
	s.mu.Unlock()
	if ping && s.Append(pingBatch) {
		s.Flush()
	}
}

// tick acts on a deadline that may have passed, and returns when to look
// again. The deadline for the pong is armed before the ping leaves.
func (s *Session) tick(now int64, f *Fanout) (next int64) {
	cfg := &s.server.cfg
	s.mu.Lock()
	switch {
	case s.state.Load() == stateClosed:
		s.mu.Unlock()
		return 0
	case now < s.deadline:
	case s.rev != 3 && s.beat.Load() == beatQuiet:
		s.deadline = now + int64(cfg.PingInterval)
		if cfg.PingTimeout > 0 {
			s.deadline = now + int64(cfg.PingTimeout)
			s.beat.Store(beatWaiting)
		}
		next = s.visit(now)
		s.mu.Unlock()
		if s.Append(pingBatch) {
			f.Add(s)
		}
		return next
	case s.inside: // the reader waits for the Receiver: nothing can be heard
		s.late = true
		s.deadline = now + int64(cfg.PingTimeout)
	default:
		s.mu.Unlock()
		s.server.tasks.run(func() { s.finish(PingTimeout, nil) })
		return 0
	}
	next = s.visit(now)
	s.mu.Unlock()
	return next
}

// visit is when to look again: at the deadline, or before it if what may come
// first (a pong) would bring it forward.
func (s *Session) visit(now int64) int64 {
	if s.rev == 3 {
		return s.deadline
	}
	return min(s.deadline, now+int64(s.server.cfg.PingInterval))
}

// wheel looks after the heartbeats of all sessions of a server: slots of
// sessions to be visited, one tick apart. A deadline that moves is noticed at
// the visit, so packets cost nothing. Its goroutine lives while there are
// sessions.
type wheel struct {
	server *Server
	step   int64 // nanoseconds between two ticks

	mu      sync.Mutex
	slots   [][]*Session
	at      int64 // number of the last tick
	n       int
	running bool
	stop    chan struct{} // closed when the last session leaves
}

// newWheel sizes the slots from the intervals: 1/200 of the shorter one, which
// is also how late a ping or a timeout may be, between 1 and 100 ms.
func newWheel(srv *Server) *wheel {
	shorter, horizon := srv.cfg.PingInterval, srv.cfg.PingInterval+srv.cfg.PingTimeout
	if srv.cfg.PingTimeout > 0 {
		shorter = min(shorter, srv.cfg.PingTimeout)
	}
	step := min(max(shorter/200, time.Millisecond), time.Second/10)
	return &wheel{
		server: srv,
		step:   int64(step),
		slots:  make([][]*Session, horizon/step+3),
	}
}

// add has s visited at the time when.
func (w *wheel) add(s *Session, when int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.state.Load() == stateClosed {
		return // remove may have been called already
	}
	if !w.running {
		w.running = true
		w.at = w.server.now() / w.step
		w.stop = make(chan struct{})
		stop := w.stop
		w.server.tasks.run(func() { w.run(stop) })
	}
	w.n++
	w.place(s, when)
}

// remove forgets s.
func (w *wheel) remove(s *Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.slot == 0 {
		return
	}
	w.displace(s)
	if w.n--; w.n == 0 {
		w.running = false
		close(w.stop)
	}
}

// move has s, unless it was removed, visited at the time when.
func (w *wheel) move(s *Session, when int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.slot != 0 {
		w.displace(s)
		w.place(s, when)
	}
}

// place puts s into the slot of the first tick that is not before when.
func (w *wheel) place(s *Session, when int64) {
	slots := int64(len(w.slots))
	tick := min(max((when+w.step-1)/w.step, w.at+1), w.at+slots-1)
	slot := &w.slots[tick%slots]
	s.slot, s.pos = int32(tick%slots)+1, int32(len(*slot))
	*slot = append(*slot, s)
}

// displace takes s out of its slot.
func (w *wheel) displace(s *Session) {
	slot := &w.slots[s.slot-1]
	last := len(*slot) - 1
	moved := (*slot)[last]
	(*slot)[s.pos] = moved
	moved.pos = s.pos
	(*slot)[last] = nil
	*slot = (*slot)[:last]
	s.slot = 0
}

func (w *wheel) run(stop chan struct{}) {
	ticker := time.NewTicker(time.Duration(w.step))
	defer ticker.Stop()
	var due []*Session
	var f Fanout
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		now := w.server.now()
		due = w.turn(stop, now, due[:0])
		for _, s := range due {
			if next := s.tick(now, &f); next > 0 {
				w.move(s, next)
			} else {
				w.remove(s)
			}
		}
		f.Commit()
		clear(due)
		if cap(due) > 1<<14 {
			due = nil
		}
	}
}

// turn advances the wheel and appends the sessions of the slots passed to due.
// They stay in their slots until they are moved.
func (w *wheel) turn(stop chan struct{}, now int64, due []*Session) []*Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stop != stop {
		return due // a later goroutine has taken over
	}
	end := now / w.step
	w.at = max(w.at, end-int64(len(w.slots)))
	for w.at < end {
		w.at++
		due = append(due, w.slots[w.at%int64(len(w.slots))]...)
	}
	return due
}
