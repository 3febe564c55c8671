package web

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/roomcast/roomcast/queues"
)

// QueueMetrics are the metrics of a broker's queues. The label queue has the
// names of queues, which the program, its configuration and whoever may admin them choose; those of scrapeQueues at most.
func QueueMetrics(b *queues.Broker) prometheus.Collector { return queueCollector{b} }

type queueCollector struct{ *queues.Broker }

var (
	descQueueUp       = desc("queues_up", "1 if the store of the queues answers.")
	descQueueFull     = desc("queues_full", "1 if the store refuses everything that is published, since its disk or memory is nearly full.")
	descQueueMessages = desc("queue_messages", "Messages in a queue, by their state.", "queue", "state")
	descQueueBytes    = desc("queue_bytes", "Bytes of messages that aren't dead.", "queue")
	descQueueOldest   = desc("queue_oldest_seconds", "How long the message at the head has been waiting.", "queue")
	descQueueRejected = desc("queues_rejected_total", "What limits have refused on this node, by the limit.", "reason")
	descQueueEvents   = desc("queue_events_total", "What happened to messages: published, duplicate, refused, delivered, redelivered, acked, nacked, released, lapsed, dead, expired, dropped.", "queue", "event")
)

func (queueCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descQueueUp, descQueueFull, descQueueMessages, descQueueBytes, descQueueOldest, descQueueEvents, descQueueRejected} {
		ch <- d
	}
}

// Limits of one scrape.
const (
	scrapeQueues = 1000
	scrapeTime   = 3 * time.Second
)

func (c queueCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c.Refused(func(r queues.Refusal, n uint64) {
		ch <- prometheus.MustNewConstMetric(descQueueRejected, prometheus.CounterValue, float64(n), string(r))
	})
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	names, err := c.Queues(ctx)
	if err != nil || c.Healthy() != nil {
		gauge(descQueueUp, 0)
		return
	}
	gauge(descQueueUp, 1)
	full := 0.0
	if c.Full() {
		full = 1
	}
	gauge(descQueueFull, full)
	for _, name := range names[:min(len(names), scrapeQueues)] {
		st, err := c.Stats(ctx, name)
		if err != nil {
			continue
		}
		for state, n := range map[queues.State]int{
			queues.Ready: st.Ready, queues.Scheduled: st.Scheduled, queues.Leased: st.Leased, queues.Blocked: st.Blocked, queues.Dead: st.Dead,
		} {
			gauge(descQueueMessages, float64(n), name, string(state))
		}
		gauge(descQueueBytes, float64(st.Bytes), name)
		gauge(descQueueOldest, st.Oldest.Seconds(), name)
		for event, n := range map[string]uint64{
			"published": st.Published, "duplicate": st.Duplicates, "refused": st.Refused, "delivered": st.Delivered,
			"redelivered": st.Redelivered, "acked": st.Acked, "nacked": st.Nacked, "released": st.Released, "lapsed": st.Lapsed,
			"dead": st.DeadLettered, "expired": st.Expired, "dropped": st.Dropped,
		} {
			ch <- prometheus.MustNewConstMetric(descQueueEvents, prometheus.CounterValue, float64(n), name, event)
		}
	}
}
