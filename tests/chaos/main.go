// Command chaos does to a cluster of nodes, joined by Redis streams, what happens
// to clusters, and checks what arrives at clients that come and go meanwhile.
//
//	jitter     clients drop off again and again while events go out
//	avalanche  a node with many clients is killed: all come back to the others
//	nemesis    nodes are killed and frozen, links are cut, slowed and torn, and Redis breaks: a single one (nemesis-single),
//	           one with a replica and a Sentinel (nemesis-sentinel: failovers) and a cluster (nemesis-cluster: slots that
//	           move, failovers)
//	queues     the same happens to queues and inboxes and their workers, clocks leap, and power fails; in a folder
//	           (queues-embedded), in one on a disk that forgets what wasn't synced (queues-power), in Redis that syncs
//	           always (queues-redis), in one that does so every second (queues-everysec), and in a cluster whose slots move
//	           (queues-cluster); package history checks what was seen
//
// For every session, events have to arrive all, once and in order. It fails if they don't.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// options say how large a run is.
type options struct {
	clients  int
	nodes    int
	rate     float64 // events per second, of all nodes together
	duration time.Duration
	maxLen   int64
	only     string
	seed     uint64 // of queues; 0: another one each time
	beside   bool   // of avalanche: official servers, too
	say      func(format string, args ...any)
}

func main() {
	if runPart() {
		return
	}
	o := options{say: func(format string, args ...any) { fmt.Printf(format+"\n", args...) }}
	flag.IntVar(&o.clients, "clients", 0, "how many clients (jitter 1000, avalanche 5000, nemesis 300, queues 64 workers)")
	flag.IntVar(&o.nodes, "nodes", 3, "how many nodes")
	flag.Float64Var(&o.rate, "rate", 0, "events (10) or messages (1500) per second")
	flag.DurationVar(&o.duration, "for", time.Minute, "how long")
	flag.Int64Var(&o.maxLen, "maxlen", 1_000_000, "length of the stream")
	flag.Uint64Var(&o.seed, "seed", 0, "of queues: where chance begins; 0: anywhere")
	flag.StringVar(&o.only, "only", "", "of nemesis and queues: the faults whose name contains this")
	again := flag.String("check", "", "of queues: check the history in this folder again, that is kept when something was wrong")
	flag.BoolVar(&o.beside, "beside", true, "avalanche: also with official servers, where there is Node")
	flag.Parse()
	if *again != "" {
		if err := o.check(*again); err != nil {
			fmt.Println("FAILED:", err)
			os.Exit(1)
		}
		return
	}
	names := flag.Args()
	if len(names) == 0 {
		names = []string{"jitter", "avalanche", "nemesis", "queues"}
	}
	for all, parts := range map[string][]string{
		"queues":  {"queues-embedded", "queues-power", "queues-redis", "queues-everysec", "queues-cluster"},
		"nemesis": {"nemesis-single", "nemesis-sentinel", "nemesis-cluster"},
	} {
		if i := slices.Index(names, all); i >= 0 {
			names = slices.Replace(names, i, i+1, parts...)
		}
	}
	failed := false
	for _, name := range names {
		run := scenarios[name]
		if run == nil {
			fmt.Fprintln(os.Stderr, "no such scenario:", name)
			os.Exit(2)
		}
		o := o
		if o.clients == 0 {
			o.clients = map[string]int{
				"jitter": 1000, "avalanche": 5000, "nemesis-single": 300, "nemesis-sentinel": 300, "nemesis-cluster": 300,
				"queues-embedded": 64, "queues-power": 64, "queues-redis": 64, "queues-everysec": 64, "queues-cluster": 64,
			}[name]
		}
		if o.rate == 0 {
			o.rate = 10
			if strings.HasPrefix(name, "queues") {
				o.rate = 1500
			}
		}
		fmt.Printf("== %s: %d clients, %d nodes, %g events or messages per second, %v\n", name, o.clients, o.nodes, o.rate, o.duration)
		if err := run(o); err != nil {
			fmt.Println("FAILED:", err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// runPart does what a process has to do that this program has started, if it is one.
func runPart() bool {
	err := error(nil)
	if text := os.Getenv(nodeEnv); text != "" {
		err = runNode(text)
	} else if text := os.Getenv(queueEnv); text != "" {
		err = runQueuePart(text)
	} else {
		return false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
	return true
}

var scenarios = map[string]func(options) error{
	"jitter": runJitter, "avalanche": runAvalanche, "nemesis-single": runNemesis, "nemesis-sentinel": runSentinel, "nemesis-cluster": runCluster,
	"queues-embedded": runQueuesEmbedded, "queues-power": runQueuesPower, "queues-redis": runQueuesRedis, "queues-everysec": runQueuesEverysec,
	"queues-cluster": runQueuesCluster,
}

// finish prints what was found, and fails if something is wrong with it.
func (o *options) finish(cl *cluster, whole bool) error {
	v, err := o.settle(cl, "")
	if err != nil {
		return err
	}
	return o.judge(v, whole)
}

// settle lets the cluster come to rest, and prints what was found in it.
func (o *options) settle(cl *cluster, name string) (*verdict, error) {
	v, err := cl.settle()
	if err != nil {
		return nil, err
	}
	if name != "" {
		name += ": "
	}
	o.say("%s%s", name, v)
	if cl.cfg.Official == "" {
		var list []string
		for why, n := range cl.reasons() {
			list = append(list, fmt.Sprintf("%s %d", why, n))
		}
		slices.Sort(list)
		o.say("fresh by reason, as far as nodes lived to tell: %s; cut off %d, gaps %d", strings.Join(list, ", "), cl.cutOff, cl.gaps)
	}
	for _, e := range v.examples {
		o.say("  %s", e)
	}
	return v, nil
}

// judge says whether what was found is wrong. whole: every client has to be recovered.
func (o *options) judge(v *verdict, whole bool) error {
	if v.lost+v.twice+v.disorder > 0 {
		return fmt.Errorf("lost %d, twice %d, out of order %d", v.lost, v.twice, v.disorder)
	}
	if whole && v.fresh > 0 {
		return fmt.Errorf("%d clients were not recovered", v.fresh)
	}
	if v.received == 0 {
		return fmt.Errorf("nothing was received")
	}
	return nil
}

func (o *options) node() nodeConfig {
	return nodeConfig{MaxLen: o.maxLen, Rate: o.rate / float64(o.nodes), Groups: 3}
}

// runJitter has clients drop off for 0.5 to 5 s again and again.
func runJitter(o options) error {
	cl, err := newCluster(o.nodes, o.node(), "")
	if err != nil {
		return err
	}
	defer cl.close()
	ms := time.Millisecond
	if err := cl.join(o.clients, jitter{stay: [2]time.Duration{500 * ms, 5000 * ms}, away: [2]time.Duration{500 * ms, 5000 * ms}}); err != nil {
		return err
	}
	time.Sleep(o.duration)
	return o.finish(cl, true)
}
