package namespaces

import (
	"context"
	"time"
)

// With Config.CleanupEmpty a dynamic namespace ends with its last socket. If its log ends
// with it, it lingers as long as a client may come back to what the log has
// for it.

// closeTime is how long an adapter may take to end when nobody waits for it.
const closeTime = 5 * time.Second

// keepFor notes that a session which has ended here can be recovered for that time.
func (ns *Namespace) keepFor(d time.Duration) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	ns.kept = time.Now().Add(d)
}

// cleanup forgets a dynamic namespace that nobody is in, or comes back to that later.
func (reg *Registry) cleanup(ns *Namespace) { reg.tidy(ns, false) }

// tidy is cleanup, which doesn't wait for clients that may come back if it is pressed for room. It
// reports whether the namespace is gone.
func (reg *Registry) tidy(ns *Namespace, pressed bool) (gone bool) {
	if !reg.cfg.CleanupEmpty || ns.parent == nil {
		return false
	}
	reg.mu.Lock()
	ns.mu.Lock()
	if reg.names[ns.name] == ns && !reg.closed && len(ns.sockets) == 0 && ns.joining == 0 {
		if wait := time.Until(ns.kept); wait > 0 && !pressed {
			reg.linger(ns, wait)
		} else {
			gone = true
			ns.closed = true
			delete(reg.names, ns.name)
			delete(ns.parent.children, ns.name)
			reg.children--
			reg.moving[ns.name] = make(chan struct{}) // nobody has it: open ends its own as it names a namespace
		}
	}
	if gone || pressed {
		reg.lingerNot(ns)
	}
	ns.mu.Unlock()
	reg.mu.Unlock()
	if gone {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		_ = ns.adapter.Close(ctx) // what it is about is over
		reg.passOn(ns.name)
	}
	return gone
}

// linger has a namespace looked at again. reg.mu is held.
func (reg *Registry) linger(ns *Namespace, wait time.Duration) {
	if t := reg.lingering[ns]; t != nil {
		t.Reset(wait)
		return
	}
	reg.lingering[ns] = time.AfterFunc(wait, func() { reg.cleanup(ns) })
}

// lingerNot ends that. reg.mu is held.
func (reg *Registry) lingerNot(ns *Namespace) {
	if t := reg.lingering[ns]; t != nil {
		t.Stop()
		delete(reg.lingering, ns)
	}
}

// makeRoom forgets a namespace that lingers, if there is one: others are wanted.
func (reg *Registry) makeRoom() bool {
	for {
		var one *Namespace
		reg.mu.RLock()
		for ns := range reg.lingering {
			one = ns
			break
		}
		reg.mu.RUnlock()
		if one == nil {
			return false
		}
		if reg.tidy(one, true) {
			return true
		}
	}
}
