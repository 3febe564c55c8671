package queueapi_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
	"github.com/roomcast/roomcast/server/queueapi"
)

// failing is a store whose answers can be an error: before or after it has done what it was to do.
type failing struct {
	queues.Store
	err  atomic.Pointer[queues.Error]
	late atomic.Bool
}

func (f *failing) Publish(ctx context.Context, calls []*queues.PublishCall) {
	err := f.err.Load()
	if err == nil || f.late.Load() {
		f.Store.Publish(ctx, calls)
	}
	for _, c := range calls {
		switch {
		case err == nil:
		case !f.late.Load():
			c.Err = err
		default:
			for i := range c.Results {
				c.Results[i].Err = err
			}
		}
	}
}

func (f *failing) Settle(ctx context.Context, calls []*queues.SettleCall) {
	if err := f.err.Load(); err != nil {
		for _, c := range calls {
			c.Err = err
		}
		return
	}
	f.Store.Settle(ctx, calls)
}

// TestStoreFails: a client is told what has become of its message, by the codes of which a working store has none; and what it
// says again with the same id is stored once.
func TestStoreFails(t *testing.T) {
	store := &failing{Store: memqueue.New(memqueue.Config{})}
	runWith(t, store, queueapi.Config{}, func(t *testing.T, b *bench) {
		c := b.client("w")
		publish := m{"queue": "q", "id": "a", "data": 1}
		store.err.Store(queues.ErrUnavailable)
		if r := c.ask("queue:publish", publish); r.OK || r.Code != "unavailable" || r.RetryAfter <= 0 {
			t.Errorf("%+v", r)
		}
		store.err.Store(queues.ErrNotDurable)
		store.late.Store(true)
		if r := c.ask("queue:publish", publish); r.OK || r.Code != "not_durable" {
			t.Errorf("%+v", r)
		}
		store.err.Store(nil)
		if r := c.must("queue:publish", publish); !r.Duplicate || r.Seq != 1 {
			t.Errorf("%+v", r)
		}
		c.must("queue:consume", m{"queue": "q", "prefetch": 5})
		_, v := c.message("queue:message")
		c.quiet() // the first one was refused, and kept nowhere
		store.err.Store(queues.ErrUnavailable)
		if r := c.must("queue:settle", m{"ack": []string{v.R}}); string(r.Results) != `{"`+v.R+`":"unavailable"}` {
			t.Errorf("%s", r.Results)
		}
		store.err.Store(nil)
		if r := c.must("queue:settle", m{"ack": []string{v.R}}); string(r.Results) != `{"`+v.R+`":"ok"}` {
			t.Errorf("%s", r.Results)
		}
	})
}

// TestSilentWorker: a worker whose machine has vanished, or whose event loop stands still, answers no ping. Its lease is renewed until
// the heartbeat gives it up, and not beyond; then another gets its message, and what it says afterwards settles nothing.
func TestSilentWorker(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		if err := b.broker.Configure(t.Context(), "q", queues.Config{Lease: 5 * time.Second}); err != nil {
			t.Fatal(err)
		}
		silent, other := b.client("s"), b.client("o")
		silent.must("queue:consume", m{"queue": "q"})
		silent.must("queue:publish", m{"queue": "q", "data": 1})
		_, first := silent.message("queue:message")
		other.must("queue:consume", m{"queue": "q"})
		synctest.Wait()
		resume := silent.Stall()
		defer resume()
		time.Sleep(69 * time.Second) // a ping after 25 s, which is read yet, another after 50 s, and 20 s for its answer
		other.quiet()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, v := other.message("queue:message"); v.Attempt != 2 || v.ID != first.ID || v.Fence <= first.Fence {
			t.Errorf("%+v after %+v", v, first)
		}
		if r := other.must("queue:settle", m{"ack": []string{first.R}}); string(r.Results) != `{"`+first.R+`":"superseded"}` {
			t.Errorf("%s", r.Results)
		}
	})
}
