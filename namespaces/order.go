package namespaces

import (
	"slices"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
)

// What one goroutine sends to a socket arrives in that order, whichever way it
// takes. What is logged may come back later: what is sent past the log is
// queued behind it.

// lockOrder and unlockOrder bracket what needs one place in the log.
func (ns *Namespace) lockOrder() {
	if ns.log != nil {
		ns.order.Lock()
	}
}

func (ns *Namespace) unlockOrder() {
	if ns.log != nil {
		ns.order.Unlock()
	}
}

// place returns the place in the log that the next event follows: the order
// lock is held.
func (ns *Namespace) place() adapters.Offset {
	if ns.log != nil {
		if at := ns.log.Position(); at.Compare(ns.tail) > 0 {
			return at
		}
	}
	return ns.tail
}

// underWay reports whether there is something to queue behind.
func (ns *Namespace) underWay() bool { return ns.log != nil && ns.log.Behind(nil) }

// behind has f append to a session's queue in its turn, if this node's events are
// under way. f reports whether the session is to be flushed.
func (ns *Namespace) behind(sess *engine.Session, f func() (flush bool)) bool {
	return ns.log.Behind(func() {
		ns.order.Lock()
		defer ns.order.Unlock()
		if f() {
			ns.fan.Add(sess)
		}
	})
}

// broadcastInTurn is broadcast behind this node's events that are under way. It
// is for those who are there now, not for who comes meanwhile.
func (ns *Namespace) broadcastInTurn(op *adapters.Op) {
	if !ns.underWay() {
		ns.broadcast(op)
		return
	}
	selection := ns.index.Select(op.Target)
	if !ns.log.Behind(func() {
		ns.order.Lock()
		defer ns.order.Unlock()
		ns.fanOutTo(selection, op, delivery{}, &ns.fan)
	}) {
		ns.broadcast(op)
	}
}

// settle waits until this node's events that are under way have been delivered
// here: for who is about to change who gets them. It is not for the adapter's goroutines.
func (ns *Namespace) settle() {
	if !ns.underWay() {
		return
	}
	done := make(chan struct{})
	if ns.log.Behind(func() { close(done) }) {
		<-done
	}
}

// delivery is how an event comes to its local receivers.
type delivery struct {
	logged bool            // it is for who recovers, too
	at     adapters.Offset // zero: it has no place in the log (yet)
	late   bool            // it was delivered without one before
}

// Deliver queues a logged event for the sockets of this node. It is called in
// the order of the log.
func (l local) Deliver(op *adapters.Op, at adapters.Offset) {
	ns := l.ns
	ns.order.Lock()
	defer ns.order.Unlock()
	d := delivery{logged: true, at: at}
	if at.IsZero() {
		ns.homeless = append(ns.homeless, op)
		ns.fanOut(op, d, &ns.fan)
		return
	}
	if at.Compare(ns.tail) > 0 {
		ns.tail = at
	}
	i := slices.Index(ns.homeless, op)
	d.late = i >= 0
	ns.fanOut(op, d, &ns.fan)
	if d.late {
		if ns.homeless = slices.Delete(ns.homeless, i, i+1); len(ns.homeless) == 0 {
			ns.homeless = nil
			ns.doubt++ // all is in the log again
		}
	}
}

// tellHomeless queues for a socket that continues what was delivered here without
// a place in the log while it was away. s.mu and the order lock are held.
func (s *Socket) tellHomeless(rooms []string) (flush bool) {
	ns := s.ns
	for _, op := range ns.homeless {
		if !reaches(op, rooms) {
			continue
		}
		s.rec.doubt = ns.doubt
		if b := ns.eventBatch(op, unlogged, false); b != nil {
			flush = s.client.sess.Append(b) || flush
		}
	}
	return flush
}

// reaches reports whether an event is for who is in these rooms.
func reaches(op *adapters.Op, rooms []string) bool {
	in := func(name string) bool { return slices.Contains(rooms, name) }
	return !slices.ContainsFunc(op.Target.Except, in) && (len(op.Target.Rooms) == 0 || slices.ContainsFunc(op.Target.Rooms, in))
}

// Flush writes what Deliver has queued, outside all locks.
func (l local) Flush() {
	ns := l.ns
	ns.order.Lock()
	fan := ns.fan
	ns.fan = engine.Fanout{}
	ns.order.Unlock()
	fan.Commit()
}
