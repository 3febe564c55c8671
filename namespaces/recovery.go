package namespaces

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
)

// recovery is what a socket that can be recovered keeps up to date while it is
// connected. All but private is guarded by the namespace's order lock.
//
// Where the log outlives the process, the state is saved at each change, so
// that it is never behind what the client knows: rooms are saved before they
// take effect, and left after. A change that can't be saved in time takes effect
// all the same; but first the client is told what makes the saved state useless
// to it (see saving.overdue).
type recovery struct {
	private string
	from    adapters.Offset // where it connected first
	seen    adapters.Offset // events up to here have been replayed, or were before its time
	last    adapters.Offset // the last logged event sent to it
	stays   []adapters.Stay

	claims  bool            // the saved state says that nothing was for the session since its Last,
	claimed adapters.Offset // which is this
	late    int             // changes that take too long to be saved: the client is told no offsets
	told    bool            // it was made to forget the one that it had
	doubt   uint64          // Namespace.doubt at the last event that it got without a place in the log
	lost    bool            // it may have missed events
	loose   bool            // its state isn't kept any more: another node has it, or Redis has lost it
}

// unlogged is sent in place of an offset with what can't be found in the log (yet).
// A client that names it when it comes back can't be recovered: what it has
// received can't be told. The next event that has an offset mends that.
//
// It is also the name of the one event that the server sends by itself: to a client whose
// state could not be saved in time. What is in the log then would bring back an older state,
// if this node died now.
const unlogged = "unlogged"

// endedStays is how many left rooms are remembered. Events of a room left
// longer ago than that can't be told apart: the session then starts later.
const endedStays = 64

func (r *recovery) join(room string, at adapters.Offset) {
	if r == nil {
		return
	}
	for i := range r.stays { // it was announced
		if s := &r.stays[i]; s.Room == room && s.To.IsZero() {
			s.From = at
			return
		}
	}
	r.stays = append(r.stays, adapters.Stay{Room: room, From: at})
}

func (r *recovery) leave(room string, at adapters.Offset) {
	if r == nil {
		return
	}
	if at.IsZero() { // nothing was logged yet: as if it had never been in
		r.stays = slices.DeleteFunc(r.stays, func(s adapters.Stay) bool { return s.Room == room && s.To.IsZero() })
		return
	}
	ended := 0
	for i := range r.stays {
		if stay := &r.stays[i]; stay.To.IsZero() {
			if stay.Room == room {
				stay.To = at
			}
		}
		if !r.stays[i].To.IsZero() {
			ended++
		}
	}
	if ended > endedStays {
		i := slices.IndexFunc(r.stays, func(s adapters.Stay) bool { return !s.To.IsZero() })
		if r.stays[i].To.Compare(r.from) > 0 {
			r.from = r.stays[i].To
		}
		r.stays = slices.Delete(r.stays, i, i+1)
	}
}

// enter begins the record when the socket is admitted.
func (r *recovery) enter(id string, ns *Namespace, resume *resumed) {
	switch {
	case r == nil:
	case resume == nil:
		at := ns.place()
		if r.last.IsZero() { // else events came while it was connecting, see Config.HoldEarly
			r.from = at
		}
		r.seen, r.claims = at, true
		// Rooms joined in a middleware are stays already.
		r.stays = append(r.stays, adapters.Stay{Room: id, From: at})
	default:
		r.from, r.last, r.seen = resume.session.From, resume.session.Last, resume.after
		r.stays = append(slices.Clone(resume.session.Stays), r.stays...)
	}
}

// note records that an event is for the socket. It says whether to leave it
// out, as the client has it already, and whether the client may be told its offset.
func (r *recovery) note(ns *Namespace, d delivery) (skip, certain bool) {
	if d.at.IsZero() {
		r.doubt = ns.doubt
		return false, false
	}
	if d.at.Compare(r.seen) <= 0 {
		return true, false
	}
	r.last = d.at
	doubtful := r.doubt == ns.doubt
	// If it was delivered before and the socket didn't get it then, it was before its
	// time; and the socket has got what was sent later.
	return d.late && doubtful, !doubtful && r.late == 0
}

// persists reports whether a client that went for that reason may come back.
func persists(reason string) bool {
	switch reason {
	case ReasonClient, ReasonServer, string(engine.ParseError):
		return false
	}
	return true
}

// outlives reports whether the states of connected sockets are to be kept.
func (ns *Namespace) outlives() bool { return ns.log != nil && ns.log.Outlives() }

// snapshot returns the state of a connected socket, as of one moment: the order
// lock and s.mu are held.
func (s *Socket) snapshot() *adapters.Session {
	state := &adapters.Session{
		ID: s.id, Private: s.rec.private, Stays: slices.Clone(s.rec.stays), Data: maps.Clone(s.data),
		From: s.rec.from, Last: s.rec.last,
	}
	if s.rec.claims {
		state.Until, s.rec.claimed = s.ns.place(), s.rec.last
	}
	return state
}

// ended returns the state of a socket to which nothing is delivered from now on.
func (s *Socket) ended() *adapters.Session {
	state := s.snapshot()
	state.Until, state.Ended = s.ns.place(), time.Now()
	return state
}

// saveTime is how long a change of a session's state is waited for.
const saveTime = time.Second

// saving is a state on its way to where it is safe. The order lock guards it.
type saving struct {
	s     *Socket
	done  chan struct{}
	late  bool // counted in s.rec.late
	over  bool
	timer *time.Timer // nil, or runs until overdue
	then  func()      // nil, or to be called when it is over
}

// keepUp saves the state of a connected socket after a change: the order lock
// and s.mu are held. It returns nil if there is nothing to keep.
func (s *Socket) keepUp(then func()) *saving {
	if s.rec == nil || s.rec.loose || !s.ns.outlives() {
		return nil
	}
	c := &saving{s: s, done: make(chan struct{}), then: then}
	s.ns.log.Save(s.snapshot(), s.ns.reg.cfg.Recovery.MaxDisconnection, c.end)
	return c
}

// watch gives the change its time, for who doesn't wait; with late, the client is told no
// offsets until then. The order lock is held.
func (c *saving) watch(late bool) {
	if c == nil {
		return
	}
	if late {
		c.late = true
		c.s.rec.late++
	}
	c.timer = time.AfterFunc(saveTime, c.overdue)
}

// announce has rooms become part of the saved state before the socket joins
// them: else what it gets through them could be what its client saw last, while
// the state that is found when this node dies doesn't know of the rooms.
func (s *Socket) announce(rooms []string) {
	if s.rec == nil || !s.ns.outlives() {
		return
	}
	s.ns.order.Lock()
	s.mu.Lock()
	var saved *saving
	if s.state.Load() == connected && len(s.rec.stays)+len(rooms) <= s.ns.reg.cfg.Limits.RoomsPerSocket+endedStays {
		for _, name := range rooms {
			if !s.ns.index.Has(s, name) {
				s.rec.join(name, s.ns.place())
			}
		}
		saved = s.keepUp(nil)
	}
	s.mu.Unlock()
	s.ns.order.Unlock()
	saved.wait()
}

// end is told how the saving went.
func (c *saving) end(err error) {
	ns, r := c.s.ns, c.s.rec
	ns.order.Lock()
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.late {
		r.late--
	}
	if r.late == 0 {
		r.told = false
	}
	if err != nil {
		r.loose = true
	}
	ns.order.Unlock()
	close(c.done)
	if c.then != nil {
		c.then()
	}
	switch {
	case errors.Is(err, adapters.ErrTaken):
		c.s.giveUp()
	case err != nil:
		ns.reg.log.Warn("a session's state could not be kept: its client will get a fresh one", "namespace", ns.name, "error", err)
	}
}

// wait waits until the state is saved, for a bounded time.
func (c *saving) wait() {
	if c == nil {
		return
	}
	timer := time.NewTimer(saveTime)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		c.overdue()
	}
}

// overdue goes on without the state being safe. Until it is, the client is told no
// offsets; and since it may be told of the change in other ways, such as by an ack, it is
// first made to forget the offset that it has: with that it could come back to
// a state that is behind what it knows.
func (c *saving) overdue() {
	s, ns := c.s, c.s.ns
	flush := false
	ns.order.Lock()
	if !c.over {
		if !c.late {
			c.late = true
			s.rec.late++
		}
		if !s.rec.told && s.state.Load() == connected {
			s.rec.told = true
			flush = s.client.sess.Append(ns.unloggedBatch())
			ns.reg.stats.overdue.Add(1)
		}
	}
	ns.order.Unlock()
	if flush {
		s.client.sess.Flush()
	}
}

// unloggedBatch returns the event that makes a client forget its offset.
func (ns *Namespace) unloggedBatch() *engine.Batch {
	data, _ := parser.MarshalEvent(unlogged, unlogged)
	return ns.eventBatch(&adapters.Op{Kind: adapters.Emit, Data: data}, "", false)
}

// touch has the socket's state saved soon: its data has changed.
func (s *Socket) touch() {
	if s.rec == nil || !s.ns.outlives() || s.state.Load() != connected {
		return
	}
	ns := s.ns
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.touched == nil {
		ns.touched = map[*Socket]struct{}{}
	}
	if len(ns.touched) == 0 {
		time.AfterFunc(touchTime, ns.saveTouched)
	}
	ns.touched[s] = struct{}{}
}

// touchTime is how long changes of data are gathered.
const touchTime = 50 * time.Millisecond

func (ns *Namespace) saveTouched() {
	ns.mu.Lock()
	touched := ns.touched
	ns.touched = nil
	ns.mu.Unlock()
	for s := range touched {
		s.saveNow()
	}
}

// saveNow has the state of a connected socket saved, without waiting for it.
func (s *Socket) saveNow() {
	s.ns.order.Lock()
	s.mu.Lock()
	if s.state.Load() == connected {
		s.keepUp(nil).watch(false)
	}
	s.mu.Unlock()
	s.ns.order.Unlock()
}

// leaveState keeps a socket's last state, if there is one to keep, for its client's return,
// or has it forgotten if keep is zero. Then, or after a bounded time, the private id is free.
func (s *Socket) leaveState(state *adapters.Session, keep time.Duration) {
	if state == nil {
		s.unclaim()
		return
	}
	unclaim := sync.OnceFunc(s.unclaim)
	timer := time.AfterFunc(saveTime, unclaim)
	s.ns.log.Save(state, keep, func(err error) {
		timer.Stop()
		if err != nil && !errors.Is(err, adapters.ErrTaken) && !errors.Is(err, adapters.ErrUnknown) && !errors.Is(err, adapters.ErrBehind) {
			s.ns.reg.log.Warn("a session could not be saved: its client will get a fresh one", "namespace", s.ns.name, "error", err)
		}
		unclaim()
	})
}

// Taken ends what is left here of a session that another node has now.
func (l local) Taken(private string) {
	l.ns.mu.Lock()
	s := l.ns.claims[private]
	l.ns.mu.Unlock()
	if s != nil {
		s.giveUp()
	}
}

// Confirm saves a socket's state once its client has shown that it is still here.
func (l local) Confirm(private string, here func()) bool {
	l.ns.mu.Lock()
	s := l.ns.claims[private]
	l.ns.mu.Unlock()
	if s == nil {
		return false
	}
	s.client.sess.Ask(func() {
		here()
		s.saveNow()
	})
	return true
}

// giveUp ends a socket whose client is at another node.
func (s *Socket) giveUp() {
	s.ns.order.Lock()
	s.rec.loose = true
	s.ns.order.Unlock()
	s.client.end(string(engine.TransportClose))
	s.client.sess.CloseNow()
}

// Lost ends the connections of all sockets that count on being told everything. Their
// clients come back to fresh sessions.
func (l local) Lost(at adapters.Offset) {
	ns := l.ns
	ns.order.Lock()
	ns.tail = at // which may be in front of where it was: the log may be another one
	ns.losses++
	var list []*Socket
	for _, s := range ns.Sockets() {
		if s.rec != nil {
			s.rec.lost = true
			list = append(list, s)
		}
	}
	ns.order.Unlock()
	if len(list) == 0 {
		return
	}
	ns.reg.stats.cutOff.Add(int64(len(list)))
	ns.reg.running.begin()
	go func() {
		defer ns.reg.running.end()
		for i, s := range list {
			if i%lostPace == lostPace-1 {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ns.reg.life.Done():
				}
			}
			s.client.end(string(engine.TransportClose))
			s.client.sess.CloseNow()
		}
	}()
}

// lostPace is how many clients are sent away in a tenth of a second, so that they don't all come back at once.
const lostPace = 200

// Review saves the states anew that say too much or too little about what their session was sent
// since Last, and calls done when they are safe.
func (l local) Review(old adapters.Offset, done func()) {
	ns := l.ns
	var left atomic.Int64
	one := func() {
		if left.Add(-1) == 0 {
			done()
		}
	}
	left.Add(1)
	for _, s := range ns.Sockets() {
		ns.order.Lock()
		s.mu.Lock()
		if r := s.rec; r != nil && s.state.Load() == connected {
			valid := r.claims && r.last == r.claimed
			quiet := r.last.Compare(old) <= 0
			if !valid && (quiet || r.claims) {
				r.claims = quiet
				left.Add(1)
				if s.keepUp(one) == nil {
					left.Add(-1)
				}
			}
		}
		s.mu.Unlock()
		ns.order.Unlock()
	}
	one()
}
