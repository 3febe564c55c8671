package queues

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Client is a broker as one principal may use it.
type Client struct {
	b         *Broker
	principal string
	trusted   bool
}

// As returns the broker for a principal, whose every action is authorised.
func (b *Broker) As(principal string) *Client { return &Client{b: b, principal: principal} }

// Principal returns whose client this is; "" for the broker itself.
func (c *Client) Principal() string { return c.principal }

// may returns an error unless the principal may do something.
func (c *Client) may(ctx context.Context, action Action, name string) error {
	if c.trusted {
		return nil
	}
	err := c.b.cfg.Authorize(ctx, c.principal, action, name)
	if err == ErrUnauthorized { // which says neither who nor what
		return refusal(c.principal, action, name)
	}
	if e := (*Error)(nil); err == nil || errors.As(err, &e) {
		return err
	}
	return Refuse(CodeUnauthorized, err.Error())
}

// queue checks the name of a queue, and that the principal may do something to it.
func (c *Client) queue(ctx context.Context, action Action, name string) error {
	if !ValidName(name) && !(c.trusted && name == fanoutQueue) {
		return badName("the queue")
	}
	if err := c.may(ctx, action, name); err != nil {
		return err
	}
	if c.b.isClosed() {
		return ErrUnavailable
	}
	return nil
}

// Allowed says whether the principal may do something to a queue, inbox or topic: nil, or why not.
func (c *Client) Allowed(ctx context.Context, action Action, name string) error {
	return c.may(ctx, action, name)
}

// JSON returns v as a payload.
func JSON(v any) (Payload, error) {
	b, err := json.Marshal(v)
	return Payload{JSON: b}, err
}

// errFanout refuses to change what all topics depend on.
var errFanout = Refuse(CodeBadRequest, "the queue of the topics can't be configured or deleted")

// maxPeek is how far Peek looks.
const maxPeek = 10_000

// Configure makes a queue or changes its configuration. It is an Admin action.
func (c *Client) Configure(ctx context.Context, queue string, cfg Config) error {
	if err := c.queue(ctx, Admin, queue); err != nil {
		return err
	}
	if err := cfg.Validate(); err != nil {
		return err
	}
	if queue == fanoutQueue {
		return errFanout
	}
	if err := c.room(ctx, queue); err != nil {
		return err
	}
	c.b.forgetConfig(queue)
	defer c.b.forgetConfig(queue)
	return c.b.store.Configure(ctx, queue, cfg.WithDefaults())
}

// room refuses a principal's queue that is a new one, if there are as many as there may be.
func (c *Client) room(ctx context.Context, queue string) error {
	if c.trusted {
		return nil
	}
	_, err := c.b.store.Config(ctx, queue)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	all, err := c.b.store.Queues(ctx)
	if err == nil && len(all) >= c.b.cfg.MaxQueues {
		err = Refuse(CodeQueueFull, "there are too many queues")
	}
	return err
}

// Config returns the configuration of a queue. It is an Inspect action.
func (c *Client) Config(ctx context.Context, queue string) (Config, error) {
	if err := c.queue(ctx, Inspect, queue); err != nil {
		return Config{}, err
	}
	return c.b.store.Config(ctx, queue)
}

// Queues returns the names of the queues that the principal may inspect, sorted.
func (c *Client) Queues(ctx context.Context) ([]string, error) {
	all, err := c.b.store.Queues(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range all {
		if ValidName(name) && c.may(ctx, Inspect, name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// Delete deletes a queue, and closes its consumers: those of this node at once. Without force it must be idle: ErrConflict.
// It is an Admin action.
func (c *Client) Delete(ctx context.Context, queue string, force bool) error {
	if err := c.queue(ctx, Admin, queue); err != nil {
		return err
	}
	if queue == fanoutQueue {
		return errFanout
	}
	defer c.b.forgetConfig(queue)
	if err := c.b.store.Delete(ctx, queue, force); err != nil {
		return err
	}
	if l := c.b.lane(queue); l != nil {
		l.end(ErrNotFound)
	}
	return nil
}

// Pause stops or resumes publishing to a queue and hand-out from it. It is an Admin action.
func (c *Client) Pause(ctx context.Context, queue string, publish, consume bool) error {
	if err := c.queue(ctx, Admin, queue); err != nil {
		return err
	}
	return c.b.store.Pause(ctx, queue, publish, consume)
}

// Purge deletes dead messages, or all others that nobody has. It returns how many. It is
// an Admin action.
func (c *Client) Purge(ctx context.Context, queue string, dead bool) (total int, err error) {
	if err := c.queue(ctx, Admin, queue); err != nil {
		return 0, err
	}
	st, err := c.b.store.Stats(ctx, queue) // what comes meanwhile isn't meant: it might never end
	if err != nil {
		return 0, err
	}
	there := st.Ready + st.Scheduled + st.Blocked + st.Leased // some of which may come back
	if dead {
		there = st.Dead
	}
	for {
		n, err := c.b.store.Purge(ctx, queue, dead)
		if total += n; n == 0 || total >= there || err != nil {
			return total, err
		}
	}
}

// Redrive makes dead messages ready again, as if they were published now: those with the ids, or else the n oldest, all if n is
// negative. rate, if not 0, is how many per second: then it takes its time, until ctx ends. It returns how many, also with
// an error, and stops when the queue is full. It is an Admin action.
func (c *Client) Redrive(ctx context.Context, queue string, n int, ids []string, rate float64) (total int, err error) {
	if err := c.queue(ctx, Admin, queue); err != nil {
		return 0, err
	}
	if len(ids) > maxBatch {
		return 0, Refuse(CodeBadRequest, "more than 1000 ids")
	}
	if rate < 0 {
		return 0, Refuse(CodeBadRequest, "the rate is negative")
	}
	if len(ids) > 0 {
		n = len(ids)
	} else {
		st, err := c.b.store.Stats(ctx, queue) // what dies meanwhile isn't meant
		if err != nil {
			return 0, err
		}
		if n < 0 || n > st.Dead {
			n = st.Dead
		}
	}
	step := maxBatch
	if rate > 0 {
		step = min(max(int(rate/10), 1), step)
	}
	for at := 0; at < n; {
		k := min(step, n-at)
		moved, err := c.redriveSome(ctx, queue, k, ids[min(at, len(ids)):min(at+k, len(ids))])
		total += moved
		if err != nil || moved == 0 && len(ids) == 0 {
			return total, err
		}
		if at += k; rate > 0 && at < n {
			t := time.NewTimer(times(moved, rate))
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return total, ctx.Err()
			}
		}
	}
	return total, nil
}

func (c *Client) redriveSome(ctx context.Context, queue string, n int, ids []string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, c.b.cfg.Timeout)
	defer cancel()
	return c.b.store.Redrive(ctx, queue, n, ids)
}

// Peek returns up to n messages in one state, after the first offset, without touching them; offset and n
// together are at most 10,000. It is an Inspect action.
func (c *Client) Peek(ctx context.Context, queue string, state State, offset, n int) ([]*Info, error) {
	if err := c.queue(ctx, Inspect, queue); err != nil {
		return nil, err
	}
	switch state {
	case Ready, Scheduled, Leased, Blocked, Dead:
	default:
		return nil, Refuse(CodeBadRequest, "state is ready, scheduled, leased, blocked or dead")
	}
	if offset < 0 || n < 0 {
		return nil, Refuse(CodeBadRequest, "there is no negative number or place of messages")
	}
	if offset > maxPeek || n > maxPeek-offset {
		return nil, Refuse(CodeBadRequest, fmt.Sprintf("can't look further than %d messages", maxPeek))
	}
	return c.b.store.Peek(ctx, queue, state, offset, n)
}

// Stats returns the numbers of a queue. It is an Inspect action.
func (c *Client) Stats(ctx context.Context, queue string) (Stats, error) {
	if err := c.queue(ctx, Inspect, queue); err != nil {
		return Stats{}, err
	}
	return c.b.store.Stats(ctx, queue)
}
