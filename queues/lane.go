package queues

import (
	"slices"
	"sync"
	"time"
)

// lane is a queue that consumers of this node take from.
//
// Locks: Broker.mu, then lane.mu. Neither is held while the store or a consumer is called, except
// ConsumerConfig.Alive and Open.
type lane struct {
	b     *Broker
	queue string

	mu        sync.Mutex
	cfg       Config
	consumers []*Consumer
	next      int // whose turn it is
	width     int // how many consumers a claim is for at most; less than narrow: narrow
	held      map[Ref]*hold
	claiming  bool          // a claim is under way, or waits for its turn
	again     bool          // something has changed since
	freed     bool          // consumers have got credit since
	waiting   bool          // the last claim got less than it wanted: the store tells when there is more
	turn      bool          // the store has told this node of messages, and it hasn't claimed since
	doubtful  bool          // the store may think that this node has messages which it hasn't
	failures  int           // claims that failed since one didn't
	wake      *time.Timer   // for the next claim
	binding   chan struct{} // taken by who changes, beside claims, what the store thinks that this node has
	renewing  bool          // a renewal is under way
	renewDue  time.Time     // when the next one begins
	tick      *time.Timer   // for the next renewal, or the next lease that ends
	tickAt    time.Time
}

// What a node takes at once at most, so that it can't hoard messages, and what comes fits into
// memory, and into the send queues of sockets.
const (
	maxClaim      = 256     // messages
	maxClaimAlone = 1024    // the same where there is no other node that could want them
	maxTake       = 1 << 20 // bytes of payloads, of messages or of an inbox's entries; the last one may reach beyond
)

// maxClaim is how many messages a claim takes at most.
func (b *Broker) maxClaim() int {
	if b.alone() {
		return maxClaimAlone
	}
	return maxClaim
}

// narrow is for how many consumers a claim is to begin with: each claim that gets all it wants makes the next one twice as
// wide. So a message that comes now and then doesn't cost a look at, or a want for, each of a thousand that wait.
const narrow = 16

func newLane(b *Broker, queue string) *lane {
	return &lane{b: b, queue: queue, held: map[Ref]*hold{}, binding: make(chan struct{}, 1)}
}

// plan is a claim under way.
type plan struct {
	lane      *lane
	call      *ClaimCall
	consumers [][]*Consumer // whose each want is
	total     int
	bounded   bool // by bytes: the store doesn't tell of more when they are reached
	partial   bool // more consumers may have credit
	turn      bool // as of the lane, until it is done
	sent      time.Time
	parking   []func(error) // of sessions: what it gets may have to be parked
}

// over says that what the claim has got is handed over, or given back.
func (p *plan) over() {
	for _, done := range p.parking {
		done(nil)
	}
}

// kick sees to it that there is a claim if there is credit. It reports false if there is none: then
// a turn that the node has is passed on.
func (l *lane) kick() bool {
	l.mu.Lock()
	start, claiming, pass := false, l.claiming, false
	switch {
	case claiming:
		l.again = true
	case l.b.cut.Load() == 0 && (l.doubtful || l.credit()):
		l.claiming = true
		start = true
	default:
		pass = l.turn
		l.turn, l.waiting = false, false
	}
	l.mu.Unlock()
	if start {
		l.b.claims.add(l)
	}
	if pass {
		l.b.passes.add(l.queue)
	}
	return start || claiming
}

// told says that the store has messages for this node.
func (l *lane) told() {
	l.mu.Lock()
	l.turn, l.waiting = true, false
	l.mu.Unlock()
	l.kick()
}

// credited says that consumers have got credit, and the store has nothing new. There needs to be no claim if the
// store knows that the node waits.
func (l *lane) credited() {
	l.mu.Lock()
	calm := l.waiting || l.claiming
	l.freed = l.freed || l.claiming
	l.mu.Unlock()
	if !calm {
		l.kick()
	}
}

// credit reports whether a consumer can take anything. The lane is locked.
func (l *lane) credit() bool {
	for _, c := range l.consumers {
		if n, _ := c.credit(); n > 0 {
			return true
		}
	}
	return false
}

// plan returns the claim that the consumers want, or nil if they want nothing or there is one under way. It is for a call
// that settles leaving.
func (l *lane) plan(leaving []*settling) *plan {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.claiming || l.doubtful || l.failures > 0 || l.b.cut.Load() != 0 {
		return nil
	}
	if len(leaving) > 0 && l.waiting && plain(leaving) {
		return nil // the store tells when there is something
	}
	leave := func(yes bool) {
		for _, s := range leaving {
			if s.hold != nil && s.hold.consumer.lane == l {
				s.hold.leave(yes)
			}
		}
	}
	leave(true)
	p := l.wants()
	if p == nil {
		leave(false)
	}
	l.claiming = p != nil
	return p
}

// wants adds up the credit of the consumers, each beginning the turn once. The lane is locked.
func (l *lane) wants() *plan {
	l.again, l.freed, l.waiting = false, false, false
	p := &plan{lane: l, call: &ClaimCall{Queue: l.queue, Node: l.b.cfg.Node, MaxBytes: maxTake, Wait: true}}
	most := l.b.maxClaim()
	left := most
	plain := -1 // the want of all that are alike
	n, width := len(l.consumers), max(l.width, narrow)
	for i := range n {
		if width == 0 || left == 0 {
			p.partial = true
			break
		}
		c := l.consumers[(l.next+i)%n]
		messages, bytes := c.credit()
		if messages = min(messages, left); messages == 0 {
			continue
		}
		left -= messages
		p.bounded = p.bounded || bytes > 0
		if c.cfg.Session != "" {
			p.parking = append(p.parking, l.b.parking.add(l.queue, c.cfg.Session))
		}
		width--
		if c.cfg.Session == "" && bytes == 0 && !c.cfg.AtMostOnce {
			if plain >= 0 {
				p.call.Wants[plain].Messages += messages
				p.consumers[plain] = append(p.consumers[plain], c)
				continue
			}
			plain = len(p.call.Wants)
		}
		p.call.Wants = append(p.call.Wants, Want{
			Session: c.cfg.Session, Grace: c.cfg.Grace, Messages: messages, Bytes: bytes, AtMostOnce: c.cfg.AtMostOnce,
		})
		p.consumers = append(p.consumers, []*Consumer{c})
	}
	if len(p.call.Wants) == 0 {
		return nil
	}
	l.next++
	p.turn, l.turn = l.turn, false
	p.total = most - left
	p.sent = time.Now()
	return p
}

// claimAll claims for all lanes that want something, in one call of the store.
func (b *Broker) claimAll(lanes []*lane) {
	var plans []*plan
	var calls []*ClaimCall
	for _, l := range lanes {
		if !l.settleDoubts() {
			continue
		}
		l.mu.Lock()
		p := l.wants()
		l.mu.Unlock()
		if p == nil {
			l.rest()
			continue
		}
		plans = append(plans, p)
		calls = append(calls, p.call)
	}
	if len(calls) == 0 {
		return
	}
	ctx, cancel := b.call()
	b.store.Claim(ctx, calls)
	cancel()
	for _, p := range plans {
		p.lane.claimed(p)
	}
}

// settleDoubts gives back what the store thinks that this node has, and it hasn't: what a claim has got whose answer
// was lost, or what could not be given back. It reports false if that can't be done now.
func (l *lane) settleDoubts() bool {
	select {
	case l.binding <- struct{}{}:
		defer func() { <-l.binding }()
	default: // a session gets its messages just now
		l.mu.Lock()
		doubtful := l.doubtful
		if doubtful {
			l.claiming = false
			l.after(10 * time.Millisecond)
		}
		l.mu.Unlock()
		return !doubtful
	}
	l.mu.Lock()
	doubtful := l.doubtful
	refs := make([]Ref, 0, len(l.held))
	for ref := range l.held {
		refs = append(refs, ref)
	}
	l.mu.Unlock()
	if !doubtful {
		return true
	}
	ctx, cancel := l.b.call()
	_, err := l.b.store.Release(ctx, l.queue, l.b.cfg.Node, refs)
	cancel()
	if err != nil {
		l.failed(err, false)
		return false
	}
	l.mu.Lock()
	l.doubtful = false
	l.mu.Unlock()
	return true
}

// failed ends a claim that failed, and tries again later. turn is the plan's.
func (l *lane) failed(err error, turn bool) {
	if isGone(err) {
		l.mu.Lock()
		l.claiming, l.doubtful = false, false
		l.mu.Unlock()
		l.end(ErrNotFound)
		l.b.leave(l)
		return
	}
	l.mu.Lock()
	l.claiming, l.doubtful = false, true
	l.turn = l.turn || turn
	l.failures++
	l.after(min(100*time.Millisecond<<min(l.failures-1, 5), 2*time.Second))
	l.mu.Unlock()
	l.b.leave(l)
}

// claimedWith is claimed for a claim that went with another call, which may have ended with an error.
func (l *lane) claimedWith(p *plan, err error) {
	if err != nil && CodeOf(err) != CodeUnavailable {
		l.abandon(p)
		return
	}
	if err != nil {
		p.call.Err = err
	}
	l.claimed(p)
}

// abandon ends a claim that wasn't done.
func (l *lane) abandon(p *plan) {
	p.over()
	l.mu.Lock()
	l.turn = l.turn || p.turn
	l.mu.Unlock()
	l.rest()
}

// rest ends a claim by which nothing was wanted.
func (l *lane) rest() {
	l.mu.Lock()
	l.claiming = false
	l.mu.Unlock()
	l.kick()
	l.b.leave(l)
}

// doubt says that the store may think that this node has messages of a queue which it hasn't.
func (b *Broker) doubt(queue string) {
	b.mu.Lock()
	if b.isClosed() {
		b.mu.Unlock()
		return // the node's end says so
	}
	l := b.lanes[queue]
	if l == nil {
		l = newLane(b, queue)
		b.lanes[queue] = l
	}
	l.mu.Lock()
	l.doubtful = true
	l.mu.Unlock()
	b.mu.Unlock()
	l.kick()
}

// after kicks the lane when d has passed. The lane is locked.
func (l *lane) after(d time.Duration) {
	if l.wake == nil {
		l.wake = time.AfterFunc(d, func() { l.kick() })
		return
	}
	l.wake.Reset(d)
}

func (l *lane) stopTimers() {
	if l.wake != nil {
		l.wake.Stop()
	}
	if l.tick != nil {
		l.tick.Stop()
	}
}

// claimed hands what a claim has got to the consumers.
func (l *lane) claimed(p *plan) {
	defer p.over()
	if p.call.Err == nil && l.b.cut.Load() != 0 {
		p.call.Err = ErrUnavailable // others may have taken us for lost since
	}
	if p.call.Err != nil {
		l.failed(p.call.Err, p.turn)
		return
	}
	type delivery struct {
		to *Consumer
		ms []*Message
	}
	var out []delivery
	var orphans []*hold
	got, bytes, sated := 0, 0, false
	l.mu.Lock()
	l.failures = 0
	l.cfg.Lease = p.call.Lease
	for i := range p.call.Wants {
		w := &p.call.Wants[i]
		got += len(w.Got)
		sated = sated || w.Bytes > 0 && sizes(w.Got) >= w.Bytes
		consumers := p.consumers[i]
		first := len(out)
		for _, c := range consumers {
			out = append(out, delivery{to: c})
		}
		turn := 0
		for _, m := range w.Got {
			bytes += m.Payload.Size()
			c, at := pick(consumers, &turn, w.AtMostOnce)
			if w.AtMostOnce {
				out[first].ms = append(out[first].ms, m)
				continue
			}
			if c == nil {
				orphans = append(orphans, &hold{m: m, consumer: consumers[0]})
				continue
			}
			c.hold(m, p.sent)
			out[first+at].ms = append(out[first+at].ms, m)
		}
	}
	l.arm(p.sent.Add(l.cfg.Lease - margin(l.cfg.Lease)))
	l.mu.Unlock()

	l.giveBack(orphans)
	for _, d := range out {
		if len(d.ms) > 0 {
			d.to.deliver(d.ms)
		}
	}

	l.mu.Lock()
	all := got > 0 && got >= p.total
	more := all || bytes >= maxTake || sated && p.partial || l.again || l.doubtful || l.freed && p.bounded
	if all {
		l.width = min(2*max(l.width, narrow), l.b.maxClaim())
	} else {
		l.width = 0
	}
	l.claiming = false
	l.waiting = !more && !p.bounded
	if !more && got < p.total {
		wait := safety()
		if p.call.Next >= 0 {
			wait = min(wait, p.call.Next)
		}
		l.after(max(wait, time.Millisecond))
	}
	l.mu.Unlock()
	if more {
		l.kick()
	}
	l.b.leave(l)
}

func sizes(ms []*Message) (n int) {
	for _, m := range ms {
		n += m.Payload.Size()
	}
	return n
}

// pick returns the next consumer that can take a message; turn is where to go on. The lane is locked.
func pick(consumers []*Consumer, turn *int, settled bool) (*Consumer, int) {
	if settled {
		return consumers[0], 0
	}
	for range consumers {
		i := *turn % len(consumers)
		*turn++
		c := consumers[i]
		if !c.closed && !c.draining && len(c.held) < c.prefetch {
			return c, i
		}
	}
	return nil, 0
}

// deliver hands messages to the consumer, except those that were taken from it meanwhile.
func (c *Consumer) deliver(ms []*Message) {
	c.calls.Lock()
	defer c.calls.Unlock()
	if !c.cfg.AtMostOnce {
		c.lane.mu.Lock()
		ms = slices.DeleteFunc(ms, func(m *Message) bool { return c.held[m.Ref()] == nil })
		c.lane.mu.Unlock()
	}
	switch h := c.handler.Load(); {
	case len(ms) == 0:
	case h != nil:
		h.deliver(ms)
	default:
		c.cfg.Deliver(ms)
	}
}
