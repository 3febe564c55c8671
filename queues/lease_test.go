package queues_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

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
		results := n.Client.Settle(t.Context(), queues.Settled{Receipt: old[0].Receipt(), Outcome: queues.Ack})
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
		expectCode(t, n1.Client.Settle(t.Context(), queues.Settled{Receipt: old.Receipt(), Outcome: queues.Ack})[0], queues.CodeSuperseded)
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
		if err := n.Extend(t.Context(), 20*time.Second, m.Receipt())[0]; err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		w.expectRevoked("")
		time.Sleep(6 * time.Second)
		w.expectRevoked("a lapsed")
		expectCode(t, n.Extend(t.Context(), time.Second, m.Receipt())[0], queues.CodeSuperseded)
		expectCode(t, n.Extend(t.Context(), time.Hour, m.Receipt())[0], queues.CodeBadRequest)
		expectCode(t, n.Extend(t.Context(), time.Second, "nonsense")[0], queues.CodeBadRequest)
	})
}

func TestReceiptsCannotBeMadeUp(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.queue("q", queues.Config{})
		n.publish("q", "a")
		m := n.worker("q", queues.ConsumerConfig{}).expect("a")[0]
		flipped := []byte(m.Receipt())
		for i := range flipped {
			flipped[i] ^= 1
			results := n.Client.Settle(t.Context(), queues.Settled{Receipt: string(flipped), Outcome: queues.Ack})
			expectCode(t, results[0], queues.CodeBadRequest)
			flipped[i] ^= 1
		}
		for _, r := range []string{"", "AAAA", strings.Repeat("A", 5000), m.Receipt() + "A"} {
			expectCode(t, n.Client.Settle(t.Context(), queues.Settled{Receipt: r, Outcome: queues.Ack})[0], queues.CodeBadRequest)
		}
		expectCode(t, n.Client.Settle(t.Context(), queues.Settled{Receipt: m.Receipt(), Outcome: queues.Park})[0], queues.CodeBadRequest)
		expectCode(t, n.Client.Settle(t.Context(), queues.Settled{Receipt: m.Receipt(), Outcome: queues.Ack})[0], "")
		expectCode(t, n.Client.Settle(t.Context(), queues.Settled{Receipt: m.Receipt(), Outcome: queues.Ack})[0], queues.CodeGone)
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
		if got := w2.Resumed(); len(got) != 2 || got[0].Receipt() != old[0].Receipt() || got[1].Receipt() != old[1].Receipt() {
			t.Fatalf("resumed %v", got)
		}
		time.Sleep(time.Minute)
		other.expect()
		w2.expect()
		results := n1.Client.Settle(t.Context(), queues.Settled{Receipt: old[0].Receipt(), Outcome: queues.Ack})
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
