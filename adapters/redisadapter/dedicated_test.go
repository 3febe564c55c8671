package redisadapter

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/redistest"
)

// All that goes over a dedicated connection goes over that one. Redis' client has another pool for pipelines: each of them
// dialled in vain, which made a broadcast over streams twice as expensive.
func TestDedicatedIsOneConnection(t *testing.T) {
	s := redistest.Start(t)
	ctx := t.Context()
	d, err := dedicate(ctx, s.Client(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	number := func() (n int64) {
		cmds, err := d.TxPipelined(ctx, func(p redis.Pipeliner) error { p.ClientID(ctx); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return cmds[0].(*redis.IntCmd).Val()
	}
	first, err := d.ClientID(ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n := number(); n != first {
			t.Errorf("a pipeline on connection %d, the first command was on %d", n, first)
		}
		if _, err := d.Pipelined(ctx, func(p redis.Pipeliner) error { p.Get(ctx, "k"); return nil }); err != nil && err != redis.Nil {
			t.Error(err)
		}
	}
	// Redis numbers connections: nobody else has tried.
	other := redis.NewClient(&redis.Options{Addr: s.Addr})
	defer other.Close()
	if last := other.ClientID(ctx).Val(); last != first+1 {
		t.Errorf("%d connections were made meanwhile", last-first-1)
	}
}
