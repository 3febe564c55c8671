package queues_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

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
