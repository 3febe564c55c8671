// Package memqueue is a queues.Store in memory, for tests and for what may be lost
// when the process ends. It does what queues/pebblequeue does, without a disk.
package memqueue

import (
	"context"
	"sync"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/internal/ledger"
)

// Config is the configuration of a store.
type Config struct {
	// Now is the store's clock. If nil, time.Now is used.
	Now func() time.Time
}

// New returns a store that is empty.
func New(c Config) queues.Store {
	if c.Now == nil {
		c.Now = time.Now
	}
	state, err := ledger.Load(ledger.Memory{}, c.Now().UnixMilli())
	if err != nil {
		panic(err) // there is nothing that could be wrong
	}
	s := &store{now: c.Now, state: state}
	s.Do = s.do
	return s
}

type store struct {
	ledger.Store
	mu    sync.Mutex
	now   func() time.Time
	state *ledger.Ledger
}

func (s *store) do(ctx context.Context, f func(*ledger.Ledger)) error {
	if ctx.Err() != nil {
		return queues.ErrUnavailable
	}
	s.mu.Lock()
	s.state.Begin(s.now().UnixMilli())
	f(s.state)
	events := s.state.Events()
	s.mu.Unlock()
	s.Tell(events)
	return nil
}

// Alone reports whether one node has the store.
func (s *store) Alone() bool { return s.state.Alone() }

// Close does nothing: what the store has is the garbage collector's.
func (s *store) Close() error { return nil }
