package queues_test

import (
	"context"
	"testing"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

// busyStore has somebody who publishes whenever something is purged.
type busyStore struct{ queues.Store }

func (s busyStore) Purge(ctx context.Context, queue string, dead bool) (int, error) {
	n, err := s.Store.Purge(ctx, queue, dead)
	s.Publish(ctx, []*queues.PublishCall{{Queue: queue, Drafts: []*queues.Draft{draft("more"), draft("and more")}}})
	return n, err
}

// A purge under load had no end: what came meanwhile was purged, too.
func TestPurgeOfABusyQueue(t *testing.T) {
	n := start(t, busyStore{memqueue.New(memqueue.Config{})}, queues.BrokerConfig{})
	n.queue("q", queues.Config{})
	n.publish("q", "1", "2", "3", "4", "5", "6")
	if purged, err := n.Purge(t.Context(), "q", false); err != nil || purged < 6 {
		t.Errorf("purged %d, %v", purged, err)
	}
	st, err := n.Stats(t.Context(), "q")
	if err != nil || st.Ready == 0 {
		t.Errorf("%+v, %v", st, err)
	}
}
