package redisqueue_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// Somebody else writes into our keys: every method answers, maybe with an error, and a queue that is made anew works.
func TestHostileData(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	n := node{t, open(t, rdb, redisqueue.Config{})}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Log("seed ", seed)
	for range 150 {
		fill(n)
		spoil(t, rdb, random)
		useAll(n)
	}
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	fill(n)
	expect(t, "leased", n.stats().Leased, 2)
}

// fill makes a queue with messages in all states, and an inbox.
func fill(n node) {
	_ = n.Configure(n.Context(), "q", queues.Config{MaxFailures: 1}.WithDefaults())
	keyed, late, short := text("k"), text("l"), text("s")
	keyed.Key, late.Delay, short.TTL = "key", time.Millisecond, time.Millisecond
	short.ID = "id"
	n.publish(text("a"), text("b"), keyed, keyed, late, short)
	c := &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 3, Session: "s", Grace: time.Second}}}
	n.Claim(n.Context(), []*queues.ClaimCall{c})
	for i, m := range c.Wants[0].Got {
		if i == 0 {
			n.settle(m.Ref(), queues.Nack)
		}
	}
	_ = n.Subscribe(n.Context(), "i", "t", queues.InboxLimits{Topics: 9, Devices: 9})
	call := &queues.AppendCall{Inbox: "i", Limits: queues.InboxLimits{MaxLen: 9, MaxBytes: 1000}, Entries: []*queues.Entry{anEntry, {ID: "x", TTL: time.Millisecond}}}
	n.Append(n.Context(), []*queues.AppendCall{call})
	_, _ = n.Open(n.Context(), "i", anOwner, nil, false, queues.InboxLimits{})
}

// spoil changes something in some keys.
func spoil(t *testing.T, rdb *redis.Client, random *rand.Rand) {
	ctx := t.Context()
	keys, err := rdb.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	garbage := func() string {
		return []string{"", "x", "-1", "99999999999999999999", strings.Repeat("\xff", 40), strings.Repeat("\x00", 300), "1e309"}[random.IntN(7)]
	}
	for range 3 {
		key := keys[random.IntN(len(keys))]
		switch kind := rdb.Type(ctx, key).Val(); {
		case random.IntN(6) == 0:
			rdb.Del(ctx, key)
			rdb.LPush(ctx, key, garbage())
		case kind == "string":
			v, _ := rdb.Get(ctx, key).Bytes()
			if len(v) > 0 && random.IntN(2) == 0 {
				v[random.IntN(len(v))] ^= byte(1 + random.IntN(255))
				rdb.Set(ctx, key, v, 0)
			} else {
				rdb.Set(ctx, key, garbage(), 0)
			}
		case kind == "hash":
			for field, v := range rdb.HGetAll(ctx, key).Val() {
				b := []byte(v)
				if len(b) > 0 && random.IntN(2) == 0 {
					b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
				} else {
					b = []byte(garbage())
				}
				rdb.HSet(ctx, key, field, b)
			}
			rdb.HSet(ctx, key, garbage(), garbage())
		case kind == "list":
			rdb.LSet(ctx, key, int64(random.IntN(2)), garbage())
			rdb.LPush(ctx, key, garbage())
		case kind == "zset":
			rdb.ZAdd(ctx, key, redis.Z{Score: random.Float64() * 1e13, Member: garbage()})
		case kind == "set":
			rdb.SAdd(ctx, key, garbage())
		}
	}
}

// useAll calls all methods.
func useAll(n node) {
	ctx, cancel := context.WithTimeout(n.Context(), 20*time.Second)
	defer cancel()
	n.publish(text("a"))
	c := &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 9, Bytes: 100}, {Messages: 9, AtMostOnce: true}}, Wait: true}
	n.Claim(ctx, []*queues.ClaimCall{c})
	for seq := range uint64(8) {
		for o := queues.Ack; o <= queues.Park; o++ {
			n.settle(queues.Ref{Seq: seq, Fence: 1}, o)
		}
	}
	for _, w := range c.Wants {
		for i, m := range w.Got {
			n.settle(m.Ref(), queues.Outcome(1+i%5))
		}
	}
	n.Extend(ctx, []*queues.ExtendCall{{Queue: "q", Node: "n", Items: []queues.Ref{{Seq: 1, Fence: 1}}}})
	_, _ = n.Sweep(ctx, "q")
	_, _ = n.Rebind(ctx, "q", "s", "n2")
	_, _ = n.Release(ctx, "q", "n", nil)
	_, _ = n.Stats(ctx, "q")
	for _, state := range []queues.State{queues.Ready, queues.Scheduled, queues.Leased, queues.Blocked, queues.Dead} {
		_, _ = n.Peek(ctx, "q", state, 0, 100)
	}
	_, _ = n.Redrive(ctx, "q", 5, nil)
	_, _ = n.Redrive(ctx, "q", 0, []string{"id"})
	_ = n.Store.Pause(ctx, "q", false, false)
	_, _ = n.Config(ctx, "q")
	_, _ = n.Queues(ctx)
	_, _ = n.Secret(ctx)
	_, _ = n.Beat(ctx, "n")
	_ = n.Forget(ctx, "n")
	n.read(anOwner)
	n.Acknowledge(ctx, []*queues.AcknowledgeCall{{Inbox: "i", Owner: anOwner, At: queues.Position{Epoch: 1, Seq: 1}}})
	_, _ = n.InboxStats(ctx, "i")
	_, _ = n.SweepInboxes(ctx, "", time.Hour)
	_, _, _ = n.Members(ctx, "t", "", 9)
	_ = n.Unsubscribe(ctx, "i", "t")
	_ = n.CloseInbox(ctx, "i", anOwner)
	_ = n.DeleteInbox(ctx, "i")
	_, _ = n.Purge(ctx, "q", false)
	_, _ = n.Purge(ctx, "q", true)
	_ = n.Delete(ctx, "q", true)
	if ctx.Err() != nil {
		n.Fatal("a call hangs")
	}
}
