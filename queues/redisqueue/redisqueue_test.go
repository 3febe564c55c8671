package redisqueue_test

import (
	"flag"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/queuetest"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "24") // they wait most of the time
	goleak.VerifyTestMain(m)
}

// open opens a store that is closed with the test.
func open(t testing.TB, rdb redis.UniversalClient, cfg redisqueue.Config) queues.Store {
	t.Helper()
	s, err := redisqueue.Open(t.Context(), rdb, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Many tests run at once, since they wait for Redis' clock most of the time. Each has keys of its own.
var conformance = queuetest.Options{Unit: 400 * time.Millisecond, Parallel: true}

func TestConformance(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	queuetest.Run(t, func(t *testing.T) queues.Store { return open(t, rdb, redisqueue.Config{Prefix: t.Name() + ":"}) }, conformance)
}

func TestConformanceOnCluster(t *testing.T) {
	t.Parallel()
	rdb := redistest.StartCluster(t).Client()
	queuetest.Run(t, func(t *testing.T) queues.Store { return open(t, rdb, redisqueue.Config{Prefix: t.Name() + "*"}) }, conformance)
}
