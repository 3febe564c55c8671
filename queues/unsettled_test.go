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

// unsettling is a store that doesn't answer settlements for a while.
type unsettling struct {
	queues.Store
	fails atomic.Int32 // so many more
}

func (s *unsettling) Settle(ctx context.Context, calls []*queues.SettleCall) {
	if s.fails.Add(-1) < 0 {
		s.Store.Settle(ctx, calls)
		return
	}
	for _, c := range calls {
		c.Err = queues.ErrUnavailable
	}
}

// A handler is done with a message, and the store doesn't answer the settlement. Its consumer kept the message, and the node
// renewed it, until the time for processing was over: half an hour, in which a consumer of one message got no other, and
// nothing was passed on to a topic's inboxes.
func TestSettlementOfAHandlerIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &unsettling{Store: memqueue.New(memqueue.Config{})}
		n := start(t, store, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		c, err := n.Consume(t.Context(), "q", queues.ConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var handled atomic.Int32
		if err := queues.Handle(c, func(context.Context, *queues.Message, queues.Payload) error {
			handled.Add(1)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		store.fails.Store(5)
		n.publish("q", "a", "b", "c")
		time.Sleep(5 * time.Second)
		if st, err := n.Stats(t.Context(), "q"); err != nil || st.Acked != 3 || st.Leased != 0 {
			t.Errorf("%+v, %v", st, err)
		}
		if handled.Load() != 3 {
			t.Errorf("handled %d", handled.Load())
		}
	})
}

// So it is when the consumer closes before the store answers, or the broker does.
func TestSettlementIsNotAnsweredUntilTheEnd(t *testing.T) {
	for name, end := range map[string]func(*node, *worker){
		"consumer": func(_ *node, w *worker) { w.Close() },
		"broker":   func(n *node, _ *worker) { _ = n.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memqueue.New(memqueue.Config{})
				store := &unsettling{Store: mem}
				n := start(t, store, queues.BrokerConfig{})
				other := start(t, mem, queues.BrokerConfig{})
				n.queue("q", queues.Config{})
				n.publish("q", "a")
				w := n.worker("q", queues.ConsumerConfig{})
				m := w.expect("a")[0]
				store.fails.Store(1)
				w.Settle(m, queues.Ack, 0, "", nil)
				synctest.Wait()
				end(n, w)
				time.Sleep(time.Second)
				if st, err := other.Stats(t.Context(), "q"); err != nil || st.Acked != 1 {
					t.Errorf("%+v, %v", st, err)
				}
			})
		})
	}
}
