package queues

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// InboxConfig says how an inbox is opened.
type InboxConfig struct {
	// Since, if not nil, is what the client has processed last.
	Since *Position
	// Window is how many entries the client may have that it hasn't acknowledged: 1 to 1000. Default 32.
	Window int
	// Mirror lets others that open it so have the inbox too, with one cursor for all: what one of them has acknowledged
	// before another got it, the other is told as a gap.
	Mirror bool

	// Deliver gets entries: one call at a time, in order. It must not block.
	Deliver func([]*InboxMessage)
	// Gap, if not nil, is told of entries that won't come, from and to inclusive, before what follows
	// them is delivered. It must not block.
	Gap func(from, to uint64)
	// Open, if not nil, says whether the client can take more at present. When it can again, call Inbox.Resume.
	Open func() bool
	// Closed is told that the inbox was closed by the broker: ErrTakenOver, ErrUnavailable, or ErrConflict if
	// the store has lost something, so that the inbox has another epoch: open it again. It must not block.
	Closed func(err error)
}

// Inbox is an inbox that is open.
type Inbox struct {
	b     *Broker
	name  string
	owner Owner
	cfg   InboxConfig
	epoch uint64

	mu      sync.Mutex
	at      uint64 // delivered, or lost, up to here
	acked   uint64 // by the store's word
	acking  []func(uint64, error)
	out     []uint64 // delivered, and not acknowledged, in order
	closed  bool
	reading bool
	again   bool
	missed  bool // it may not have been told that it is somebody else's: it asks, though it has no room
}

// OpenInbox opens an inbox, and takes it over from whoever has it open. It is an
// OpenInbox action. One that isn't there is made, if the principal may have more made (BrokerConfig.NewInboxes).
func (c *Client) OpenInbox(ctx context.Context, name string, cfg InboxConfig) (*Inbox, Opened, error) {
	if !ValidInbox(name) {
		return nil, Opened{}, badName("the inbox")
	}
	if err := c.may(ctx, OpenInbox, name); err != nil {
		return nil, Opened{}, err
	}
	cfg.Window = cmp.Or(cfg.Window, 32)
	if cfg.Window < 1 || cfg.Window > maxPrefetch {
		return nil, Opened{}, Refuse(CodeBadRequest, "the window isn't 1 to 1000")
	}
	if err := c.leaveToUse(ctx, name); err != nil {
		return nil, Opened{}, err
	}
	b := c.b
	in := &Inbox{b: b, name: name, cfg: cfg}
	b.mu.Lock()
	if b.isClosed() {
		b.mu.Unlock()
		return nil, Opened{}, ErrUnavailable
	}
	b.number++
	in.owner = Owner{Node: b.cfg.Node, Number: b.number}
	in.reading = true // not before it is known where
	b.inboxes[name] = append(b.inboxes[name], in)
	b.mu.Unlock()

	opened, err := b.store.Open(ctx, name, in.owner, cfg.Since, cfg.Mirror, b.cfg.Inbox)
	if err != nil {
		in.forget()
		b.countFull(err)
		return nil, Opened{}, err
	}
	in.mu.Lock()
	in.epoch, in.at, in.acked = opened.Epoch, opened.Acked, opened.Acked
	in.mu.Unlock()
	return in, opened, nil
}

// Start begins to deliver.
func (in *Inbox) Start() {
	in.mu.Lock()
	in.reading = false
	in.mu.Unlock()
	in.b.reads.add(in)
}

// Name returns the name of the inbox.
func (in *Inbox) Name() string { return in.name }

// Epoch returns the epoch of the inbox.
func (in *Inbox) Epoch() uint64 { return in.epoch }

// Resume says that the client may be able to take more (InboxConfig.Open).
func (in *Inbox) Resume() { in.b.reads.add(in) }

// Ack acknowledges one entry, in any order. What is processed up to the first that isn't acknowledged
// is deleted.
func (in *Inbox) Ack(seq uint64) {
	in.mu.Lock()
	i, ok := slices.BinarySearch(in.out, seq)
	if ok {
		in.out = slices.Delete(in.out, i, i+1)
	}
	in.mu.Unlock()
	if ok {
		in.b.acks.add(in)
	}
}

// AckUpTo acknowledges all entries up to a position. done, if not nil, must not block; it is told up to where
// all is processed, or ErrConflict: the position is of another epoch, or was never delivered.
func (in *Inbox) AckUpTo(p Position, done func(acked uint64, err error)) {
	in.mu.Lock()
	var err error
	switch {
	case in.closed:
		err = ErrTakenOver
	case p.Epoch != in.epoch:
		err = Refuse(CodeConflict, "the inbox has another epoch")
	case p.Seq > in.at:
		err = Refuse(CodeConflict, "that was not delivered")
	default:
		i, ok := slices.BinarySearch(in.out, p.Seq)
		if ok {
			i++
		}
		in.out = slices.Delete(in.out, 0, i)
		if done != nil {
			in.acking = append(in.acking, done)
		}
	}
	in.mu.Unlock()
	if err != nil {
		if done != nil {
			done(0, err)
		}
		return
	}
	in.b.acks.add(in)
}

// processed is up to where all is processed. The inbox is locked.
func (in *Inbox) processed() uint64 {
	if len(in.out) > 0 {
		return max(in.out[0]-1, in.acked)
	}
	return max(in.at, in.acked)
}

// ackAll tells the store what was processed, in one call.
func (b *Broker) ackAll(batch []*Inbox) {
	var calls []*AcknowledgeCall
	var of []*Inbox
	var waiting [][]func(uint64, error)
	seen := map[*Inbox]bool{}
	for _, in := range batch {
		if seen[in] {
			continue
		}
		seen[in] = true
		in.mu.Lock()
		seq, done := in.processed(), in.acking
		in.acking = nil
		if seq > in.acked || len(done) > 0 {
			calls = append(calls, &AcknowledgeCall{Inbox: in.name, Owner: in.owner, At: Position{in.epoch, seq}})
			of = append(of, in)
			waiting = append(waiting, done)
		}
		in.mu.Unlock()
	}
	if len(calls) > 0 {
		ctx, cancel := b.call()
		b.store.Acknowledge(ctx, calls)
		cancel()
	}
	for i, c := range calls {
		in := of[i]
		if c.Err == nil {
			in.mu.Lock()
			in.acked = max(in.acked, c.Acked)
			in.mu.Unlock()
		}
		for _, done := range waiting[i] {
			done(c.Acked, c.Err)
		}
		if isOver(c.Err) {
			in.end(c.Err)
		}
	}
	for in := range seen {
		b.reads.add(in)
	}
}

// readAll reads for all inboxes that have room, in one call of the store.
func (b *Broker) readAll(batch []*Inbox) {
	var calls []*ReadCall
	var of []*Inbox
	for _, in := range batch {
		if c := in.wants(); c != nil {
			calls = append(calls, c)
			of = append(of, in)
		}
	}
	if len(calls) == 0 {
		return
	}
	ctx, cancel := b.call()
	b.store.Read(ctx, calls)
	cancel()
	for i, c := range calls {
		of[i].got(c)
	}
}

// wants returns what the inbox would read, or nil.
func (in *Inbox) wants() *ReadCall {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || in.reading {
		in.again = in.again || in.reading
		return nil
	}
	room := max(in.cfg.Window-len(in.out), 0)
	if room > 0 && in.cfg.Open != nil && !in.cfg.Open() {
		room = 0
	}
	if room == 0 && !in.missed {
		return nil
	}
	in.reading, in.again, in.missed = true, false, false
	return &ReadCall{Inbox: in.name, Owner: in.owner, After: in.at, Max: room, MaxBytes: maxTake}
}

// got delivers what was read.
func (in *Inbox) got(c *ReadCall) {
	if c.Err != nil {
		in.mu.Lock()
		in.reading = false
		closed := in.closed
		in.mu.Unlock()
		if isOver(c.Err) {
			in.end(c.Err)
		} else if !closed {
			time.AfterFunc(safety(), func() { in.b.reads.add(in) })
		}
		return
	}
	type gap struct{ from, to uint64 }
	var gaps []gap
	var parts [][]*InboxMessage // between the gaps
	in.mu.Lock()
	in.acked = max(in.acked, c.Acked)
	i, _ := slices.BinarySearch(in.out, c.Acked+1)
	in.out = slices.Delete(in.out, 0, i) // another mirror has acknowledged them
	moved := i > 0
	parts = append(parts, nil)
	if c.Acked > in.at { // and these before they came here
		gaps = append(gaps, gap{in.at + 1, c.Acked})
		parts = append(parts, nil)
		in.at = c.Acked
	}
	for _, m := range c.Entries {
		if m.Seq > in.at+1 {
			gaps = append(gaps, gap{in.at + 1, m.Seq - 1})
			parts = append(parts, nil)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], m)
		in.at = m.Seq
		in.out = append(in.out, m.Seq)
	}
	if c.Through > in.at {
		gaps = append(gaps, gap{in.at + 1, c.Through})
		parts = append(parts, nil)
		in.at = c.Through
	}
	closed := in.closed
	in.mu.Unlock()
	if closed {
		return
	}
	for i, part := range parts {
		if i > 0 && in.cfg.Gap != nil {
			in.cfg.Gap(gaps[i-1].from, gaps[i-1].to)
		}
		if len(part) > 0 && in.cfg.Deliver != nil {
			in.cfg.Deliver(part)
		}
	}
	in.mu.Lock()
	in.reading = false
	more := in.again || c.Last > in.at
	processed := (moved || len(gaps) > 0) && in.processed() > in.acked
	in.mu.Unlock()
	if more {
		in.b.reads.add(in)
	}
	if processed {
		in.b.acks.add(in) // what was in the way isn't any more
	}
}

// Close closes the inbox. What wasn't acknowledged is delivered when it is opened again.
func (in *Inbox) Close(ctx context.Context) error {
	if !in.shut() {
		return nil
	}
	return in.b.store.CloseInbox(ctx, in.name, in.owner)
}

// isOver says whether err means that the inbox isn't the owner's any more, or another one by now.
func isOver(err error) bool {
	code := CodeOf(err)
	return code == CodeTakenOver || code == CodeConflict
}

// end closes the inbox because it is somebody else's, or another one by now.
func (in *Inbox) end(why error) {
	if in.shut() && in.cfg.Closed != nil {
		in.cfg.Closed(why)
	}
}

func (in *Inbox) shut() bool {
	in.mu.Lock()
	was := in.closed
	in.closed = true
	done := in.acking
	in.acking = nil
	in.mu.Unlock()
	if was {
		return false
	}
	for _, f := range done {
		f(0, ErrTakenOver)
	}
	in.forget()
	return true
}

func (in *Inbox) forget() {
	b := in.b
	b.mu.Lock()
	defer b.mu.Unlock()
	left := slices.DeleteFunc(b.inboxes[in.name], func(o *Inbox) bool { return o == in })
	if len(left) == 0 {
		delete(b.inboxes, in.name)
		return
	}
	b.inboxes[in.name] = left
}
