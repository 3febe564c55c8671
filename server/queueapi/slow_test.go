package queueapi_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server/queueapi"
)

// large is data of which not much fits into a send queue of these tests.
var (
	large  = `"` + strings.Repeat("x", 10<<10) + `"`
	narrow = engine.Config{MaxPayload: 32 << 10, MaxQueuedBytes: 128 << 10}
)

// publish publishes large messages.
func (b *bench) publish(n int) {
	b.t.Helper()
	drafts := make([]*queues.Draft, n)
	for i := range drafts {
		drafts[i] = &queues.Draft{Payload: queues.Payload{JSON: []byte(large)}}
	}
	if _, err := b.broker.Publish(b.t.Context(), "q", drafts...); err != nil {
		b.t.Fatal(err)
	}
}

// TestLargePrefetch: a worker whose prefetch is more than its send queue holds gets all, at its
// pace. It was closed as too slow, again and again, until its messages were dead.
func TestLargePrefetch(t *testing.T) {
	runOn(t, narrow, queueapi.Config{}, func(t *testing.T, b *bench) {
		p, w := b.client("p"), b.client("w")
		b.publish(100)
		w.must("queue:consume", m{"queue": "q", "prefetch": 100})
		for i := range 100 {
			if _, v := w.message("queue:message"); v.Attempt != 1 || v.Seq != 0 {
				t.Fatalf("message %d: attempt %d", i, v.Attempt)
			}
		}
		if st := p.must("queue:stats", m{"queue": "q"}); st.Leased != 100 {
			t.Errorf("%+v", st)
		}
	})
}

// TestStalledWorker: a worker that doesn't read gets no more than its send queue takes; another gets the rest
// at once, and what the first has when it is given up.
func TestStalledWorker(t *testing.T) {
	runOn(t, narrow, queueapi.Config{}, func(t *testing.T, b *bench) {
		const all = 300
		if err := b.broker.Configure(t.Context(), "q", queues.Config{Lease: 2 * time.Second}); err != nil {
			t.Fatal(err)
		}
		p, stalled, w := b.client("p"), b.client("s"), b.client("w")
		stalled.must("queue:consume", m{"queue": "q", "prefetch": 1000})
		resume := stalled.Stall()
		defer resume()
		b.publish(all)
		synctest.Wait()
		st := p.must("queue:stats", m{"queue": "q"})
		// What is in the network and the send queue, and what was taken at once.
		if most := (1<<20 + 192<<10) / len(large); st.Leased < 2 || st.Leased > most {
			t.Errorf("a worker that doesn't read has %d messages, more than %d", st.Leased, most)
		}
		held := st.Leased
		w.must("queue:consume", m{"queue": "q", "prefetch": 5})
		for i := range all - held {
			e, v := w.message("queue:message")
			if v.Attempt != 1 {
				t.Errorf("message %d: attempt %d", i, v.Attempt)
			}
			e.Ack()
		}
		time.Sleep(8 * time.Second) // four leases, which are renewed
		w.quiet()
		if st := p.must("queue:stats", m{"queue": "q"}); st.Leased != held || st.Ready != 0 {
			t.Errorf("the one that doesn't read had %d: %+v", held, st)
		}
		time.Sleep(4 * time.Second) // it has taken nothing for 10 s
		for range held {
			e, v := w.message("queue:message")
			if v.Attempt != 2 {
				t.Errorf("attempt %d", v.Attempt)
			}
			e.Ack()
		}
		w.quiet()
	})
}

// TestStalledForAWhile: a worker that reads again gets what waited for it, in order and once, but not what was
// taken from it meanwhile.
func TestStalledForAWhile(t *testing.T) {
	for _, batch := range []int{0, 3} {
		runOn(t, narrow, queueapi.Config{}, func(t *testing.T, b *bench) {
			err := b.broker.Configure(t.Context(), "q", queues.Config{Lease: time.Second, MaxProcessing: 6 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			w := b.client("w")
			req := m{"queue": "q", "prefetch": 30}
			if batch > 0 {
				req["batch"] = m{"max": batch, "waitMs": 100}
			}
			w.must("queue:consume", req)
			resume := w.Stall()
			b.publish(30)
			time.Sleep(5 * time.Second)
			resume()
			next := func() []message {
				e := w.Next()
				var one message
				var list []message
				switch e.Name {
				case "queue:message":
					e.Decode(&one)
					list = []message{one}
				case "queue:batch":
					e.Decode(&list)
				default:
					t.Fatal(e.Name)
				}
				e.Ack()
				return list
			}
			fence, got := uint64(0), 0
			for got < 30 {
				for _, v := range next() {
					if v.Attempt != 1 || v.Fence <= fence {
						t.Fatalf("message %d: attempt %d, fence %d after %d", got, v.Attempt, v.Fence, fence)
					}
					fence = v.Fence
					got++
				}
			}
			w.quiet()

			resume = w.Stall()
			b.publish(30)
			time.Sleep(8 * time.Second) // longer than it may work on a message
			other := b.client("o")
			other.must("queue:consume", m{"queue": "q"})
			resume()
			synctest.Wait()
			revoked, has := map[string]bool{}, map[string]bool{}
			for w.Pending() > 0 {
				e := w.Next()
				var one message
				var list []message
				var told struct{ Receipts []string }
				switch e.Name {
				case "queue:message":
					e.Decode(&one)
					list = []message{one}
				case "queue:batch":
					e.Decode(&list)
				case "queue:revoked":
					e.Decode(&told)
				}
				for _, v := range list {
					if revoked[v.R] {
						t.Errorf("a message was sent after it was revoked")
					}
					has[v.ID] = true
				}
				for _, r := range told.Receipts {
					revoked[r] = true
				}
			}
			if len(revoked) == 0 || len(has) == 0 {
				t.Fatalf("%d revoked, %d sent: that is not what was to be tested", len(revoked), len(has))
			}
		})
	}
}

// TestStalledInbox: an inbox whose entries don't fit into the send queue is delivered in order, gaps at their places.
func TestStalledInbox(t *testing.T) {
	runOn(t, narrow, queueapi.Config{}, func(t *testing.T, b *bench) {
		ada := b.client("ada")
		for i := range 60 {
			e := &queues.Entry{Payload: queues.Payload{JSON: []byte(large)}}
			if i == 40 {
				e.TTL = time.Second
			}
			if _, err := b.broker.InboxSend(t.Context(), e, "ada"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2 * time.Second)
		open := ada.must("inbox:open", m{"prefetch": 1000})
		resume := ada.Stall()
		time.Sleep(8 * time.Second)
		resume()
		for seq := uint64(1); seq <= 60; seq++ {
			if seq == 41 {
				var gap struct{ From, To uint64 }
				ada.Expect("inbox:gap").Decode(&gap)
				if gap.From != 41 || gap.To != 41 {
					t.Errorf("%+v", gap)
				}
				continue
			}
			if _, v := ada.message("inbox:message"); v.Seq != seq {
				t.Fatalf("entry %d, want %d", v.Seq, seq)
			}
		}
		if r := ada.must("inbox:ack", m{"epoch": open.Epoch, "seq": 60}); r.Acked != 60 {
			t.Errorf("%+v", r)
		}
		ada.quiet()
	})
}
