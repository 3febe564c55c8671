package redisqueue

import (
	"context"
	"sync"
	"time"
)

// nudgeAfter is how long nodes that were told of messages have to come for them.
const nudgeAfter = 30 * time.Millisecond

// nudges are the queues of which other nodes were told, by calls of this store, a moment ago. A node that is told takes its turn
// from the others that wait: if it is frozen, or can't be reached, nobody comes. So this node looks whether somebody
// has come, and has the next ones told if there still are messages.
type nudges struct {
	mu     sync.Mutex
	timers map[string]*time.Timer // by queue
	closed bool
	wait   sync.WaitGroup
}

// woken notes that a call about a queue has told n nodes.
func (g *nudges) woken(s *store, queue string, n int64) {
	if n <= 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	if t := g.timers[queue]; t != nil && t.Stop() {
		t.Reset(nudgeAfter)
		return
	}
	if g.timers == nil {
		g.timers = map[string]*time.Timer{}
	}
	g.wait.Add(1)
	var own *time.Timer
	own = time.AfterFunc(nudgeAfter, func() {
		defer g.wait.Done()
		g.mu.Lock()
		if g.timers[queue] == own {
			delete(g.timers, queue)
		}
		g.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if a, err := s.ask(ctx, nudgeFunction, s.queueKey(queue)); err == nil {
			g.woken(s, queue, a.number())
		}
	})
	g.timers[queue] = own
}

// close waits for a nudge that is under way.
func (g *nudges) close() {
	g.mu.Lock()
	g.closed = true
	for _, t := range g.timers {
		if t.Stop() {
			g.wait.Done()
		}
	}
	g.timers = nil
	g.mu.Unlock()
	g.wait.Wait()
}
