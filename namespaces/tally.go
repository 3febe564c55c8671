package namespaces

import (
	"context"
	"fmt"
	"sync/atomic"
)

// tally counts what runs. Unlike with a sync.WaitGroup, something may begin
// while somebody waits for nothing to run: a session may end by itself in a
// server that shuts down.
type tally struct {
	n    atomic.Int64
	zero chan struct{} // holds a token after n has fallen to 0
}

func newTally() tally { return tally{zero: make(chan struct{}, 1)} }

func (t *tally) begin() { t.n.Add(1) }

func (t *tally) end() {
	if t.n.Add(-1) == 0 {
		t.wake()
	}
}

// wake has one of those who wait look again.
func (t *tally) wake() {
	select {
	case t.zero <- struct{}{}:
	default:
	}
}

// wait waits until nothing runs, or ctx ends.
func (t *tally) wait(ctx context.Context) error {
	for t.n.Load() > 0 {
		select {
		case <-t.zero:
		case <-ctx.Done():
			return fmt.Errorf("namespaces: handlers still run: %w", context.Cause(ctx))
		}
	}
	t.wake() // the next one that waits
	return nil
}
