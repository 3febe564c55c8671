package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// peer is a queue with consumers at work, which call processed for each message.
type peer interface {
	// publish stores n messages with this text in one call, and returns when they are stored.
	publish(ctx context.Context, text string, n int) error
	close()
}

// workload is what a peer is put to.
type workload struct {
	processed atomic.Int64
	counting  atomic.Bool

	mu        sync.Mutex
	latencies []float64
	started   time.Time
}

// done notes that a message with this text has been processed. It begins with the time at which it was published.
func (l *workload) done(text string) {
	l.processed.Add(1)
	if !l.counting.Load() || len(text) < 20 {
		return
	}
	at, err := strconv.ParseInt(strings.TrimLeft(text[:20], "0"), 10, 64)
	if err != nil {
		return
	}
	ms := float64(time.Since(l.started).Nanoseconds()-at) / 1e6
	l.mu.Lock()
	if len(l.latencies) < 100_000 {
		l.latencies = append(l.latencies, ms)
	}
	l.mu.Unlock()
}

// text is the text of a message, 62 bytes, so that it is 64 with quotes.
func (l *workload) text() string {
	return fmt.Sprintf("%020d%s", time.Since(l.started).Nanoseconds(), strings.Repeat("x", 42))
}

// runPeer is the process of a peer. It says hello, does what its standard input says, and writes a CPU profile if asked to.
func runPeer(name, scenario, addr, profile string) error {
	l := &workload{started: time.Now()}
	var p peer
	var err error
	switch name {
	case "asynq":
		p, err = newAsynq(addr, l)
	case "roomcast":
		p, err = newRoomcast(addr, l, scenario == "apart")
	default:
		err = fmt.Errorf("bench: no peer %q", name)
	}
	if err != nil {
		return err
	}
	say := func(r report) {
		b, _ := json.Marshal(r)
		fmt.Println(string(b))
	}
	in := bufio.NewScanner(os.Stdin)
	time.Sleep(500 * time.Millisecond) // until the consumers are there
	say(report{PIDs: []int{os.Getpid()}})
	if !in.Scan() {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	var publishing sync.WaitGroup
	publisher := func(n int, every time.Duration) {
		publishing.Go(func() {
			next := time.Now()
			for ctx.Err() == nil {
				if err := p.publish(ctx, l.text(), n); err != nil && ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "publish: ", err)
					return
				}
				if every > 0 {
					next = next.Add(every)
					time.Sleep(time.Until(next))
				}
			}
		})
	}
	switch scenario {
	case "throughput":
		for range 64 {
			publisher(1, 0)
		}
	case "batch":
		publisher(100, 0)
	case "paced":
		// Ten that publish every 10 ms, each at another time.
		for range 10 {
			publisher(1, 10*time.Millisecond)
			time.Sleep(time.Millisecond)
		}
	case "idle", "apart":
		publisher(1, 200*time.Millisecond)
	}
	time.Sleep(500 * time.Millisecond)
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	before := l.processed.Load()
	l.counting.Store(true)
	say(report{})
	in.Scan()
	r := report{Messages: int(l.processed.Load() - before)}
	if scenario == "paced" || scenario == "idle" || scenario == "apart" {
		l.mu.Lock()
		r.Latencies = l.latencies
		l.mu.Unlock()
	}
	say(r)
	cancel()
	publishing.Wait()
	p.close()
	return nil
}
