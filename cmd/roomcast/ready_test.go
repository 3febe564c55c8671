package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
	"github.com/roomcast/roomcast/web"
)

// silent is a store that may not answer.
type silent struct {
	queues.Store
	down atomic.Bool
}

func (s *silent) Beat(ctx context.Context, node string) ([]string, error) {
	if s.down.Load() {
		return nil, queues.ErrUnavailable
	}
	return s.Store.Beat(ctx, node)
}

// TestNotReadyWithoutTheStore: while the store of the queues doesn't answer the node isn't ready, and says so.
func TestNotReadyWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &silent{Store: memqueue.New(memqueue.Config{})}
		broker, err := queues.NewBroker(t.Context(), queues.BrokerConfig{Store: store})
		if err != nil {
			t.Fatal(err)
		}
		q := &hostQueues{cfg: &config.Config{}, store: store, broker: broker}
		defer q.close(context.Background())
		var ready web.Readiness
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go q.watch(ctx, &ready, discard)
		probe := func(down bool, wait time.Duration, status int, want string) {
			t.Helper()
			store.down.Store(down)
			time.Sleep(wait)
			w := httptest.NewRecorder()
			ready.ServeHTTP(w, nil)
			if w.Code != status || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%d %s, want %d", w.Code, w.Body, status)
			}
		}
		probe(false, 10*time.Second, 200, `{"ready":true}`)
		probe(true, 6*time.Second, 503, `"queues":"the store of the queues doesn't answer"`)
		probe(false, 3*time.Second, 200, `{"ready":true}`)
	})
}
