package redisadapter

import (
	"context"
	"errors"
)

// StreamStats are figures of a StreamsDriver, beside those of Stats.
type StreamStats struct {
	Read     int64 // entries, those of this node among them
	Dropped  int64 // entries that had come before
	Unlogged int64 // events that were delivered here before they had a place in the stream
	Gaps     int64 // times that this node had lost its place
	Forks    int64 // those of them in which Redis had lost data, as after a failover
	Waiting  int   // entries of this node that haven't come back, now
	Unsaved  int   // states of sessions on their way to Redis, or waiting for a client after a failover, now
	Behind   int   // entries read since states of sessions were looked through last, now
}

// StreamStats returns the figures as of now.
func (d *StreamsDriver) StreamStats() StreamStats {
	st := StreamStats{Read: d.read.Load(), Dropped: d.dropped.Load(), Unlogged: d.unlogged.Load(), Gaps: d.gaps.Load(), Forks: d.forks.Load()}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.streams {
		s.mu.Lock()
		st.Waiting += len(s.mine)
		s.mu.Unlock()
		st.Behind += int(s.unseen.Load())
	}
	if d.streams != nil {
		d.sessions.mu.Lock()
		st.Unsaved = len(d.sessions.queue) + d.sessions.busy + d.sessions.asked
		d.sessions.mu.Unlock()
	}
	return st
}

// Stats returns the figures as of now, of the stream and of pub/sub together.
func (d *StreamsDriver) Stats() Stats {
	st, asks := d.stats.stats(), d.asks.Stats()
	asks.Published += st.Published
	asks.PublishFailed += st.PublishFailed
	asks.Received += st.Received
	asks.Rejected += st.Rejected
	asks.Reconnects += st.Reconnects
	asks.Queued += st.Queued
	return asks
}

// Close ends all namespaces and connections. The driver can't be used again.
func (d *StreamsDriver) Close(ctx context.Context) error {
	var errs []error
	for _, a := range d.all() {
		errs = append(errs, a.Close(ctx))
	}
	return errors.Join(append(errs, d.asks.Close(ctx))...)
}
