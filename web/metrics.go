package web

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

// Metrics returns a registry with the metrics of a server, of the Go runtime and of the process.
func Metrics(stats func() server.Stats, version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "roomcast_build_info", Help: "1; the label has the version.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	r.MustRegister(info, collector(stats), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("roomcast_"+name, help, labels, nil)
}

// The metrics. Their labels take few values, none of them chosen by clients.
var (
	descSessions     = desc("sessions", "Connected clients.", "transport")
	descOpened       = desc("sessions_opened_total", "Clients that connected.")
	descUpgraded     = desc("sessions_upgraded_total", "Clients that moved to another transport.")
	descClosed       = desc("sessions_closed_total", "Clients that went, by the reason.", "reason")
	descMessagesIn   = desc("messages_received_total", "Engine.IO messages from clients.")
	descPacketsOut   = desc("engine_packets_sent_total", "Engine.IO packets to clients.")
	descPayloadOut   = desc("sent_bytes_total", "Bytes to clients, before framing and compression.")
	descRejected     = desc("rejected_total", "Requests and clients turned away, by the reason.", "reason")
	descSockets      = desc("sockets", "Sockets, that is clients in namespaces.")
	descNamespaces   = desc("namespaces", "Namespaces.")
	descRooms        = desc("rooms", "Rooms with members on this node, the sockets' own among them.")
	descJoins        = desc("joins_total", "Sockets that joined a namespace.")
	descRefused      = desc("joins_refused_total", "Sockets that were refused by a namespace.")
	descFresh        = desc("recovery_fresh_total", "Clients that wanted to continue an earlier connection and got a fresh session, by reason.", "reason")
	descCutOff       = desc("recovery_cut_off_total", "Sockets that were sent away to a fresh session, since they may have missed events.")
	descUnkept       = desc("recovery_unkept_total", "Sockets that connected while their state could not be kept: they can't be recovered.")
	descOverdue      = desc("recovery_overdue_total", "Changes of sockets' states that took more than a second to be kept: the clients can't be recovered for a while.")
	descRecoveries   = desc("recoveries_total", "Clients that wanted to continue an earlier connection, by what became of it.", "outcome")
	descReceived     = desc("packets_received_total", "Socket.IO packets from clients.")
	descSent         = desc("packets_sent_total", "Socket.IO packets to clients, one for each receiver.")
	descBroadcasts   = desc("broadcasts_total", "Events sent to rooms or namespaces.")
	descUnhandled    = desc("events_unhandled_total", "Events without a handler.")
	descLateAcks     = desc("acks_late_total", "Acks that nobody waited for.")
	descThrottled    = desc("packets_throttled_total", "Packets of clients that sent more than limits.packets_per_second: they waited.")
	descUnseen       = desc("events_unseen_total", "Events to clients that a program's OnAnyOutgoing hook was too slow to see.")
	descPanics       = desc("handler_panics_total", "Panics in handlers.")
	descHandlerError = desc("handler_errors_total", "Errors that handlers returned.")
)

// collector turns a snapshot of counters into metrics when it is asked.
type collector func() server.Stats

func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descSessions, descOpened, descUpgraded, descClosed, descMessagesIn, descPacketsOut, descPayloadOut,
		descRejected, descSockets, descNamespaces, descRooms, descJoins, descRefused, descRecoveries, descFresh, descCutOff, descUnkept, descOverdue,
		descReceived, descSent, descBroadcasts, descUnhandled, descLateAcks, descThrottled, descUnseen, descPanics, descHandlerError,
	} {
		ch <- d
	}
}

func (c collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	st := c()
	e, n := st.Engine, &st.Namespaces
	gauge(descSessions, e.Polling.Load(), "polling")
	gauge(descSessions, e.WebSocket.Load(), "websocket")
	gauge(descSessions, e.WebTransport.Load(), "webtransport")
	count(descOpened, e.Opened.Load())
	count(descUpgraded, e.Upgraded.Load())
	for i, reason := range engine.Reasons {
		count(descClosed, e.Closed[i].Load(), string(reason))
	}
	count(descMessagesIn, e.MessagesIn.Load())
	count(descPacketsOut, e.PacketsOut.Load())
	count(descPayloadOut, e.PayloadOut.Load())

	rejected := make(map[string]uint64)
	e.Rejected(func(reason string, n uint64) { rejected[reason] += n })
	for reason, n := range n.Rejected {
		rejected[reason] += uint64(n)
	}
	for reason, n := range rejected {
		count(descRejected, n, reason)
	}

	gauge(descSockets, n.Sockets)
	gauge(descNamespaces, n.Namespaces)
	gauge(descRooms, n.Rooms)
	count(descJoins, uint64(n.Joins))
	count(descRefused, uint64(n.Refused))
	count(descRecoveries, uint64(n.Recovered), "recovered")
	count(descRecoveries, uint64(n.NotRecovered), "fresh")
	for reason, k := range n.Fresh {
		count(descFresh, uint64(k), reason)
	}
	count(descCutOff, uint64(n.CutOff))
	count(descUnkept, uint64(n.Unkept))
	count(descOverdue, uint64(n.Overdue))
	count(descReceived, uint64(n.Received))
	count(descSent, uint64(n.Sent))
	count(descBroadcasts, uint64(n.Broadcasts))
	count(descUnhandled, uint64(n.Unhandled))
	count(descLateAcks, uint64(n.LateAcks))
	count(descThrottled, uint64(n.Throttled))
	count(descUnseen, uint64(n.Unseen))
	count(descPanics, uint64(n.Panics))
	count(descHandlerError, uint64(n.HandlerErrors))
}
