package queueapi

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server"
)

// inbox is an inbox that a socket has open.
type inbox struct {
	peer *peer
	box  *queues.Inbox
	out  outbox[*letter]

	mu      sync.Mutex
	pending map[uint64]*letter // by number
	closed  bool
}

// letter is an entry that the client has to ack, or word of entries that were lost.
type letter struct {
	of       *inbox
	entry    *queues.InboxMessage // nil: lost
	from, to uint64

	// Guarded by the inbox's lock.
	ack   int64 // id of the ack
	asked bool  // the event was sent
}

// Entry is an entry for inboxes or a topic, as clients and the HTTP API write it.
type Entry struct {
	To      []string          `json:"to"`
	Topic   string            `json:"topic"`
	ID      string            `json:"id"`
	TTL     float64           `json:"ttl"` // ms
	Headers map[string]string `json:"headers"`
	Data    json.RawMessage   `json:"data"`
}

// Message returns what the broker takes. data makes data of its own of Data.
func (e *Entry) Message(data func(json.RawMessage) (queues.Payload, error)) (*queues.Entry, error) {
	if (e.Topic == "") == (e.To == nil) {
		return nil, queues.Refuse(queues.CodeBadRequest, "either to or topic is needed")
	}
	p, err := data(e.Data)
	if err != nil {
		return nil, err
	}
	ttl, err := duration("ttl", e.TTL)
	return &queues.Entry{ID: e.ID, TTL: ttl, Headers: e.Headers, Payload: p}, err
}

// InboxNamed returns the inbox that somebody means: that of a principal, of one of its devices
// (principal/device), or by the name that queues.InboxOf has made.
func InboxNamed(name string) string {
	if queues.ValidInbox(name) {
		return name
	}
	return queues.InboxOf(name)
}

// inboxSend answers inbox:send {to: [inbox], data, id?, ttl?, headers?} or {topic, data, …}.
func (c *call) inboxSend() error {
	var in Entry
	if err := c.decode(&in); err != nil {
		return err
	}
	e, err := in.Message(c.data)
	if err != nil {
		return err
	}
	if in.Topic != "" {
		c.client.TopicPublishFunc(c.ctx, in.Topic, e, func(seq uint64, err error) {
			if err != nil {
				c.fail(err)
				return
			}
			c.reply(map[string]any{"ok": true, "accepted": true, "tseq": seq})
		})
		return nil
	}
	c.client.InboxSendFunc(c.ctx, e, in.Inboxes(), func(sent []queues.Sent, err error) {
		if err != nil {
			c.fail(err)
			return
		}
		c.reply(in.Answer(sent))
	})
	return nil
}

// Inboxes returns the inboxes that To means.
func (e *Entry) Inboxes() []string {
	names := make([]string, len(e.To))
	for i, name := range e.To {
		names[i] = InboxNamed(name)
	}
	return names
}

// Answer is the answer to an entry for Inboxes, which has them by the names in To. If it was stored in none, that is a
// refusal.
func (e *Entry) Answer(sent []queues.Sent) any {
	seqs, refused := map[string]uint64{}, map[string]queues.Code{}
	var first error
	for i, s := range sent {
		if s.Err != nil {
			refused[e.To[i]] = queues.CodeOf(s.Err)
			if first == nil {
				first = s.Err
			}
			continue
		}
		seqs[e.To[i]] = s.Seq
	}
	if len(seqs) == 0 && first != nil {
		return RefusalOf(first)
	}
	answer := map[string]any{"ok": true, "seqs": seqs}
	if len(refused) > 0 {
		answer["refused"] = refused
	}
	return answer
}

// position is a place in an inbox.
type position struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// inboxOpen answers inbox:open {inbox?, since?: {epoch, seq}, prefetch?, mirror?}.
func (c *call) inboxOpen() error {
	var in struct {
		Inbox    string    `json:"inbox"`
		Since    *position `json:"since"`
		Prefetch int       `json:"prefetch"`
		Mirror   bool      `json:"mirror"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	name := c.own(in.Inbox)
	if name == "" {
		return queues.Refuse(queues.CodeUnauthorized, "a client without a name has no inbox")
	}
	p := c.api.peer(c.s)
	p.mu.Lock()
	old := p.inboxes[name]
	p.mu.Unlock()
	if old != nil { // it opens it anew
		old.close(c.ctx)
	}
	unreserve, err := p.reserve(func() int { return len(p.inboxes) }, c.api.cfg.MaxInboxes, "inboxes")
	if err != nil {
		return err
	}
	defer unreserve()
	n := &inbox{peer: p, pending: map[uint64]*letter{}}
	n.out = outbox[*letter]{peer: p, send: n.send}
	cfg := queues.InboxConfig{
		Window: in.Prefetch, Mirror: in.Mirror,
		Deliver: n.deliver, Gap: n.lost, Open: p.open, Closed: n.ended,
	}
	if in.Since != nil {
		cfg.Since = &queues.Position{Epoch: in.Since.Epoch, Seq: in.Since.Seq}
	}
	box, opened, err := c.client.OpenInbox(c.ctx, name, cfg)
	if err != nil {
		if old != nil {
			old.tell(err)
		}
		return err
	}
	n.box = box
	p.mu.Lock()
	gone := p.gone
	if !gone {
		p.inboxes[name] = n
	}
	p.mu.Unlock()
	if gone {
		n.close(context.Background())
		return queues.ErrGone
	}
	answer := map[string]any{
		"ok": true, "inbox": name, "epoch": opened.Epoch, "first": opened.First, "last": opened.Last,
		"acked": opened.Acked, "recovered": opened.Recovered,
	}
	if opened.Reason != "" {
		answer["reason"] = opened.Reason
	}
	_ = c.e.Ack(answer) // before the first entry
	box.Start()
	return nil
}

// own is the inbox that is named, or the principal's.
func (c *call) own(name string) string {
	if name == "" {
		return queues.InboxOf(c.client.Principal())
	}
	return InboxNamed(name)
}

// deliver sends entries to the client. It doesn't block.
func (n *inbox) deliver(ms []*queues.InboxMessage) {
	letters := make([]*letter, len(ms))
	n.mu.Lock()
	for i, m := range ms {
		letters[i] = &letter{of: n, entry: m}
		n.pending[m.Seq] = letters[i]
	}
	n.mu.Unlock()
	n.out.post(letters...)
}

// lost tells the client of entries that were lost, behind those that come before them.
func (n *inbox) lost(from, to uint64) { n.out.post(&letter{from: from, to: to}) }

// send sends one event, unless the inbox was closed or the entry acknowledged meanwhile.
func (n *inbox) send(l *letter) {
	if l.entry == nil {
		n.gap(l.from, l.to)
		return
	}
	seq := l.entry.Seq
	n.mu.Lock()
	wanted := n.pending[seq] == l && !n.closed
	n.mu.Unlock()
	if !wanted {
		return
	}
	s := n.peer.s
	id, err := s.Expect(l, "inbox:message", argument((*entry)(l.entry), l.entry.Payload))
	n.mu.Lock()
	wanted = n.pending[seq] == l
	if l.ack, l.asked = id, err == nil; err != nil {
		delete(n.pending, seq)
	}
	n.mu.Unlock()
	switch {
	case err == nil && !wanted:
		s.Unexpect(id, l)
	case errors.Is(err, server.ErrTooManyAcks):
		n.ended(queues.ErrRateLimited)
		go n.close(context.Background()) // it asks the store
	case err != nil && !transient(err):
		// It can be sent to nobody. The client is told that something is missing.
		n.peer.api.log.Warn("an inbox's entry can't be sent", "inbox", n.box.Name(), "seq", seq, "error", err)
		n.gap(seq, seq)
		n.box.Ack(seq)
	}
}

// Acked acknowledges the entry.
func (l *letter) Acked(_ *server.Socket, _ server.Args, err error) {
	if err != nil {
		return // the socket has gone, and the inbox is closed
	}
	n, seq := l.of, l.entry.Seq
	n.mu.Lock()
	wanted := n.pending[seq] == l
	if wanted {
		delete(n.pending, seq)
	}
	n.mu.Unlock()
	if wanted {
		n.box.Ack(seq)
	}
}

// entry writes itself as the client gets it.
type entry queues.InboxMessage

func (e *entry) AppendValue(dst []byte) []byte {
	o := newObject(dst, len(e.Payload.JSON))
	o.number("at", e.Stored.UnixMilli())
	o.data("data", e.Payload)
	o.number("epoch", int64(e.Epoch))
	o.headers(e.Headers)
	if e.ID != "" {
		o.text("id", e.ID)
	}
	o.text("inbox", e.Inbox)
	o.number("seq", int64(e.Seq))
	if e.Topic != "" {
		o.text("topic", e.Topic)
	}
	return o.end()
}

// gap tells the client of entries that were lost.
func (n *inbox) gap(from, to uint64) {
	s := n.peer.s
	_ = s.Emit(s.Context(), "inbox:gap", map[string]any{
		"inbox": n.box.Name(), "epoch": n.box.Epoch(), "from": from, "to": to,
	})
}

// ended tells the client that the broker has closed the inbox.
func (n *inbox) ended(err error) {
	p := n.peer
	p.mu.Lock()
	if p.inboxes[n.box.Name()] == n {
		delete(p.inboxes, n.box.Name())
	}
	p.mu.Unlock()
	n.forget(^uint64(0), true)
	n.tell(err)
}

// tell tells the client that it doesn't have the inbox open any more.
func (n *inbox) tell(err error) {
	s := n.peer.s
	_ = s.Emit(s.Context(), "inbox:closed", map[string]any{"inbox": n.box.Name(), "code": queues.CodeOf(err)})
}

// close closes the inbox.
func (n *inbox) close(ctx context.Context) {
	p := n.peer
	p.mu.Lock()
	if p.inboxes[n.box.Name()] == n {
		delete(p.inboxes, n.box.Name())
	}
	p.mu.Unlock()
	n.forget(^uint64(0), true)
	if err := n.box.Close(ctx); err != nil {
		p.api.log.Warn("an inbox could not be closed", "inbox", n.box.Name(), "error", err)
	}
}

// forget drops the acks up to a number; last says that no more are asked for.
func (n *inbox) forget(upTo uint64, last bool) {
	var unasked []*letter
	n.mu.Lock()
	n.closed = n.closed || last
	for seq, l := range n.pending {
		if seq <= upTo {
			delete(n.pending, seq)
			if l.asked {
				unasked = append(unasked, l)
			}
		}
	}
	n.mu.Unlock()
	if last {
		n.out.close()
	}
	for _, l := range unasked {
		n.peer.s.Unexpect(l.ack, l)
	}
}

// inboxAck answers inbox:ack {inbox?, epoch, seq}: all up to seq is processed.
func (c *call) inboxAck() error {
	var in struct {
		Inbox string `json:"inbox"`
		position
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	n, err := c.opened(in.Inbox)
	if err != nil {
		return err
	}
	n.box.AckUpTo(queues.Position{Epoch: in.Epoch, Seq: in.Seq}, func(acked uint64, err error) {
		if err != nil {
			c.fail(err)
			return
		}
		n.forget(acked, false)
		c.reply(map[string]any{"ok": true, "acked": acked})
	})
	return nil
}

// opened returns the inbox that the socket has open.
func (c *call) opened(name string) (*inbox, error) {
	p := c.api.peer(c.s)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.inboxes[c.own(name)]; n != nil {
		return n, nil
	}
	return nil, queues.Refuse(queues.CodeConflict, "the inbox isn't open on this connection")
}

// inboxClose answers inbox:close {inbox?}.
func (c *call) inboxClose() error {
	var in struct {
		Inbox string `json:"inbox"`
	}
	if err := c.decode(&in); err != nil {
		return err
	}
	n, err := c.opened(in.Inbox)
	if err != nil {
		return err
	}
	n.close(c.ctx)
	c.reply(done{true})
	return nil
}

type subscription struct {
	Inbox string `json:"inbox"`
	Topic string `json:"topic"`
}

// inboxSubscribe answers inbox:subscribe {topic, inbox?}.
func (c *call) inboxSubscribe() error { return c.subscription(c.client.Subscribe) }

// inboxUnsubscribe answers inbox:unsubscribe {topic, inbox?}.
func (c *call) inboxUnsubscribe() error { return c.subscription(c.client.Unsubscribe) }

func (c *call) subscription(f func(ctx context.Context, inbox, topic string) error) error {
	var in subscription
	if err := c.decode(&in); err != nil {
		return err
	}
	if err := f(c.ctx, c.own(in.Inbox), in.Topic); err != nil {
		return err
	}
	c.reply(done{true})
	return nil
}
