package queues

import "context"

// putting is an entry on its way into an inbox.
type putting struct {
	inbox string
	entry *Entry
	done  func(AppendResult)
}

// Sent is what became of an entry in one inbox.
type Sent struct {
	Inbox     string
	Seq       uint64
	Duplicate bool
	Err       error // ErrQueueFull, ErrDevices, ErrInboxes, ErrNotFound, ErrRateLimited, ErrUnavailable
}

// InboxSend puts an entry into inboxes, at most 1000. With an id it is stored once in each; an inbox that is named twice gets it
// once in any case. There is a Sent for each name. It is a SendInbox action.
// An inbox that isn't there is made, if the principal may have more made (BrokerConfig.NewInboxes), but not one of a device.
func (c *Client) InboxSend(ctx context.Context, e *Entry, inboxes ...string) ([]Sent, error) {
	type outcome struct {
		sent []Sent
		err  error
	}
	ch := make(chan outcome, 1)
	c.InboxSendFunc(ctx, e, inboxes, func(sent []Sent, err error) { ch <- outcome{sent, err} })
	select {
	case o := <-ch:
		return o.sent, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// InboxSendFunc is InboxSend without waiting: done, which must not block, is called with what InboxSend
// would return. ctx is that of the authorisation.
func (c *Client) InboxSendFunc(ctx context.Context, e *Entry, inboxes []string, done func([]Sent, error)) {
	if err := c.checkSend(ctx, e, inboxes); err != nil {
		done(nil, err)
		return
	}
	b := c.b
	p := &publishing{drafts: make([]*Draft, len(inboxes)), bytes: int64(e.Payload.Size())}
	if !b.waiting.enter(p, &b.cfg) {
		done(nil, b.errCongested())
		return
	}
	first := make(map[string]int, len(inboxes)) // where each inbox is named
	names := make([]string, 0, len(inboxes))
	for i, inbox := range inboxes {
		if _, named := first[inbox]; !named {
			first[inbox] = i
			names = append(names, inbox)
		}
	}
	leave := c.leaveFor(names)
	sent := make([]Sent, len(inboxes))
	all := gather(func() {
		b.waiting.leave(p)
		for i, inbox := range inboxes {
			sent[i] = sent[first[inbox]]
		}
		done(sent, nil)
	})
	work := make([]*putting, len(names))
	for i, inbox := range names {
		all.add()
		entry, then := leave.entry(e, inbox)
		work[i] = &putting{inbox: inbox, entry: entry, done: func(r AppendResult) {
			then(&r)
			sent[first[inbox]] = Sent{Inbox: inbox, Seq: r.Seq, Duplicate: r.Duplicate, Err: r.Err}
			all.done()
		}}
	}
	b.puts.add(work...)
	all.done()
}

func (c *Client) checkSend(ctx context.Context, e *Entry, inboxes []string) error {
	if len(inboxes) == 0 || len(inboxes) > maxBatch {
		return Refuse(CodeBadRequest, "1 to 1000 inboxes")
	}
	if err := c.checkEntry(e); err != nil {
		return err
	}
	if e.Topic != "" || e.TopicSeq != 0 {
		return Refuse(CodeBadRequest, "an entry for inboxes has no topic")
	}
	for _, inbox := range inboxes {
		if !ValidInbox(inbox) {
			return badName("the inbox")
		}
		if err := c.may(ctx, SendInbox, inbox); err != nil {
			return err
		}
	}
	return c.paceSend(len(inboxes))
}

func (c *Client) checkEntry(e *Entry) error {
	switch {
	case c.b.isClosed():
		return ErrUnavailable
	case e == nil:
		return Refuse(CodeBadRequest, "the entry is nil")
	case int64(e.Payload.Size()) > min(int64(c.b.cfg.InboxPayload), c.b.cfg.Inbox.MaxBytes):
		return Refuse(CodeTooLarge, "the payload is too large")
	case len(e.Payload.JSON) == 0:
		return Refuse(CodeBadRequest, "the entry has no data")
	case len(e.ID) > maxID:
		return Refuse(CodeBadRequest, "the id is longer than 64 bytes")
	case e.TTL < 0 || e.TTL > 10*maxDelay:
		return Refuse(CodeBadRequest, "the TTL can't be that long, or negative")
	}
	return checkHeaders(e.Headers, maxHeaders-2)
}

// putAll appends what has gathered, in one call of the store.
func (b *Broker) putAll(batch []*putting) {
	type gathered struct {
		call *AppendCall
		of   []*putting
	}
	groups := group(batch, func(p *putting) string { return p.inbox },
		func(inbox string) *gathered { return &gathered{call: &AppendCall{Inbox: inbox, Limits: b.cfg.Inbox}} },
		func(g *gathered, p *putting) {
			g.call.Entries = append(g.call.Entries, p.entry)
			g.of = append(g.of, p)
		})
	calls := make([]*AppendCall, len(groups))
	for i, g := range groups {
		calls[i] = g.call
	}
	ctx, cancel := b.call()
	b.store.Append(ctx, calls)
	cancel()
	for _, g := range groups {
		for i, p := range g.of {
			if g.call.Err != nil {
				b.countFull(g.call.Err)
				p.done(AppendResult{Err: g.call.Err})
				continue
			}
			b.countFull(g.call.Results[i].Err)
			p.done(g.call.Results[i])
		}
	}
}

// InboxStats returns the numbers of an inbox. It is an OpenInbox action.
func (c *Client) InboxStats(ctx context.Context, inbox string) (InboxStats, error) {
	if err := c.inbox(ctx, OpenInbox, inbox); err != nil {
		return InboxStats{}, err
	}
	return c.b.store.InboxStats(ctx, inbox)
}

// DeleteInbox deletes an inbox with all that is in it. It is an Admin action.
func (c *Client) DeleteInbox(ctx context.Context, inbox string) error {
	if err := c.inbox(ctx, Admin, inbox); err != nil {
		return err
	}
	return c.b.store.DeleteInbox(ctx, inbox)
}

func (c *Client) inbox(ctx context.Context, action Action, name string) error {
	if !ValidInbox(name) {
		return badName("the inbox")
	}
	return c.may(ctx, action, name)
}
