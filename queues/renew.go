package queues

import (
	"context"
	"sync"
	"time"
)

// margin is how long before the end of a lease that could not be renewed the consumer loses it: a node that
// is cut off from the store must have let go before the store gives the message to another.
func margin(lease time.Duration) time.Duration { return min(2*time.Second, lease/5) }

// arm sees to it that leases are renewed, and that those that can't be are given up in time. end is when
// to look at what has come. The lane is locked.
func (l *lane) arm(end time.Time) {
	if len(l.held) == 0 {
		return // the timer, if it is set, finds nothing
	}
	if l.renewDue.IsZero() {
		l.renewDue = time.Now().Add(l.cfg.Lease / 3)
	}
	if !l.renewing && l.renewDue.Before(end) {
		end = l.renewDue
	}
	if !l.tickAt.IsZero() && !end.Before(l.tickAt) {
		return
	}
	l.tickAt = end
	wait := max(time.Until(end), time.Millisecond)
	if l.tick == nil {
		l.tick = time.AfterFunc(wait, l.look)
		return
	}
	l.tick.Reset(wait)
}

// end is when the consumer loses the message if its lease isn't renewed. The lane is locked.
func (h *hold) end() time.Time {
	if h.consumer.cfg.NoRenew {
		return h.until
	}
	return h.until.Add(-margin(h.consumer.lane.cfg.Lease))
}

// look takes messages from consumers whose leases are over, and starts a renewal if it is time.
func (l *lane) look() {
	var lapsed []*hold
	l.mu.Lock()
	now := time.Now()
	next := now.Add(l.cfg.Lease)
	for _, h := range l.held {
		if end := h.end(); !end.After(now) {
			lapsed = append(lapsed, h)
		} else if end.Before(next) {
			next = end
		}
	}
	renew := !l.renewing && len(l.held) > len(lapsed) && !l.renewDue.After(now)
	l.renewing = l.renewing || renew
	l.tickAt = time.Time{}
	if len(l.held) == 0 {
		l.renewDue = time.Time{}
	}
	l.arm(next)
	l.mu.Unlock()
	if renew {
		l.b.renewals.add(l)
	}
	if len(lapsed) > 0 {
		l.revoke(lapsed, RevokedLapsed)
		l.kick()
	}
}

// extended notes that a lease ends later.
func (l *lane) extended(ref Ref, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.held[ref]; h != nil {
		h.until = until
		l.arm(h.end())
	}
}

// renewAll renews the leases of all consumers that are alive, in one call of the store, and
// takes from consumers what they can't have any longer.
func (b *Broker) renewAll(lanes []*lane) {
	var calls []*ExtendCall
	of := make([][]*hold, 0, len(lanes))
	sent := time.Now()
	shortest := time.Hour // lease
	for _, l := range lanes {
		holds, slow, lease := l.renewable(sent)
		shortest = min(shortest, lease)
		l.revoke(slow, RevokedProcessing)
		var work []*settling
		for _, h := range slow {
			s := Settlement{Ref: h.m.Ref(), Outcome: Nack, Error: "processing took too long", Node: b.cfg.Node}
			work = append(work, &settling{queue: l.queue, item: s})
		}
		b.settles.add(work...)
		call := &ExtendCall{Queue: l.queue, Node: b.cfg.Node}
		for _, h := range holds {
			call.Items = append(call.Items, h.m.Ref())
		}
		calls = append(calls, call)
		of = append(of, holds)
	}
	asked := make([]*ExtendCall, 0, len(calls))
	for _, c := range calls {
		if len(c.Items) > 0 {
			asked = append(asked, c)
		}
	}
	if len(asked) > 0 {
		// A store that hangs must leave time to try again.
		ctx, cancel := context.WithTimeout(b.ctx, min(b.cfg.Timeout, max(shortest/6, 10*time.Millisecond)))
		b.store.Extend(ctx, asked)
		cancel()
	}
	for i, l := range lanes {
		l.renewed(calls[i], of[i], sent)
	}
}

// renewable returns what is to be renewed, and what has been worked on for too long.
func (l *lane) renewable(now time.Time) (holds, slow []*hold, lease time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	alive := map[*Consumer]bool{}
	for _, c := range l.consumers {
		alive[c] = !c.cfg.NoRenew && (c.cfg.Alive == nil || c.cfg.Alive())
	}
	for _, h := range l.held {
		switch {
		case !alive[h.consumer]:
		case h.since.Add(l.cfg.MaxProcessing).Before(now):
			if !h.settling {
				slow = append(slow, h)
			}
		default:
			holds = append(holds, h)
		}
	}
	return holds, slow, l.cfg.Lease
}

// renewed notes what a renewal has come to.
func (l *lane) renewed(call *ExtendCall, holds []*hold, sent time.Time) {
	if isGone(call.Err) { // who has no credit doesn't ask for more, which would tell, too
		defer l.end(ErrNotFound)
	}
	var lost []*hold
	l.mu.Lock()
	l.renewDue = time.Now().Add(l.cfg.Lease / 3)
	if call.Err != nil {
		l.renewDue = time.Now().Add(min(l.cfg.Lease/6, time.Second))
		holds = nil
	}
	for i, h := range holds {
		switch {
		case call.Results[i] == nil:
			h.until = sent.Add(call.Lease)
		case !h.settling:
			lost = append(lost, h)
		}
	}
	l.renewing = false
	l.arm(l.renewDue)
	l.mu.Unlock()
	if len(lost) > 0 {
		l.revoke(lost, RevokedLost)
		l.kick()
	}
}

// gathering calls a function when several things are done.
type gathering struct {
	mu sync.Mutex
	n  int
	f  func()
}

// gather returns one that waits for one thing.
func gather(f func()) *gathering { return &gathering{n: 1, f: f} }

func (g *gathering) add() {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
}

func (g *gathering) done() {
	g.mu.Lock()
	g.n--
	last := g.n == 0
	g.mu.Unlock()
	if last {
		g.f()
	}
}
