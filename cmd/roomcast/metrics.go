package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/cluster"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("roomcast_"+name, help, labels, nil)
}

var (
	descNodes         = desc("nodes", "Nodes of the cluster that live, this one among them.")
	descForwards      = desc("forwards", "Requests and upgraded connections that are being handed on to other nodes.")
	descForwarded     = desc("forwarded_total", "Requests that were handed on and answered, by what they were and the way they took.", "kind", "via")
	descForwardFailed = desc("forward_failures_total", "Requests of other nodes' sessions that weren't answered by them, by the reason.", "reason")
	descForwardTime   = desc("forward_seconds", "Time that handed on POSTs took.")
	descTaken         = desc("forwards_taken_total", "Requests that other nodes have handed on.")
	descSealRefused   = desc("forwards_refused_total", "Requests to the cluster's listener that weren't believed, or were too many.")
	descBeatFailures  = desc("heartbeat_failures_total", "Heartbeats that Redis didn't take.")
)

// nodeMetrics are the metrics of a node.
type nodeMetrics struct{ node *cluster.Node }

func (nodeMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descNodes, descForwards, descForwarded, descForwardFailed, descForwardTime,
		descTaken, descSealRefused, descBeatFailures} {
		ch <- d
	}
}

func (m nodeMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge, count := emitter(ch)
	st := m.node.Stats()
	gauge(descNodes, int64(len(m.node.Members())))
	gauge(descForwards, m.node.Forwards())
	for _, via := range cluster.Vias {
		count(descForwarded, st.Polls[via].Load(), "get", via.String())
		count(descForwarded, st.Posts[via].Load(), "post", via.String())
	}
	count(descForwarded, st.Upgrades.Load(), "upgrade", cluster.Direct.String())
	for _, why := range cluster.Failures {
		count(descForwardFailed, st.Failed[why].Load(), why.String())
	}
	buckets, n, sum := st.Latency.Snapshot()
	ch <- prometheus.MustNewConstHistogram(descForwardTime, n, sum, buckets)
	count(descTaken, st.Taken.Load())
	count(descSealRefused, st.Refused.Load())
	count(descBeatFailures, st.BeatFailures.Load())
}

var (
	descPublished       = desc("adapter_published_total", "Messages given to Redis.")
	descPublishFailed   = desc("adapter_publish_failures_total", "Messages that Redis didn't take, or that didn't fit into the queue.")
	descAdapterReceived = desc("adapter_received_total", "Messages of other nodes.")
	descAdapterRejected = desc("adapter_rejected_total", "Messages of others that could not be read.")
	descReconnects      = desc("adapter_reconnects_total", "Times that a subscriber connected again.")
	descDeaf            = desc("adapter_deaf_total", "Times that this node didn't hear itself.")
	descAdapterHealthy  = desc("adapter_healthy", "1 while this node hears itself through Redis.")
	descRequests        = desc("adapter_requests_total", "Requests to other nodes.")
	descRequestTimeouts = desc("adapter_request_timeouts_total", "Requests that ended without all answers.")
	descMissing         = desc("adapter_missing_answers_total", "Answers that didn't come, in all requests.")
	descAdapterQueued   = desc("adapter_queued_bytes", "Bytes that wait to be published.")

	descStreamRead     = desc("stream_read_total", "Entries read from streams, this node's own among them.")
	descStreamDropped  = desc("stream_dropped_total", "Entries that had come before.")
	descStreamUnlogged = desc("stream_unlogged_total", "Events that were delivered here before they had a place in the stream.")
	descStreamGaps     = desc("stream_gaps_total", "Times that this node had lost its place in a stream.")
	descStreamWaiting  = desc("stream_waiting", "Entries of this node that haven't come back.")
	descStreamUnsaved  = desc("stream_unsaved_sessions", "States of sessions on their way to Redis.")
)

// streamer is the driver of the adapter streams.
type streamer interface {
	StreamStats() redisadapter.StreamStats
}

// adapterMetrics are the metrics of the adapter.
type adapterMetrics struct{ driver driver }

func (adapterMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descPublished, descPublishFailed, descAdapterReceived, descAdapterRejected,
		descReconnects, descDeaf, descAdapterHealthy, descRequests, descRequestTimeouts, descMissing, descAdapterQueued,
		descStreamRead, descStreamDropped, descStreamUnlogged, descStreamGaps, descStreamWaiting, descStreamUnsaved} {
		ch <- d
	}
}

func (m adapterMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge, count := emitter(ch)
	st := m.driver.Stats()
	count(descPublished, uint64(st.Published))
	count(descPublishFailed, uint64(st.PublishFailed))
	count(descAdapterReceived, uint64(st.Received))
	count(descAdapterRejected, uint64(st.Rejected))
	count(descReconnects, uint64(st.Reconnects))
	count(descDeaf, uint64(st.Deaf))
	healthy := int64(0)
	if m.driver.Healthy() == nil {
		healthy = 1
	}
	gauge(descAdapterHealthy, healthy)
	count(descRequests, uint64(st.Requests))
	count(descRequestTimeouts, uint64(st.RequestTimeouts))
	count(descMissing, uint64(st.MissingNodes))
	gauge(descAdapterQueued, st.Queued)
	if s, ok := m.driver.(streamer); ok {
		st := s.StreamStats()
		count(descStreamRead, uint64(st.Read))
		count(descStreamDropped, uint64(st.Dropped))
		count(descStreamUnlogged, uint64(st.Unlogged))
		count(descStreamGaps, uint64(st.Gaps))
		gauge(descStreamWaiting, int64(st.Waiting))
		gauge(descStreamUnsaved, int64(st.Unsaved))
	}
}

// emitter returns what sends gauges and counters to ch.
func emitter(ch chan<- prometheus.Metric) (gauge func(*prometheus.Desc, int64, ...string), count func(*prometheus.Desc, uint64, ...string)) {
	return func(d *prometheus.Desc, v int64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
		}, func(d *prometheus.Desc, v uint64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
		}
}
