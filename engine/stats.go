package engine

import (
	"errors"
	"os"
	"sync/atomic"
)

// Rejection is a reason for which the server turned something away.
type Rejection int

// The reasons, beside the codes 0 to 5 of refused requests.
const (
	RejectedOrigin        Rejection = iota + 6 // not allowed by Config.Origins
	RejectedSessionOrigin                      // a session used from another origin
	RejectedRate                               // Config.HandshakeRate
	RejectedSessions                           // Config.MaxSessions
	RejectedPerIP                              // Config.MaxSessionsPerIP
	RejectedDraining                           // the server is going away
	RejectedBodySize                           // Config.MaxPayload
	RejectedSlowBody                           // Config.BodyTimeout
	RejectedEncoding                           // a POST with Content-Encoding
	RejectedPacketCount                        // Config.MaxPacketsPerPayload
	RejectedSlowConsumer                       // Config.MaxQueuedPackets, MaxQueuedBytes
	RejectedControlRate                        // Config.ControlRate
	RejectedMessageSize                        // ErrMessageSize
	RejectedFragments                          // ErrFragments
	RejectedSlowWrite                          // a connection wasn't read in time: its write timeout
	rejections
)

var rejectionNames = [rejections]string{
	"transport", "sid", "method", "request", "forbidden", "protocol",
	"origin", "session_origin", "handshake_rate", "sessions", "sessions_per_ip", "draining",
	"body_size", "slow_body", "content_encoding", "packet_count", "slow_consumer", "control_rate",
	"message_size", "fragments", "slow_write",
}

// String is the reason's name in metrics, such as "body_size".
func (r Rejection) String() string { return rejectionNames[r] }

// Counter counts what sessions do so often that cores would wait for each other if they
// counted in one place.
type Counter struct {
	cells [8]struct {
		n atomic.Uint64
		_ [56]byte // a cell fills a cache line
	}
}

// Add adds n, in the place that s has.
func (c *Counter) Add(s *Session, n uint64) { c.cells[int(s.cell)%len(c.cells)].n.Add(n) }

// Load returns the sum of all places.
func (c *Counter) Load() (sum uint64) {
	for i := range c.cells {
		sum += c.cells[i].n.Load()
	}
	return sum
}

// Stats counts what a server does. All its fields only grow, except the gauges
// Polling, WebSocket and WebTransport: sessions on each transport.
type Stats struct {
	Polling, WebSocket, WebTransport atomic.Int64

	Opened, Upgraded atomic.Uint64    // sessions
	Closed           [5]atomic.Uint64 // by reason, see Reasons

	MessagesIn, PacketsOut, PayloadOut Counter // PayloadOut in bytes, before framing

	rejected [rejections]atomic.Uint64
}

// Reasons are the reasons of Stats.Closed, in its order.
var Reasons = [...]Reason{TransportClose, TransportError, ParseError, PingTimeout, ForcedClose}

// Rejected calls f with every reason and how often it held.
func (st *Stats) Rejected(f func(reason string, n uint64)) {
	for i := range st.rejected {
		f(rejectionNames[i], st.rejected[i].Load())
	}
}

// Sessions is the number of open sessions.
func (st *Stats) Sessions() int64 {
	return st.Polling.Load() + st.WebSocket.Load() + st.WebTransport.Load()
}

func (st *Stats) reject(r Rejection) { st.rejected[r].Add(1) }
func (st *Stats) refused(code int)   { st.rejected[code].Add(1) }

// wrote counts what was written.
func (st *Stats) wrote(s *Session, batches []*Batch) {
	packets, size := 0, 0
	for _, b := range batches {
		packets += len(b.packets)
		size += b.size
	}
	st.PacketsOut.Add(s, uint64(packets))
	st.PayloadOut.Add(s, uint64(size))
}

// gauge is the gauge of a transport.
func (st *Stats) gauge(transport string) *atomic.Int64 {
	switch transport {
	case "websocket":
		return &st.WebSocket
	case "webtransport":
		return &st.WebTransport
	}
	return &st.Polling
}

// moved counts an upgrade.
func (st *Stats) moved(from, to string) {
	st.Upgraded.Add(1)
	st.gauge(from).Add(-1)
	st.gauge(to).Add(1)
}

// limits are the limits for which sessions are closed, by the cause.
var limits = []struct {
	cause error
	why   Rejection
}{
	{ErrSlowConsumer, RejectedSlowConsumer},
	{ErrControlRate, RejectedControlRate},
	{ErrMessageSize, RejectedMessageSize},
	{ErrFragments, RejectedFragments},
	{os.ErrDeadlineExceeded, RejectedSlowWrite},
}

// closed counts the end of a session.
func (st *Stats) closed(reason Reason, cause error) {
	for i, r := range Reasons {
		if r == reason {
			st.Closed[i].Add(1)
		}
	}
	if cause == nil {
		return
	}
	for _, l := range limits {
		if errors.Is(cause, l.cause) {
			st.reject(l.why)
			return
		}
	}
}
