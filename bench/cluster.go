package main

import (
	"bytes"
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
// members are on both. It also sets "redis" (CPU for each delivery, µs).
type clusterFanout struct {
	fanout
	latency bool // measure that afterwards
}

func (f clusterFanout) run(r *run) error {
	if err := f.fanout.run(r); err != nil || !f.latency {
		return err
	}
	return r.latency(pick(r, 300, 20))
}

// place is 100 members in a room of their own on one node, and a sender on one.
type place struct {
	from, at *process
	room     string
	sender   *load.Socket
	want     []byte // the packet that is on its way
	sent     time.Time
	left     int // members that don't have it
	took     []float64
}

// latency measures how long it takes until the last of 100 members has a broadcast: on a node that is alone, on the
// sender's node of the cluster, and on the other one. They take turns, one broadcast at a time and at one pace, so that
// whatever else happens on the machine happens to each. It sets "single", "own": medians; and of the differences between
// the other node's and the lone node's of the same turn "other50": the median, "other25" and "other75": the quartiles (all in ms).
func (r *run) latency(turns int) error {
	const (
		members = 100
		pace    = 20 * time.Millisecond
	)
	places := []*place{
		{room: "single", from: r.alone, at: r.alone},
		{room: "local", from: r.nodes[0], at: r.nodes[0]},
		{room: "remote", from: r.nodes[0], at: r.nodes[1]},
	}
	for _, p := range places {
		if err := r.settle(p, members); err != nil {
			return err
		}
	}
	faults := &r.loop.Faults
	for turn := range turns + 10 { // the first ones warm up
		for _, p := range places {
			next := time.Now().Add(pace)
			p.cast(turn, members)
			if !r.loop.Run(next.Add(patience), func() bool { return p.left == 0 }) {
				faults.Note(&faults.Wrong, "%d members in room %s did not get broadcast %d", p.left, p.room, turn)
				return errors.New("a broadcast did not reach all members")
			}
			r.loop.Run(next, nil)
		}
	}
	var added []float64
	for i, took := range places[2].took[10:] {
		added = append(added, took-places[0].took[10+i])
	}
	median := func(list []float64) float64 { return quantile(slices.Sorted(slices.Values(list)), 0.5) }
	r.metrics["single"], r.metrics["own"] = median(places[0].took[10:]), median(places[1].took[10:])
	slices.Sort(added)
	r.metrics["other25"], r.metrics["other50"], r.metrics["other75"] = quantile(added, 0.25), quantile(added, 0.5), quantile(added, 0.75)
	return nil
}

// settle connects the members and the sender of a place.
func (r *run) settle(p *place, members int) error {
	faults := &r.loop.Faults
	sender, err := r.socketsAt(p.from.Addr, 1, &load.Events{})
	if err != nil {
		return err
	}
	p.sender = sender[0]
	joined := 0
	list, err := r.socketsAt(p.at.Addr, members, &load.Events{Message: func(_ *load.Socket, data []byte, _ bool) {
		switch {
		case string(data) == "30[true]":
			joined++
		case bytes.Equal(data, p.want) && p.left > 0:
			if p.left--; p.left == 0 {
				p.took = append(p.took, time.Since(p.sent).Seconds()*1e3)
			}
		default:
			faults.Note(&faults.Wrong, "a member in room %s got %.120q", p.room, data)
		}
	}})
	if err != nil {
		return err
	}
	join := load.AppendFrame(nil, load.Text, fmt.Sprintf(`420["join",%q]`, p.room))
	for _, s := range list {
		s.Write(join)
	}
	if !r.loop.Run(time.Now().Add(patience), func() bool { return joined == members }) {
		return fmt.Errorf("%d of %d members joined the room %s", joined, members, p.room)
	}
	return nil
}

func (p *place) cast(number, members int) {
	text := fmt.Sprintf("%0*d", digits, number)
	p.want, p.left = []byte(`2["cast","`+text+`"]`), members
	frame := load.AppendFrame(nil, load.Text, fmt.Sprintf(`42["cast",{"room":%q,"data":%q}]`, p.room, text))
	p.sent = time.Now()
	p.sender.Write(frame)
}

// clusterRows are the figures of a cluster.
func clusterRows(must, stretch float64) []row {
	return []row{
		{metric: "cpu", title: "CPU of both nodes", unit: "µs", target: target{must, stretch, ratio}},
		{metric: "rate", title: "deliveries", unit: "per s"},
		{metric: "redis", title: "CPU of Redis per million", unit: "s"}, // the same number as µs for each
	}
}

// latencyRows are those of latency.
var latencyRows = []row{
	{metric: "single", title: "p50 of the last of 100 members on a node that is alone", unit: "ms"},
	{metric: "own", title: "the same on the sender's node of two", unit: "ms"},
	{metric: "other50", title: "added on the other node, against the lone one: median", unit: "ms"},
	{metric: "other25", title: "added: lower quartile", unit: "ms"},
	{metric: "other75", title: "added: upper quartile", unit: "ms"},
}
