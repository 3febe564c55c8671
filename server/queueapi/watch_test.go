package queueapi_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server/queueapi"
)

// TestDropped: admins who watch a queue are told, at most once a second, how many messages had to make room, whoever
// published, and not any more when they may not know.
func TestDropped(t *testing.T) {
	var denied atomic.Bool
	rule := func(_ context.Context, principal string, action queues.Action, _ string) error {
		if action == queues.Admin && (principal != "admin" || denied.Load()) {
			return queues.ErrUnauthorized
		}
		return nil
	}
	runFor(t, rule, queueapi.Config{}, func(t *testing.T, b *bench) {
		if err := b.broker.Configure(t.Context(), "q", queues.Config{MaxLen: 3, Overflow: queues.DropOldest}); err != nil {
			t.Fatal(err)
		}
		p, a, other := b.client("p"), b.client("admin"), b.client("admin")
		publish := func(n int) {
			for range n {
				p.must("queue:publish", m{"queue": "q", "data": 1})
			}
		}
		told := func(want int) {
			t.Helper()
			var v struct {
				Queue string
				N     int
			}
			a.Expect("queue:dropped").Decode(&v)
			if v.Queue != "q" || v.N != want {
				t.Errorf("%+v, want %d", v, want)
			}
		}
		publish(5) // of these nobody is told
		a.must("queue:admin", m{"op": "watch", "queue": "q"})
		a.must("queue:admin", m{"op": "watch", "queue": "q"}) // again is nothing
		other.must("queue:admin", m{"op": "watch", "queue": "q"})
		other.must("queue:admin", m{"op": "unwatch", "queue": "q"})
		publish(2)
		time.Sleep(1500 * time.Millisecond)
		told(2)
		if _, err := b.broker.PublishOne(t.Context(), "q", &queues.Draft{Payload: queues.Payload{JSON: []byte("1")}}); err != nil {
			t.Fatal(err)
		}
		publish(3)
		time.Sleep(time.Second)
		told(4)
		time.Sleep(time.Minute)
		a.quiet()

		// A queue of the same name begins anew.
		a.must("queue:admin", m{"op": "delete", "queue": "q"})
		time.Sleep(2 * time.Second)
		if err := b.broker.Configure(t.Context(), "q", queues.Config{MaxLen: 1, Overflow: queues.DropOldest}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		publish(2)
		time.Sleep(time.Second)
		told(1)

		if r := a.ask("queue:admin", m{"op": "watch", "queue": "none"}); r.Code != "not_found" {
			t.Errorf("%+v", r)
		}
		for i := range 100 {
			name := fmt.Sprint("q", i)
			if err := b.broker.Configure(t.Context(), name, queues.Config{}); err != nil {
				t.Fatal(err)
			}
			if r := a.ask("queue:admin", m{"op": "watch", "queue": name}); r.OK != (i < 99) {
				t.Errorf("queue %d: %+v", i+2, r)
			}
		}
		denied.Store(true)
		publish(2)
		time.Sleep(2 * time.Second)
		denied.Store(false)
		publish(2)
		time.Sleep(2 * time.Second)
		a.quiet()
		other.quiet()
		p.quiet()
	})
}
