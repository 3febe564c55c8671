package queueapi

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server"
)

// transient reports whether an event that couldn't be sent may be sent another time, or to somebody else.
func transient(err error) bool {
	return errors.Is(err, server.ErrDisconnected) || errors.Is(err, server.ErrTooManyAcks)
}

// verdict is what a client acks a message with: nothing, or why it isn't processed.
type verdict struct {
	Nack    json.RawMessage `json:"nack"` // true; of a batch: [{id, delay?, error?}]
	Delay   *float64        `json:"delay"`
	Error   string          `json:"error"`
	Release json.RawMessage `json:"release"` // true; of a batch: [id]
	Reject  json.RawMessage `json:"reject"`  // true; of a batch: [{id, reason?}]
	Reason  string          `json:"reason"`
}

// exception is one message of a batch that wasn't processed.
type exception struct {
	ID     string   `json:"id"`
	Delay  *float64 `json:"delay"`
	Error  string   `json:"error"`
	Reason string   `json:"reason"`
}

// retry is the delay of a Nack: none given is the queue's backoff, 0 is at once.
func retry(ms *float64) time.Duration {
	switch {
	case ms == nil || *ms != *ms:
		return 0
	case *ms <= 0:
		return -1
	}
	return time.Duration(min(*ms, 1e12) * float64(time.Millisecond))
}

// Acked settles what is in the parcel by what the client has acked with.
func (pc *parcel) Acked(_ *server.Socket, args server.Args, err error) {
	if err != nil {
		return // the socket has gone, and the consumer is closed
	}
	n := pc.to
	n.mu.Lock()
	ms := n.still(pc)
	for _, m := range ms {
		delete(n.pending, m.Ref())
	}
	n.mu.Unlock()
	if args.Len() == 0 { // most often
		for _, m := range ms {
			n.queue.Settle(m, queues.Ack, 0, "", nil)
		}
	} else {
		n.settle(ms, args)
	}
}

// settle settles messages by the verdict in an ack.
func (n *consumer) settle(ms []*queues.Message, args server.Args) {
	var v verdict
	settlements := make([]queues.Settled, len(ms))
	err := (&server.Answer{Args: args}).Decode(&v)
	if err == nil {
		err = v.apply(ms, settlements)
	}
	for i, m := range ms {
		s := settlements[i]
		if err != nil { // nobody knows what it meant
			s = queues.Settled{Outcome: queues.Nack, Error: "the ack was not understood: " + err.Error()}
		}
		n.queue.Settle(m, s.Outcome, s.Delay, s.Error, nil)
	}
}

// apply says what becomes of each message.
func (v *verdict) apply(ms []*queues.Message, out []queues.Settled) error {
	for i := range out {
		out[i].Outcome = queues.Ack
	}
	for _, part := range []struct {
		raw     json.RawMessage
		outcome queues.Outcome
	}{{v.Nack, queues.Nack}, {v.Release, queues.Release}, {v.Reject, queues.Reject}} {
		switch {
		case len(part.raw) == 0 || string(part.raw) == "null" || string(part.raw) == "false":
		case part.raw[0] == '[':
			var list []exception
			if part.outcome == queues.Release {
				var ids []string
				if err := json.Unmarshal(part.raw, &ids); err != nil {
					return err
				}
				for _, id := range ids {
					list = append(list, exception{ID: id})
				}
			} else if err := json.Unmarshal(part.raw, &list); err != nil {
				return err
			}
			for _, x := range list {
				for i, m := range ms {
					if m.ID == x.ID {
						out[i] = x.settled(part.outcome)
					}
				}
			}
		default:
			x := exception{Delay: v.Delay, Error: v.Error, Reason: v.Reason}
			for i := range out {
				out[i] = x.settled(part.outcome)
			}
		}
	}
	return nil
}

func (x *exception) settled(o queues.Outcome) queues.Settled {
	s := queues.Settled{Outcome: o, Error: x.Error}
	switch o {
	case queues.Nack:
		s.Delay = retry(x.Delay)
	case queues.Reject:
		if x.Reason != "" {
			s.Error = x.Reason
		}
	}
	return s
}

// settle answers queue:settle {ack?: [r], nack?: [{r, delay?, error?}], release?: [r], reject?: [{r, reason?}]}.
func (c *call) settle() error {
	type item struct {
		R string `json:"r"`
		exception
	}
	var in struct {
		Ack     []string `json:"ack"`
		Nack    []item   `json:"nack"`
		Release []string `json:"release"`
		Reject  []item   `json:"reject"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	var items []queues.Settled
	add := func(r string, s queues.Settled) {
		s.Receipt = r
		items = append(items, s)
	}
	for _, r := range in.Ack {
		add(r, queues.Settled{Outcome: queues.Ack})
	}
	for _, it := range in.Nack {
		add(it.R, it.settled(queues.Nack))
	}
	for _, r := range in.Release {
		add(r, queues.Settled{Outcome: queues.Release})
	}
	for _, it := range in.Reject {
		add(it.R, it.settled(queues.Reject))
	}
	c.forgetReceipts(items)
	c.client.SettleFunc(items, func(results []error) {
		out := make(map[string]any, len(items))
		for i, err := range results {
			if r := items[i].Receipt; out[r] == nil { // what comes twice is gone the second time
				out[r] = word(err)
			}
		}
		c.reply(map[string]any{"ok": true, "results": out})
	})
	return nil
}

// forgetReceipts drops the acks of what the socket settles by receipt.
func (c *call) forgetReceipts(items []queues.Settled) {
	p := c.api.peer(c.s)
	p.mu.Lock()
	consumers := make([]*consumer, 0, len(p.consumers))
	for _, n := range p.consumers {
		consumers = append(consumers, n)
	}
	p.mu.Unlock()
	for _, n := range consumers {
		var ms []*queues.Message
		n.mu.Lock()
		for _, it := range items {
			ref, ok := queues.ReceiptRef(it.Receipt)
			pc := n.pending[ref]
			if !ok || pc == nil {
				continue
			}
			for _, m := range pc.messages {
				if m.Ref() == ref && m.Receipt() == it.Receipt {
					ms = append(ms, m)
				}
			}
		}
		n.mu.Unlock()
		n.forget(ms)
	}
}

// word is how the result of a settlement is told.
func word(err error) string {
	if err == nil {
		return "ok"
	}
	return string(queues.CodeOf(err))
}

// extend answers queue:extend {receipts, ms}.
func (c *call) extend() error {
	var in struct {
		Receipts []string `json:"receipts"`
		Ms       float64  `json:"ms"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	d, err := duration("ms", in.Ms)
	if err != nil {
		return err
	}
	out := map[string]any{}
	for i, err := range c.client.Extend(c.ctx, d, in.Receipts...) {
		out[in.Receipts[i]] = word(err)
	}
	c.reply(map[string]any{"ok": true, "results": out})
	return nil
}
