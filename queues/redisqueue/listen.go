package redisqueue

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/queues"
)

// How long a subscription may be silent before it is asked for a sign of life, and how long to wait
// before connecting anew. A node that beats hears itself every second.
const (
	quietFor  = 3 * time.Second
	againFrom = 50 * time.Millisecond
	againTo   = time.Second
)

// Listen does queues.Store.Listen: one connection, with one channel, for all that concerns a node.
//
// The channel isn't a sharded one, though a cluster carries its messages to all of its
// servers: they are few and short, and a sharded channel would be one for each queue
// and inbox that the node waits for.
func (s *store) Listen(ctx context.Context, node string, l queues.Listener) error {
	wait := againFrom
	for {
		began := time.Now()
		err := s.listen(ctx, node, l)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, redis.ErrClosed) {
			return err
		}
		if time.Since(began) > againTo {
			wait = againFrom
		}
		s.cfg.Logger.Warn("queues: the connection to Redis that tells of messages was lost", "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, againTo)
	}
}

// listen listens over one connection, until that fails.
func (s *store) listen(ctx context.Context, node string, l queues.Listener) error {
	sub := s.rdb.Subscribe(ctx, s.channel(node))
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer func() {
		stop()
		_ = sub.Close()
	}()
	asked := false
	for {
		v, err := sub.ReceiveTimeout(ctx, quietFor)
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) && timeout.Timeout() && !asked {
			asked = true
			err = sub.Ping(ctx)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		asked = false
		switch m := v.(type) {
		case *redis.Subscription:
			l.Missed() // it listens now: for the first time, or on a connection that go-redis has made anew
		case *redis.Message:
			told(l, node, m.Payload)
		}
	}
}

// told tells l what a message says.
func told(l queues.Listener, node, text string) {
	if text == "" {
		return
	}
	switch rest := text[1:]; text[0] {
	case 'r':
		l.Ready(rest)
	case 'a':
		l.Arrived(rest)
	case 't':
		if len(rest) < 2 {
			return
		}
		n := int(binary.BigEndian.Uint16([]byte(rest)))
		if rest = rest[2:]; len(rest) < n {
			return
		}
		if number, err := strconv.ParseUint(rest[:n], 10, 64); err == nil {
			l.TakenOver(rest[n:], queues.Owner{Node: node, Number: number})
		}
	}
}
