package redisqueue_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

var payload = queues.Payload{JSON: []byte(`"` + strings.Repeat("x", 62) + `"`)}

// infoNumber returns a number that INFO has, such as used_memory.
func infoNumber(t testing.TB, rdb redis.UniversalClient, section, name string) float64 {
	t.Helper()
	text, err := rdb.Info(t.Context(), section).Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r")
	v, err := strconv.ParseFloat(value, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// redisCPU returns how much time Redis has worked, in µs.
func redisCPU(t testing.TB, rdb redis.UniversalClient) float64 {
	return 1e6 * (infoNumber(t, rdb, "cpu", "used_cpu_user") + infoNumber(t, rdb, "cpu", "used_cpu_sys"))
}

// BenchmarkBatch publishes, claims and settles messages of 64 bytes, so many in each call.
func BenchmarkBatch(b *testing.B) {
	rdb := redistest.Start(b).Client()
	for _, size := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, rdb, redisqueue.Config{Prefix: b.Name()})
			if err := s.Configure(b.Context(), "q", queues.Config{}.WithDefaults()); err != nil {
				b.Fatal(err)
			}
			drafts := make([]*queues.Draft, size)
			for i := range drafts {
				drafts[i] = &queues.Draft{Payload: payload}
			}
			var used [3]float64 // µs of Redis: publish, claim, settle
			last := redisCPU(b, rdb)
			phase := func(i int) {
				now := redisCPU(b, rdb)
				used[i] += now - last
				last = now
			}
			n := 0
			for b.Loop() {
				// Several calls, as of several queues, so that what INFO itself costs doesn't count.
				const calls = 20
				var puts []*queues.PublishCall
				var gets []*queues.ClaimCall
				var settles []*queues.SettleCall
				for range calls {
					puts = append(puts, &queues.PublishCall{Queue: "q", Drafts: drafts})
					gets = append(gets, &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: size}}})
				}
				last = redisCPU(b, rdb)
				s.Publish(b.Context(), puts)
				phase(0)
				s.Claim(b.Context(), gets)
				phase(1)
				for _, got := range gets {
					settle := &queues.SettleCall{Queue: "q"}
					for _, m := range got.Wants[0].Got {
						settle.Items = append(settle.Items, queues.Settlement{Ref: m.Ref(), Outcome: queues.Ack})
					}
					settles = append(settles, settle)
				}
				s.Settle(b.Context(), settles)
				phase(2)
				for i := range calls {
					if puts[i].Err != nil || gets[i].Err != nil || settles[i].Err != nil || len(settles[i].Results) != size {
						b.Fatal(puts[i].Err, gets[i].Err, settles[i].Err, len(settles[i].Results))
					}
				}
				n += size * calls
			}
			for i, name := range []string{"publish", "claim", "settle"} {
				b.ReportMetric(used[i]/float64(n), name+"-µs/msg")
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e6/float64(n), "µs/msg")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkMemory says how much memory of Redis what waits takes.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	b.Run("waiting message", func(b *testing.B) {
		for b.Loop() {
			rdb := redistest.Start(b).Client()
			s := open(b, rdb, redisqueue.Config{})
			if err := s.Configure(b.Context(), "q", queues.Config{}.WithDefaults()); err != nil {
				b.Fatal(err)
			}
			drafts := make([]*queues.Draft, 100)
			for i := range drafts {
				drafts[i] = &queues.Draft{Payload: payload}
			}
			before := infoNumber(b, rdb, "memory", "used_memory_dataset")
			for range n / len(drafts) {
				s.Publish(b.Context(), []*queues.PublishCall{{Queue: "q", Drafts: drafts}})
			}
			b.ReportMetric((infoNumber(b, rdb, "memory", "used_memory_dataset")-before)/n, "B/msg")
		}
	})
	for _, entries := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("inbox of %d", entries), func(b *testing.B) {
			for b.Loop() {
				rdb := redistest.Start(b).Client()
				s := open(b, rdb, redisqueue.Config{})
				limits := queues.InboxLimits{MaxLen: 1000, MaxBytes: 1 << 20, TTL: 1 << 50, Overflow: queues.DropOldest}
				before := infoNumber(b, rdb, "memory", "used_memory")
				const inboxes = 2_000
				for i := 0; i < inboxes; i += 100 {
					var calls []*queues.AppendCall
					for j := range 100 {
						c := &queues.AppendCall{Inbox: fmt.Sprintf("user:%06d", i+j), Limits: limits}
						for k := range entries {
							c.Entries = append(c.Entries, &queues.Entry{ID: fmt.Sprint("id", k), Payload: payload})
						}
						calls = append(calls, c)
					}
					s.Append(b.Context(), calls)
				}
				if err := rdb.Eval(b.Context(), `for _, k in ipairs(redis.call('KEYS', '*:ids*')) do redis.call('DEL', k) end`, nil).Err(); err != nil && err != redis.Nil {
					b.Fatal(err)
				}
				b.ReportMetric((infoNumber(b, rdb, "memory", "used_memory")-before)/inboxes, "B/inbox")
			}
		})
	}
}

// BenchmarkBroker is a message's way from one of 64 publishers through a broker to one of four consumers, and its
// acknowledgement.
func BenchmarkBroker(b *testing.B) {
	rdb := redistest.Start(b).Client()
	broker, err := queues.NewBroker(b.Context(), queues.BrokerConfig{Store: open(b, rdb, redisqueue.Config{})})
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close(context.WithoutCancel(b.Context()))
	if err := broker.Configure(b.Context(), "q", queues.Config{}); err != nil {
		b.Fatal(err)
	}
	var settled sync.WaitGroup
	for range 4 {
		var c *queues.Consumer
		c, err = broker.Consume(b.Context(), "q", queues.ConsumerConfig{Prefetch: 64, Deliver: func(ms []*queues.Message) {
			for _, m := range ms {
				c.Settle(m, queues.Ack, 0, "", func(error) { settled.Done() })
			}
		}})
		if err != nil {
			b.Fatal(err)
		}
		c.Start()
	}
	drafts := []*queues.Draft{{Payload: payload}}
	b.ReportAllocs()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	used, n := redisCPU(b, rdb), 0
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			settled.Add(1)
			if _, err := broker.Publish(b.Context(), "q", drafts...); err != nil {
				b.Error(err)
			}
		}
	})
	settled.Wait()
	n = b.N
	b.ReportMetric((redisCPU(b, rdb)-used)/float64(n), "redis-µs/op")
}
