package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/tests/chaos/history"
)

// queueRun is nodes with queues, processes with workers, and who gives them work.
type queueRun struct {
	o       options
	rnd     *rand.Rand
	dir     string // histories
	data    string // the embedded store's; "": Redis
	redis   *redisServer
	links   []*redistest.Link
	addrs   []string
	nodes   []*part
	workers []*part
	rec     *history.Recorder
	faults  int
	seed    uint64
}

func runQueuesEmbedded(o options) error { return runQueues(o, false) }
func runQueuesRedis(o options) error    { return runQueues(o, true) }

// runQueues has producers, workers and owners of inboxes at work while bad things happen, and checks what they have seen.
func runQueues(o options, onRedis bool) error {
	q := &queueRun{o: o, seed: o.seed}
	if q.seed == 0 {
		q.seed = uint64(time.Now().UnixNano())
	}
	q.rnd = rand.New(rand.NewPCG(q.seed, 0))
	o.say("seed %d", q.seed)
	var err error
	if q.dir, err = os.MkdirTemp("", "roomcast-history"); err != nil {
		return err
	}
	defer q.close()
	if err := q.start(onRedis); err != nil {
		_ = os.RemoveAll(q.dir)
		return err
	}
	if err := q.work(); err != nil {
		return fmt.Errorf("%w (the history is kept in %s)", err, q.dir)
	}
	return os.RemoveAll(q.dir)
}

func (q *queueRun) start(onRedis bool) (err error) {
	if q.rec, err = history.NewRecorder(q.dir, "main"); err != nil {
		return err
	}
	n := 1
	if onRedis {
		n = q.o.nodes
		if q.redis, err = startRedis("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction"); err != nil {
			return err
		}
	} else {
		q.data = filepath.Join(q.dir, "data")
	}
	for i := range n {
		if onRedis {
			l, err := redistest.OpenLink(q.redis.addr)
			if err != nil {
				return err
			}
			q.links = append(q.links, l)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		q.addrs = append(q.addrs, ln.Addr().String())
		_ = ln.Close()
		q.nodes = append(q.nodes, nil)
		if err := q.startNode(i); err != nil {
			return err
		}
	}
	for i := range 4 {
		q.workers = append(q.workers, nil)
		if err := q.startWorker(i); err != nil {
			return err
		}
	}
	return nil
}

func (q *queueRun) startNode(i int) (err error) {
	n := &queueNode{Addr: q.addrs[i], Data: q.data}
	if q.redis != nil {
		n.Redis = q.links[i].Addr
	}
	q.nodes[i], err = startPart("node"+strconv.Itoa(i), queuePart{Node: n})
	return err
}

func (q *queueRun) startWorker(i int) (err error) {
	name := fmt.Sprint("workers", i, "-", q.rnd.IntN(1e9))
	q.workers[i], err = startPart(name, queuePart{Worker: &workerConfig{
		Dir: q.dir, Name: name, Nodes: q.addrs, Count: q.o.clients / 4, Seed: q.rnd.Uint64(),
	}})
	return err
}

// killed kills a process.
func (q *queueRun) killed(p *part, what string) {
	q.rec.Add(history.Event{Kind: history.Killed, Who: p.name, Outcome: what})
	p.kill()
}

// fault notes that something was, since began, not able to know what happens.
func (q *queueRun) fault(what string, began int64, who ...string) {
	for _, w := range who {
		q.rec.Add(history.Event{Kind: history.Fault, Who: w, Call: began, Outcome: what})
	}
}

func (q *queueRun) work() error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var producers, others sync.WaitGroup
	defer others.Wait()
	defer stop()
	client := func(name string, i int) *line {
		return &line{name: name + strconv.Itoa(i), nodes: q.addrs, rnd: rand.New(rand.NewPCG(q.seed, uint64(1000+i)))}
	}
	const count = 8
	busy, rest := context.WithCancel(ctx)
	defer rest()
	for i := range count {
		producers.Go(func() { produce(busy, q.rec, client("p", i), q.o.rate/count) })
	}
	inboxes := []string{"in0", "in1", "in2", "in3", "in4", "in5"}
	for i := range 3 {
		producers.Go(func() { send(busy, q.rec, client("s", 100+i), inboxes, 15*time.Millisecond) })
	}
	calm := make(chan struct{})
	for i, name := range inboxes {
		o := &owner{name: name, nodes: q.addrs, rec: q.rec, rnd: rand.New(rand.NewPCG(q.seed, uint64(2000+i))), calm: calm}
		others.Go(func() { o.run(ctx) })
	}
	watch := client("watch", 0)
	others.Go(func() { q.watch(ctx, watch) })

	if err := q.nemesis(); err != nil {
		return err
	}
	rest()
	producers.Wait()
	close(calm)
	for _, w := range q.workers {
		_, _ = w.in.Write([]byte("calm\n"))
	}
	admin := client("admin", 0)
	defer admin.close()
	if err := q.drain(ctx, admin); err != nil {
		return err
	}
	stop()
	others.Wait()
	for _, w := range q.workers {
		w.stop()
	}
	return q.verdict()
}

type depths struct {
	Ready, Scheduled, Leased, Blocked, Dead          int
	Published, Acked, Dropped, DeadLettered, Expired uint64
}

func (d *depths) all() int { return d.Ready + d.Scheduled + d.Leased + d.Blocked }

// watch notes how much there is in the queues.
func (q *queueRun) watch(ctx context.Context, l *line) {
	defer l.close()
	for ctx.Err() == nil {
		for name := range queueConfigs {
			var d depths
			if l.call(ctx, "queue:stats", map[string]any{"queue": name}, &d) == nil {
				q.rec.Add(history.Event{Kind: history.Depth, Queue: name, N: d.all()})
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// drain waits until all work is done, and notes what is left: the dead.
func (q *queueRun) drain(ctx context.Context, l *line) error {
	end := time.Now().Add(90 * time.Second)
	for name := range queueConfigs {
		for {
			var d depths
			err := l.call(ctx, "queue:stats", map[string]any{"queue": name}, &d)
			if err == nil && d.all() == 0 {
				break
			}
			if time.Now().After(end) {
				q.o.say("%s isn't empty: %+v, %v", name, d, err)
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		for _, state := range []string{"ready", "scheduled", "leased", "blocked", "dead"} {
			for from := 0; ; {
				var answer struct {
					Messages []struct{ ID, State string }
				}
				if err := l.call(ctx, "queue:peek", map[string]any{"queue": name, "state": state, "n": 100, "offset": from}, &answer); err != nil {
					return fmt.Errorf("peek: %w", err)
				}
				for _, m := range answer.Messages {
					q.rec.Add(history.Event{Kind: history.Left, Queue: name, ID: m.ID, Outcome: m.State})
				}
				if from += len(answer.Messages); len(answer.Messages) == 0 {
					break
				}
			}
		}
	}
	time.Sleep(time.Second) // for the last answers and entries
	return nil
}

func (q *queueRun) verdict() error {
	if err := q.rec.Close(); err != nil {
		return err
	}
	events, err := history.Read(q.dir)
	if err != nil {
		return err
	}
	began := time.Now()
	v := history.Check(events, map[string]history.Rules{
		"jobs": {Poison: poison}, "small": {MaxLen: smallLen}, "ring": {MaxLen: ringLen, Drops: true},
	})
	q.o.say("%d faults, %d events, checked in %v", q.faults, len(events), time.Since(began).Round(time.Millisecond))
	q.o.say("%s", v)
	for _, why := range []string{"socket closed", "worker killed", "node killed", "connection lost", "lapsed", "revoked", "grace of a session", "settled"} {
		if list := v.Redelivery[why]; len(list) > 0 {
			slices.Sort(list)
			at := func(p float64) time.Duration {
				return list[int(p*float64(len(list)-1))].Round(10 * time.Microsecond)
			}
			q.o.say("handed out again after %-18s %5d times: median %v, p99 %v, at most %v", why+":", len(list), at(0.5), at(0.99), at(1))
		}
	}
	if n := v.Wrong(); n > 0 {
		return fmt.Errorf("%d things are wrong", n)
	}
	if v.Messages == 0 || v.Settled == 0 || v.Entries == 0 {
		return fmt.Errorf("nothing has happened")
	}
	return nil
}

// nemesis does one bad thing after the other.
func (q *queueRun) nemesis() error {
	ms := time.Millisecond
	some := func(max time.Duration) time.Duration { return time.Duration(q.rnd.Int64N(int64(max))) }
	faults := []fault{
		{"SIGKILL of a node", func(i int) error {
			began := history.Now()
			q.killed(q.nodes[i], "node killed")
			time.Sleep(some(time.Second))
			err := q.startNode(i)
			q.fault("killed", began, q.nodes[i].name)
			return err
		}},
		{"SIGKILL of workers", func(int) error {
			i := q.rnd.IntN(len(q.workers))
			q.killed(q.workers[i], "worker killed")
			time.Sleep(some(300 * ms))
			return q.startWorker(i)
		}},
		{"SIGSTOP of workers", func(int) error {
			p := q.workers[q.rnd.IntN(len(q.workers))]
			began := history.Now()
			p.signal(syscall.SIGSTOP)
			time.Sleep(some(nodePing + nodePingTimeout + leaseTime))
			p.signal(syscall.SIGCONT)
			time.Sleep(50 * ms)
			q.fault("stopped", began, p.name)
			return nil
		}},
		{"SIGSTOP of a node", func(i int) error {
			began := history.Now()
			q.nodes[i].signal(syscall.SIGSTOP)
			time.Sleep(500*ms + some(4*time.Second))
			q.nodes[i].signal(syscall.SIGCONT)
			time.Sleep(50 * ms)
			q.fault("stopped", began, q.nodes[i].name)
			return nil
		}},
	}
	if q.redis != nil {
		link := func(i int, change, back func(*redistest.Link), d time.Duration) error {
			began := history.Now()
			change(q.links[i])
			time.Sleep(some(d))
			back(q.links[i])
			q.fault("link", began, history.Net(q.nodes[i].name))
			return nil
		}
		faults = append(faults,
			fault{"a node's link to Redis is cut", func(i int) error {
				return link(i, (*redistest.Link).Cut, (*redistest.Link).Mend, 4*time.Second)
			}},
			fault{"a node's connections to Redis break", func(i int) error {
				q.links[i].Break()
				return nil
			}},
			fault{"a node's link to Redis is held up", func(i int) error {
				return link(i, (*redistest.Link).Hold, (*redistest.Link).Release, 5*time.Second)
			}},
			fault{"a node's link to Redis is slow", func(i int) error {
				return link(i, func(l *redistest.Link) { l.Slow(30 * ms) }, func(l *redistest.Link) { l.Slow(0) }, 2*time.Second)
			}},
			fault{"SIGKILL of Redis", func(int) error {
				began := history.Now()
				q.redis.kill()
				time.Sleep(some(1500 * ms))
				err := q.redis.start()
				q.fault("killed", began, history.Net(""))
				return err
			}},
			fault{"SIGSTOP of Redis", func(int) error {
				began := history.Now()
				q.redis.signal(syscall.SIGSTOP)
				time.Sleep(some(4 * time.Second))
				q.redis.signal(syscall.SIGCONT)
				q.fault("stopped", began, history.Net(""))
				return nil
			}},
		)
	}
	faults = slices.DeleteFunc(faults, func(f fault) bool { return !strings.Contains(f.name, q.o.only) })
	began := time.Now()
	time.Sleep(500 * ms)
	for n := 0; time.Since(began) < q.o.duration; n++ {
		if n%len(faults) == 0 { // each of them once, in another order each time
			q.rnd.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
		}
		f := faults[n%len(faults)]
		i := q.rnd.IntN(len(q.nodes))
		q.o.say("%6.1f s  %s (node %d)", time.Since(began).Seconds(), f.name, i)
		if err := f.do(i); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		q.faults++
		time.Sleep(300*ms + some(time.Second))
	}
	return nil
}

func (q *queueRun) close() {
	for _, p := range append(slices.Clone(q.workers), q.nodes...) {
		if p != nil {
			p.signal(syscall.SIGCONT)
			p.stop()
		}
	}
	for _, l := range q.links {
		l.Close()
	}
	if q.redis != nil {
		q.redis.end()
	}
}
