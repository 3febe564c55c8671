package namespaces

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/roomcast/roomcast/engine"
)

// counters count what happens in a registry.
type counters struct {
	clients, sockets                        atomic.Int64 // now
	joins, refused, recovered, notRecovered atomic.Int64
	broadcasts                              atomic.Int64
	received, sent                          engine.Counter
	unhandled, lateAcks, unseen, throttled  atomic.Int64
	panics, handlerErrors                   atomic.Int64

	mu      sync.Mutex
	reasons map[string]int64 // few, all from this package
	freshBy map[string]int64 // likewise

	cutOff, unkept, overdue atomic.Int64
}

// fresh counts a client that asked to continue and can't.
func (c *counters) fresh(why string) {
	c.notRecovered.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.freshBy == nil {
		c.freshBy = map[string]int64{}
	}
	c.freshBy[why]++
}

func (c *counters) rejected(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reasons == nil {
		c.reasons = map[string]int64{}
	}
	c.reasons[reason]++
}

// Stats is what a registry has counted. Clients, Sockets, Namespaces and Rooms are as of now, the
// rest since the start.
type Stats struct {
	Clients, Sockets, Namespaces, Rooms int64
	Joins                               int64            // sockets that joined a namespace
	Refused                             int64            // CONNECTs answered with an error
	Recovered                           int64            // sockets that continued an earlier connection
	NotRecovered                        int64            // those that asked to, and got a fresh session
	Fresh                               map[string]int64 // the same, by reason
	CutOff                              int64            // sockets that were sent away, since they may have missed events
	Unkept                              int64            // sockets that connected while their state could not be kept
	Overdue                             int64            // changes of sockets' states that took more than a second to be kept: the clients can't be recovered for a while
	Received                            int64            // packets
	Sent                                int64            // packets, one for each receiver
	Broadcasts                          int64            // events sent to rooms or namespaces
	Unhandled                           int64            // events without a handler
	LateAcks                            int64            // acks that nobody waited for
	Throttled                           int64            // packets that waited, by Limits.PacketsPerSecond
	Unseen                              int64            // outgoing events that OnAnyOutgoing was too slow to see
	Panics                              int64            // in the program's functions
	HandlerErrors                       int64            // that handlers returned
	Rejected                            map[string]int64 // what rules and limits have turned away, by the reason
}

// Stats returns the counters.
func (reg *Registry) Stats() Stats {
	c := &reg.stats
	s := Stats{
		Clients: c.clients.Load(), Sockets: c.sockets.Load(),
		Joins: c.joins.Load(), Refused: c.refused.Load(), Recovered: c.recovered.Load(), NotRecovered: c.notRecovered.Load(),
		Received: int64(c.received.Load()), Sent: int64(c.sent.Load()), Broadcasts: c.broadcasts.Load(),
		Unhandled: c.unhandled.Load(), LateAcks: c.lateAcks.Load(), Unseen: c.unseen.Load(), Throttled: c.throttled.Load(),
		Panics: c.panics.Load(), HandlerErrors: c.handlerErrors.Load(),
	}
	s.CutOff, s.Unkept, s.Overdue = c.cutOff.Load(), c.unkept.Load(), c.overdue.Load()
	c.mu.Lock()
	s.Rejected = maps.Clone(c.reasons)
	s.Fresh = maps.Clone(c.freshBy)
	c.mu.Unlock()
	for _, ns := range reg.Namespaces() {
		s.Namespaces++
		rooms, _ := ns.index.Count()
		s.Rooms += int64(rooms)
	}
	return s
}
