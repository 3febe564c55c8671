package queues

import (
	"context"
	"slices"
	"time"
)

// settling is a settlement on its way.
type settling struct {
	queue string
	item  Settlement
	hold  *hold // if a consumer of this node has the message
	done  func(error)
}

// Settled is one settlement by receipt.
type Settled struct {
	Receipt string
	Outcome Outcome // Ack, Nack, Release or Reject
	Delay   time.Duration
	Error   string
}

// Settle ends hand-outs, whoever and wherever their consumer is: a receipt is proof enough. The
// results are nil, ErrSuperseded, ErrGone, or another error for that item.
func (c *Client) Settle(ctx context.Context, items ...Settled) []error {
	ch := make(chan []error, 1)
	c.SettleFunc(items, func(results []error) { ch <- results })
	select {
	case results := <-ch:
		return results
	case <-ctx.Done():
		results := make([]error, len(items))
		for i := range results {
			results[i] = ctx.Err()
		}
		return results
	}
}

// SettleFunc is Settle without waiting: done, which must not block, gets the results.
func (c *Client) SettleFunc(items []Settled, done func([]error)) {
	b := c.b
	results := make([]error, len(items))
	var work []*settling
	if len(items) > maxBatch {
		for i := range results {
			results[i] = Refuse(CodeBadRequest, "more than 1000 settlements")
		}
		done(results)
		return
	}
	all := gather(func() { done(results) })
	for i, it := range items {
		queue, ref, err := b.signer.parse(it.Receipt)
		if err == nil && (it.Outcome < Ack || it.Outcome > Reject) {
			err = Refuse(CodeBadRequest, "no such outcome")
		}
		if err != nil {
			results[i] = err
			continue
		}
		all.add()
		s := Settlement{Ref: ref, Outcome: it.Outcome, Delay: min(it.Delay, maxDelay), Error: it.Error}
		work = append(work, b.settling(queue, s, func(err error) {
			results[i] = err
			all.done()
		}))
	}
	b.settles.add(work...)
	all.done()
}

// settling prepares a settlement.
func (b *Broker) settling(queue string, s Settlement, done func(error)) *settling {
	w := &settling{queue: queue, item: s, done: done}
	if l := b.lane(queue); l != nil {
		l.mu.Lock()
		if h := l.held[s.Ref]; h != nil {
			h.settling = true
			w.hold = h
		}
		l.mu.Unlock()
	}
	return w
}

// Settle ends the hand-out of a message that this consumer got. done, if not nil, must not block; it is told what came
// of it, as by Client.Settle.
func (c *Consumer) Settle(m *Message, outcome Outcome, delay time.Duration, text string, done func(error)) {
	b := c.lane.b
	b.settles.add(b.settling(m.Queue, Settlement{Ref: m.Ref(), Outcome: outcome, Delay: delay, Error: text}, done))
}

// plain says that items are acknowledgements by which nothing else becomes ready.
func plain(items []*settling) bool {
	return !slices.ContainsFunc(items, func(s *settling) bool {
		return s.item.Outcome != Ack || s.hold == nil || s.hold.m.Key != ""
	})
}

// settleAll settles what has gathered, in one call of the store, and gives credit back. The call claims, too, for what
// consumers of this node can take by then: what one of them gives back another one here has at once.
func (b *Broker) settleAll(batch []*settling) {
	type gathered struct {
		call *SettleCall
		of   []*settling
		lane *lane
		plan *plan
	}
	room := len(batch) // most often all is of one queue
	groups := group(batch, func(s *settling) string { return s.queue },
		func(queue string) *gathered {
			g := &gathered{call: &SettleCall{Queue: queue, Items: make([]Settlement, 0, room)}, of: make([]*settling, 0, room)}
			room /= 4
			return g
		},
		func(g *gathered, s *settling) {
			g.call.Items = append(g.call.Items, s.item)
			g.of = append(g.of, s)
		})
	calls := make([]*SettleCall, len(groups))
	for i, g := range groups {
		calls[i] = g.call
		if g.lane = b.lane(g.call.Queue); g.lane != nil {
			if g.plan = g.lane.plan(g.of); g.plan != nil {
				g.call.Claim = g.plan.call
			}
		}
	}
	ctx, cancel := b.call()
	b.store.Settle(ctx, calls)
	cancel()
	for _, g := range groups {
		b.settled(g.call, g.of)
		if g.plan != nil {
			g.lane.claimedWith(g.plan, g.call.Err)
		}
	}
}

func (b *Broker) settled(call *SettleCall, of []*settling) {
	unknown := call.Err != nil && !isGone(call.Err)
	doubtful := false // a message may be nobody's, and the store doesn't know
	closed := b.isClosed()
	var again []*settling
	draining := map[*Consumer]bool{}
	for _, s := range of {
		h := s.hold
		if h == nil {
			doubtful = doubtful || s.item.Node != ""
			continue
		}
		l := h.consumer.lane // not b.lane: the queue may have another by now
		l.mu.Lock()
		h.leave(false)
		if unknown && s.done == nil && !closed && h.consumer.held[h.m.Ref()] == h {
			again = append(again, s)
			l.mu.Unlock()
			continue
		}
		h.settling = false
		// An unknown outcome leaves the message with the consumer, which may settle again.
		if !unknown {
			h.drop()
		}
		doubtful = doubtful || h.consumer.closed
		if h.consumer.draining {
			draining[h.consumer] = true
		}
		l.mu.Unlock()
	}
	if unknown && doubtful {
		b.doubt(call.Queue)
	}
	b.settleLater(again)
	for i, s := range of {
		err := call.Err
		if err == nil {
			err = call.Results[i]
		}
		if isGone(err) {
			err = ErrGone
		}
		if s.done != nil {
			s.done(err)
		}
	}
	for c := range draining {
		c.drained()
	}
	if l := b.lane(call.Queue); l != nil && call.Claim == nil {
		if call.Err == nil && plain(of) {
			l.credited()
		} else {
			l.kick()
		}
	}
}

// Extend lets leases end later: d from now, at most the queue's MaxProcessing. The results are nil, ErrSuperseded,
// ErrGone, or another error for that item.
func (c *Client) Extend(ctx context.Context, d time.Duration, receipts ...string) []error {
	b := c.b
	results := make([]error, len(receipts))
	type item struct {
		queue string
		ref   Ref
		i     int
	}
	var items []item
	for i, r := range receipts {
		queue, ref, err := b.signer.parse(r)
		switch {
		case len(receipts) > maxBatch || d <= 0:
			err = Refuse(CodeBadRequest, "at most 1000 receipts, and a time")
		case err == nil:
			var cfg Config
			if cfg, err = b.config(ctx, queue); err == nil && d > cfg.MaxProcessing {
				err = Refuse(CodeBadRequest, "longer than the queue allows")
			}
		}
		if results[i] = err; err == nil {
			items = append(items, item{queue, ref, i})
		}
	}
	type gathered struct {
		call *ExtendCall
		of   []int
	}
	groups := group(items, func(it item) string { return it.queue },
		func(queue string) *gathered { return &gathered{call: &ExtendCall{Queue: queue, For: d}} },
		func(g *gathered, it item) {
			g.call.Items = append(g.call.Items, it.ref)
			g.of = append(g.of, it.i)
		})
	for _, g := range groups {
		sent := time.Now()
		b.store.Extend(ctx, []*ExtendCall{g.call})
		l := b.lane(g.call.Queue)
		for i, ref := range g.call.Items {
			err := g.call.Err
			if err == nil {
				err = g.call.Results[i]
			}
			results[g.of[i]] = err
			if err == nil && l != nil {
				l.extended(ref, sent.Add(d))
			}
		}
	}
	return results
}
