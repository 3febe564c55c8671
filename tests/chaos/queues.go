package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues/redisqueue"
	"github.com/roomcast/roomcast/tests/chaos/history"
)

// queueRun is nodes with queues, processes with workers, and who gives them work.
type queueRun struct {
	o       options
	rnd     *rand.Rand
	dir     string // histories
	data    string // the embedded store's; "": Redis
	disk    bool   // it is on a disk whose power fails
	redis   *redisServer
	cluster bool                // Redis is one
	sync    string              // Redis' appendfsync; "": the store is embedded
	masters *deployment         // of a Redis Cluster, instead of one Redis
	links   [][]*redistest.Link // by node, to each server of Redis
	via     []map[string]string // by node: what it connects to instead of a server's address
	fronts  []*redistest.Link   // clients to nodes
	addrs   []string            // of fronts
	ports   []string            // of nodes
	nodes   []*part
	workers []*part
	rec     *history.Recorder
	faults  map[string]int // by name
	seed    uint64
	file    sizes // of Redis' log, with everysec
	cuts    cuts
}

func runQueuesEmbedded(o options) error { return runQueues(&queueRun{o: o}) }
func runQueuesPower(o options) error    { return runQueues(&queueRun{o: o, disk: true}) }
func runQueuesRedis(o options) error    { return runQueues(&queueRun{o: o, sync: "always"}) }
func runQueuesEverysec(o options) error { return runQueues(&queueRun{o: o, sync: "everysec"}) }
func runQueuesCluster(o options) error {
	return runQueues(&queueRun{o: o, sync: "always", cluster: true})
}

// runQueues has producers, workers and owners of inboxes at work while bad things happen, and checks what they have seen.
func runQueues(q *queueRun) error {
	o := q.o
	q.seed, q.faults = o.seed, map[string]int{}
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
	if err := q.start(); err != nil {
		_ = os.RemoveAll(q.dir)
		return err
	}
	if err := q.work(); err != nil {
		return fmt.Errorf("%w (the history is kept in %s)", err, q.dir)
	}
	return os.RemoveAll(q.dir)
}

func (q *queueRun) start() (err error) {
	if q.rec, err = history.NewRecorder(q.dir, "main"); err != nil {
		return err
	}
	n := 1
	var servers []string
	if q.sync != "" {
		n = q.o.nodes
		args := []string{"--appendonly", "yes", "--appendfsync", q.sync, "--auto-aof-rewrite-percentage", "0", "--maxmemory-policy", "noeviction"}
		if q.cluster {
			if q.masters, err = deploy("masters", args...); err != nil {
				return err
			}
			servers = q.masters.target().Addrs
		} else {
			if q.redis, err = startRedis(args...); err != nil {
				return err
			}
			servers = []string{q.redis.addr}
		}
	} else {
		q.data = filepath.Join(q.dir, "data")
	}
	for i := range n {
		q.links, q.via = append(q.links, nil), append(q.via, map[string]string{})
		for _, addr := range servers {
			l, err := redistest.OpenLink(addr)
			if err != nil {
				return err
			}
			q.links[i] = append(q.links[i], l)
			q.via[i][addr] = l.Addr
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		q.ports = append(q.ports, ln.Addr().String())
		_ = ln.Close()
		front, err := redistest.OpenLink(q.ports[i])
		if err != nil {
			return err
		}
		q.fronts, q.addrs = append(q.fronts, front), append(q.addrs, front.Addr)
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

func (q *queueRun) startNode(i int) error { return q.startFailing(i, 0) }

// startFailing starts a node whose power fails after a while, or never.
func (q *queueRun) startFailing(i int, dark time.Duration) (err error) {
	name := "node" + strconv.Itoa(i)
	if q.data != "" {
		q.rec.Add(history.Event{Kind: history.Opened})
	}
	n := &queueNode{Name: name, Dir: q.dir, Addr: q.ports[i], Data: q.data, Disk: q.disk, Dark: dark}
	if q.sync != "" {
		n.Durability = redisqueue.Fsync
		if q.cluster {
			n.Redis = q.masters.target()
		} else {
			n.Redis = target{Addrs: []string{q.redis.addr}}
		}
		n.Redis.Via = q.via[i]
		if q.sync != "always" {
			n.Durability = redisqueue.Memory
		}
	}
	q.nodes[i], err = startPart(name, queuePart{Node: n})
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
	first, cancel := context.WithTimeout(ctx, 20*time.Second)
	err := subscribe(first, q.rec, client("member", 0))
	cancel()
	if err != nil {
		return err
	}
	if q.sync == "everysec" {
		q.file.open(q.redis)
		defer q.file.close()
		time.Sleep(3 * time.Second) // until what there is now is safe from what comes
	}
	there := newArrivals()
	const count = 8
	busy, rest := context.WithCancel(ctx)
	defer rest()
	for i := range count {
		producers.Go(func() { produce(busy, q.rec, client("p", i), q.o.rate/count) })
	}
	for i := range 3 {
		producers.Go(func() { send(busy, q.rec, there, client("s", 100+i), 15*time.Millisecond) })
	}
	boss := &admin{q.rec, client("boss", 0)}
	producers.Go(func() { boss.run(busy) })
	calm := make(chan struct{})
	for i, name := range inboxes {
		o := &owner{name: name, nodes: q.addrs, rec: q.rec, there: there, rnd: rand.New(rand.NewPCG(q.seed, uint64(2000+i))), calm: calm}
		others.Go(func() { o.run(ctx) })
	}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	watch := client("watch", 0)
	others.Go(func() { q.watch(watching, watch) })

	if err := q.nemesis(); err != nil {
		return err
	}
	stopWatching()
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
	there.wait(5 * time.Second)
	time.Sleep(200 * time.Millisecond) // for what nobody should have got
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
	return nil
}

func (q *queueRun) verdict() error {
	if err := q.rec.Close(); err != nil {
		return err
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(q.faults)) {
		q.o.say("%4d x %s", q.faults[name], name)
		total += q.faults[name]
	}
	q.o.say("%d faults", total)
	if q.disk {
		q.o.say("%s", &q.cuts)
	}
	return q.o.check(q.dir)
}

// check checks the history in dir.
func (o *options) check(dir string) error {
	events, err := history.Read(dir)
	if err != nil {
		return err
	}
	began := time.Now()
	v := history.Check(events, map[string]history.Rules{
		"jobs": {Poison: poison}, "small": {MaxLen: smallLen}, "ring": {MaxLen: ringLen, Drops: true},
	})
	o.say("%d events, checked in %v", len(events), time.Since(began).Round(time.Millisecond))
	o.say("%s", v)
	for _, why := range []string{"socket closed", "worker killed", "node killed", "connection lost", "lapsed", "revoked", "grace of a session", "settled"} {
		o.times("handed out again after "+why, v.Redelivery[why])
		o.times("  when nothing else was wrong", v.Calm[why])
	}
	if n := v.Wrong(); n > 0 {
		return fmt.Errorf("%d things are wrong", n)
	}
	if v.Messages == 0 || v.Settled == 0 || v.Entries == 0 {
		return fmt.Errorf("nothing has happened")
	}
	return nil
}

// times tells how long something took.
func (o *options) times(what string, list []time.Duration) {
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	at := func(p float64) time.Duration {
		return list[int(p*float64(len(list)-1))].Round(10 * time.Microsecond)
	}
	o.say("%-45s %5d times: median %v, p99 %v, at most %v", what, len(list), at(0.5), at(0.99), at(1))
}

func (q *queueRun) close() {
	for _, p := range append(slices.Clone(q.workers), q.nodes...) {
		if p != nil {
			p.signal(syscall.SIGCONT)
			p.stop()
		}
	}
	for _, l := range append(slices.Concat(q.links...), q.fronts...) {
		l.Close()
	}
	if q.masters != nil {
		q.masters.end()
	}
	if q.redis != nil {
		q.redis.end()
	}
}
