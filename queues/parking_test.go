package queues_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

// slow is a store whose settlements and rebindings take their time.
type slow struct {
	*faulty
	settle, claim, rebound time.Duration
}

func (s *slow) Claim(ctx context.Context, calls []*queues.ClaimCall) {
	s.faulty.Claim(ctx, calls)
	time.Sleep(s.claim)
}

func (s *slow) Settle(ctx context.Context, calls []*queues.SettleCall) {
	time.Sleep(s.settle)
	s.faulty.Settle(ctx, calls)
}

func (s *slow) Rebind(ctx context.Context, queue, session, node string) ([]*queues.Message, error) {
	ms, err := s.faulty.Rebind(ctx, queue, session, node)
	time.Sleep(s.rebound)
	return ms, err
}

// A message that came for a session's consumer when it had no credit any more was kept for the session's grace, though the
// consumer was there, and never saw it.
func TestSessionWithoutCreditKeepsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slow{faulty: &faulty{Store: memqueue.New(memqueue.Config{})}, claim: 100 * time.Millisecond}
		n := start(t, store, queues.BrokerConfig{})
		n.queue("q", queues.Config{})
		n.publish("q", "a", "b")
		time.Sleep(time.Second) // the broker's own claim is done
		w := n.worker("q", queues.ConsumerConfig{Session: "s", Grace: time.Minute, Prefetch: 2})
		synctest.Wait() // its claim is under way
		if err := w.SetPrefetch(1); err != nil {
			t.Fatal(err)
		}
		other := n.worker("q", queues.ConsumerConfig{})
		time.Sleep(time.Second)
		w.expect("a")
		other.expect("b")
	})
}

// A session that comes back to its node before its messages are parked: they were parked after it had got them, and when
// the grace was over given to another, too.
func TestSessionComesBackBeforeItIsParked(t *testing.T) {
	for name, store := range map[string]*slow{
		"the store is slow":                {settle: 100 * time.Millisecond},
		"a claim is under way":             {claim: 100 * time.Millisecond},
		"what can't be parked is released": {rebound: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store.faulty = &faulty{Store: memqueue.New(memqueue.Config{})}
				n := start(t, store, queues.BrokerConfig{})
				n.queue("q", queues.Config{})
				n.publish("q", "a")
				time.Sleep(time.Second) // the broker's own claim is done
				w := n.worker("q", queues.ConsumerConfig{Session: "s", Grace: 5 * time.Second})
				if store.claim == 0 {
					w.expect("a")
				}
				synctest.Wait()
				if store.rebound > 0 {
					store.fail(true)
				}
				w.Close()
				if store.rebound > 0 {
					synctest.Wait()
					store.fail(false)
				}
				again := n.worker("q", queues.ConsumerConfig{Session: "s", Grace: 5 * time.Second})
				if len(again.Resumed()) != 1 {
					t.Fatalf("%d messages", len(again.Resumed()))
				}
				other := n.worker("q", queues.ConsumerConfig{})
				time.Sleep(20 * time.Second)
				other.expect()
				again.expectRevoked("")
			})
		})
	}
}
