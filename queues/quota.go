package queues

import (
	"context"
	"strings"
	"time"
)

// Refusal is a limit of what may be done through one node.
type Refusal string

// The refusals.
const (
	RefusedPublish   Refusal = "publish_rate"  // Config.PublishRate
	RefusedConsumer  Refusal = "max_consumers" // Config.MaxConsumers
	RefusedSend      Refusal = "send_rate"     // BrokerConfig.SendRate
	RefusedNewInbox  Refusal = "new_inboxes"   // BrokerConfig.NewInboxes
	RefusedDevice    Refusal = "devices"       // InboxLimits.Devices
	RefusedInbox     Refusal = "max_inboxes"   // InboxLimits.Inboxes: of all principals together
	RefusedCongested Refusal = "max_waiting"   // BrokerConfig.MaxWaiting: of all principals together
	RefusedFull      Refusal = "store_full"    // ErrStoreFull: whoever it is
)

// Refusals are all there are.
var Refusals = [...]Refusal{RefusedPublish, RefusedConsumer, RefusedSend, RefusedNewInbox, RefusedDevice, RefusedInbox, RefusedCongested, RefusedFull}

// Refused calls f with how often each limit has refused something.
func (b *Broker) Refused(f func(Refusal, uint64)) {
	for i, r := range Refusals {
		f(r, b.refused[i].Load())
	}
}

func (b *Broker) count(r Refusal) {
	for i := range Refusals {
		if Refusals[i] == r {
			b.refused[i].Add(1)
		}
	}
}

// countFull counts err if it says that the store, or an inbox that would be made, has no room.
func (b *Broker) countFull(err error) {
	switch err {
	case ErrDevices:
		b.count(RefusedDevice)
	case ErrInboxes:
		b.count(RefusedInbox)
	case ErrStoreFull:
		b.count(RefusedFull)
	}
}

// errCongested refuses what the node can't keep until the store takes it.
func (b *Broker) errCongested() error {
	b.count(RefusedCongested)
	return &Error{Code: CodeUnavailable, Message: "too much waits to be stored", RetryAfter: time.Second}
}

// paceSend counts n entries that the principal sends.
func (c *Client) paceSend(n int) error {
	cfg := &c.b.cfg
	if c.trusted || cfg.SendRate < 0 {
		return nil
	}
	wait, ok := c.b.sends.allow(c.principal, n, cfg.SendRate, cfg.SendBurst, time.Now())
	if ok {
		return nil
	}
	c.b.count(RefusedSend)
	return &Error{Code: CodeRateLimited, Message: "sending too fast", RetryAfter: wait}
}

// leave is what a principal may do with one send to several inboxes, of which nobody knows yet whether they are there:
// leave to make as many as it has left of BrokerConfig.NewInboxes. What isn't used is given back.
type leave struct {
	c    *Client
	left int
	wait time.Duration // until there is more
}

func (c *Client) leaveFor(inboxes []string) *leave {
	l := &leave{c: c}
	if c.makesAny() {
		return l
	}
	n := 0
	for _, name := range inboxes {
		if !isDevice(name) {
			n++
		}
	}
	l.left, l.wait = c.b.makes.take(c.principal, n, c.b.makeRate(), c.b.cfg.NewInboxes, time.Now())
	return l
}

// makesAny reports whether there is no bound.
func (c *Client) makesAny() bool { return c.trusted || c.b.cfg.NewInboxes < 0 }

// makeRate is NewInboxes per second.
func (b *Broker) makeRate() float64 { return float64(b.cfg.NewInboxes) / time.Hour.Seconds() }

// entry returns e as it may be sent to an inbox, and what then follows from its result.
func (l *leave) entry(e *Entry, inbox string) (*Entry, func(*AppendResult)) {
	c := l.c
	switch {
	case c.trusted, c.makesAny() && !isDevice(inbox):
		return e, func(*AppendResult) {}
	case !isDevice(inbox) && l.left > 0:
		l.left--
		return e, func(r *AppendResult) {
			if !r.Made && CodeOf(r.Err) != CodeUnavailable {
				c.b.makes.give(c.principal, c.b.makeRate())
			}
		}
	}
	there := *e
	there.Existing = true
	return &there, func(r *AppendResult) {
		if CodeOf(r.Err) == CodeNotFound && !isDevice(inbox) && !e.Existing {
			r.Err = c.b.errNewInboxes(l.wait)
		}
	}
}

// leaveToUse takes leave to make an inbox that the principal may open, if it isn't there. One's own, and those of one's
// devices, need none: there are only so many.
func (c *Client) leaveToUse(ctx context.Context, inbox string) error {
	owner, _, _ := strings.Cut(inbox, "/")
	if c.makesAny() || c.principal != "" && owner == InboxOf(c.principal) {
		return nil
	}
	if c.b.isClosed() {
		return ErrUnavailable
	}
	st, err := c.b.store.InboxStats(ctx, inbox)
	if err != nil || st.Epoch != 0 {
		return err
	}
	wait, ok := c.b.makes.allow(c.principal, 1, c.b.makeRate(), c.b.cfg.NewInboxes, time.Now())
	if !ok {
		return c.b.errNewInboxes(wait)
	}
	return nil
}

// errNewInboxes refuses to have another inbox made before so much time is over.
func (b *Broker) errNewInboxes(wait time.Duration) error {
	b.count(RefusedNewInbox)
	return &Error{Code: CodeRateLimited, Message: "too many new inboxes", RetryAfter: wait}
}

// isDevice reports whether an inbox is that of a principal's device. Others can't have it made: they would use up what
// the principal may have.
func isDevice(inbox string) bool { return strings.Contains(inbox, "/") }
