package queues_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

// counted counts claims, by themselves and with settlements, and fails settlements when it is told to.
type counted struct {
	queues.Store
	alone, with atomic.Int64
	fail        atomic.Bool
}

func (c *counted) Claim(ctx context.Context, calls []*queues.ClaimCall) {
	for _, call := range calls {
		if call.Queue == "q" {
			c.alone.Add(1)
		}
	}
	c.Store.Claim(ctx, calls)
}

func (c *counted) Settle(ctx context.Context, calls []*queues.SettleCall) {
	for _, call := range calls {
		if call.Claim != nil {
			c.with.Add(1)
		}
		if c.fail.Load() {
			call.Err = queues.ErrUnavailable
		}
	}
	if !c.fail.Load() {
		c.Store.Settle(ctx, calls)
	}
}

// What a consumer gives back another one on the same node gets in the same call of the store, and so does
// one its next message with the acknowledgement of the last.
func TestClaimedWithASettlement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: memqueue.New(memqueue.Config{})}
		n := start(t, store, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		first := n.worker("q", queues.ConsumerConfig{Prefetch: 2})
		n.publish("q", "a")
		n.publish("q", "b")
		n.publish("q", "c")
		ms := first.expect("a", "b")
		store.alone.Store(0)
		first.Settle(ms[0], queues.Ack, 0, "", nil)
		synctest.Wait()
		first.expect("c")
		if alone, with := store.alone.Load(), store.with.Load(); alone != 0 || with != 1 {
			t.Errorf("%d claims by themselves, %d with settlements", alone, with)
		}

		second := n.worker("q", queues.ConsumerConfig{Prefetch: 2})
		synctest.Wait()
		store.alone.Store(0)
		first.Close()
		synctest.Wait()
		second.expect("b", "c")
		if alone, with := store.alone.Load(), store.with.Load(); alone != 0 || with != 2 {
			t.Errorf("%d claims by themselves, %d with settlements", alone, with)
		}
	})
}

// A consumer has no more credit than it should when nobody knows what became of a settlement that was to give it back.
func TestSettlementWithAClaimFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counted{Store: memqueue.New(memqueue.Config{})}
		n := start(t, store, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		w := n.worker("q", queues.ConsumerConfig{})
		for _, text := range []string{"a", "b", "c"} {
			n.publish("q", text)
		}
		a := w.expect("a")[0]
		store.fail.Store(true)
		answer := make(chan error, 1)
		w.Settle(a, queues.Ack, 0, "", func(err error) { answer <- err })
		if err := <-answer; queues.CodeOf(err) != queues.CodeUnavailable {
			t.Fatalf("the settlement: %v", err)
		}
		time.Sleep(time.Second)
		w.expect() // it has a still
		store.fail.Store(false)
		w.Settle(a, queues.Ack, 0, "", func(err error) { answer <- err })
		if err := <-answer; err != nil {
			t.Fatalf("the second settlement: %v", err)
		}
		time.Sleep(time.Second)
		w.Settle(w.expect("b")[0], queues.Ack, 0, "", nil)
		time.Sleep(time.Second)
		w.expect("c")
	})
}
