package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// publisher sends messages to Redis in the order in which they were added,
// all that have gathered in one round trip. Who adds doesn't wait.
//
// A message is sent once: after an error nobody knows whether Redis has passed
// it on, and twice would be worse than never.
type publisher struct {
	bus *bus

	mu     sync.Mutex
	queue  []outgoing
	bytes  int
	closed bool
	wake   chan struct{} // holds one while there is something in queue
	idle   chan struct{} // closed while nothing is queued or under way
	failed time.Time     // since when Redis takes nothing; zero: it does
	err    error
	errors int // how many there were
}

type outgoing struct {
	channel string
	payload []byte
	done    func(error)
}

// Bounds of one round trip.
const (
	maxBatch      = 512
	maxBatchBytes = 1 << 20
)

var errQueueFull = errors.New("redisadapter: Redis is too slow: the queue of messages to publish is full")

func newPublisher(b *bus) *publisher {
	p := &publisher{bus: b, wake: make(chan struct{}, 1), idle: make(chan struct{})}
	close(p.idle)
	return p
}

func (p *publisher) add(channel string, payload []byte, done func(error)) error {
	size := len(channel) + len(payload)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return errClosed
	case len(payload) > p.bus.cfg.MaxMessage:
		p.bus.stats.publishFailed.Add(1)
		return fmt.Errorf("%w: %d bytes", errLong, len(payload))
	case p.bytes+size > p.bus.cfg.MaxQueue:
		p.bus.stats.publishFailed.Add(1)
		return errQueueFull
	}
	if len(p.queue) == 0 {
		select {
		case <-p.idle:
			p.idle = make(chan struct{})
		default:
		}
	}
	p.queue = append(p.queue, outgoing{channel, payload, done})
	p.bytes += size
	p.bus.stats.queued.Store(int64(p.bytes))
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return nil
}

// take returns what is sent next, and nothing when the queue is empty.
func (p *publisher) take() []outgoing {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, size := 0, 0
	for n < len(p.queue) && n < maxBatch && size < maxBatchBytes {
		size += len(p.queue[n].channel) + len(p.queue[n].payload)
		n++
	}
	batch := p.queue[:n:n]
	if p.queue = p.queue[n:]; len(p.queue) == 0 {
		p.queue = nil
	}
	p.bytes -= size
	p.bus.stats.queued.Store(int64(p.bytes))
	if n == 0 {
		select {
		case <-p.idle:
		default:
			close(p.idle)
		}
	}
	return batch
}

// run sends until the bus ends. What is queued then is given up.
func (p *publisher) run() {
	ctx := p.bus.life
	for {
		select {
		case <-ctx.Done():
			p.giveUp()
			return
		case <-p.wake:
		}
		for batch := p.take(); len(batch) > 0 && ctx.Err() == nil; batch = p.take() {
			p.send(ctx, batch)
		}
	}
}

func (p *publisher) giveUp() {
	p.mu.Lock()
	p.closed = true
	queue := p.queue
	p.queue, p.bytes = nil, 0
	p.mu.Unlock()
	for _, o := range queue {
		if o.done != nil {
			o.done(errClosed)
		}
	}
}

// send sends a batch: to one server, or in a cluster to those that the
// channels belong to, side by side.
func (p *publisher) send(ctx context.Context, batch []outgoing) {
	if !p.bus.sharded { // any server will do: another one after an error
		p.sendTo(ctx, p.bus.cfg.Prefix+strconv.Itoa(p.errors), batch)
		return
	}
	by := map[string][]outgoing{} // by address
	for _, o := range batch {
		c, err := p.bus.redis.master(ctx, o.channel)
		if err != nil {
			p.finish(ctx, o, err)
			continue
		}
		addr := c.Options().Addr
		by[addr] = append(by[addr], o)
	}
	var all sync.WaitGroup
	for _, list := range by {
		all.Go(func() { p.sendTo(ctx, list[0].channel, list) })
	}
	all.Wait()
}

// sendTo sends a batch to the server of key. What belongs to another server by
// now was not passed on, so it is sent there, before anything newer is.
func (p *publisher) sendTo(ctx context.Context, key string, batch []outgoing) {
	for attempt := 0; len(batch) > 0; attempt++ {
		c, err := p.bus.redis.publisher(ctx, key)
		if err != nil {
			for _, o := range batch {
				p.finish(ctx, o, err)
			}
			return
		}
		moved := p.pipeline(ctx, c, batch, attempt < 5)
		if len(moved) == 0 {
			return
		}
		p.bus.redis.reload(ctx)
		sleep(ctx, backoff(attempt))
		batch, key = moved, moved[0].channel
	}
}

// pipeline sends a batch in one round trip, and returns what the server says
// belongs to another one.
func (p *publisher) pipeline(ctx context.Context, c *redis.Client, batch []outgoing, again bool) (moved []outgoing) {
	pipe := c.Pipeline()
	commands := make([]*redis.IntCmd, len(batch))
	for i, o := range batch {
		if p.bus.sharded {
			commands[i] = pipe.SPublish(ctx, o.channel, o.payload)
		} else {
			commands[i] = pipe.Publish(ctx, o.channel, o.payload)
		}
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	for i, cmd := range commands {
		if err := cmd.Err(); err != nil && again && elsewhere(err.Error()) {
			moved = append(moved, batch[i])
		} else {
			p.finish(ctx, batch[i], err)
		}
	}
	return moved
}

// elsewhere reports whether Redis has refused a command with this error for it
// to be tried at another server, or a little later.
func elsewhere(text string) bool {
	for _, prefix := range []string{"MOVED ", "ASK ", "TRYAGAIN", "CLUSTERDOWN"} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

func (p *publisher) finish(ctx context.Context, o outgoing, err error) {
	if o.done != nil {
		defer o.done(err)
	}
	p.mu.Lock()
	first := err != nil && p.failed.IsZero()
	back := err == nil && !p.failed.IsZero()
	if p.err = err; err == nil {
		p.failed = time.Time{}
	} else {
		p.errors++
		if first {
			p.failed = time.Now()
		}
	}
	p.mu.Unlock()
	if err == nil {
		p.bus.stats.published.Add(1)
	} else {
		p.bus.stats.publishFailed.Add(1)
	}
	if ctx.Err() != nil {
		return
	}
	if first {
		p.bus.cfg.Logger.LogAttrs(ctx, slog.LevelError, "redisadapter: Redis takes no messages: other nodes don't get them", slog.Any("error", err))
	} else if back {
		p.bus.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "redisadapter: Redis takes messages again")
	}
}

// healthy returns what is wrong if Redis has taken nothing for a while.
func (p *publisher) healthy(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.failed.IsZero() && now.Sub(p.failed) > p.bus.cfg.Heartbeat {
		return fmt.Errorf("redisadapter: Redis takes no messages: %w", p.err)
	}
	return nil
}

// drain waits until all is sent, or ctx ends.
func (p *publisher) drain(ctx context.Context) {
	p.mu.Lock()
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	case <-time.After(writeTimeout):
	}
}
