package queues

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ConsumerConfig says how a consumer takes messages.
type ConsumerConfig struct {
	// Prefetch is how many messages the consumer may have at a time: 1 to 1000. Default 1. Negative: none until SetPrefetch.
	Prefetch int
	// PrefetchBytes, if not 0, bounds their payloads: no further message is handed out when so many
	// bytes are reached.
	PrefetchBytes int

	// Session, if not empty, lets the consumer come back: when it is closed the session keeps its messages
	// for Grace, and the next consumer with the session, on any node, has them. At most 128 bytes.
	Session string
	// Grace is 5 s by default and at most 5 min. Negative: none, but what has a consumer that is still there can be taken over.
	Grace time.Duration

	// AtMostOnce settles messages when they are handed out.
	AtMostOnce bool
	// NoRenew leaves leases to Client.Extend.
	NoRenew bool

	// Deliver gets messages, after Start: one call at a time, in order. It must not block. If it is nil,
	// Handle gives the consumer a handler.
	Deliver func([]*Message)
	// Alive, if not nil, says whether the consumer is alive: only then its leases are renewed, and it gets
	// messages. It is called under a lock: it must only look.
	Alive func() bool
	// Open, if not nil, says whether the consumer can take more at present. When it can again, call Resume.
	// Like Alive, it must only look.
	Open func() bool
	// Revoked is told that messages are the consumer's no more: their leases are over or about to
	// be, or somebody else has them. It must not block.
	Revoked func(ms []*Message, reason string)
	// Closed is told that the broker has closed the consumer: ErrTakenOver, ErrNotFound, ErrUnavailable; or nil, when it
	// was drained. It must not block.
	Closed func(err error)
}

// Reasons of ConsumerConfig.Revoked.
const (
	RevokedLapsed     = "lapsed"         // the lease is over, or about to be: it could not be renewed
	RevokedLost       = "lost"           // somebody else has the message, or it is gone
	RevokedCutOff     = "cut_off"        // the store doesn't answer; others may get the message
	RevokedProcessing = "max_processing" // it took longer than Config.MaxProcessing
)

// Consumer takes messages of a queue for one principal on this node.
type Consumer struct {
	lane      *lane
	cfg       ConsumerConfig
	id        uint64
	principal string
	resumed   []*Message
	handler   atomic.Pointer[handler]
	calls     sync.Mutex // held while messages are delivered or revoked: nothing is revoked before it is delivered

	// Guarded by the lane's lock.
	prefetch int
	held     map[Ref]*hold
	bytes    int
	leaving  int // of those held
	draining bool
	started  bool
	closed   bool
}

// hold is a message that a consumer has. What changes in it is guarded by the lock of the consumer's lane.
type hold struct {
	m        *Message
	consumer *Consumer
	since    time.Time
	until    time.Time // end of the lease, by this node's clock, not later than by the store's
	settling bool
	leaving  bool // its settlement is on its way in a call that claims, too: there the consumer has its credit back
}

const maxPrefetch = 1000

// Consume opens a consumer, which gets messages after Start. It is a Consume action.
func (c *Client) Consume(ctx context.Context, queue string, cfg ConsumerConfig) (*Consumer, error) {
	if err := c.queue(ctx, Consume, queue); err != nil {
		return nil, err
	}
	cfg.Prefetch = max(cmp.Or(cfg.Prefetch, 1), 0)
	cfg.Grace = max(cmp.Or(cfg.Grace, 5*time.Second), 0)
	switch {
	case cfg.Prefetch > maxPrefetch:
		return nil, Refuse(CodeBadRequest, "prefetch isn't 0 to 1000")
	case cfg.PrefetchBytes < 0:
		return nil, Refuse(CodeBadRequest, "prefetchBytes is negative")
	case len(cfg.Session) > maxName:
		return nil, Refuse(CodeBadRequest, "the session is longer than 128 bytes")
	case cfg.Grace > 5*time.Minute:
		return nil, Refuse(CodeBadRequest, "grace isn't up to 5 minutes")
	case cfg.Session != "" && cfg.AtMostOnce:
		return nil, Refuse(CodeBadRequest, "with at-most-once there is nothing that a session could keep")
	}
	if cfg.Session != "" && !c.trusted {
		// Another principal can't take what this one's session keeps.
		cfg.Session = c.principal + "\x00" + cfg.Session
	}
	qc, err := c.b.config(ctx, queue)
	if err != nil {
		return nil, err
	}
	n := &Consumer{cfg: cfg, principal: c.principal, prefetch: cfg.Prefetch, held: map[Ref]*hold{}}
	old, err := c.b.join(queue, n, &qc, c.trusted)
	if err != nil {
		return nil, err
	}
	for _, o := range old {
		o.shut(ErrTakenOver, false)
	}
	if cfg.Session != "" {
		if c.b.cut.Load() != 0 {
			n.shut(nil, false)
			return nil, ErrUnavailable
		}
		if err := n.rebind(ctx); err != nil {
			n.shut(nil, false)
			return nil, err
		}
	}
	return n, nil
}

// Start begins to deliver.
func (c *Consumer) Start() {
	c.lane.mu.Lock()
	c.started = c.cfg.Deliver != nil || c.handler.Load() != nil
	c.lane.mu.Unlock()
	c.lane.kick()
}

// join puts a consumer into its queue's lane, and returns those whose session it has.
func (b *Broker) join(queue string, c *Consumer, cfg *Config, trusted bool) (old []*Consumer, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isClosed() {
		return nil, ErrUnavailable
	}
	l := b.lanes[queue]
	if l == nil {
		l = newLane(b, queue)
		b.lanes[queue] = l
	}
	b.number++
	c.lane, c.id = l, b.number
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cfg = *cfg
	own := 0
	for _, o := range l.consumers {
		if o.principal == c.principal {
			own++
		}
		if c.cfg.Session != "" && o.cfg.Session == c.cfg.Session {
			old = append(old, o)
		}
	}
	if own >= cfg.MaxConsumers && !trusted {
		b.count(RefusedConsumer)
		return nil, Refuse(CodeRateLimited, "too many consumers")
	}
	l.consumers = append(l.consumers, c)
	return old, nil
}

// rebind takes what the session has kept. What this node is about to park for it, it parks before.
func (c *Consumer) rebind(ctx context.Context) error {
	l := c.lane
	if err := l.b.parking.wait(ctx, l.queue, c.cfg.Session); err != nil {
		return err
	}
	select {
	case l.binding <- struct{}{}:
		defer func() { <-l.binding }()
	case <-ctx.Done():
		return ctx.Err()
	}
	sent := time.Now()
	ms, err := l.b.store.Rebind(ctx, l.queue, c.cfg.Session, l.b.cfg.Node)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range ms {
		c.hold(m, sent)
		c.resumed = append(c.resumed, m)
		l.arm(c.held[m.Ref()].end())
	}
	return nil
}

// hold makes m the consumer's. The lane is locked.
func (c *Consumer) hold(m *Message, sent time.Time) {
	m.signer = c.lane.b.signer
	h := &hold{m: m, consumer: c, since: sent, until: sent.Add(m.Lease)}
	c.held[m.Ref()] = h
	c.lane.held[m.Ref()] = h
	c.bytes += m.Payload.Size()
}

// drop ends a hold. The lane is locked.
func (h *hold) drop() {
	c := h.consumer
	ref := h.m.Ref()
	if c.held[ref] != h {
		return
	}
	h.leave(false)
	delete(c.held, ref)
	delete(c.lane.held, ref)
	c.bytes -= h.m.Payload.Size()
}

// leave sets leaving. The lane is locked.
func (h *hold) leave(leaving bool) {
	if h.leaving == leaving || h.consumer.held[h.m.Ref()] != h {
		return
	}
	h.leaving = leaving
	n := 1
	if !leaving {
		n = -1
	}
	h.consumer.leaving += n
	h.consumer.bytes -= n * h.m.Payload.Size()
}

// ID is the consumer's number on this node.
func (c *Consumer) ID() uint64 { return c.id }

// Queue is the name of the queue.
func (c *Consumer) Queue() string { return c.lane.queue }

// Lease is how long a message is handed out before its lease must be renewed.
func (c *Consumer) Lease() time.Duration {
	c.lane.mu.Lock()
	defer c.lane.mu.Unlock()
	return c.lane.cfg.Lease
}

// Resumed returns the messages that the session had kept, without payloads perhaps. They aren't delivered.
func (c *Consumer) Resumed() []*Message { return c.resumed }

// SetPrefetch changes how many messages the consumer may have: 0, none more, to 1000.
func (c *Consumer) SetPrefetch(n int) error {
	if n < 0 || n > maxPrefetch {
		return Refuse(CodeBadRequest, "prefetch isn't 0 to 1000")
	}
	c.lane.mu.Lock()
	c.prefetch = n
	c.lane.mu.Unlock()
	c.lane.kick()
	return nil
}

// Resume says that the consumer may be able to take more (ConsumerConfig.Open).
func (c *Consumer) Resume() { c.lane.kick() }

// credit is how many messages more, and bytes if they are bounded, the consumer may get. The lane is locked.
func (c *Consumer) credit() (messages, bytes int) {
	if c.closed || c.draining || !c.started {
		return 0, 0
	}
	messages = max(c.prefetch-len(c.held)+c.leaving, 0)
	if h := c.handler.Load(); h != nil && c.cfg.AtMostOnce {
		messages = max(c.prefetch-h.waiting(), 0)
	}
	if c.cfg.PrefetchBytes > 0 {
		if bytes = c.cfg.PrefetchBytes - c.bytes; bytes <= 0 {
			return 0, 0
		}
	}
	if messages == 0 || c.cfg.Alive != nil && !c.cfg.Alive() || c.cfg.Open != nil && !c.cfg.Open() {
		return 0, 0
	}
	return messages, bytes
}

// Drain lets the consumer finish what it has, and then closes it.
func (c *Consumer) Drain() {
	c.lane.mu.Lock()
	c.draining = true
	empty := len(c.held) == 0
	c.lane.mu.Unlock()
	if empty {
		c.finish()
	}
}

// finish closes a consumer that was drained.
func (c *Consumer) finish() {
	if c.shut(nil, true) && c.cfg.Closed != nil {
		c.cfg.Closed(nil)
	}
}

// Close closes the consumer at once. What it has goes back to the head of the queue, without
// counting as a failure; or its session keeps it.
func (c *Consumer) Close() { c.shut(nil, true) }

// shut closes the consumer, and reports whether it was open. back says that it gives back what it has; otherwise somebody else
// takes it.
func (c *Consumer) shut(why error, back bool) bool {
	l := c.lane
	l.mu.Lock()
	if c.closed {
		l.mu.Unlock()
		return false
	}
	c.closed = true
	l.consumers = slices.DeleteFunc(l.consumers, func(o *Consumer) bool { return o == c })
	holds := make([]*hold, 0, len(c.held))
	for _, h := range c.held {
		h.drop()
		if !h.settling { // otherwise its settlement is on its way
			holds = append(holds, h)
		}
	}
	l.mu.Unlock()

	if h := c.handler.Load(); h != nil {
		h.stop()
	}
	if back {
		l.giveBack(holds)
	}
	if why != nil && c.cfg.Closed != nil {
		c.cfg.Closed(why)
	}
	l.b.leave(l)
	if !back || len(holds) == 0 {
		l.kick() // otherwise the settlement claims, or kicks: a claim that is under way before would get nothing
	}
	return true
}

// giveBack releases or parks messages: the last handed out first, so that the first is at the head. What a consumer that is open
// has no credit for any more is nobody's, and not its session's.
func (l *lane) giveBack(holds []*hold) {
	slices.SortFunc(holds, func(a, b *hold) int { return cmp.Compare(b.m.Fence, a.m.Fence) })
	items := make([]*settling, 0, len(holds))
	for _, h := range holds {
		s := &settling{queue: l.queue, item: Settlement{Ref: h.m.Ref(), Outcome: Release, Node: l.b.cfg.Node}}
		if c := h.consumer.cfg; c.Session != "" {
			l.mu.Lock()
			gone := h.consumer.closed
			l.mu.Unlock()
			if c.Grace > 0 && gone {
				s.item.Outcome, s.item.Grace = Park, c.Grace
			}
			s.done = l.b.parking.add(l.queue, c.Session)
		}
		items = append(items, s)
	}
	l.b.settles.add(items...)
}

// leave forgets a lane if nobody uses it.
func (b *Broker) leave(l *lane) {
	l.mu.Lock()
	used := len(l.consumers) > 0
	l.mu.Unlock()
	if used {
		return // the last of them comes here, too
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.consumers) == 0 && !l.claiming && (!l.doubtful || b.isClosed()) && b.lanes[l.queue] == l {
		delete(b.lanes, l.queue)
		l.doubtful = false
		l.stopTimers()
		if !b.isClosed() {
			b.passes.add(l.queue) // it may be waiting
		}
	}
}

// revoke takes messages from their consumers, and tells them. The lane is not locked.
func (l *lane) revoke(holds []*hold, reason string) {
	by := map[*Consumer][]*Message{}
	l.mu.Lock()
	for _, h := range holds {
		if h.consumer.held[h.m.Ref()] == h {
			h.drop()
			by[h.consumer] = append(by[h.consumer], h.m)
		}
	}
	l.mu.Unlock()
	for c, ms := range by {
		c.calls.Lock()
		if h := c.handler.Load(); h != nil {
			h.revoke(ms)
		}
		if c.cfg.Revoked != nil {
			c.cfg.Revoked(ms, reason)
		}
		c.calls.Unlock()
		c.drained()
	}
}

// drained closes the consumer if it is to be closed when it has nothing any more.
func (c *Consumer) drained() {
	c.lane.mu.Lock()
	close := c.draining && len(c.held) == 0 && !c.closed
	c.lane.mu.Unlock()
	if close {
		c.finish()
	}
}

// end closes all consumers of the lane.
func (l *lane) end(why error) {
	for _, c := range l.all() {
		c.shut(why, false)
	}
}

func (l *lane) all() []*Consumer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.consumers)
}

// isGone reports whether err says that the queue isn't there.
func isGone(err error) bool { return errors.Is(err, ErrNotFound) }
