package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const stream, group = "q", "workers"

// streamPeer is a Redis stream with a group, without anything around it: each consumer has a loop and a connection of its
// own, reads up to 100 messages, handles them, and acknowledges and deletes them in one pipeline. Several messages are
// stored by one pipeline. With few consumers each reads more at a time, and a stream costs least; with many they can work
// beside each other on messages that take their time.
type streamPeer struct {
	rdb     *redis.Client
	cancel  context.CancelFunc
	working sync.WaitGroup
}

func newStream(addr string, l *workload, consumers int) (peer, error) {
	p := &streamPeer{rdb: redis.NewClient(&redis.Options{
		Addr: addr, DisableIdentity: true, MaxRetries: -1,
		PoolSize: 64 + consumers, // nobody waits for a connection
	})}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	if err := p.rdb.XGroupCreateMkStream(ctx, stream, group, "0").Err(); err != nil {
		return nil, err
	}
	for i := range consumers {
		p.working.Go(func() {
			if err := p.work(ctx, fmt.Sprint("worker", i), l); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "consume: ", err)
			}
		})
	}
	return p, nil
}

// work is the loop of a consumer.
func (p *streamPeer) work(ctx context.Context, name string, l *workload) error {
	read := redis.XReadGroupArgs{Group: group, Consumer: name, Streams: []string{stream, ">"}, Count: 100, Block: time.Second}
	for {
		streams, err := p.rdb.XReadGroup(ctx, &read).Result()
		if errors.Is(err, redis.Nil) {
			continue // none for a second
		}
		if err != nil {
			return err
		}
		messages := streams[0].Messages
		ids := make([]string, len(messages))
		for i, m := range messages {
			text, _ := m.Values["d"].(string)
			l.handed(text)
			ids[i] = m.ID
		}
		_, err = p.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.XAck(ctx, stream, group, ids...)
			pipe.XDel(ctx, stream, ids...)
			return nil
		})
		if err != nil {
			return err
		}
		l.processed.Add(int64(len(messages)))
	}
}

func (p *streamPeer) publish(ctx context.Context, texts ...string) error {
	add := func(c redis.Cmdable, text string) *redis.StringCmd {
		return c.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []string{"d", text}})
	}
	if len(texts) == 1 {
		return add(p.rdb, texts[0]).Err()
	}
	_, err := p.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, text := range texts {
			add(pipe, text)
		}
		return nil
	})
	return err
}

// left is what is in the stream, or with a consumer.
func (p *streamPeer) left(ctx context.Context) (int64, error) {
	pending, err := p.rdb.XPending(ctx, stream, group).Result()
	if err != nil {
		return 0, err
	}
	n, err := p.rdb.XLen(ctx, stream).Result()
	return max(n, pending.Count), err
}

func (p *streamPeer) close() {
	p.cancel()
	_ = p.rdb.Close() // ends those who wait
	p.working.Wait()
}
