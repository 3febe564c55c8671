package queues

import (
	"context"
	"sync"
)

// parking counts what is about to be parked for sessions, and claims by which that may come to be. A consumer that comes back to this node must not take a message
// before it is parked: it would be parked then, under its hands, and given to another.
type parking struct {
	mu  sync.Mutex
	lot map[sessionOf]*parked
}

type sessionOf struct{ queue, session string }

type parked struct {
	left int
	done chan struct{} // closed when nothing is left
}

// add says that one more is about to be parked; what it returns, that this was done, or has failed.
func (p *parking) add(queue, session string) func(error) {
	key := sessionOf{queue, session}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lot == nil {
		p.lot = map[sessionOf]*parked{}
	}
	s := p.lot[key]
	if s == nil {
		s = &parked{done: make(chan struct{})}
		p.lot[key] = s
	}
	s.left++
	return func(error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if s.left--; s.left == 0 {
			delete(p.lot, key)
			close(s.done)
		}
	}
}

// wait returns when nothing is about to be parked for a session.
func (p *parking) wait(ctx context.Context, queue, session string) error {
	p.mu.Lock()
	s := p.lot[sessionOf{queue, session}]
	p.mu.Unlock()
	if s == nil {
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
