package main

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roomcast/roomcast/bench/load"
	"github.com/roomcast/roomcast/bench/redisd"
)

// run is one run of a scenario against one fresh server, or cluster. Scenarios use it from
// one goroutine and set metrics.
type run struct {
	server  *process
	nodes   []*process     // server, and the others of its cluster
	alone   *process       // beside a cluster: a node without
	redis   *redisd.Server // nil: there is no cluster
	loop    *load.Loop
	quick   bool
	profile *profile // nil: none is recorded
	metrics map[string]float64

	began window
}

// window is a moment from which a measurement counts.
type window struct {
	at                 time.Time
	server, redis, own time.Duration // CPU: of all nodes, of Redis, of this process
}

func (r *run) moment() (window, error) {
	w := window{at: time.Now(), own: ownCPU()}
	for _, p := range r.nodes {
		cpu, err := p.cpu()
		if err != nil {
			return w, err
		}
		w.server += cpu
	}
	var err error
	if r.redis != nil {
		w.redis, err = cpuOf(r.redis.PID)
	}
	return w, err
}

// ownCPU is the user and system time of this process.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0 // cannot happen with these arguments
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// begin opens the measured window of a run.
func (r *run) begin() (err error) {
	if r.profile != nil {
		if err := r.profile.start(r.server); err != nil {
			return err
		}
	}
	r.began, err = r.moment()
	return err
}

// end closes the window and sets the metrics for the n messages, deliveries or
// connections in it: "cpu" and "generator" (µs each), "rate" (each second), and
// in a cluster "redis" (µs each).
func (r *run) end(n int) error {
	now, err := r.moment()
	if err != nil {
		return err
	}
	if r.profile != nil {
		if err := r.profile.stop(r.server); err != nil {
			return err
		}
	}
	if n == 0 {
		return fmt.Errorf("nothing was done in %v (%s)", now.at.Sub(r.began.at).Round(time.Millisecond), r.loop.Faults.First)
	}
	per := func(d time.Duration) float64 { return float64(d) / 1e3 / float64(n) }
	r.metrics["cpu"] = per(now.server - r.began.server)
	r.metrics["generator"] = per(now.own - r.began.own)
	if r.redis != nil {
		r.metrics["redis"] = per(now.redis - r.began.redis)
	}
	r.metrics["rate"] = float64(n) / now.at.Sub(r.began.at).Seconds()
	return nil
}

// pick returns the value for --quick or the other.
func pick[T any](r *run, full, quick T) T {
	if r.quick {
		return quick
	}
	return full
}

func (r *run) warmUp() time.Duration { return pick(r, 1500*time.Millisecond, 300*time.Millisecond) }

// length of the measured window, where it is a time.
func (r *run) length() time.Duration {
	if r.profile != nil {
		return 6 * time.Second
	}
	return pick(r, 3*time.Second, 700*time.Millisecond)
}

// patience is how long to wait for what is missing before it counts as lost.
const patience = 10 * time.Second

// sockets connects n sockets, some at a time, which then call ev. Those that
// fail are counted and left out.
func (r *run) sockets(n int, ev *load.Events) ([]*load.Socket, error) {
	return r.socketsAt(r.server.Addr, n, ev)
}

// socketsAt is sockets for any node.
func (r *run) socketsAt(addr netip.AddrPort, n int, ev *load.Events) ([]*load.Socket, error) {
	const atOnce = 64
	var (
		sockets       []*load.Socket
		dialed, ended int
		failed        error
	)
	connect := *ev // the events until all are ready
	dial := func() {
		if failed != nil || dialed == n {
			return
		}
		s, err := r.loop.Dial(addr, 0, ev)
		if err != nil {
			failed = err
			return
		}
		s.Index = dialed
		dialed++
	}
	ev.Ready = func(s *load.Socket) {
		sockets = append(sockets, s)
		dial()
		if connect.Ready != nil {
			connect.Ready(s)
		}
	}
	ev.Ended = func(s *load.Socket) {
		ended++
		dial()
	}
	for range atOnce {
		dial()
	}
	done := r.loop.Run(time.Now().Add(patience+time.Duration(n)*2*time.Millisecond), func() bool {
		return failed != nil || len(sockets)+ended == n
	})
	ev.Ready, ev.Ended = connect.Ready, connect.Ended
	if failed == nil && !done {
		missing := n - len(sockets) - ended
		r.loop.Faults.Note(&r.loop.Faults.Handshakes, "%d of %d sockets did not join in time", missing, n)
		r.loop.Faults.Handshakes += missing - 1
	}
	if failed == nil && len(sockets) == 0 {
		failed = fmt.Errorf("no socket could join: %s", r.loop.Faults.First)
	}
	for i, s := range sockets {
		s.Index = i
	}
	return sockets, failed
}
