package redisadapter

import "sync/atomic"

// Stats are figures of a Driver since its start.
type Stats struct {
	Published       int64 // messages given to Redis
	PublishFailed   int64 // messages that Redis didn't take, or that didn't fit into the queue
	Received        int64 // messages of other nodes
	Rejected        int64 // messages of others that could not be read
	Reconnects      int64 // of subscribers
	Deaf            int64 // times that a subscriber didn't hear its own probes
	Requests        int64 // to other nodes
	RequestTimeouts int64 // requests that ended without all answers
	MissingNodes    int64 // answers that didn't come, in all of them
	Queued          int64 // bytes that wait to be published, now
	Nodes           int   // other Go nodes that are alive, now
}

// counters are what Stats is made of.
type counters struct {
	published, publishFailed, received, rejected, reconnects, deaf atomic.Int64
	requests, requestTimeouts, missingNodes, queued                atomic.Int64
}

func (c *counters) stats() Stats {
	return Stats{
		Published: c.published.Load(), PublishFailed: c.publishFailed.Load(),
		Received: c.received.Load(), Rejected: c.rejected.Load(),
		Reconnects: c.reconnects.Load(), Deaf: c.deaf.Load(),
		Requests: c.requests.Load(), RequestTimeouts: c.requestTimeouts.Load(), MissingNodes: c.missingNodes.Load(),
		Queued: c.queued.Load(),
	}
}
