package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/roomcast/roomcast/bench/load"
	"github.com/roomcast/roomcast/bench/redisd"
)

// adapter is how the nodes of a cluster speak to each other. "" is none: one node.
type adapter string

const (
	classic adapter = "classic" // pub/sub: @socket.io/redis-adapter
	streams adapter = "streams" // @socket.io/redis-streams-adapter
)

// startCluster starts Redis and two servers on it that know of each other.
// What it returns is to be stopped, also when there is an error.
func startCluster(root string, k kind, o options, a adapter) (rd *redisd.Server, nodes []*process, err error) {
	if rd, err = redisd.Start(context.Background()); err != nil {
		return nil, nil, err
	}
	o.Redis, o.Adapter = rd.Addr, a
	for range 2 {
		p, err := start(root, k, o)
		if err != nil {
			return rd, nodes, err
		}
		nodes = append(nodes, p)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		met := 0
		for _, p := range nodes {
			st, err := p.stats()
			if err != nil {
				return rd, nodes, err
			}
			if st.Nodes == len(nodes) {
				met++
			}
		}
		if met == len(nodes) {
			return rd, nodes, nil
		}
		if time.Now().After(deadline) {
			return rd, nodes, errors.New("bench: the nodes did not find each other")
		}
	}
}

// clusterFanout is fanout in a cluster: the sender is on the first node, the
// members are on both. It also sets "redis" (CPU for each delivery, µs), and
// from broadcasts at a pace "local", the median time until the last member on
// the sender's node has one, and "added", by how much longer those on the other
// node take (ms).
type clusterFanout fanout

func (f clusterFanout) run(r *run) error {
	h, err := newHall(r, fanout(f))
	if err != nil {
		return err
	}
	h.keep(r.warmUp())
	h.finish()
	if err := r.begin(); err != nil {
		return err
	}
	before := h.done
	h.keep(r.length())
	h.finish()
	if err := r.end((h.done - before) * f.members); err != nil {
		return err
	}
	return h.lag(pick(r, 30, 10))
}

// lag casts 10 times a second, which both servers can keep up with, and measures when the last member of each node
// has it.
func (h *hall) lag(casts int) error {
	const interval = 100 * time.Millisecond
	var (
		left [2][64]int // as hall.left, by node
		took [2][]float64
	)
	h.delivered = func(s *load.Socket, n int) {
		on := 0
		if s.Index >= h.near {
			on = 1
		}
		if left[on][n&63]--; left[on][n&63] == 0 {
			took[on] = append(took[on], time.Since(h.at[n&63]).Seconds()*1e3)
		}
	}
	first := time.Now()
	for i := range casts {
		left[0][h.sent&63], left[1][h.sent&63] = h.near, len(h.members)-h.near
		h.cast(1)
		h.r.loop.Run(first.Add(time.Duration(i+1)*interval), nil)
		if h.sent-h.done > 60 {
			return fmt.Errorf("%d broadcasts are on their way: the servers can't keep up", h.sent-h.done)
		}
	}
	h.finish()
	for _, times := range took {
		if len(times) == 0 {
			return errors.New("no broadcast reached all members of a node")
		}
		slices.Sort(times)
	}
	local, remote := took[0][len(took[0])/2], took[1][len(took[1])/2]
	h.r.metrics["local"], h.r.metrics["added"] = local, remote-local
	return nil
}

// clusterRows are the figures of a cluster.
func clusterRows(must, stretch float64) []row {
	return []row{
		{metric: "cpu", title: "CPU of both nodes", unit: "µs", target: target{must, stretch, ratio}},
		{metric: "rate", title: "deliveries", unit: "per s"},
		{metric: "redis", title: "CPU of Redis per million", unit: "s"}, // the same number as µs for each
		{metric: "local", title: "p50 of the last member on the sender's node", unit: "ms"},
		{metric: "added", title: "added for the last one on the other node", unit: "ms"},
	}
}
