package queueapi

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server"
)

// consumer is a consumer of a socket.
type consumer struct {
	peer  *peer
	queue *queues.Consumer
	event string // queue:message or queue:batch, unless the client wants another name
	once  bool   // at most once: there is nothing to settle

	out   outbox[*parcel]
	batch int           // messages in a batch; 0: each by itself
	wait  time.Duration // how long a batch waits for more

	mu      sync.Mutex
	pending map[queues.Ref]*parcel // what the client has not settled
	held    []*queues.Message      // a batch that isn't full
	timer   *time.Timer            // sends it
	closed  bool
}

// parcel is one event that the client has to ack, with a message or a batch in it.
type parcel struct {
	to       *consumer
	messages []*queues.Message
	ack      int64 // id of the ack
	asked    bool  // the event was sent
	dropped  bool  // nothing in it is the client's any more
}

// Limits of a batch.
const (
	maxBatch     = 100
	maxBatchWait = 10 * time.Second
)

// consume answers queue:consume {queue, prefetch?, prefetchBytes?, batch?: {max, waitMs}, session?, graceMs?,
// event?, renew?, mode?}.
func (c *call) consume() error {
	var in struct {
		Queue         string `json:"queue"`
		Prefetch      *int   `json:"prefetch"`
		PrefetchBytes int    `json:"prefetchBytes"`
		Batch         *struct {
			Max    int     `json:"max"`
			WaitMs float64 `json:"waitMs"`
		} `json:"batch"`
		Session string   `json:"session"`
		GraceMs *float64 `json:"graceMs"`
		Event   string   `json:"event"`
		Renew   *bool    `json:"renew"`
		Mode    string   `json:"mode"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	var grace time.Duration
	var err error
	if in.GraceMs != nil {
		if grace, err = duration("graceMs", *in.GraceMs); err != nil {
			return err
		}
		grace = cmp.Or(grace, -1) // 0 is none
	}
	prefetch := 0
	if in.Prefetch != nil {
		if *in.Prefetch < 0 {
			return queues.Refuse(queues.CodeBadRequest, "prefetch isn't 0 to 1000")
		}
		prefetch = cmp.Or(*in.Prefetch, -1) // 0 is none until queue:credit
	}
	n := &consumer{event: "queue:message", pending: map[queues.Ref]*parcel{}, once: in.Mode == "at-most-once"}
	if b := in.Batch; b != nil {
		n.event, n.batch = "queue:batch", b.Max
		if n.wait, err = duration("batch.waitMs", b.WaitMs); err != nil {
			return err
		}
		if b.Max < 1 || b.Max > maxBatch || n.wait > maxBatchWait {
			return queues.Refuse(queues.CodeBadRequest, "a batch has 1 to 100 messages, and waits up to 10 s")
		}
	}
	switch {
	case in.Mode != "" && in.Mode != "at-most-once" && in.Mode != "at-least-once":
		return queues.Refuse(queues.CodeBadRequest, "mode is at-least-once or at-most-once")
	case len(in.Event) > 128 || parser.IsReserved(in.Event):
		return queues.Refuse(queues.CodeBadRequest, "event can't have this name")
	case in.Event != "":
		n.event = in.Event
	}
	p := c.api.peer(c.s)
	n.peer = p
	n.out = outbox[*parcel]{peer: p, send: n.send}
	unreserve, err := p.reserve(func() int { return len(p.consumers) }, c.api.cfg.MaxConsumers, "consumers")
	if err != nil {
		return err
	}
	defer unreserve()
	n.queue, err = c.client.Consume(c.ctx, in.Queue, queues.ConsumerConfig{
		Prefetch:      prefetch,
		PrefetchBytes: in.PrefetchBytes,
		Session:       in.Session,
		Grace:         grace,
		AtMostOnce:    n.once,
		NoRenew:       in.Renew != nil && !*in.Renew,
		Deliver:       n.deliver,
		Alive:         c.s.Connected,
		Open:          p.open,
		Revoked:       n.revoked,
		Closed:        n.ended,
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	gone := p.gone
	if !gone {
		p.consumers[n.queue.ID()] = n
	}
	p.mu.Unlock()
	if gone {
		n.close()
		return queues.ErrGone
	}
	resumed := make([]string, 0, len(n.queue.Resumed()))
	for _, m := range n.queue.Resumed() {
		resumed = append(resumed, m.Receipt())
	}
	// Before the first message, which Start has delivered.
	_ = c.e.Ack(map[string]any{
		"ok": true, "consumer": n.queue.ID(), "leaseMs": n.queue.Lease().Milliseconds(), "resumed": resumed,
	})
	n.queue.Start()
	return nil
}

// deliver sends messages to the client. It doesn't block.
func (n *consumer) deliver(ms []*queues.Message) {
	var few [8]*parcel
	parcels := few[:0]
	n.mu.Lock()
	if n.batch == 0 {
		for i := range ms {
			parcels = append(parcels, n.pack(ms[i:i+1:i+1]))
		}
		ms = nil
	}
	n.held = append(n.held, ms...)
	for {
		size := n.fits(n.held)
		if size == 0 {
			break
		}
		parcels = append(parcels, n.pack(n.held[:size:size]))
		n.held = n.held[size:]
	}
	if len(n.held) > 0 && n.timer == nil && !n.closed {
		n.timer = time.AfterFunc(n.wait, n.flush)
	}
	n.mu.Unlock()
	n.out.post(parcels...)
}

// pack makes a parcel that the client has to answer. The consumer is locked.
func (n *consumer) pack(ms []*queues.Message) *parcel {
	pc := &parcel{to: n, messages: ms}
	if !n.once && !n.closed {
		for _, m := range ms {
			n.pending[m.Ref()] = pc
		}
	}
	return pc
}

// fits returns how many of the messages make a full batch, or 0. A packet has only so
// many attachments.
func (n *consumer) fits(ms []*queues.Message) int {
	attachments := 0
	for i, m := range ms {
		if attachments += len(m.Payload.Attachments); i > 0 && attachments > maxAttachments {
			return i
		}
		if i+1 == n.batch {
			return n.batch
		}
	}
	return 0
}

// maxAttachments is what clients take in one packet.
const maxAttachments = 10

// flush sends what a batch has after its wait.
func (n *consumer) flush() {
	n.mu.Lock()
	n.timer = nil
	var parcels []*parcel
	if len(n.held) > 0 && !n.closed {
		parcels = append(parcels, n.pack(n.held))
	}
	n.held = nil
	n.mu.Unlock()
	n.out.post(parcels...)
}

// send sends one event with the messages of a parcel that are still the client's.
func (n *consumer) send(pc *parcel) {
	n.mu.Lock()
	if !n.once {
		pc.messages = n.still(pc)
	}
	ms, closed := pc.messages, n.closed
	n.mu.Unlock()
	if closed || len(ms) == 0 {
		return
	}
	var data any
	if n.batch == 0 {
		data = argument((*message)(ms[0]), ms[0].Payload)
	} else {
		list := make([]any, len(ms))
		for i, m := range ms {
			list[i] = argument((*message)(m), m.Payload)
		}
		data = list
	}
	s := n.peer.s
	if n.once {
		if err := s.Emit(s.Context(), n.event, data); err != nil {
			n.peer.api.log.Warn("a message was lost that was to be delivered at most once", "queue", n.queue.Queue(), "error", err)
		}
		return
	}
	id, err := s.Expect(pc, n.event, data)
	if err != nil {
		n.undeliverable(ms, err)
		return
	}
	n.mu.Lock()
	pc.ack, pc.asked = id, true
	dropped := pc.dropped
	n.mu.Unlock()
	if dropped {
		s.Unexpect(id, pc)
	}
}

// undeliverable deals with messages that can't be sent: those that never can are dead, others go back.
func (n *consumer) undeliverable(ms []*queues.Message, err error) {
	n.forget(ms)
	outcome := queues.Reject
	if transient(err) {
		outcome = queues.Release
	}
	if errors.Is(err, server.ErrTooManyAcks) { // it wants more than it can have
		n.mu.Lock()
		has := len(n.pending)
		n.mu.Unlock()
		_ = n.queue.SetPrefetch(max(has, 1))
	}
	for _, m := range ms {
		n.queue.Settle(m, outcome, 0, err.Error(), nil)
	}
}

// message writes itself as the client gets it.
type message queues.Message

func (m *message) AppendValue(dst []byte) []byte {
	o := newObject(dst, len(m.Payload.JSON))
	o.number("at", m.Stored.UnixMilli())
	o.number("attempt", int64(m.Attempt))
	o.data("data", m.Payload)
	o.number("fence", int64(m.Fence))
	o.headers(m.Headers)
	o.text("id", m.ID)
	if m.Key != "" {
		o.text("key", m.Key)
	}
	o.number("leaseMs", m.Lease.Milliseconds())
	o.text("queue", m.Queue)
	if r := (*queues.Message)(m).Receipt(); r != "" {
		o.text("r", r)
	}
	return o.end()
}

// forget drops what the client isn't asked about any more, and the acks that
// nobody waits for then. Acks that were never sent would fill the socket's table.
func (n *consumer) forget(ms []*queues.Message) {
	var unasked []*parcel
	n.mu.Lock()
	for _, m := range ms {
		pc := n.pending[m.Ref()]
		if pc == nil {
			continue
		}
		delete(n.pending, m.Ref())
		if len(n.still(pc)) > 0 {
			continue
		}
		if pc.dropped = true; pc.asked {
			unasked = append(unasked, pc)
		}
	}
	n.mu.Unlock()
	for _, pc := range unasked {
		n.peer.s.Unexpect(pc.ack, pc)
	}
}

// still returns the messages of a parcel that the client has to answer yet. The consumer is locked.
func (n *consumer) still(pc *parcel) []*queues.Message {
	gone := func(m *queues.Message) bool { return n.pending[m.Ref()] != pc }
	if !slices.ContainsFunc(pc.messages, gone) {
		return pc.messages
	}
	return slices.DeleteFunc(slices.Clone(pc.messages), gone)
}

// revoked tells the client of messages that it doesn't have any more.
func (n *consumer) revoked(ms []*queues.Message, reason string) {
	n.forget(ms)
	n.mu.Lock()
	n.held = slices.DeleteFunc(n.held, func(m *queues.Message) bool { return slices.Contains(ms, m) })
	n.mu.Unlock()
	receipts := make([]string, len(ms))
	for i, m := range ms {
		receipts[i] = m.Receipt()
	}
	s := n.peer.s
	_ = s.Emit(s.Context(), "queue:revoked", map[string]any{
		"queue": n.queue.Queue(), "consumer": n.queue.ID(), "receipts": receipts, "reason": reason,
	})
}

// ended tells the client that the broker has closed the consumer, unless it was drained.
func (n *consumer) ended(err error) {
	p := n.peer
	p.mu.Lock()
	delete(p.consumers, n.queue.ID())
	p.mu.Unlock()
	if err == nil {
		return
	}
	n.stop()
	_ = p.s.Emit(p.s.Context(), "queue:closed", map[string]any{
		"queue": n.queue.Queue(), "consumer": n.queue.ID(), "code": queues.CodeOf(err),
	})
}

// close closes the consumer: what it has goes back.
func (n *consumer) close() {
	n.stop()
	n.queue.Close()
}

// stop ends what belongs to the consumer here.
func (n *consumer) stop() {
	n.mu.Lock()
	n.closed = true
	if n.timer != nil {
		n.timer.Stop()
		n.timer = nil
	}
	n.held = nil
	ms := make([]*queues.Message, 0, len(n.pending))
	for _, pc := range n.pending {
		ms = append(ms, pc.messages...)
	}
	n.mu.Unlock()
	n.out.close()
	n.forget(ms)
}

// credit answers queue:credit {consumer, prefetch}.
func (c *call) credit() error {
	var in struct {
		Consumer uint64 `json:"consumer"`
		Prefetch int    `json:"prefetch"`
	}
	n, err := c.consumer(&in, &in.Consumer)
	if err != nil {
		return err
	}
	if err := n.queue.SetPrefetch(in.Prefetch); err != nil {
		return err
	}
	c.reply(done{true})
	return nil
}

// cancel answers queue:cancel {consumer, drain?}.
func (c *call) cancel() error {
	var in struct {
		Consumer uint64 `json:"consumer"`
		Drain    bool   `json:"drain"`
	}
	n, err := c.consumer(&in, &in.Consumer)
	if err != nil {
		return err
	}
	if in.Drain {
		n.flush()
		n.queue.Drain()
	} else {
		n.peer.mu.Lock()
		delete(n.peer.consumers, in.Consumer)
		n.peer.mu.Unlock()
		n.close()
	}
	c.reply(done{true})
	return nil
}

// consumer decodes a request and finds the consumer that it names.
func (c *call) consumer(in any, id *uint64) (*consumer, error) {
	if err := c.decode(in); err != nil {
		return nil, err
	}
	p := c.api.peer(c.s)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.consumers[*id]; n != nil {
		return n, nil
	}
	return nil, queues.Refuse(queues.CodeNotFound, "this connection has no such consumer")
}
