package queues

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Limits of what is published together.
const (
	maxBatch      = 1000
	maxID         = 64
	maxHeaders    = 32 // two of them for the fan-out
	maxHeaderSize = 4096
	maxDelay      = 366 * 24 * time.Hour
)

// publishing is a publish on its way.
type publishing struct {
	queue  string
	drafts []*Draft
	bytes  int64
	done   func([]PublishResult, error)
}

// outcome is what comes of a publish.
type outcome struct {
	results []PublishResult
	err     error
}

// Publish stores drafts in a queue. When it returns without an error they are stored as durably as the store
// promises, except those whose result has an error: what is wrong with one, as long as it can be told from the others,
// doesn't keep them from being stored. With an error of CodeUnavailable, or that of ctx, they may
// be: publish again with the same ids. It is a Publish action.
func (c *Client) Publish(ctx context.Context, queue string, drafts ...*Draft) ([]PublishResult, error) {
	ch, ok := c.b.outcomes.Get().(chan outcome)
	if !ok {
		ch = make(chan outcome, 1)
	}
	c.PublishFunc(ctx, queue, drafts, func(results []PublishResult, err error) { ch <- outcome{results, err} })
	select {
	case o := <-ch:
		c.b.outcomes.Put(ch)
		return o.results, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// PublishOne is Publish of one draft, with its error as its own.
func (c *Client) PublishOne(ctx context.Context, queue string, d *Draft) (PublishResult, error) {
	results, err := c.Publish(ctx, queue, d)
	if err != nil {
		return PublishResult{}, err
	}
	return results[0], results[0].Err
}

// PublishFunc is Publish without waiting: done, which must not block, is called with what Publish
// would return. ctx is that of the authorisation.
func (c *Client) PublishFunc(ctx context.Context, queue string, drafts []*Draft, done func([]PublishResult, error)) {
	p, refused, err := c.prepare(ctx, queue, drafts)
	switch {
	case err != nil:
		done(nil, err)
	case refused == nil:
		p.done = done
		c.b.publishes.add(p)
	case len(p.drafts) == 0:
		done(refused, nil)
	default:
		p.done = func(results []PublishResult, err error) {
			if err != nil {
				done(nil, err)
				return
			}
			for i := range refused {
				if refused[i].Err == nil {
					refused[i], results = results[0], results[1:]
				}
			}
			done(refused, nil)
		}
		c.b.publishes.add(p)
	}
}

// prepare returns what the store gets, and, if some drafts can't be, the results of all with the errors of those.
func (c *Client) prepare(ctx context.Context, queue string, drafts []*Draft) (p *publishing, refused []PublishResult, err error) {
	if err := c.queue(ctx, Publish, queue); err != nil {
		return nil, nil, err
	}
	if len(drafts) == 0 || len(drafts) > maxBatch {
		return nil, nil, Refuse(CodeBadRequest, "a batch has 1 to 1000 messages")
	}
	b := c.b
	cfg, err := b.config(ctx, queue)
	if err != nil {
		return nil, nil, err
	}
	p = &publishing{queue: queue, drafts: drafts}
	for i, d := range drafts {
		err := checkDraft(d, &cfg)
		if err != nil && refused == nil {
			refused = make([]PublishResult, len(drafts))
			p.drafts = slices.Clone(drafts[:i])
		}
		switch {
		case d == nil:
			refused[i].Err = err
			continue
		case err != nil:
			refused[i] = PublishResult{ID: d.ID, Err: err}
			continue
		case refused != nil:
			p.drafts = append(p.drafts, d)
		}
		p.bytes += int64(d.Payload.Size())
	}
	if len(p.drafts) == 0 {
		return p, refused, nil
	}
	if cfg.PublishRate > 0 && !c.trusted {
		wait, ok := b.rates.allow(queue+"\x00"+c.principal, len(p.drafts), cfg.PublishRate, cfg.PublishBurst, time.Now())
		if !ok {
			b.count(RefusedPublish)
			return nil, nil, &Error{Code: CodeRateLimited, Message: "publishing too fast", RetryAfter: wait}
		}
	}
	if !b.waiting.enter(p, &b.cfg) {
		return nil, nil, b.errCongested()
	}
	return p, refused, nil
}

func (w *waiting) enter(p *publishing, c *BrokerConfig) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n+len(p.drafts) > c.MaxWaiting || w.bytes+p.bytes > c.MaxWaitingBytes && w.n > 0 {
		return false
	}
	w.n += len(p.drafts)
	w.bytes += p.bytes
	return true
}

func (w *waiting) leave(batch ...*publishing) {
	n, bytes := 0, int64(0)
	for _, p := range batch {
		n += len(p.drafts)
		bytes += p.bytes
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n -= n
	w.bytes -= bytes
}

// checkDraft says what is wrong with a draft.
func checkDraft(d *Draft, c *Config) error {
	switch {
	case d == nil:
		return Refuse(CodeBadRequest, "a message is nil")
	case d.Payload.Size() > c.MaxPayload:
		return Refuse(CodeTooLarge, fmt.Sprintf("the payload has %d bytes, and at most %d may have", d.Payload.Size(), c.MaxPayload))
	case len(d.Payload.JSON) == 0:
		return Refuse(CodeBadRequest, "the message has no data")
	case len(d.ID) > maxID:
		return Refuse(CodeBadRequest, "the id is longer than 64 bytes")
	case len(d.Key) > maxName:
		return Refuse(CodeBadRequest, "the key is longer than 128 bytes")
	case d.Priority < 0 || d.Priority > 3:
		return Refuse(CodeBadRequest, "the priority isn't 0 to 3")
	case d.Key != "" && d.Priority != 0:
		return Refuse(CodeBadRequest, "a message with a key can't have a priority: both order")
	case d.Key != "" && (d.Delay != 0 || !d.At.IsZero()):
		return Refuse(CodeBadRequest, "a message with a key can't be delayed: both order")
	case d.Delay != 0 && !d.At.IsZero():
		return Refuse(CodeBadRequest, "a message has a delay or a time, not both")
	case d.Delay < 0 || d.Delay > maxDelay || d.TTL < 0 || d.TTL > 10*maxDelay:
		return Refuse(CodeBadRequest, "the delay or TTL can't be that long, or negative")
	case !d.At.IsZero() && (d.At.Unix() < 0 || d.At.After(time.Now().Add(2*maxDelay))):
		return Refuse(CodeBadRequest, "the time is too far away")
	}
	return checkHeaders(d.Headers, maxHeaders)
}

func checkHeaders(headers map[string]string, most int) error {
	if len(headers) > most {
		return Refuse(CodeBadRequest, "too many headers")
	}
	size := 0
	for k, v := range headers {
		size += len(k) + len(v)
	}
	if size > maxHeaderSize {
		return Refuse(CodeBadRequest, "headers of more than 4 KiB")
	}
	return nil
}

// What one call of the store carries at most.
const (
	callMessages = 1024
	callBytes    = 4 << 20
)

// publishAll stores what has gathered.
func (b *Broker) publishAll(batch []*publishing) {
	for len(batch) > 0 {
		n, messages, bytes := 0, 0, int64(0)
		for n < len(batch) && (n == 0 || messages+len(batch[n].drafts) <= callMessages && bytes+batch[n].bytes <= callBytes) {
			messages += len(batch[n].drafts)
			bytes += batch[n].bytes
			n++
		}
		b.publishSome(batch[:n])
		batch = batch[n:]
	}
}

// publishSome stores a batch in one call of the store; and if consumers of this node wait
// for messages of a queue, the call claims, too.
func (b *Broker) publishSome(batch []*publishing) {
	type gathered struct {
		call *PublishCall
		of   []*publishing
		lane *lane
		plan *plan
	}
	groups := group(batch, func(p *publishing) string { return p.queue },
		func(queue string) *gathered { return &gathered{call: &PublishCall{Queue: queue}} },
		func(g *gathered, p *publishing) {
			g.call.Drafts = append(g.call.Drafts, p.drafts...)
			g.of = append(g.of, p)
		})
	calls := make([]*PublishCall, len(groups))
	for i, g := range groups {
		calls[i] = g.call
		if g.lane = b.lane(g.call.Queue); g.lane != nil {
			if g.plan = g.lane.plan(nil); g.plan != nil {
				g.call.Claim = g.plan.call
			}
		}
	}
	ctx, cancel := b.call()
	b.store.Publish(ctx, calls)
	cancel()
	b.waiting.leave(batch...)
	for _, g := range groups {
		results, err := g.call.Results, g.call.Err
		for _, p := range g.of {
			if err != nil {
				b.countFull(err)
				p.done(nil, err)
				continue
			}
			n := len(p.drafts)
			p.done(results[:n:n], nil)
			results = results[n:]
		}
		if g.plan != nil {
			g.lane.claimedWith(g.plan, err)
		}
	}
}
