package main

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/tests/chaos/history"
)

// some is a time up to most, and to a part of the whole run, so that a short one sees more than one thing.
func (q *queueRun) some(most time.Duration) time.Duration {
	return time.Duration(q.rnd.Int64N(int64(min(most, q.o.duration/5))))
}

// during does something bad to what who names, in the history, and notes since when it was so.
func (q *queueRun) during(who, what string, do func() error) error {
	began := history.Now()
	err := do()
	q.rec.Add(history.Event{Kind: history.Fault, Who: who, Call: began, Outcome: what})
	return err
}

// nemesis does one bad thing after the other.
func (q *queueRun) nemesis() error {
	fronts := make([][]*redistest.Link, len(q.fronts))
	for i, l := range q.fronts {
		fronts[i] = []*redistest.Link{l}
	}
	faults := slices.Concat(q.processFaults(), q.linkFaults(fronts, "clients' links to a node", history.Front))
	if q.disk { // every other one
		power := fault{"the power of a node fails", q.loseNode}
		faults = slices.Concat(faults, slices.Repeat([]fault{power}, len(faults)))
	}
	if q.sync != "" {
		faults = slices.Concat(faults, q.linkFaults(q.links, "a node's links to Redis", history.Net))
	}
	switch {
	case q.cluster:
		faults = slices.Concat(faults, q.clusterFaults())
	case q.redis != nil:
		faults = slices.Concat(faults, q.redisFaults())
	}
	faults = slices.DeleteFunc(faults, func(f fault) bool { return !strings.Contains(f.name, q.o.only) })
	if len(faults) == 0 {
		return fmt.Errorf("there is no such fault: %q", q.o.only)
	}
	began := time.Now()
	time.Sleep(500 * time.Millisecond)
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
		q.faults[f.name]++
		time.Sleep(300*time.Millisecond + q.some(time.Second))
	}
	if q.redis != nil && q.redis.fast != 0 {
		return q.leap(leaps * time.Second) // what is scheduled is due by any of the clocks that there were
	}
	return nil
}

// afterwards is how long it may take until everybody has noticed something at once.
const afterwards = 50 * ms

// processFaults are those of nodes and workers.
func (q *queueRun) processFaults() []fault {
	stop := func(p *part, d time.Duration) error {
		return q.during(p.name, "stopped", func() error {
			p.signal(syscall.SIGSTOP)
			time.Sleep(d)
			p.signal(syscall.SIGCONT)
			time.Sleep(afterwards)
			return nil
		})
	}
	worker := func() int { return q.rnd.IntN(len(q.workers)) }
	faults := []fault{
		{"a node ends in good order and starts again", func(i int) error {
			return q.during(q.nodes[i].name, "ended", func() error {
				q.nodes[i].stop()
				return q.startNode(i)
			})
		}},
		{"SIGKILL of workers", func(int) error {
			i := worker()
			return q.during(q.workers[i].name, "killed", func() error {
				q.killed(q.workers[i], "worker killed")
				time.Sleep(q.some(300 * ms))
				return q.startWorker(i)
			})
		}},
		{"SIGSTOP of workers", func(int) error {
			return stop(q.workers[worker()], q.some(nodePing+nodePingTimeout+leaseTime))
		}},
		{"SIGSTOP of a node", func(i int) error { return stop(q.nodes[i], q.some(4500*ms)) }},
	}
	if !q.disk { // whose memory is the disk
		faults = append(faults, fault{"SIGKILL of a node", func(i int) error {
			return q.during(q.nodes[i].name, "killed", func() error {
				q.killed(q.nodes[i], "node killed")
				time.Sleep(q.some(time.Second))
				return q.startNode(i)
			})
		}})
	}
	if q.nodes[0].clock != nil {
		faults = append(faults, fault{"the clock of a node is set to another time", func(i int) error {
			to := []time.Duration{-time.Hour, time.Hour, -37 * time.Second, 5 * time.Second, 0}[q.rnd.IntN(5)]
			return q.nodes[i].clock.Set(to) // where it stays
		}})
	}
	return faults
}

// linkFaults are those of links to or from nodes, which name names in the history.
func (q *queueRun) linkFaults(links [][]*redistest.Link, which string, name func(string) string) []fault {
	type link = *redistest.Link
	during := func(how string, most time.Duration, change, back func(link)) fault {
		return fault{which + " " + how, func(i int) error {
			return q.during(name(q.nodes[i].name), how, func() error {
				for _, l := range links[i] {
					change(l)
				}
				time.Sleep(q.some(most))
				for _, l := range links[i] {
					back(l)
				}
				time.Sleep(afterwards)
				return nil
			})
		}}
	}
	nothing := func(link) {}
	return []fault{
		during("are cut", 4*time.Second, link.Cut, link.Mend),
		during("break", 1, link.Break, nothing),
		during("are held up", 5*time.Second, link.Hold, link.Release),
		during("pass nothing towards the server", 5*time.Second, link.HoldRequests, link.Release),
		during("pass nothing from the server", 5*time.Second, link.HoldReplies, link.Release),
		during("are half open", 5*time.Second, link.Forget, nothing),
		during("are slow", 2*time.Second, func(l link) { l.Slow(30 * ms) }, func(l link) { l.Slow(0) }),
		during("lose packets", 4*time.Second, func(l link) { l.Lose(0.05) }, func(l link) { l.Lose(0) }),
	}
}

// redisFaults are those of Redis itself.
func (q *queueRun) redisFaults() []fault {
	down := func(what string, do func() error) error {
		return q.during(history.Net(""), what, func() error {
			if err := do(); err != nil {
				return err
			}
			time.Sleep(q.some(1500 * ms))
			err := q.redis.start()
			q.file.forget()
			return err
		})
	}
	faults := []fault{
		{"SIGKILL of Redis", func(int) error {
			return down("killed", func() error {
				if q.sync == "everysec" {
					q.killRedis(history.Now()) // which may not have written yet
				} else {
					q.redis.kill()
				}
				return nil
			})
		}},
		{"Redis loses power", func(int) error {
			if err := down("power", q.losePower); err != nil {
				return err
			}
			return q.redis.settled()
		}},
		{"SIGSTOP of Redis", func(int) error {
			return q.during(history.Net(""), "stopped", func() error {
				q.redis.signal(syscall.SIGSTOP)
				time.Sleep(q.some(4 * time.Second))
				q.redis.signal(syscall.SIGCONT)
				return nil
			})
		}},
		{"Redis forgets its functions", func(int) error { return q.redis.flushScripts() }},
	}
	if q.redis.clock != nil {
		faults = append(faults, fault{"the clock of Redis is set to another time", func(int) error {
			return q.leap(time.Duration(q.rnd.IntN(2*leaps)-leaps) * time.Second)
		}})
	}
	return faults
}

// clusterFaults are those of a Redis Cluster.
func (q *queueRun) clusterFaults() []fault {
	c := q.masters.cluster
	something := func() string {
		var keys []string
		for name := range queueConfigs {
			keys = append(keys, "roomcast:{q:"+name+"}")
		}
		for _, name := range inboxes {
			keys = append(keys, "roomcast:{i:"+name+"}")
		}
		for _, name := range topics {
			keys = append(keys, "roomcast:{t:"+name+"}")
		}
		slices.Sort(keys)
		return keys[q.rnd.IntN(len(keys))]
	}
	during := func(what string, do func()) func(int) error {
		return func(int) error {
			return q.during(history.Net(""), what, func() error {
				return q.masters.try(func() error { do(); return nil })
			})
		}
	}
	return []fault{
		{"a slot moves", during("a slot moves", func() {
			key := something()
			to := c.Nodes[(slices.Index(c.Nodes, c.Owner(key))+1+q.rnd.IntN(2))%3]
			pause := q.some(200 * ms)
			move := c.StartMove(key, to)
			for move.Step(1 + q.rnd.IntN(5)) {
				time.Sleep(pause)
			}
			move.End()
		})},
		{"SIGKILL of a master", during("killed", func() {
			s := c.Nodes[q.rnd.IntN(3)]
			s.Kill()
			time.Sleep(q.some(1500 * ms))
			s.Restart()
		})},
		{"SIGSTOP of a master", during("stopped", func() {
			s := c.Nodes[q.rnd.IntN(3)]
			s.Freeze()
			time.Sleep(q.some(4 * time.Second))
			s.Thaw()
		})},
	}
}

// leaps is by how many seconds the clock of Redis may be wrong: less than for how long ids are remembered.
const leaps = 25

// leap sets the clock of Redis.
func (q *queueRun) leap(to time.Duration) error {
	if err := q.redis.setClock(to); err != nil {
		return err
	}
	// Leases that are over by it are over; nodes learn that when they renew them next.
	now := history.Now()
	q.rec.Add(history.Event{Kind: history.Fault, Who: history.Clock, Call: now - 1e8, At: now + (leaseTime + time.Second).Nanoseconds(), Outcome: "clock"})
	return nil
}
