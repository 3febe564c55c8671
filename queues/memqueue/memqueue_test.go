package memqueue_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
	"github.com/roomcast/roomcast/queues/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	open := func(t *testing.T) queues.Store {
		return memqueue.New(memqueue.Config{Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	}
	queuetest.Run(t, open, queuetest.Options{Sleep: func(d time.Duration) { clock.Add(int64(d)) }})
}

func TestInboxModel(t *testing.T) {
	var clock atomic.Int64
	clock.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	store := memqueue.New(memqueue.Config{Now: func() time.Time { return time.Unix(0, clock.Load()) }})
	queuetest.InboxModel(t, store, func(d time.Duration) { clock.Add(int64(d)) }, nil)
}

func TestInboxBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memqueue.New(memqueue.Config{})
		queuetest.InboxBrokers(t, []queues.Store{store, store, store}, false)
	})
}
