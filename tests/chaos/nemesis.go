package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
)

type fault struct {
	name string
	do   func(i int) error
}

// nemesis does one bad thing after the other.
type nemesis struct {
	options
	*cluster
}

const ms = time.Millisecond

// runNemesis does them to nodes with a single Redis, which keeps what it has promised.
func runNemesis(o options) error {
	return o.nemesis("", func(n *nemesis) []fault { return append(n.redisFaults(), n.nodeFaults()...) }, "--appendonly", "yes", "--appendfsync", "always")
}

// runSentinel does them to nodes with a primary, its replica and a Sentinel.
func runSentinel(o options) error {
	return o.nemesis("sentinel", func(n *nemesis) []fault { return append(n.sentinelFaults(), n.nodeFaults()...) })
}

// runCluster does them to nodes with a Redis Cluster.
func runCluster(o options) error {
	return o.nemesis("cluster", func(n *nemesis) []fault { return append(n.clusterFaults(), n.nodeFaults()...) })
}

func (o options) nemesis(kind string, faults func(*nemesis) []fault, args ...string) error {
	cl, err := newCluster(o.nodes, o.node(), kind, args...)
	if err != nil {
		return err
	}
	defer cl.close()
	if err := cl.join(o.clients, jitter{stay: [2]time.Duration{1000 * ms, 8000 * ms}, away: [2]time.Duration{0, 2000 * ms}}); err != nil {
		return err
	}
	n := &nemesis{o, cl}
	if cl.toxics == nil {
		o.say("without Toxiproxy: %s isn't set", toxicsEnv)
	}
	list := slices.DeleteFunc(faults(n), func(f fault) bool { return !strings.Contains(f.name, o.only) })
	began := time.Now()
	for k := 0; time.Since(began) < o.duration; k++ {
		f := list[k%len(list)]
		i := rand.IntN(o.nodes)
		o.say("%6.1f s  %s (node %d)", time.Since(began).Seconds(), f.name, i)
		if err := cl.redis.try(func() error { return f.do(i) }); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		time.Sleep(rand.N(time.Second))
	}
	return o.finish(cl, false)
}

// redisFaults are those of a single server.
func (n *nemesis) redisFaults() []fault {
	r := n.cluster.redis
	return []fault{
		{"SIGKILL of Redis", func(int) error {
			r.server.Kill()
			time.Sleep(rand.N(1500 * ms))
			r.server.Restart()
			return nil
		}},
		{"SIGSTOP of Redis", func(int) error {
			r.server.Freeze()
			time.Sleep(rand.N(4 * time.Second))
			r.server.Thaw()
			return nil
		}},
	}
}

// sentinelFaults are those of a primary and its replica.
func (n *nemesis) sentinelFaults() []fault {
	s := n.cluster.redis.sentinel
	return []fault{
		{"SIGKILL of the primary", func(int) error {
			was := s.Primary()
			was.Kill()
			now := s.WaitPrimary(was)
			was.Follow(now)
			was.Restart()
			s.Settle()
			return nil
		}},
		{"failover by order", func(int) error {
			was := s.Primary()
			if err := s.Admin().Do(context.Background(), "SENTINEL", "FAILOVER", s.Master).Err(); err != nil {
				n.say("          refused: %v", err)
				return nil
			}
			s.WaitPrimary(was)
			s.Settle()
			return nil
		}},
		{"SIGSTOP of the primary until there is another one", func(int) error {
			was := s.Primary()
			was.Freeze()
			s.WaitPrimary(was)
			was.Thaw()
			s.Settle()
			return nil
		}},
	}
}

// clusterFaults are those of a Redis Cluster.
func (n *nemesis) clusterFaults() []fault {
	r := n.cluster.redis
	takeOver := func(kill bool) {
		was, now := r.owner(), r.standIn()
		if kill {
			was.Kill()
		}
		r.cluster.FailOver(now, "TAKEOVER")
		if kill {
			was.Restart()
		}
		was.WaitInfo("role:slave", "master_link_status:up")
	}
	home := r.owner()
	return []fault{
		{"the stream's slot moves, and back", func(int) error {
			was := r.owner()
			to := r.servers[rand.IntN(3)]
			if to == home || to == was {
				to = r.servers[(slices.Index(r.servers[:3], home)+1)%3]
			}
			r.cluster.Move(streamName, to)
			time.Sleep(rand.N(500 * ms))
			r.cluster.Move(streamName, was)
			return nil
		}},
		{"CLUSTER FAILOVER TAKEOVER", func(int) error { takeOver(false); return nil }},
		{"SIGKILL of the stream's master", func(int) error { takeOver(true); return nil }},
	}
}

// nodeFaults are those of nodes and of their links.
func (n *nemesis) nodeFaults() []fault {
	cl := n.cluster
	list := []fault{
		{"SIGKILL of a node", func(i int) error {
			cl.kill(i)
			time.Sleep(rand.N(time.Second))
			return cl.start(i)
		}},
		{"SIGSTOP of a node", func(i int) error {
			p := cl.nodes[i]
			p.signal(syscall.SIGSTOP)
			time.Sleep(500*ms + rand.N(2500*ms))
			p.signal(syscall.SIGCONT)
			return nil
		}},
		{"a node's link to Redis is cut", func(i int) error {
			cl.link(i, (*redistest.Link).Cut)
			time.Sleep(rand.N(3 * time.Second))
			cl.link(i, (*redistest.Link).Mend)
			return nil
		}},
		{"a node's connections to Redis break", func(i int) error {
			cl.link(i, (*redistest.Link).Break)
			return nil
		}},
		{"a node's link to Redis is held up", func(i int) error {
			cl.link(i, (*redistest.Link).Hold)
			time.Sleep(rand.N(4 * time.Second))
			cl.link(i, (*redistest.Link).Release)
			return nil
		}},
		{"CLIENT KILL of all", func(int) error {
			for _, kind := range []string{"normal", "pubsub"} {
				if err := cl.redis.owner().Admin().Do(context.Background(), "CLIENT", "KILL", "TYPE", kind).Err(); err != nil {
					return err
				}
			}
			return nil
		}},
		{"output buffers of a few kB", func(i int) error {
			s := cl.redis.owner()
			cl.link(i, (*redistest.Link).Cut) // it has something to catch up with
			limit := func(bytes int) error {
				return s.Admin().ConfigSet(context.Background(), "client-output-buffer-limit", fmt.Sprintf("normal %d 0 0 pubsub %[1]d 0 0", bytes)).Err()
			}
			time.Sleep(500 * ms)
			if err := limit(8000); err != nil {
				return err
			}
			cl.link(i, (*redistest.Link).Mend)
			time.Sleep(time.Second)
			return limit(0)
		}},
	}
	if cl.toxics != nil {
		for _, x := range allToxics {
			list = append(list, fault{"a node's link to Redis has a toxic: " + x.kind, func(i int) error {
				return cl.poison(i, x, 500*ms+rand.N(1500*ms))
			}})
		}
	}
	return list
}

// replicates reports whether INFO replication is a replica's.
func replicates(info string) bool { return strings.Contains(info, "role:slave\r\n") }
