package queues_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

// What a consumer has given back while the store didn't answer is given back when it answers again, not when its
// lease is over: no lane of this node had a reason to ask again, or there was none any more.
func TestGivenBackWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memqueue.New(memqueue.Config{})
		store := &faulty{Store: mem}
		n := start(t, store, queues.BrokerConfig{})
		other := start(t, mem, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		n.publish("q", "a")
		w := n.worker("q", queues.ConsumerConfig{})
		w.expect("a")
		second := other.worker("q", queues.ConsumerConfig{})
		store.fail(true)
		w.Close()
		time.Sleep(time.Second)
		second.expect()
		store.fail(false)
		time.Sleep(2 * time.Second)
		if m := second.expect("a")[0]; m.Attempt != 2 || m.Failures != 0 {
			t.Errorf("attempt %d, failures %d", m.Attempt, m.Failures)
		}
	})
}

// So is a message whose consumer has closed while its settlement was under way, and failed.
func TestClosedWhileASettlementFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memqueue.New(memqueue.Config{})
		store := &slowFailure{Store: mem, fail: make(chan struct{})}
		n := start(t, store, queues.BrokerConfig{})
		other := start(t, mem, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		n.publish("q", "a")
		w := n.worker("q", queues.ConsumerConfig{})
		m := w.expect("a")[0]
		second := other.worker("q", queues.ConsumerConfig{})
		w.Settle(m, queues.Ack, 0, "", nil)
		synctest.Wait()
		w.Close()
		close(store.fail)
		time.Sleep(time.Second) // it asks again after a moment
		second.expect("a")
	})
}

// slowFailure is a store whose settlements wait, and then nobody knows whether they were done.
type slowFailure struct {
	queues.Store
	fail chan struct{}
}

func (s *slowFailure) Settle(_ context.Context, calls []*queues.SettleCall) {
	<-s.fail
	for _, c := range calls {
		c.Err = queues.ErrUnavailable
	}
}

// gated is a store whose claims of one kind wait at a gate, before or after they are done.
type gated struct {
	queues.Store
	before, after func(*queues.ClaimCall)
	listener      queues.Listener
}

func (g *gated) Listen(ctx context.Context, node string, l queues.Listener) error {
	g.listener = l
	return g.Store.Listen(ctx, node, l)
}

func (g *gated) Claim(ctx context.Context, calls []*queues.ClaimCall) {
	for _, c := range calls {
		g.before(c)
	}
	g.Store.Claim(ctx, calls)
	for _, c := range calls {
		g.after(c)
	}
}

// A node that passes its turn on, since it has no consumer any more, waits no longer. A consumer that comes just then
// has waited in vain unless the node asks again.
func TestConsumerComesWhileATurnIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memqueue.New(memqueue.Config{})
		gate := make(chan struct{})
		store := &gated{Store: mem, after: func(*queues.ClaimCall) {}, before: func(c *queues.ClaimCall) {
			if c.Queue == "q" && len(c.Wants) == 0 {
				<-gate
			}
		}}
		n := start(t, store, queues.BrokerConfig{})
		producer := start(t, mem, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		first := n.worker("q", queues.ConsumerConfig{})
		synctest.Wait()
		first.Close()
		synctest.Wait() // it passes on
		w := n.worker("q", queues.ConsumerConfig{})
		synctest.Wait() // and waits
		close(gate)
		synctest.Wait()
		producer.publish("q", "a")
		synctest.Wait()
		w.expect("a") // at once, not at the next look
	})
}

// A node that is told of messages while a claim of its own is under way, after which it can take no more, passes its
// turn on.
func TestTurnDuringAClaimIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memqueue.New(memqueue.Config{})
		gate := make(chan struct{})
		passed := 0
		store := &gated{Store: mem, before: func(c *queues.ClaimCall) {
			if c.Queue == "q" && len(c.Wants) == 0 {
				passed++
			}
		}, after: func(c *queues.ClaimCall) {
			if c.Queue == "q" && len(c.Wants) > 0 {
				<-gate
			}
		}}
		n := start(t, store, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		w := n.worker("q", queues.ConsumerConfig{})
		synctest.Wait()
		store.listener.Ready("q")
		if err := w.SetPrefetch(0); err != nil {
			t.Fatal(err)
		}
		close(gate)
		synctest.Wait()
		if passed != 1 {
			t.Errorf("passed on %d times", passed)
		}
	})
}

// An acknowledgement asks for more only if the store doesn't know that the node waits: else each would be followed by
// a claim of which nothing comes.
func TestAcknowledgementsDontAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memqueue.New(memqueue.Config{})
		store := &counting{Store: mem}
		n := start(t, store, queues.BrokerConfig{})
		other := start(t, mem, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		w := n.worker("q", queues.ConsumerConfig{Prefetch: 3})
		n.publish("q", "a", "b", "c", "d")
		ms := w.expect("a", "b", "c")
		w.ack(ms[0]) // it had no credit left
		ms = append(ms[1:], w.expect("d")...)
		w.ack(ms[0]) // nor here
		synctest.Wait()
		before := store.claims.Load()
		w.ack(ms[1])
		w.ack(ms[2])
		synctest.Wait()
		if got := store.claims.Load() - before; got != 0 {
			t.Errorf("%d claims", got)
		}
		other.publish("q", "e", "f", "g")
		w.expect("e", "f", "g") // at once
	})
}

// With a bound of bytes the store doesn't know that the node waits.
func TestBytesThatComeFree(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		w := n.worker("q", queues.ConsumerConfig{Prefetch: 10, PrefetchBytes: 6})
		n.publish("q", "aaaa", "b", "c")
		ms := w.expect("aaaa")
		w.ack(ms...)
		w.expect("b", "c")
	})
}
