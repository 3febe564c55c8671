package namespaces

import (
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
		if ns.homeless == nil {
			ns.homeless = map[*adapters.Op]struct{}{}
		}
		ns.homeless[op] = struct{}{}
	} else {
		ns.tail = at
		_, d.late = ns.homeless[op]
	}
	ns.fanOut(op, d, &ns.fan)
	if d.late {
		delete(ns.homeless, op)
		if len(ns.homeless) == 0 {
			ns.doubt++ // all is in the log again
		}
	}
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
