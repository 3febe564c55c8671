package main

import (
	"fmt"
	"strings"
)

// scenario is something to measure, against each server by itself.
type scenario struct {
	name    string
	title   string
	run     func(*run) error
	options func(quick bool) options // nil: the server's defaults
	rounds  int                      // at most; 0: as many as asked for
	rows    []row

	version2 bool    // clients of version 2 can play it
	adapter  adapter // of two nodes on Redis; "": one node without
}

// row is a line of the table: a metric of a scenario and its target.
type row struct {
	metric string
	title  string // what the metric is, after the scenario's title
	unit   string
	scale  float64 // what the metric is multiplied by for that unit; 0: 1
	target target
}

// target is what performance.md demands. The zero target demands nothing.
type target struct {
	must, stretch float64
	kind          targetKind
}

type targetKind uint8

const (
	none    targetKind = iota
	ratio              // ours divided by Node's, at most
	atMost             // ours
	atLeast            // ours
)

func cpu(must, stretch float64) []row {
	return []row{{metric: "cpu", title: "CPU", unit: "µs", target: target{must, stretch, ratio}}}
}

// From µs to ms, and from bytes to KB.
const perMs, perKB = 1e-3, 1.0 / 1024

var scenarios = []scenario{
	{
		name: "echo-100", version2: true, title: "echo + ack, 100 connections, 1 in flight",
		run: echo{conns: 100, inFlight: 1, event: "echo", argument: `"` + text + `"`}.run, rows: cpu(0.50, 0.40),
	},
	{
		name: "echo-1000", version2: true, title: "echo + ack, 1,000 connections, 1 in flight",
		run: echo{conns: 1000, inFlight: 1, event: "echo", argument: `"` + text + `"`}.run, rows: cpu(0.50, 0.40),
	},
	{
		name: "echo-pipelined", version2: true, title: "echo, 100 × 16 in flight",
		run: echo{conns: 100, inFlight: 16, event: "echo", argument: `"` + text + `"`}.run, rows: cpu(0.15, 0.10),
	},
	{
		name: "echo-apart", title: "same, the client writes each packet by itself",
		run: echo{conns: 100, inFlight: 16, event: "echo", argument: `"` + text + `"`, apart: true}.run, rows: cpu(0.55, 0.45),
	},
	{
		name: "echo-object", title: "echo of a JSON object, 100 × 16 in flight",
		run: echo{conns: 100, inFlight: 16, event: "object", argument: object}.run, rows: cpu(0.20, 0.12),
	},
	{
		name: "echo-raw", title: "same, the handler leaves it encoded",
		run: echo{conns: 100, inFlight: 16, event: "raw", argument: object}.run, rows: []row{{metric: "cpu", title: "CPU", unit: "µs"}},
	},
	{version2: true, name: "fanout-100", title: "fan-out to 100", run: fanout{members: 100, inFlight: 1, size: 64}.run, rows: cpu(0.55, 0.45)},
	{version2: true, name: "fanout-1000", title: "fan-out to 1,000", run: fanout{members: 1000, inFlight: 1, size: 64}.run, rows: cpu(0.55, 0.45)},
	{version2: true, name: "fanout-5000", title: "fan-out to 5,000", run: fanout{members: 5000, inFlight: 1, size: 64}.run, rows: cpu(0.55, 0.45)},
	{
		name: "fanout-pipelined", title: "fan-out to 1,000, 16 broadcasts in flight",
		run: fanout{members: 1000, inFlight: 16, size: 64}.run, rows: cpu(0.20, 0.12),
	},
	{
		name: "paced", title: "20 broadcasts/s to 1,000", run: paced,
		rows: []row{
			{metric: "p99", title: "p99 of the last member", unit: "ms", target: target{0.8, 0.6, ratio}},
			{metric: "p50", title: "p50 of the last member", unit: "ms"},
		},
	},
	{
		name: "idle", version2: true, title: "10,000 idle", run: idle, rounds: 3,
		options: func(quick bool) options { return options{PingInterval: idleInterval(quick)} },
		rows: []row{
			{metric: "joined", title: "RSS each, after a collection", unit: "KB", scale: perKB, target: target{6.5, 5, atMost}},
			{metric: "beaten", title: "RSS each, after heartbeats and a collection", unit: "KB", scale: perKB, target: target{6.5, 5, atMost}},
			{metric: "minute", title: "CPU per minute", unit: "s", target: target{0.8, 0.5, atMost}},
		},
	},
	{
		name: "connect", title: "WebSocket connect", run: connect,
		rows: []row{
			{metric: "cpu", title: "CPU", unit: "ms", scale: perMs, target: target{0.20, 0.15, atMost}},
			{metric: "rate", title: "rate", unit: "per s"},
		},
	},
	{
		name: "upgrade", title: "polling + upgrade", run: upgrade,
		rows: []row{
			{metric: "cpu", title: "CPU", unit: "ms", scale: perMs, target: target{0.6, 0.45, ratio}},
			{metric: "rate", title: "rate", unit: "per s"},
		},
	},
	{name: "polling", title: "long-polling echo, 100 clients", run: pollEcho, rows: cpu(1.0, 0.9)},
	{
		name: "binary", title: "1 MiB binary echo, 4 connections", run: binaryEcho,
		options: func(bool) options { return options{MaxPayload: 4 << 20} },
		rows: []row{
			{metric: "cpu", title: "CPU per MB", unit: "ms", scale: perMs, target: target{0.5, 0.35, ratio}},
			{metric: "rate", title: "rate", unit: "MB/s"},
		},
	},
	{
		name: "stuck", title: "one of 20 room members stops reading", run: stuck,
		rows: []row{
			{metric: "kept", title: "rate of the others, relative to before", unit: "×", target: target{0.8, 0.9, atLeast}},
			{metric: "growth", title: "RSS growth, at most", unit: "MB", target: target{32, 16, atMost}},
			{metric: "withheld", title: "sent to the member meanwhile", unit: "MB"},
		},
	},
	{
		name: "churn", title: "10,000 connects and disconnects", run: churn,
		rows: []row{
			{metric: "cpu", title: "CPU", unit: "ms", scale: perMs},
			{metric: "left", title: "RSS left", unit: "MB", target: target{4, 2, atMost}},
			{metric: "goroutines", title: "goroutines left", unit: "", target: target{0, 0, atMost}},
		},
	},
	{name: "cluster-classic", adapter: classic, title: "two nodes, classic, 1,000 members", run: clusterFanout{fanout{members: 1000, inFlight: 1, size: 64}, true}.run, rows: append(clusterRows(0.60, 0.45), latencyRows...)},
	{name: "cluster-streams", adapter: streams, title: "two nodes, streams, 1,000 members", run: clusterFanout{fanout{members: 1000, inFlight: 1, size: 64}, true}.run, rows: append(clusterRows(0.60, 0.45), latencyRows...)},
	{name: "cluster-classic-4", adapter: classic, title: "two nodes, classic, 100 members, 4 in flight", run: clusterFanout{fanout{members: 100, inFlight: 4, size: 64}, false}.run, rows: clusterRows(0.50, 0.30)},
	{name: "cluster-streams-4", adapter: streams, title: "two nodes, streams, 100 members, 4 in flight", run: clusterFanout{fanout{members: 100, inFlight: 4, size: 64}, false}.run, rows: clusterRows(0.50, 0.30)},
}

// choose returns the scenarios with the given names or beginnings of names
// ("echo" is all of echo-100, echo-1000, ...), all if there are none.
func choose(names []string) ([]scenario, error) {
	if len(names) == 0 {
		return scenarios, nil
	}
	chosen := make([]bool, len(scenarios))
	for _, name := range names {
		found := false
		for i, sc := range scenarios {
			if sc.name == name || strings.HasPrefix(sc.name, name+"-") {
				chosen[i], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("bench: no scenario %q: choose from %s", name, strings.Join(scenarioNames(), " "))
		}
	}
	var list []scenario
	for i, sc := range scenarios {
		if chosen[i] {
			list = append(list, sc)
		}
	}
	return list, nil
}

func scenarioNames() (names []string) {
	for _, sc := range scenarios {
		names = append(names, sc.name)
	}
	return names
}
