package queues_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

// sendAs sends an entry to inboxes and returns what became of it in each.
func sendAs(t *testing.T, c *queues.Client, inboxes ...string) string {
	t.Helper()
	sent, err := c.InboxSend(t.Context(), &queues.Entry{Payload: payload("x")}, inboxes...)
	if err != nil {
		return string(queues.CodeOf(err))
	}
	var out []string
	for _, s := range sent {
		if s.Err != nil {
			out = append(out, string(queues.CodeOf(s.Err)))
		} else {
			out = append(out, fmt.Sprint(s.Seq))
		}
	}
	return strings.Join(out, " ")
}

func payload(text string) queues.Payload { return queues.Payload{JSON: fmt.Appendf(nil, "%q", text)} }

// refused is how often each limit has refused something, but for those that haven't.
func refused(b *queues.Broker) string {
	var out []string
	b.Refused(func(r queues.Refusal, n uint64) {
		if n > 0 {
			out = append(out, fmt.Sprint(r, "=", n))
		}
	})
	return strings.Join(out, " ")
}

func allow(context.Context, string, queues.Action, string) error { return nil }

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func retryAfter(err error) time.Duration {
	var e *queues.Error
	errors.As(err, &e)
	return e.RetryAfter
}

// named returns n names of inboxes.
func named(prefix string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprint(prefix, i))
	}
	return names
}

func TestQuotasOfQueues(t *testing.T) {
	run(t, queues.BrokerConfig{Authorize: allow}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{PublishRate: 2, PublishBurst: 3, MaxConsumers: 2})
		ann, bob := n.As("ann"), n.As("bob")
		for range 3 {
			if _, err := ann.PublishOne(t.Context(), "q", draft("x")); err != nil {
				t.Fatal(err)
			}
		}
		_, err := ann.PublishOne(t.Context(), "q", draft("x"))
		expectCode(t, err, queues.CodeRateLimited)
		expect(t, "retryAfter", retryAfter(err), 500*time.Millisecond)
		_, err = bob.PublishOne(t.Context(), "q", draft("x"))
		expectCode(t, err, "")
		time.Sleep(500 * time.Millisecond)
		_, err = ann.PublishOne(t.Context(), "q", draft("x"))
		expectCode(t, err, "")

		for i := range 3 {
			_, err := ann.Consume(t.Context(), "q", queues.ConsumerConfig{})
			if want := map[bool]queues.Code{true: queues.CodeRateLimited}[i == 2]; queues.CodeOf(err) != want {
				t.Errorf("consumer %d: %v", i, err)
			}
		}
		_, err = bob.Consume(t.Context(), "q", queues.ConsumerConfig{})
		expectCode(t, err, "")
	})
}

func TestSendRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, newStore(), queues.BrokerConfig{Authorize: allow, SendRate: 2, SendBurst: 4, NewInboxes: -1})
		ann, bob := n.As("ann"), n.As("bob")
		expect(t, "one below, and one at the limit", sendAs(t, ann, named("a", 3)...)+", "+sendAs(t, ann, "a0"), "1 1 1, 2")
		_, err := ann.InboxSend(t.Context(), &queues.Entry{Payload: payload("x")}, "a0")
		expectCode(t, err, queues.CodeRateLimited)
		expect(t, "retryAfter", retryAfter(err), time.Second/2)
		_, err = ann.TopicPublish(t.Context(), "news", &queues.Entry{Payload: payload("x")})
		expectCode(t, err, queues.CodeRateLimited)
		expect(t, "another principal", sendAs(t, bob, "a0"), "3")
		expect(t, "the broker itself", sendAs(t, &n.Client, named("a", 9)...), "4 2 2 1 1 1 1 1 1")
		expect(t, "refused", refused(n.Broker), "send_rate=2")
		time.Sleep(time.Second / 2)
		expect(t, "later", sendAs(t, ann, "a0")+", "+sendAs(t, ann, "a0"), "5, rate_limited")
		time.Sleep(2 * time.Second)
		for range 4 {
			_, err := ann.TopicPublish(t.Context(), "news", &queues.Entry{Payload: payload("x")})
			expectCode(t, err, "")
		}
		_, err = ann.TopicPublish(t.Context(), "news", &queues.Entry{Payload: payload("x")})
		expectCode(t, err, queues.CodeRateLimited)
	})
}

func TestNewInboxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, newStore(), queues.BrokerConfig{Authorize: allow, NewInboxes: 3, SendRate: -1})
		ann, bob := n.As("ann"), n.As("bob")
		expect(t, "below", sendAs(t, ann, "a0", "a1"), "1 1")
		expect(t, "what is there takes no leave", sendAs(t, ann, "a0", "a1", "a0"), "2 2 2")
		opened, _, err := n.OpenInbox(t.Context(), "empty", queues.InboxConfig{})
		expectCode(t, err, "")
		t.Cleanup(func() { opened.Close(context.Background()) })
		expect(t, "though nothing was ever in it", sendAs(t, ann, "empty"), "1")
		expect(t, "at, and above", sendAs(t, ann, "a2", "a3", "a0", "a4"), "1 rate_limited 3 rate_limited")
		expect(t, "refused", refused(n.Broker), "new_inboxes=2")
		expect(t, "another principal, and the broker", sendAs(t, bob, "a3")+" "+sendAs(t, &n.Client, named("b", 9)...), "1 1 1 1 1 1 1 1 1 1")
		sent, _ := ann.InboxSend(t.Context(), &queues.Entry{Payload: payload("x")}, "a9")
		expect(t, "retryAfter", retryAfter(sent[0].Err), 20*time.Minute)
		time.Sleep(20 * time.Minute)
		expect(t, "later", sendAs(t, ann, "a9", "a8"), "1 rate_limited")
		cid := n.As("cid")
		expect(t, "one that is named twice takes one leave", sendAs(t, cid, "c0", "c0", "c0")+" "+sendAs(t, cid, "c1", "c2"), "1 1 1 1 1")
		st, err := n.InboxStats(t.Context(), "a8")
		expectCode(t, err, "")
		expect(t, "what was refused made nothing", st, queues.InboxStats{})
	})
}

// Whoever might open inboxes of any name could make as many as fit.
func TestNewInboxesOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, newStore(), queues.BrokerConfig{Authorize: allow, NewInboxes: 3, SendRate: -1})
		open := func(c *queues.Client, name string) error {
			in, _, err := c.OpenInbox(t.Context(), name, queues.InboxConfig{})
			if err == nil {
				defer in.Close(t.Context())
			}
			return err
		}
		ann, bob, nobody, spaces := n.As("ann"), n.As("bob"), n.As(""), n.As("Ann Lee")
		expectCode(t, open(ann, "a0"), "")
		expectCode(t, ann.Subscribe(t.Context(), "a1", "news"), "")
		expect(t, "by sending", sendAs(t, ann, "a2", "a3"), "1 rate_limited")
		err := open(ann, "a3")
		expectCode(t, err, queues.CodeRateLimited)
		expect(t, "retryAfter", retryAfter(err), 20*time.Minute)
		expectCode(t, ann.Subscribe(t.Context(), "bob/phone", "news"), queues.CodeRateLimited)
		expect(t, "refused", refused(n.Broker), "new_inboxes=3")
		expect(t, "what was refused made nothing", sendAs(t, bob, "bob/phone"), "not_found")
		for _, name := range []string{"a0", "a1", "a2", "ann", "ann/phone"} { // what is there, or one's own
			expectCode(t, open(ann, name), "")
			expectCode(t, ann.Subscribe(t.Context(), name, "sport"), "")
		}
		expectCode(t, open(spaces, queues.InboxOf("Ann Lee")+"/phone"), "")
		for _, name := range named("b", 9) {
			expectCode(t, open(&n.Client, name), "")
		}
		for i, name := range named("c", 4) { // those without a name have it together
			expectCode(t, open(nobody, name), map[bool]queues.Code{true: queues.CodeRateLimited}[i == 3])
		}
		expectCode(t, open(bob, "c3"), "")
		time.Sleep(20 * time.Minute)
		expectCode(t, open(ann, "a3"), "")
		expectCode(t, open(ann, "a4"), queues.CodeRateLimited)
	})
}

// Whoever could be many principals, as in the demo, could have an inbox for each.
func TestMaxInboxes(t *testing.T) {
	n := start(t, newStore(), queues.BrokerConfig{Authorize: allow, Inbox: queues.InboxLimits{Inboxes: 2}})
	open := func(c *queues.Client, name string) error {
		in, _, err := c.OpenInbox(t.Context(), name, queues.InboxConfig{})
		if err == nil {
			defer in.Close(t.Context())
		}
		return err
	}
	for i, name := range named("visitor", 3) {
		expectCode(t, open(n.As(name), name), map[bool]queues.Code{true: queues.CodeQueueFull}[i == 2])
	}
	ann := n.As("ann")
	expectCode(t, ann.Subscribe(t.Context(), "ann", "news"), queues.CodeQueueFull)
	expect(t, "by sending", sendAs(t, ann, "visitor0", "bob", "visitor1"), "1 queue_full 1")
	expect(t, "by the broker itself", sendAs(t, &n.Client, "bob"), "queue_full")
	expect(t, "refused", refused(n.Broker), "max_inboxes=4")
	expectCode(t, n.DeleteInbox(t.Context(), "visitor1"), "")
	expectCode(t, open(ann, "ann"), "")
}

// A sender could have used up what a principal may have of inboxes for its devices.
func TestDevicesAreMadeByTheirOwners(t *testing.T) {
	n := start(t, newStore(), queues.BrokerConfig{
		Inbox: queues.InboxLimits{Devices: 2},
		Authorize: func(ctx context.Context, who string, a queues.Action, name string) error {
			if a == queues.SendInbox || a == queues.Subscribe {
				return nil
			}
			return queues.OwnInbox(ctx, who, a, name)
		},
	})
	ann, eve := n.As("ann"), n.As("eve")
	expect(t, "to no device", sendAs(t, eve, "ann/1", "ann", "ann/2"), "not_found 1 not_found")
	open := func(device string) error {
		in, _, err := ann.OpenInbox(t.Context(), "ann/"+device, queues.InboxConfig{})
		if err == nil {
			defer in.Close(t.Context())
		}
		return err
	}
	expectCode(t, open("1"), "")
	expectCode(t, ann.Subscribe(t.Context(), "ann/2", "news"), "")
	expectCode(t, open("3"), queues.CodeQueueFull)
	expectCode(t, ann.Subscribe(t.Context(), "ann/3", "news"), queues.CodeQueueFull)
	expect(t, "by the broker", sendAs(t, &n.Client, "ann/3", "ann/2"), "queue_full 1")
	expect(t, "to devices", sendAs(t, eve, "ann/1", "ann/2", "ann/3"), "1 2 not_found")
	expect(t, "refused", refused(n.Broker), "devices=3")
}

func TestAllRefusalsAreCounted(t *testing.T) {
	n := start(t, newStore(), queues.BrokerConfig{Authorize: allow, MaxWaiting: 1})
	n.queue("q", queues.Config{PublishRate: 1, MaxConsumers: 1})
	ann := n.As("ann")
	for range 2 {
		_, _ = ann.PublishOne(t.Context(), "q", &queues.Draft{Payload: payload("x")})
		if c, err := ann.Consume(t.Context(), "q", queues.ConsumerConfig{}); err == nil {
			t.Cleanup(c.Close)
		}
	}
	expect(t, "to more than may wait", sendAs(t, ann, "a", "b"), "unavailable")
	expect(t, "refused", refused(n.Broker), "publish_rate=1 max_consumers=1 max_waiting=1")
	if len(slices.Compact(slices.Sorted(slices.Values(queues.Refusals[:])))) != len(queues.Refusals) {
		t.Error("a reason is there twice")
	}
}

// An entry that no inbox can hold was taken for a topic, and then refused by all of them without a word.
func TestEntriesFitIntoInboxes(t *testing.T) {
	n := start(t, newStore(), queues.BrokerConfig{Inbox: queues.InboxLimits{MaxBytes: 10, Overflow: queues.RejectNew}})
	for size, want := range map[int]queues.Code{9: "", 10: "", 11: queues.CodeTooLarge} {
		e := &queues.Entry{Payload: payload(strings.Repeat("x", size-2))}
		_, err := n.TopicPublish(t.Context(), "news", e)
		expectCode(t, err, want)
		_, err = n.InboxSend(t.Context(), e, fmt.Sprint("inbox", size))
		expectCode(t, err, want)
	}
}

// Whoever may admin queues of any name could make as many as fit.
func TestMaxQueues(t *testing.T) {
	n := start(t, newStore(), queues.BrokerConfig{Authorize: allow, MaxQueues: 3})
	ann := n.As("ann")
	for _, test := range []struct {
		queue string
		code  queues.Code
	}{{"a", ""}, {"b", ""}, {"c", queues.CodeQueueFull}, {"a", ""}} { // and the topics' own
		expectCode(t, ann.Configure(t.Context(), test.queue, queues.Config{MaxLen: 5}), test.code)
	}
	n.queue("c", queues.Config{}) // the broker itself
	expectCode(t, ann.Configure(t.Context(), "c", queues.Config{}), "")
	expectCode(t, ann.Delete(t.Context(), "c", false), "")
	expectCode(t, ann.Delete(t.Context(), "b", false), "")
	expectCode(t, ann.Configure(t.Context(), "d", queues.Config{}), "")
}

// crammed is a store that has no room for more, while it is on.
type crammed struct {
	queues.Store
	on atomic.Bool
}

func (c *crammed) Full() bool { return c.on.Load() }

func (c *crammed) Publish(ctx context.Context, calls []*queues.PublishCall) {
	if !c.on.Load() {
		c.Store.Publish(ctx, calls)
		return
	}
	for _, call := range calls {
		if call.Err = queues.ErrStoreFull; call.Claim != nil {
			call.Claim.Err = call.Err
		}
	}
}

func (c *crammed) Append(ctx context.Context, calls []*queues.AppendCall) {
	if !c.on.Load() {
		c.Store.Append(ctx, calls)
		return
	}
	for _, call := range calls {
		call.Err = queues.ErrStoreFull
	}
}

// What a store refuses that is nearly full is counted, whoever sent it, and the broker says so. It was in logs and answers only.
func TestFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &crammed{Store: memqueue.New(memqueue.Config{})}
		n := start(t, store, queues.BrokerConfig{Authorize: allow})
		n.queue("q", queues.Config{MaxLen: 1})
		n.publish("q", "a")
		_, err := n.PublishOne(t.Context(), "q", draft("b"))
		expectCode(t, err, queues.CodeQueueFull) // the queue is full, not the store
		expect(t, "refused", refused(n.Broker), "")
		expect(t, "full", n.Full(), false)

		store.on.Store(true)
		expect(t, "full", n.Full(), true)
		_, err = n.As("ann").PublishOne(t.Context(), "q", draft("b"))
		expectCode(t, err, queues.CodeQueueFull)
		_, err = n.PublishOne(t.Context(), "q", draft("b"))
		expectCode(t, err, queues.CodeQueueFull)
		expect(t, "sent", sendAs(t, n.As("ann"), "bob", "ann"), "queue_full queue_full")
		_, err = n.TopicPublish(t.Context(), "news", &queues.Entry{Payload: payload("x")})
		expectCode(t, err, queues.CodeQueueFull)
		expect(t, "refused", refused(n.Broker), "store_full=5")
	})
}
