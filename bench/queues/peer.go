package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/bench/load"
)

// peer is a queue with consumers at work, which tell the workload of each message.
type peer interface {
	// publish stores messages with these texts in one call, and returns when they are stored.
	publish(ctx context.Context, texts ...string) error
	close()
}

// checked is a peer that can say how many messages it still has, so that nothing can get lost unseen.
type checked interface {
	left(ctx context.Context) (int64, error)
}

// workload is what a peer is put to. Every message has a number.
type workload struct {
	started   time.Time
	next      atomic.Int64 // number of the next message
	stored    atomic.Int64
	processed atomic.Int64 // settled, where that is something else than handled
	counting  atomic.Bool

	mu        sync.Mutex
	seen      []bool // by number: was handed out
	latencies []float64
	faults    load.Faults
}

// text is the text of the next message, 62 bytes, so that it is 64 with quotes: the time, the number, and more.
func (l *workload) text() string {
	b := make([]byte, 32, 62) // by hand: what the generator costs is counted as the peer's
	for _, part := range []struct {
		digits []byte
		n      int64
	}{{b[:20], time.Since(l.started).Nanoseconds()}, {b[20:], l.next.Add(1) - 1}} {
		for i := len(part.digits) - 1; i >= 0; i-- {
			part.digits[i] = byte('0' + part.n%10)
			part.n /= 10
		}
	}
	return string(append(b, filler...))
}

// handed notes that a handler has a message with this text.
func (l *workload) handed(text string) {
	now := time.Since(l.started).Nanoseconds()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(text) != 62 || text[32:] != filler {
		l.faults.Note(&l.faults.Wrong, "a message is %.100q", text)
		return
	}
	at, err := strconv.ParseInt(text[:20], 10, 64)
	number, err2 := strconv.Atoi(text[20:32])
	if err != nil || err2 != nil || int64(number) >= l.next.Load() {
		l.faults.Note(&l.faults.Wrong, "a message is %q", text)
		return
	}
	for len(l.seen) <= number {
		l.seen = append(l.seen, false)
	}
	if l.seen[number] {
		l.faults.Note(&l.faults.Wrong, "message %d was handed out twice", number)
	}
	l.seen[number] = true
	if l.counting.Load() && len(l.latencies) < 100_000 {
		l.latencies = append(l.latencies, float64(now-at)/1e6)
	}
}

// check waits until all that was stored was processed, and notes what is missing.
func (l *workload) check(c checked) {
	stored := l.stored.Load()
	for end := time.Now().Add(patience); l.processed.Load() < stored && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	left, err := c.left(context.Background())
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range l.next.Load() {
		if n >= int64(len(l.seen)) || !l.seen[n] {
			l.faults.Note(&l.faults.Wrong, "message %d was not handed out", n)
		}
	}
	if n := l.processed.Load(); n != stored || left != 0 || err != nil {
		l.faults.Note(&l.faults.Wrong, "of %d messages %d were processed, %d are left, %v", stored, n, left, err)
	}
}

// startProfile has a CPU profile of this process written to a file, unless its name is empty.
func startProfile(name string) (stop func(), err error) {
	if name == "" {
		return func() {}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "profile: ", err)
		}
	}, nil
}

// runPeer is the process of a peer. It says hello, does what its standard input says, and writes a CPU profile if asked to.
func runPeer(name, scenario, addr, profile string) error {
	l := &workload{started: time.Now()}
	var p peer
	var err error
	switch name {
	case "asynq":
		p, err = newAsynq(addr, l)
	case "stream":
		p, err = newStream(addr, l, 64)
	case "stream4":
		p, err = newStream(addr, l, 4)
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
	ctx := context.Background()
	var stopped atomic.Bool
	var publishing sync.WaitGroup
	publisher := func(n int, every time.Duration) {
		publishing.Go(func() {
			next := time.Now()
			texts := make([]string, n)
			for !stopped.Load() {
				for i := range texts {
					texts[i] = l.text()
				}
				if err := p.publish(ctx, texts...); err != nil {
					fmt.Fprintln(os.Stderr, "publish: ", err)
					return
				}
				l.stored.Add(int64(n))
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
	stopProfile, err := startProfile(profile)
	if err != nil {
		return err
	}
	defer stopProfile()
	before := l.processed.Load()
	l.counting.Store(true)
	say(report{})
	in.Scan()
	r := report{Messages: int(l.processed.Load() - before)}
	l.counting.Store(false)
	stopped.Store(true)
	publishing.Wait()
	if c, ok := p.(checked); ok {
		l.check(c)
		r.Checked, r.Faults = int(l.stored.Load()), l.faults
	}
	if scenario == "paced" || scenario == "idle" || scenario == "apart" {
		l.mu.Lock()
		r.Latencies = l.latencies
		l.mu.Unlock()
	}
	say(r)
	p.close()
	return nil
}
