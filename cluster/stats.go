package cluster

import (
	"sync/atomic"
	"time"
)

// Via is a way to the owner.
type Via int

// The ways.
const (
	Direct  Via = iota // over HTTP
	Relayed            // through the Store
	vias
)

func (v Via) String() string { return [...]string{"http", "store"}[v] }

// Failure is why a request wasn't handed on.
type Failure int

// The failures.
const (
	FailedGone        Failure = iota // the owner isn't a member any more
	FailedUnreachable                // nothing reaches the owner
	FailedBroken                     // the owner's answer, or the client's body, broke off
	FailedRefused                    // the owner doesn't believe this node: another secret
	FailedBusy                       // Config.MaxForwards
	FailedUnsuitable                 // the request isn't one that can be handed on
	failures
)

func (f Failure) String() string {
	return [...]string{"gone", "unreachable", "broken", "refused", "busy", "unsuitable"}[f]
}

// Stats counts what a node does. All its fields only grow.
type Stats struct {
	Polls, Posts [vias]atomic.Uint64     // handed on and answered
	Upgrades     atomic.Uint64           // handed on, always over HTTP
	Failed       [failures]atomic.Uint64 // not handed on, or without an answer
	Latency      Histogram               // of POSTs, from their arrival here to the owner's answer

	Taken        atomic.Uint64 // requests taken from other nodes
	Refused      atomic.Uint64 // requests refused, since their seal was wrong, or old, or there were too many
	BeatFailures atomic.Uint64 // heartbeats that the store didn't take
}

// Vias and Failures list what Stats counts by.
var (
	Vias     = [vias]Via{Direct, Relayed}
	Failures = [failures]Failure{FailedGone, FailedUnreachable, FailedBroken, FailedRefused, FailedBusy, FailedUnsuitable}
)

// Buckets are the upper bounds of a Histogram's buckets in seconds.
var Buckets = [...]float64{.0002, .0005, .001, .002, .005, .01, .025, .05, .1, .25, 1, 5}

// Histogram counts times.
type Histogram struct {
	counts [len(Buckets) + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

func (h *Histogram) add(d time.Duration) {
	i := 0
	for i < len(Buckets) && d.Seconds() > Buckets[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot returns how many times there were up to each of the Buckets, how many in all, and
// their sum in seconds.
func (h *Histogram) Snapshot() (buckets map[float64]uint64, count uint64, sum float64) {
	buckets = make(map[float64]uint64, len(Buckets))
	for i, bound := range Buckets {
		count += h.counts[i].Load()
		buckets[bound] = count
	}
	return buckets, count + h.counts[len(Buckets)].Load(), time.Duration(h.sum.Load()).Seconds()
}

// Forwards is how many requests and upgraded connections are being handed on.
func (n *Node) Forwards() int64 { return n.forwards.Load() }
