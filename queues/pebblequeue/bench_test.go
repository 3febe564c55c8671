package pebblequeue

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/roomcast/roomcast/queues"
)

var payload64 = queues.Payload{JSON: []byte(`"` + string(make64()) + `"`)}

func make64() []byte {
	b := make([]byte, 62)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func newBroker(b *testing.B, s queues.Store) *queues.Broker {
	b.Helper()
	br, err := queues.NewBroker(b.Context(), queues.BrokerConfig{Store: s})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { br.Close(context.Background()) })
	return br
}

// spread runs f b.N times on n goroutines and returns how long each run took.
func spread(b *testing.B, n int, f func(who int)) []time.Duration {
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var took []time.Duration
			for next.Add(1) <= int64(b.N) {
				start := time.Now()
				f(i)
				took = append(took, time.Since(start))
			}
			mu.Lock()
			all = append(all, took...)
			mu.Unlock()
		})
	}
	wg.Wait()
	return all
}

func report(b *testing.B, took []time.Duration, written uint64, used time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(written)/float64(b.N), "written-B/msg")
	b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/msg")
}

// BenchmarkQueue: so many producers that wait for their message to be on disk, and as many consumers whose
// acknowledgement is on disk before they get the next message.
func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := mustOpen(b, b.TempDir(), Config{})
			br := newBroker(b, s)
			ctx := b.Context()
			if err := br.Configure(ctx, "q", queues.Config{MaxConsumers: 1000}); err != nil {
				b.Fatal(err)
			}
			var handled atomic.Int64
			done := make(chan struct{})
			for left := n; left > 0; left -= 64 {
				c, err := br.Consume(ctx, "q", queues.ConsumerConfig{Prefetch: min(left, 64)})
				if err != nil {
					b.Fatal(err)
				}
				queues.Handle(c, func(context.Context, *queues.Message, queues.Payload) error {
					if handled.Add(1) == int64(b.N) {
						close(done)
					}
					return nil
				})
			}
			written, used := s.Written(), cpu()
			b.ResetTimer()
			took := spread(b, n, func(int) {
				if _, err := br.PublishOne(ctx, "q", &queues.Draft{Payload: payload64}); err != nil {
					b.Error(err)
				}
			})
			<-done
			b.StopTimer()
			report(b, took, s.Written()-written, cpu()-used)
		})
	}
}

// BenchmarkInboxes: 64 senders to 10,000 inboxes in which 50 entries each wait.
func BenchmarkInboxes(b *testing.B) {
	const inboxes = 10_000
	s := mustOpen(b, b.TempDir(), Config{})
	br := newBroker(b, s)
	ctx := b.Context()
	names := make([]string, inboxes)
	for i := range names {
		names[i] = fmt.Sprint("inbox", i)
	}
	// Of 64 bytes that can't be compressed.
	random := func() queues.Payload {
		return queues.Payload{JSON: []byte(`"` + rand.Text() + rand.Text() + rand.Text()[:10] + `"`)}
	}
	limits := queues.InboxLimits{MaxLen: 10_000, MaxBytes: 16 << 20, TTL: time.Hour, Overflow: queues.DropOldest}
	for range 50 {
		for part := range slices.Chunk(names, 1000) {
			var calls []*queues.AppendCall
			for _, name := range part {
				calls = append(calls, &queues.AppendCall{Inbox: name, Limits: limits, Entries: []*queues.Entry{{Payload: random()}}})
			}
			s.Append(ctx, calls)
		}
	}
	settled(b, s)
	used := cpu()
	b.ResetTimer()
	took := spread(b, 64, func(int) {
		sent, err := br.InboxSend(ctx, &queues.Entry{Payload: random()}, names[mathrand.IntN(inboxes)])
		if err != nil || sent[0].Err != nil {
			b.Error(err, sent)
		}
	})
	b.StopTimer()
	used = cpu() - used
	settled(b, s)
	// Of all messages, since what is sorted into files later, and again, has its share in them.
	report(b, took, s.Written()*uint64(b.N)/uint64(b.N+50*inboxes), used)
}

// settled waits until the database has sorted into files all that it has.
func settled(b *testing.B, s *Store) {
	b.Helper()
	if err := s.db.Flush(); err != nil {
		b.Fatal(err)
	}
	for s.db.Metrics().Compact.NumInProgress > 0 {
		time.Sleep(10 * time.Millisecond)
	}
}

// BenchmarkOpen: a million messages, half of which were acknowledged.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := mustOpen(b, dir, Config{})
	ctx := b.Context()
	s.Configure(ctx, "q", queues.Config{MaxLen: 2_000_000}.WithDefaults())
	drafts := make([]*queues.Draft, 1000)
	for i := range drafts {
		drafts[i] = &queues.Draft{Payload: payload64}
	}
	const total = 1_500_000
	for range total / len(drafts) {
		c := &queues.PublishCall{Queue: "q", Drafts: drafts}
		s.Publish(ctx, []*queues.PublishCall{c})
	}
	for range total / 3 / 250 {
		settle(b, s, queues.Ack, claim(b, s, "q", 250)...)
	}
	s.Close()
	var busy time.Duration
	for b.Loop() {
		used := cpu()
		s, err := Open(dir, Config{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		busy += cpu() - used
		st, _ := s.Stats(ctx, "q")
		if st.Ready != total*2/3 {
			b.Fatalf("%+v", st)
		}
		s.Close()
		b.StartTimer()
	}
	b.ReportMetric(busy.Seconds()/float64(b.N), "cpu-s/op")
}
