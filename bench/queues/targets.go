package main

import (
	"fmt"
	"strings"
)

// target is what a figure of a peer should be: at least, or at most, so much, or so many times another peer's; a limit of 0 is none:
// it is only to be seen.
type target struct {
	what             string
	scenario, metric string
	peer, than       string // than: "" if it isn't relative
	limit            float64
	most             bool
}

var targets = []target{
	{"no sockets: messages per s", "throughput", "rate", "roomcast", "bullmq", 8, false},
	{"no sockets: messages per s", "throughput", "rate", "roomcast", "asynq", 10, false},
	{"no sockets: messages per s", "throughput", "rate", "roomcast", "stream", 1.7, false},
	{"no sockets, 100 a call: messages per s", "batch", "rate", "roomcast", "stream", 0.8, false},
	{"no sockets: messages per s", "throughput", "rate", "roomcast", "stream4", 0, false},
	{"no sockets, 100 a call: messages per s", "batch", "rate", "roomcast", "stream4", 0, false},
	{"no sockets: CPU of both, µs", "throughput", "both", "roomcast", "", 30, true},
	{"over WebSocket: messages per s", "throughput", "rate", "sockets", "bullmq", 3, false},
	{"over WebSocket: messages per s", "throughput", "rate", "sockets", "asynq", 4, false},
	{"over WebSocket: CPU of the server, µs", "throughput", "app", "sockets", "", 60, true},
	{"over WebSocket, 1,000 per s: p50, ms", "paced", "p50", "sockets", "", 1, true},
	{"over WebSocket, 1,000 per s: p99, ms", "paced", "p99", "sockets", "", 10, true},
	{"over WebSocket, every 200 ms: p50, ms", "idle", "p50", "sockets", "", 1.5, true},
	{"no sockets, published on another node: p50, ms", "apart", "p50", "roomcast", "", 1.5, true},
	// A queue of the node's own, $fanout, is the second.
	{"an idle node with two queues: requests to Redis per s", "idle", "requests", "sockets", "", 2, true},
	{"a message that waits: bytes of Redis", "waiting", "memory", "roomcast", "", 150, true},
	{"an inbox with one message: bytes of Redis", "inboxes", "memory", "roomcast", "", 400, true},
}

// targetsTable says of each target that something was measured for whether it was met.
func targetsTable(all []result) string {
	var b strings.Builder
	for _, t := range targets {
		got := median(all, t.scenario, t.metric, t.peer)
		unit := ""
		if t.than != "" {
			than := median(all, t.scenario, t.metric, t.than)
			if than == 0 {
				continue
			}
			got, unit = got/than, " × "+titles[t.than]
		}
		if got == 0 {
			continue
		}
		bound, met := "at least", got >= t.limit
		if t.most {
			bound, met = "at most", got <= t.limit
		}
		if t.limit == 0 {
			fmt.Fprintf(&b, "| %s | (none)%s | %s | |\n", t.what, unit, figure(got))
			continue
		}
		fmt.Fprintf(&b, "| %s | %s %s%s | %s | %s |\n", t.what, bound, figure(t.limit), unit, figure(got), verdict(met))
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n| target | | measured | |\n|---|---|---|---|\n" + b.String()
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}
