package queues_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a broker in a test.
type node struct {
	*queues.Broker
	t *testing.T
}

func start(t *testing.T, store queues.Store, c queues.BrokerConfig) *node {
	t.Helper()
	c.Store = store
	b, err := queues.NewBroker(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error("close:", err)
		}
	})
	return &node{b, t}
}

// run runs a test of one node with its store in a bubble of its own time.
func run(t *testing.T, c queues.BrokerConfig, f func(t *testing.T, n *node)) {
	synctest.Test(t, func(t *testing.T) {
		f(t, start(t, memqueue.New(memqueue.Config{}), c))
	})
}

func (n *node) queue(name string, c queues.Config) {
	n.t.Helper()
	if err := n.Configure(n.t.Context(), name, c); err != nil {
		n.t.Fatal(err)
	}
}

func draft(text string) *queues.Draft {
	return &queues.Draft{Payload: queues.Payload{JSON: []byte(`"` + text + `"`)}}
}

func (n *node) publish(queue string, texts ...string) {
	n.t.Helper()
	for _, text := range texts {
		if _, err := n.PublishOne(n.t.Context(), queue, draft(text)); err != nil {
			n.t.Fatal(err)
		}
	}
}

// worker is a consumer that only gathers.
type worker struct {
	*queues.Consumer
	t       *testing.T
	mu      sync.Mutex
	got     []*queues.Message
	revoked []string
	closed  error
}

func (n *node) worker(queue string, c queues.ConsumerConfig) *worker {
	n.t.Helper()
	w := &worker{t: n.t}
	c.Deliver = func(ms []*queues.Message) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.got = append(w.got, ms...)
	}
	c.Revoked = func(ms []*queues.Message, reason string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, m := range ms {
			w.revoked = append(w.revoked, text(m)+" "+reason)
		}
	}
	c.Closed = func(err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.closed = err
	}
	var err error
	if w.Consumer, err = n.Consume(n.t.Context(), queue, c); err != nil {
		n.t.Fatal(err)
	}
	w.Start()
	return w
}

func text(m *queues.Message) string { return strings.Trim(string(m.Payload.JSON), `"`) }

// take waits until everything is at rest, and returns what has come since the last take.
func (w *worker) take() []*queues.Message {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.got
	w.got = nil
	return got
}

func (w *worker) expect(texts ...string) []*queues.Message {
	w.t.Helper()
	got := w.take()
	all := make([]string, len(got))
	for i, m := range got {
		all[i] = text(m)
	}
	if a, b := strings.Join(all, " "), strings.Join(texts, " "); a != b {
		w.t.Fatalf("got %q, want %q", a, b)
	}
	return got
}

func (w *worker) expectRevoked(want string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.revoked, ", "); got != want {
		w.t.Fatalf("revoked %q, want %q", got, want)
	}
	w.revoked = nil
}

func (w *worker) settle(m *queues.Message, o queues.Outcome) error {
	w.t.Helper()
	ch := make(chan error, 1)
	w.Settle(m, o, 0, "", func(err error) { ch <- err })
	return <-ch
}

func (w *worker) ack(ms ...*queues.Message) {
	w.t.Helper()
	for _, m := range ms {
		if err := w.settle(m, queues.Ack); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (n *node) counts(queue string, want string) {
	n.t.Helper()
	synctest.Wait()
	st, err := n.Stats(n.t.Context(), queue)
	if err != nil {
		n.t.Fatal(err)
	}
	got := fmt.Sprintf("ready %d scheduled %d leased %d blocked %d dead %d", st.Ready, st.Scheduled, st.Leased, st.Blocked, st.Dead)
	if got != want {
		n.t.Fatalf("got %s, want %s", got, want)
	}
}

func expectCode(t *testing.T, err error, code queues.Code) {
	t.Helper()
	if got := queues.CodeOf(err); got != code {
		t.Fatalf("got %v, want %q", err, code)
	}
}

func TestPrefetch(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		w := n.worker("q", queues.ConsumerConfig{Prefetch: 2})
		n.publish("q", "a", "b", "c", "d")
		ms := w.expect("a", "b")
		w.ack(ms[1])
		ms = append(ms, w.expect("c")...)
		if err := w.SetPrefetch(0); err != nil {
			t.Fatal(err)
		}
		w.ack(ms[0], ms[2])
		w.expect()
		w.SetPrefetch(1)
		w.ack(w.expect("d")...)
		n.counts("q", "ready 0 scheduled 0 leased 0 blocked 0 dead 0")
	})
}

func TestPrefetchBytes(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		w := n.worker("q", queues.ConsumerConfig{Prefetch: 10, PrefetchBytes: 8})
		n.publish("q", "aaa", "bbb", "ccc") // 5 bytes each
		ms := w.expect("aaa", "bbb")
		w.ack(ms[0])
		w.expect("ccc")
	})
}

func TestConsumersShare(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		var ws []*worker
		for range 4 {
			ws = append(ws, n.worker("q", queues.ConsumerConfig{Prefetch: 5}))
		}
		synctest.Wait()
		drafts := make([]*queues.Draft, 20)
		for i := range drafts {
			drafts[i] = draft("x")
		}
		if _, err := n.Publish(t.Context(), "q", drafts...); err != nil {
			t.Fatal(err)
		}
		for i, w := range ws {
			if got := len(w.take()); got != 5 {
				t.Errorf("worker %d got %d", i, got)
			}
		}
	})
}

// A consumer whose socket is full gets nothing, and others are served.
func TestOpen(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		var open atomic.Bool
		w := n.worker("q", queues.ConsumerConfig{Prefetch: 9, Open: open.Load})
		n.publish("q", "a", "b")
		w.expect()
		open.Store(true)
		w.Resume()
		w.expect("a", "b")
	})
}

func TestAtMostOnce(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		w := n.worker("q", queues.ConsumerConfig{AtMostOnce: true, Prefetch: 2})
		n.publish("q", "a", "b", "c")
		w.expect("a", "b", "c")
		w.Close()
		n.counts("q", "ready 0 scheduled 0 leased 0 blocked 0 dead 0")
	})
}

func TestDrain(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		n.publish("q", "a", "b")
		w := n.worker("q", queues.ConsumerConfig{})
		m := w.expect("a")[0]
		w.Drain()
		w.ack(m)
		w.expect()
		n.counts("q", "ready 1 scheduled 0 leased 0 blocked 0 dead 0")
	})
}

func TestDeletedQueueClosesItsConsumers(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		w := n.worker("q", queues.ConsumerConfig{})
		synctest.Wait()
		if err := n.Delete(t.Context(), "q", false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		expectCode(t, w.closed, queues.CodeNotFound)
		_, err := n.PublishOne(t.Context(), "q", draft("a"))
		expectCode(t, err, queues.CodeNotFound)
	})
}

// A consumer that had all it could take wasn't told that its queue was deleted until its lease was over; and never, if there was
// one of that name again by then.
func TestDeletedQueueClosesBusyConsumers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memqueue.New(memqueue.Config{})
		n1, n2 := start(t, store, queues.BrokerConfig{}), start(t, store, queues.BrokerConfig{})
		n1.queue("q", queues.Config{})
		n1.publish("q", "a", "b")
		here, there := n1.worker("q", queues.ConsumerConfig{}), n2.worker("q", queues.ConsumerConfig{})
		here.take()
		there.take()
		if err := n1.Delete(t.Context(), "q", true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expectCode(t, here.closed, queues.CodeNotFound)
		time.Sleep(11 * time.Second) // the next renewal
		synctest.Wait()
		expectCode(t, there.closed, queues.CodeNotFound)
	})
}

func TestAuthorize(t *testing.T) {
	policy := func(_ context.Context, principal string, action queues.Action, name string) error {
		switch {
		case principal == "api" && action == queues.Publish && queues.Match("orders.*", name):
			return nil
		case principal == "picky":
			return errors.New("not on a Friday")
		}
		return queues.OwnInbox(t.Context(), principal, action, name)
	}
	run(t, queues.BrokerConfig{Authorize: policy}, func(t *testing.T, n *node) {
		n.queue("orders.new", queues.Config{})
		ctx := t.Context()
		entry := &queues.Entry{Payload: queues.Payload{JSON: []byte("1")}}
		results := map[string]map[string]error{}
		for _, p := range []string{"api", "ann", ""} {
			c := n.As(p)
			_, publish := c.Publish(ctx, "orders.new", draft("x"))
			_, consume := c.Consume(ctx, "orders.new", queues.ConsumerConfig{})
			_, peek := c.Peek(ctx, "orders.new", queues.Ready, 0, 1)
			_, stats := c.Stats(ctx, "orders.new")
			_, _, own := c.OpenInbox(ctx, "ann", queues.InboxConfig{})
			_, _, device := c.OpenInbox(ctx, "ann/phone", queues.InboxConfig{})
			_, send := c.InboxSend(ctx, entry, "ann")
			_, topic := c.TopicPublish(ctx, "news", entry)
			_, purge := c.Purge(ctx, "orders.new", false)
			_, redrive := c.Redrive(ctx, "orders.new", 1, nil, 0)
			results[p] = map[string]error{
				"publish": publish, "consume": consume, "peek": peek, "stats": stats, "own inbox": own, "device": device,
				"send": send, "topic": topic, "purge": purge, "redrive": redrive,
				"subscribe": c.Subscribe(ctx, "ann", "news"), "pause": c.Pause(ctx, "orders.new", true, true),
				"configure": c.Configure(ctx, "orders.new", queues.Config{}), "delete": c.Delete(ctx, "orders.new", true),
				"delete inbox": c.DeleteInbox(ctx, "ann"),
			}
			if names, err := c.Queues(ctx); err != nil || len(names) != 0 {
				t.Errorf("%q sees %v, %v", p, names, err)
			}
		}
		for p, all := range results {
			for what, err := range all {
				want := queues.CodeUnauthorized
				if p == "api" && what == "publish" || p == "ann" && (what == "own inbox" || what == "device") {
					want = ""
				}
				if got := queues.CodeOf(err); got != want {
					t.Errorf("%q %s: got %v, want %q", p, what, err, want)
				}
			}
		}
		_, err := n.As("picky").Stats(ctx, "orders.new")
		if queues.CodeOf(err) != queues.CodeUnauthorized || !strings.Contains(err.Error(), "Friday") {
			t.Error(err)
		}
	})
}

func TestBadRequests(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{MaxPayload: 10})
		many := map[string]string{}
		for i := range 33 {
			many[fmt.Sprint(i)] = ""
		}
		payload := queues.Payload{JSON: []byte("1")}
		for name, d := range map[string]*queues.Draft{
			"nil":           nil,
			"no data":       {},
			"long id":       {Payload: payload, ID: strings.Repeat("x", 65)},
			"long key":      {Payload: payload, Key: strings.Repeat("x", 129)},
			"priority":      {Payload: payload, Priority: 4},
			"low priority":  {Payload: payload, Priority: -1},
			"key, priority": {Payload: payload, Key: "k", Priority: 1},
			"key, delay":    {Payload: payload, Key: "k", Delay: 1},
			"key, time":     {Payload: payload, Key: "k", At: time.Now()},
			"delay, time":   {Payload: payload, Delay: 1, At: time.Now()},
			"delay":         {Payload: payload, Delay: -1},
			"long delay":    {Payload: payload, Delay: 400 * 24 * time.Hour},
			"ttl":           {Payload: payload, TTL: -1},
			"headers":       {Payload: payload, Headers: many},
			"large headers": {Payload: payload, Headers: map[string]string{"a": strings.Repeat("x", 4096)}},
		} {
			if _, err := n.PublishOne(t.Context(), "q", d); queues.CodeOf(err) != queues.CodeBadRequest {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := n.PublishOne(t.Context(), "q", draft("123456789"))
		expectCode(t, err, queues.CodeTooLarge)
		n.publish("q", "12345678")
		// One that is nil keeps the others from being stored as little as any other that is wrong.
		results, err := n.Publish(t.Context(), "q", nil, draft("1"), nil)
		expectCode(t, err, "")
		for i, code := range []queues.Code{queues.CodeBadRequest, "", queues.CodeBadRequest} {
			expectCode(t, results[i].Err, code)
		}
		for _, name := range []string{"", "a b", "q!dead", "$fanout", strings.Repeat("q", 129), "ü", "a/b"} {
			_, err := n.As("x").Publish(t.Context(), name, draft("x"))
			expectCode(t, err, queues.CodeBadRequest)
		}
		_, err = n.Publish(t.Context(), "q")
		expectCode(t, err, queues.CodeBadRequest)
		for _, c := range []queues.ConsumerConfig{{Prefetch: 1001}, {PrefetchBytes: -1}, {Grace: time.Hour},
			{Session: strings.Repeat("s", 129)}, {Session: "s", AtMostOnce: true}} {
			_, err := n.Consume(t.Context(), "q", c)
			expectCode(t, err, queues.CodeBadRequest)
		}
		_, err = n.Consume(t.Context(), "none", queues.ConsumerConfig{})
		expectCode(t, err, queues.CodeNotFound)
		expectCode(t, n.Configure(t.Context(), "r", queues.Config{Overflow: "x"}), queues.CodeBadRequest)
		_, err = n.Peek(t.Context(), "q", queues.Ready, math.MaxInt, math.MaxInt)
		expectCode(t, err, queues.CodeBadRequest)
	})
}

func TestIdleBrokerAsksSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{Store: memqueue.New(memqueue.Config{})}
		n := start(t, store, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		n.worker("q", queues.ConsumerConfig{Prefetch: 10})
		time.Sleep(time.Minute)
		before := store.claims.Load()
		time.Sleep(100 * time.Second)
		if got := store.claims.Load() - before; got > 2*100 { // of this queue and the fan-out's
			t.Errorf("%d claims in 100 s", got)
		}
	})
}

type counting struct {
	queues.Store
	claims  atomic.Int64
	most    atomic.Int64 // messages that came with one
	extends atomic.Int64
}

func (c *counting) Extend(ctx context.Context, calls []*queues.ExtendCall) {
	c.extends.Add(int64(len(calls)))
	c.Store.Extend(ctx, calls)
}

func (c *counting) Claim(ctx context.Context, calls []*queues.ClaimCall) {
	c.claims.Add(int64(len(calls)))
	c.Store.Claim(ctx, calls)
	for _, call := range calls {
		for _, w := range call.Wants {
			c.most.Store(max(c.most.Load(), int64(len(w.Got))))
		}
	}
}

// TestManyConsumers: what comes for a thousand consumers reaches each, by messages and by bytes, without waiting for
// the look that is for what was not told.
func TestManyConsumers(t *testing.T) {
	for _, c := range []queues.ConsumerConfig{{}, {Session: "s"}, {Prefetch: 5, PrefetchBytes: 1}} {
		run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
			n.queue("q", queues.Config{})
			var workers []*worker
			for i := range 1000 {
				c := c
				if c.Session != "" {
					c.Session = fmt.Sprint("s", i)
				}
				workers = append(workers, n.worker("q", c))
			}
			began := time.Now()
			drafts := make([]*queues.Draft, 1000)
			for i := range drafts {
				drafts[i] = draft(fmt.Sprint(i))
			}
			if _, err := n.Publish(t.Context(), "q", drafts...); err != nil {
				t.Fatal(err)
			}
			for i, w := range workers {
				if got := w.take(); len(got) != 1 {
					t.Fatalf("worker %d has %d messages", i, len(got))
				}
			}
			n.publish("q", "waits")
			n.counts("q", "ready 1 scheduled 0 leased 1000 blocked 0 dead 0")
			if took := time.Since(began); took > 0 {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A claim takes more where no other node could want the messages.
func TestClaimOfANodeThatIsAlone(t *testing.T) {
	for want, wrap := range map[int64]func(*counting) queues.Store{
		256:  func(c *counting) queues.Store { return c },
		1000: func(c *counting) queues.Store { return alone{&faulty{Store: c}} },
	} {
		synctest.Test(t, func(t *testing.T) {
			store := &counting{Store: memqueue.New(memqueue.Config{})}
			n := start(t, wrap(store), queues.BrokerConfig{})
			n.queue("q", queues.Config{})
			drafts := make([]*queues.Draft, 1000)
			for i := range drafts {
				drafts[i] = draft("m")
			}
			n.Publish(t.Context(), "q", drafts...)
			got := len(n.worker("q", queues.ConsumerConfig{Prefetch: 1000}).take())
			if most := store.most.Load(); got != 1000 || most != want {
				t.Errorf("got %d, %d with one claim, not %d", got, most, want)
			}
		})
	}
}

// A consumer may be opened paused: it gets nothing until it is given credit.
func TestOpenedPaused(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		n.publish("q", "a", "b", "c")
		w := n.worker("q", queues.ConsumerConfig{Prefetch: -1})
		time.Sleep(time.Minute)
		w.expect()
		if err := w.SetPrefetch(2); err != nil {
			t.Fatal(err)
		}
		w.expect("a", "b")
	})
}
