package queueapi_test

import (
	"testing"
	"testing/synctest"

	"github.com/roomcast/roomcast/server/queueapi"
)

// A consumer was drained when a message was on its way to it, and its client went: nobody gave the message back, so that it
// waited for the end of its lease, and had failed then.
func TestDrainedAndGone(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		producer := b.client("p")
		var list []m
		for range 400 {
			list = append(list, m{"data": 1})
		}
		for i := range 30 {
			other, w := b.client("o"), b.client("w") // the claim's messages are the other's first
			other.must("queue:consume", m{"queue": "q", "prefetch": 390})
			n := w.must("queue:consume", m{"queue": "q", "prefetch": 1}).Consumer
			producer.Emit("queue:publish", m{"queue": "q", "messages": list})
			other.Next()
			w.must("queue:cancel", m{"consumer": n, "drain": true})
			w.Close()
			other.Close()
			synctest.Wait()
			if st := producer.must("queue:stats", m{"queue": "q"}); st.Leased > 0 {
				t.Fatalf("round %d: %d are leased", i, st.Leased)
			}
			if _, err := b.broker.Purge(t.Context(), "q", false); err != nil {
				t.Fatal(err)
			}
		}
	})
}
