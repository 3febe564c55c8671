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

func TestClosedConsumerGivesBackAtOnce(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		n.publish("q", "a", "b", "c", "d")
		w1 := n.worker("q", queues.ConsumerConfig{Prefetch: 3})
		old := w1.expect("a", "b", "c")
		w2 := n.worker("q", queues.ConsumerConfig{Prefetch: 9})
		w2.expect("d")
		began := time.Now()
		w1.Close()
		ms := w2.expect("a", "b", "c")
		if time.Since(began) != 0 {
			t.Error("it took time")
		}
		if ms[0].Attempt != 2 || ms[0].Failures != 0 {
			t.Errorf("attempt %d, failures %d", ms[0].Attempt, ms[0].Failures)
		}
		results := n.Client.Settle(t.Context(), queues.Settled{Receipt: old[0].Receipt, Outcome: queues.Ack})
		expectCode(t, results[0], queues.CodeSuperseded)
		w2.ack(ms...)
	})
}

func TestLeasesAreRenewedWhileTheConsumerIsAlive(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{BackoffBase: -1})
		n.publish("q", "a", "b")
		var alive atomic.Bool
		alive.Store(true)
		w1 := n.worker("q", queues.ConsumerConfig{Alive: alive.Load})
		m := w1.expect("a")[0]
		w2 := n.worker("q", queues.ConsumerConfig{Prefetch: 2})
		w2.ack(w2.expect("b")...)
		time.Sleep(5 * time.Minute)
		w2.expect()
		w1.expectRevoked("")
		alive.Store(false)
		time.Sleep(29 * time.Second)
		w1.expectRevoked("a lapsed") // two seconds before another can have it
		time.Sleep(10 * time.Second)
		w2.ack(w2.expect("a")...)
		expectCode(t, w1.settle(m, queues.Ack), queues.CodeGone)
	})
}

// Somebody else has got the message, since the lease was over by the store's clock: whoever had it is told with the next renewal.
func TestLostToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memqueue.New(memqueue.Config{})
		n1, n2 := start(t, store, queues.BrokerConfig{Node: "n1"}), start(t, store, queues.BrokerConfig{})
		n1.queue("q", queues.Config{})
		n1.publish("q", "a")
		w1 := n1.worker("q", queues.ConsumerConfig{})
		old := w1.expect("a")[0]
		if _, err := store.Release(t.Context(), "q", "n1", nil); err != nil { // as if it had been lost
			t.Fatal(err)
		}
		w2 := n2.worker("q", queues.ConsumerConfig{})
		m := w2.expect("a")[0]
		time.Sleep(11 * time.Second)
		w1.expectRevoked("a lost")
		expectCode(t, n1.Client.Settle(t.Context(), queues.Settled{Receipt: old.Receipt, Outcome: queues.Ack})[0], queues.CodeSuperseded)
		w2.ack(m)
	})
}

// All leases of a node are renewed with one call for each queue, every third of a lease.
func TestRenewalsGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{Store: memqueue.New(memqueue.Config{})}
		n := start(t, store, queues.BrokerConfig{})
		for _, queue := range []string{"q", "r"} {
			n.queue(queue, queues.Config{})
			for i := range 20 {
				n.worker(queue, queues.ConsumerConfig{Prefetch: 3})
				n.publish(queue, fmt.Sprint(i), fmt.Sprint(i), fmt.Sprint(i))
			}
		}
		n.counts("q", "ready 0 scheduled 0 leased 60 blocked 0 dead 0")
		time.Sleep(101 * time.Second)
		n.counts("r", "ready 0 scheduled 0 leased 60 blocked 0 dead 0")
		if got := store.extends.Load(); got < 2*9 || got > 2*10 {
			t.Errorf("%d renewals of two queues in ten thirds of a lease", got)
		}
	})
}

func TestMaxProcessing(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{MaxProcessing: time.Minute, BackoffBase: time.Hour})
		n.publish("q", "a")
		w := n.worker("q", queues.ConsumerConfig{})
		w.expect("a")
		time.Sleep(2 * time.Minute)
		w.expectRevoked("a max_processing")
		n.counts("q", "ready 0 scheduled 1 leased 0 blocked 0 dead 0")
	})
}

func TestNoRenewAndExtend(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		n.publish("q", "a")
		w := n.worker("q", queues.ConsumerConfig{NoRenew: true})
		m := w.expect("a")[0]
		time.Sleep(25 * time.Second)
		if err := n.Extend(t.Context(), 20*time.Second, m.Receipt)[0]; err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		w.expectRevoked("")
		time.Sleep(6 * time.Second)
		w.expectRevoked("a lapsed")
		expectCode(t, n.Extend(t.Context(), time.Second, m.Receipt)[0], queues.CodeSuperseded)
		expectCode(t, n.Extend(t.Context(), time.Hour, m.Receipt)[0], queues.CodeBadRequest)
		expectCode(t, n.Extend(t.Context(), time.Second, "nonsense")[0], queues.CodeBadRequest)
	})
}

func TestReceiptsCannotBeMadeUp(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		n.publish("q", "a")
		m := n.worker("q", queues.ConsumerConfig{}).expect("a")[0]
		flipped := []byte(m.Receipt)
		for i := range flipped {
			flipped[i] ^= 1
			results := n.Client.Settle(t.Context(), queues.Settled{Receipt: string(flipped), Outcome: queues.Ack})
			expectCode(t, results[0], queues.CodeBadRequest)
			flipped[i] ^= 1
		}
		for _, r := range []string{"", "AAAA", strings.Repeat("A", 5000), m.Receipt + "A"} {
			expectCode(t, n.Client.Settle(t.Context(), queues.Settled{Receipt: r, Outcome: queues.Ack})[0], queues.CodeBadRequest)
		}
		expectCode(t, n.Client.Settle(t.Context(), queues.Settled{Receipt: m.Receipt, Outcome: queues.Park})[0], queues.CodeBadRequest)
		expectCode(t, n.Client.Settle(t.Context(), queues.Settled{Receipt: m.Receipt, Outcome: queues.Ack})[0], "")
		expectCode(t, n.Client.Settle(t.Context(), queues.Settled{Receipt: m.Receipt, Outcome: queues.Ack})[0], queues.CodeGone)
	})
}

func TestSessionComesBackOnAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memqueue.New(memqueue.Config{})
		n1, n2 := start(t, store, queues.BrokerConfig{}), start(t, store, queues.BrokerConfig{})
		n1.queue("q", queues.Config{})
		n1.publish("q", "a", "b")
		w1 := n1.worker("q", queues.ConsumerConfig{Prefetch: 2, Session: "s"})
		old := w1.expect("a", "b")
		w1.Close()
		other := n1.worker("q", queues.ConsumerConfig{Prefetch: 2})
		time.Sleep(4 * time.Second)
		w2 := n2.worker("q", queues.ConsumerConfig{Prefetch: 3, Session: "s"})
		if got := w2.Resumed(); len(got) != 2 || got[0].Receipt != old[0].Receipt || got[1].Receipt != old[1].Receipt {
			t.Fatalf("resumed %v", got)
		}
		time.Sleep(time.Minute)
		other.expect()
		w2.expect()
		results := n1.Client.Settle(t.Context(), queues.Settled{Receipt: old[0].Receipt, Outcome: queues.Ack})
		expectCode(t, results[0], "")
		w2.Close()
		time.Sleep(6 * time.Second)
		if m := other.expect("b")[0]; m.Failures != 0 || m.Attempt != 2 {
			t.Errorf("failures %d, attempt %d", m.Failures, m.Attempt)
		}
	})
}

func TestSessionIsTakenFromAConsumerThatIsStillThere(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		n.publish("q", "a")
		w1 := n.worker("q", queues.ConsumerConfig{Session: "s"})
		w1.expect("a")
		w2 := n.worker("q", queues.ConsumerConfig{Session: "s"})
		synctest.Wait()
		expectCode(t, w1.closed, queues.CodeTakenOver)
		if len(w2.Resumed()) != 1 {
			t.Fatal("nothing resumed")
		}
		w2.ack(w2.Resumed()...)
		n.counts("q", "ready 0 scheduled 0 leased 0 blocked 0 dead 0")
	})
}

// A principal's session isn't another's, though both name it alike.
func TestSessionsBelongToPrincipals(t *testing.T) {
	allow := func(context.Context, string, queues.Action, string) error { return nil }
	run(t, queues.BrokerConfig{Authorize: allow}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		n.publish("q", "a")
		got := make(chan []*queues.Message, 1)
		c, err := n.As("ann").Consume(t.Context(), "q", queues.ConsumerConfig{Session: "s", Deliver: func(ms []*queues.Message) { got <- ms }})
		if err != nil {
			t.Fatal(err)
		}
		c.Start()
		<-got
		d, err := n.As("bob").Consume(t.Context(), "q", queues.ConsumerConfig{Session: "s"})
		if err != nil || len(d.Resumed()) != 0 {
			t.Fatal(err, d.Resumed())
		}
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

func TestRetryAtItsTime(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{BackoffBase: 10 * time.Second})
		n.publish("q", "a")
		w := n.worker("q", queues.ConsumerConfig{})
		w.settle(w.expect("a")[0], queues.Nack)
		time.Sleep(7 * time.Second)
		w.expect()
		time.Sleep(6 * time.Second)
		if m := w.expect("a")[0]; m.Failures != 1 {
			t.Errorf("failures %d", m.Failures)
		}
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

func TestLostNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Store: memqueue.New(memqueue.Config{})}
		n1 := start(t, store, queues.BrokerConfig{})
		n2 := start(t, store.Store, queues.BrokerConfig{})
		n1.queue("q", queues.Config{})
		n1.publish("q", "a", "b")
		w1 := n1.worker("q", queues.ConsumerConfig{Prefetch: 1})
		w1.expect("a")
		w2 := n2.worker("q", queues.ConsumerConfig{Prefetch: 2})
		w2.ack(w2.expect("b")...)
		store.fail(true) // n1 is cut off
		time.Sleep(5 * time.Second)
		w2.ack(w2.expect("a")...)
		w1.expectRevoked("a cut_off") // before the other got it
		store.fail(false)
		w2.Close()
		n1.publish("q", "c")
		time.Sleep(10 * time.Second)
		w1.expect("c")
	})
}

// faulty is a store that can be cut off.
type faulty struct {
	queues.Store
	mu   sync.Mutex
	down bool
	// after lets claims be done and fails them then.
	after bool
}

func (f *faulty) fail(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *faulty) failAfter(after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = after
}

func (f *faulty) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return queues.ErrUnavailable
	}
	return nil
}

func (f *faulty) Beat(ctx context.Context, node string) ([]string, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	return f.Store.Beat(ctx, node)
}

func (f *faulty) Publish(ctx context.Context, calls []*queues.PublishCall) {
	if err := f.err(); err != nil {
		for _, c := range calls {
			c.Err = err
		}
		return
	}
	f.Store.Publish(ctx, calls)
}

func (f *faulty) Claim(ctx context.Context, calls []*queues.ClaimCall) {
	err := f.err()
	if err == nil {
		f.Store.Claim(ctx, calls)
	}
	f.mu.Lock()
	if f.after {
		err = queues.ErrUnavailable
	}
	f.mu.Unlock()
	for _, c := range calls {
		if err != nil {
			c.Err = err
			for i := range c.Wants {
				c.Wants[i].Got = nil
			}
		}
	}
}

func (f *faulty) Settle(ctx context.Context, calls []*queues.SettleCall) {
	if err := f.err(); err != nil {
		for _, c := range calls {
			c.Err = err
		}
		return
	}
	f.Store.Settle(ctx, calls)
}

func (f *faulty) Release(ctx context.Context, queue, node string, except []queues.Ref) (int, error) {
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.Store.Release(ctx, queue, node, except)
}

func (f *faulty) Extend(ctx context.Context, calls []*queues.ExtendCall) {
	if err := f.err(); err != nil {
		for _, c := range calls {
			c.Err = err
		}
		return
	}
	f.Store.Extend(ctx, calls)
}

func TestUnavailableStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Store: memqueue.New(memqueue.Config{})}
		n := start(t, store, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		n.publish("q", "a", "b")
		w := n.worker("q", queues.ConsumerConfig{})
		m := w.expect("a")[0]
		store.fail(true)
		_, err := n.PublishOne(t.Context(), "q", draft("c"))
		expectCode(t, err, queues.CodeUnavailable)
		expectCode(t, w.settle(m, queues.Ack), queues.CodeUnavailable)
		time.Sleep(time.Second)
		store.fail(false)
		time.Sleep(2 * time.Second)
		if err := n.Healthy(); err != nil {
			t.Error(err)
		}
		w.ack(m) // it was still the worker's
		w.expect("b")

		store.fail(true)
		time.Sleep(time.Second)
		w.expectRevoked("")
		time.Sleep(2 * time.Second)
		w.expectRevoked("b cut_off")
		store.fail(false)
		time.Sleep(10 * time.Second)
		if m := w.expect("b")[0]; m.Attempt != 2 || m.Failures != 0 {
			t.Errorf("attempt %d, failures %d", m.Attempt, m.Failures)
		}
	})
}

// A node that is alone keeps what it has as long as the leases are.
func TestUnavailableStoreOfOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Store: memqueue.New(memqueue.Config{})}
		n := start(t, alone{store}, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		n.publish("q", "b")
		w := n.worker("q", queues.ConsumerConfig{})
		w.expect("b")
		store.fail(true)
		time.Sleep(27 * time.Second)
		w.expectRevoked("")
		time.Sleep(2 * time.Second)
		w.expectRevoked("b lapsed") // 2 s before the store gives it to another
		store.fail(false)
	})
}

type alone struct{ *faulty }

func (alone) Alone() bool { return true }

// What a claim has got whose answer was lost is given back when the store answers again.
func TestLostAnswerOfAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Store: memqueue.New(memqueue.Config{})}
		n := start(t, store, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		n.publish("q", "a", "b")
		w := n.worker("q", queues.ConsumerConfig{Prefetch: 2})
		ms := w.expect("a", "b")
		store.failAfter(true)
		n.worker("q", queues.ConsumerConfig{Prefetch: 5})
		n.publish("q", "c")
		w.ack(ms[0])
		synctest.Wait()
		n.publish("q", "d")
		time.Sleep(500 * time.Millisecond)
		store.failAfter(false)
		time.Sleep(5 * time.Second)
		n.counts("q", "ready 0 scheduled 0 leased 3 blocked 0 dead 0")
		w.ack(ms[1])
	})
}

func TestWorkWaitingToBeStoredIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowStore{Store: memqueue.New(memqueue.Config{})}
		n := start(t, slow, queues.BrokerConfig{MaxWaiting: 3})
		n.queue("q", queues.Config{})
		var mu sync.Mutex
		codes := map[queues.Code]int{}
		for range 5 {
			n.PublishFunc(t.Context(), "q", []*queues.Draft{draft("x")}, func(_ []queues.PublishResult, err error) {
				mu.Lock()
				defer mu.Unlock()
				codes[queues.CodeOf(err)]++
			})
		}
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if codes[""] != 3 || codes[queues.CodeUnavailable] != 2 {
			t.Errorf("got %v", codes)
		}
		if slow.calls > 2 {
			t.Errorf("%d calls of the store: what waited wasn't stored together", slow.calls)
		}
	})
}

type slowStore struct {
	queues.Store
	calls int
}

func (s *slowStore) Publish(ctx context.Context, calls []*queues.PublishCall) {
	s.calls++
	time.Sleep(time.Second)
	s.Store.Publish(ctx, calls)
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
