package queues

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"time"
)

// fanoutQueue is the work queue of what was published to topics. A message's key is its topic, so that the
// messages of a topic are fanned out one after another; its number is the entry's number in the topic, by
// which inboxes know what they have got. So a fan-out that stops half-way is done again, and
// finished, by whichever node gets the message next.
const fanoutQueue = "$fanout"

// Headers of a message of the fan-out queue that aren't the entry's.
const (
	headerID  = "$id"
	headerTTL = "$ttl"
)

// fanoutPage is how many inboxes are written to at a time.
const fanoutPage = 500

// fanoutConfig lets no entry die: each is tried until all inboxes have it, and those behind it in its topic wait.
var fanoutConfig = Config{MaxFailures: -1, MaxAttempts: -1, BackoffMax: 10 * time.Second, MaxPayload: -1}.WithDefaults()

func (b *Broker) startFanout(ctx context.Context) error {
	cfg, err := b.store.Config(ctx, fanoutQueue)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if cfg != fanoutConfig {
		if err := b.store.Configure(ctx, fanoutQueue, fanoutConfig); err != nil {
			return err
		}
	}
	c, err := b.Consume(ctx, fanoutQueue, ConsumerConfig{Prefetch: 8})
	if err != nil {
		return err
	}
	return Handle(c, b.fanOut)
}

// TopicPublish sends an entry to all inboxes that are subscribed to a topic. When it returns the
// entry is stored, under the number that it returns; it arrives in the inboxes soon. With an id it is
// published once. It is a SendInbox action.
func (c *Client) TopicPublish(ctx context.Context, topic string, e *Entry) (uint64, error) {
	type outcome struct {
		seq uint64
		err error
	}
	ch := make(chan outcome, 1)
	c.TopicPublishFunc(ctx, topic, e, func(seq uint64, err error) { ch <- outcome{seq, err} })
	select {
	case o := <-ch:
		return o.seq, o.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// TopicPublishFunc is TopicPublish without waiting: done must not block.
func (c *Client) TopicPublishFunc(ctx context.Context, topic string, e *Entry, done func(seq uint64, err error)) {
	if !ValidName(topic) {
		done(0, badName("the topic"))
		return
	}
	err := c.may(ctx, SendInbox, topic)
	if err == nil {
		err = c.checkEntry(e)
	}
	if err == nil {
		err = c.paceSend(1)
	}
	if err != nil {
		done(0, err)
		return
	}
	d := &Draft{Key: topic, Headers: map[string]string{}, Payload: e.Payload}
	for k, v := range e.Headers {
		d.Headers[k] = v
	}
	if e.ID != "" {
		d.Headers[headerID] = e.ID
		sum := sha256.Sum256([]byte(topic + "\x00" + e.ID)) // the queue's ids are those of all topics
		d.ID = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if e.TTL > 0 {
		d.Headers[headerTTL] = strconv.FormatInt(e.TTL.Milliseconds(), 10)
	}
	c.b.PublishFunc(ctx, fanoutQueue, []*Draft{d}, func(results []PublishResult, err error) {
		if err == nil {
			err = results[0].Err
		}
		if err != nil {
			done(0, err)
			return
		}
		done(results[0].Seq, nil)
	})
}

// fanOut appends a message of the fan-out queue to all members of its topic.
func (b *Broker) fanOut(ctx context.Context, m *Message, p Payload) error {
	e := &Entry{Topic: m.Key, TopicSeq: m.Seq, Payload: p, Headers: map[string]string{}}
	for k, v := range m.Headers {
		switch k {
		case headerID:
			e.ID = v
		case headerTTL:
			ms, _ := strconv.ParseInt(v, 10, 64)
			e.TTL = time.Duration(ms) * time.Millisecond
		default:
			e.Headers[k] = v
		}
	}
	var failed error // of an inbox: others get the entry all the same
	refused, after := 0, ""
	for {
		next, err := b.fanOutPage(ctx, e, after, &refused, &failed)
		if err != nil {
			return err
		}
		if after = next; after == "" {
			break
		}
	}
	if refused > 0 {
		b.log.Warn("queues: inboxes were full", "topic", m.Key, "inboxes", refused)
	}
	return failed
}

func (b *Broker) fanOutPage(ctx context.Context, e *Entry, after string, refused *int, failed *error) (next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, b.cfg.Timeout)
	defer cancel()
	members, next, err := b.store.Members(ctx, e.Topic, after, fanoutPage)
	if err != nil || len(members) == 0 {
		return next, err
	}
	calls := make([]*AppendCall, len(members))
	limits := b.cfg.Inbox
	limits.Overflow = DropOldest // nobody waits to be told that it was refused; the owner is told of a gap
	for i, inbox := range members {
		calls[i] = &AppendCall{Inbox: inbox, Limits: limits, Entries: []*Entry{e}}
	}
	b.store.Append(ctx, calls)
	for _, c := range calls {
		switch {
		case c.Err != nil:
			*failed = c.Err
		case c.Results[0].Err != nil:
			*refused++
		}
	}
	return next, nil
}

// Subscribe makes an inbox a member of a topic, until Unsubscribe, whether it is open or not. It is a
// Subscribe action on the topic, by whoever may open the inbox, which is made as by OpenInbox.
func (c *Client) Subscribe(ctx context.Context, inbox, topic string) error {
	if err := c.subscription(ctx, inbox, topic); err != nil {
		return err
	}
	if err := c.leaveToUse(ctx, inbox); err != nil {
		return err
	}
	err := c.b.store.Subscribe(ctx, inbox, topic, c.b.cfg.Inbox)
	c.b.countFull(err)
	return err
}

// Unsubscribe ends a membership. It needs no more than to open the inbox.
func (c *Client) Unsubscribe(ctx context.Context, inbox, topic string) error {
	if !ValidName(topic) {
		return badName("the topic")
	}
	if err := c.inbox(ctx, OpenInbox, inbox); err != nil {
		return err
	}
	return c.b.store.Unsubscribe(ctx, inbox, topic)
}

func (c *Client) subscription(ctx context.Context, inbox, topic string) error {
	if !ValidName(topic) {
		return badName("the topic")
	}
	if err := c.inbox(ctx, OpenInbox, inbox); err != nil {
		return err
	}
	return c.may(ctx, Subscribe, topic)
}
