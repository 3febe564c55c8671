package queues_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

func TestHandle(t *testing.T) {
	type order struct{ N int }
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{BackoffBase: 10 * time.Second, MaxFailures: 3})
		c, err := n.Consume(t.Context(), "q", queues.ConsumerConfig{Prefetch: 4})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var seen []string
		handler := func(ctx context.Context, m *queues.Message, o order) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprint(o.N, "/", m.Attempt))
			switch {
			case o.N == 2:
				return errors.New("no luck")
			case o.N == 3 && m.Attempt == 1:
				return queues.RetryAfter(time.Minute, errors.New("later"))
			case o.N == 4:
				return queues.RejectMessage(errors.New("never"))
			case o.N == 5 && m.Attempt == 1:
				return fmt.Errorf("wrapped: %w", queues.ReturnMessage(nil))
			case o.N == 6:
				panic("ouch")
			}
			return nil
		}
		if err := queues.Handle(c, handler); err != nil {
			t.Fatal(err)
		}
		expectCode(t, queues.Handle(c, handler), queues.CodeConflict)
		for i := 1; i <= 6; i++ {
			p, err := queues.JSON(order{i})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.PublishOne(t.Context(), "q", &queues.Draft{Payload: p}); err != nil {
				t.Fatal(err)
			}
		}
		n.publish("q", "not an order")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		n.counts("q", "ready 0 scheduled 0 leased 0 blocked 0 dead 4")
		dead, err := n.Peek(t.Context(), "q", queues.Dead, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		reasons := map[string]string{}
		for _, d := range dead {
			reasons[string(d.Payload.JSON)] = d.Reason + ": " + d.Error
		}
		for data, want := range map[string]string{
			`{"N":2}`: "failures: no luck", `{"N":4}`: "rejected: never", `{"N":6}`: "failures: panic: ouch",
			`"not an order"`: "rejected: decode: json: cannot unmarshal string into Go value of type queues_test.order",
		} {
			if reasons[data] != want {
				t.Errorf("%s: %q, want %q", data, reasons[data], want)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		count := map[string]int{}
		for _, s := range seen {
			count[s]++
		}
		for _, want := range []string{"1/1", "2/3", "3/2", "5/2", "6/3"} {
			if count[want] != 1 {
				t.Errorf("%s was seen %d times, of %v", want, count[want], seen)
			}
		}
	})
}

func TestHandlersContextEndsWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, newStore(), queues.BrokerConfig{})
		n.queue("q", queues.Config{MaxProcessing: time.Minute, BackoffBase: time.Hour})
		n.publish("q", "slow")
		c, err := n.Consume(t.Context(), "q", queues.ConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		ended := make(chan time.Duration, 1)
		queues.Handle(c, func(ctx context.Context, m *queues.Message, v string) error {
			<-ctx.Done()
			ended <- time.Since(began)
			return nil
		})
		if d := <-ended; d < time.Minute || d > 2*time.Minute {
			t.Errorf("it ended after %v", d)
		}
	})
}

func TestHandlersRunAtATimeAsManyAsThePrefetch(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		var mu sync.Mutex
		now, most, total := 0, 0, 0
		c, err := n.Consume(t.Context(), "q", queues.ConsumerConfig{Prefetch: 3})
		if err != nil {
			t.Fatal(err)
		}
		queues.Handle(c, func(ctx context.Context, m *queues.Message, v string) error {
			mu.Lock()
			now++
			total++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return nil
		})
		for range 12 {
			n.publish("q", "x")
		}
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if most != 3 || total != 12 {
			t.Errorf("%d at a time, %d in all", most, total)
		}
	})
}

// A broker that closes ends its handlers and gives back what they had.
func TestCloseGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		n1, n2 := start(t, store, queues.BrokerConfig{}), start(t, store, queues.BrokerConfig{})
		n1.queue("q", queues.Config{})
		n1.publish("q", "a")
		c, err := n1.Consume(t.Context(), "q", queues.ConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		queues.Handle(c, func(ctx context.Context, m *queues.Message, v string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		synctest.Wait()
		w := n2.worker("q", queues.ConsumerConfig{})
		w.expect()
		if err := n1.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := w.expect("a")[0]; m.Failures != 0 {
			t.Errorf("failures %d", m.Failures)
		}
		_, err = n1.PublishOne(t.Context(), "q", draft("x"))
		expectCode(t, err, queues.CodeUnavailable)
	})
}

// A consumer that closed looked at its messages without the lock of its lane, while settlements of some of them came
// back from the store. The race detector sees it if both happen at about the same time.
func TestCloseWhileSettlementsComeBack(t *testing.T) {
	const messages = 900
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			store := &heldStore{Store: memqueue.New(memqueue.Config{}), settle: make(chan struct{})}
			n := start(t, store, queues.BrokerConfig{})
			n.queue("q", queues.Config{})
			for range messages {
				n.publish("q", "settled")
			}
			n.publish("q", "at work")
			c, err := n.Consume(t.Context(), "q", queues.ConsumerConfig{Prefetch: messages + 1})
			if err != nil {
				t.Fatal(err)
			}
			err = queues.Handle(c, func(ctx context.Context, m *queues.Message, text string) error {
				if text == "settled" {
					return nil
				}
				<-ctx.Done() // the consumer is closed, and about to give back what it has
				close(store.settle)
				return ctx.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			c.Close()
			synctest.Wait()
			n.counts("q", "ready 1 scheduled 0 leased 0 blocked 0 dead 0")
		})
	}
}

// heldStore says what it has settled when it may.
type heldStore struct {
	queues.Store
	settle chan struct{}
}

func (s *heldStore) Settle(ctx context.Context, calls []*queues.SettleCall) {
	s.Store.Settle(ctx, calls)
	<-s.settle
}
