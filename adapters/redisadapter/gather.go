package redisadapter

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// gatherer sends commands of many goroutines together: while Redis answers some,
// the next ones gather. When thousands of clients come back at once, that is
// what keeps them from queueing for connections.
type gatherer struct {
	rdb redis.UniversalClient

	mu      sync.Mutex
	waiting []*gathered
	running bool
}

type gathered struct {
	cmd  redis.Cmder
	done chan struct{}
}

// gatherMost is how many commands are sent at once.
const gatherMost = 256

// do sends a command and waits for its answer, or until ctx ends: then cmd must not be looked at.
func (g *gatherer) do(ctx context.Context, cmd redis.Cmder) error {
	c := &gathered{cmd, make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	start := !g.running
	g.running = true
	g.mu.Unlock()
	if start {
		go g.run()
	}
	select {
	case <-c.done:
		return cmd.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run sends what gathers, and ends when there is nothing.
func (g *gatherer) run() {
	for {
		g.mu.Lock()
		n := min(len(g.waiting), gatherMost)
		batch := g.waiting[:n:n]
		g.waiting = g.waiting[n:]
		g.running = n > 0
		g.mu.Unlock()
		if n == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), writeTime)
		pipe := g.rdb.Pipeline()
		for _, c := range batch {
			_ = pipe.Process(ctx, c.cmd)
		}
		_, _ = pipe.Exec(ctx) // each command has its own error
		cancel()
		for _, c := range batch {
			close(c.done)
		}
	}
}
