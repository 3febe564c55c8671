package queueapi

import "sync"

// outbox is what a consumer or inbox has to send: at once while the socket's send queue has room, and
// otherwise in the same order when it has room again. A socket that doesn't read is so given no
// more (peer.open), and not closed since too much waits for it.
type outbox[T any] struct {
	peer *peer
	send func(T) // one call at a time

	mu      sync.Mutex
	waiting []T
	sending bool
	closed  bool
	stuck   bool // there was no room for what waits
}

// post sends items, now or later.
func (o *outbox[T]) post(items ...T) {
	o.mu.Lock()
	if !o.closed {
		o.waiting = append(o.waiting, items...)
	}
	o.mu.Unlock()
	o.push()
}

// push sends what there is room for.
func (o *outbox[T]) push() {
	sess := o.peer.s.Session()
	sess.Cork()
	defer sess.Uncork()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sending {
		return // and whoever it is sees what has come
	}
	o.sending = true
	for len(o.waiting) > 0 && sess.HasRoom() {
		item := o.waiting[0]
		clear(o.waiting[:1])
		o.waiting = o.waiting[1:]
		o.mu.Unlock()
		o.send(item)
		o.mu.Lock()
	}
	o.sending = false
	o.set(len(o.waiting) > 0)
	if o.stuck {
		o.peer.await()
	}
}

// close forgets what waits, and what comes.
func (o *outbox[T]) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.waiting = nil
	o.set(false)
}

// set notes whether something is stuck. The outbox is locked.
func (o *outbox[T]) set(stuck bool) {
	switch {
	case stuck && !o.stuck:
		o.peer.stuck.Add(1)
	case !stuck && o.stuck:
		o.peer.stuck.Add(-1)
	}
	o.stuck = stuck
}
