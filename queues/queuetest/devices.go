package queuetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"pgregory.net/rapid"

	"github.com/roomcast/roomcast/queues"
)

// box is an inbox, and what is known of it.
type box struct {
	h       *house
	name    string
	topics  map[string]bool
	epoch   uint64 // 0: not known yet
	devices []*device
	known   []queues.Position // where somebody was; of other epochs, too

	mu      sync.Mutex
	last    uint64            // number of the newest entry
	texts   map[uint64]string // by number, as far as known
	numbers map[string]uint64 // the other way round
	short   map[string]bool   // may expire
	handled map[uint64]bool   // acknowledged, or told to be lost
	ids     map[string]uint64 // number of what was sent with an id
	stored  map[string]bool   // ids by which something was stored
}

// renew begins with an inbox that is new, or deleted.
func (b *box) renew() {
	b.epoch, b.last, b.topics = 0, 0, map[string]bool{}
	b.texts, b.numbers, b.short = map[uint64]string{}, map[string]uint64{}, map[string]bool{}
	b.handled, b.ids, b.stored = map[uint64]bool{}, map[string]uint64{}, map[string]bool{}
}

// device is somebody who has an inbox open.
type device struct {
	b       *box
	node    int
	in      *queues.Inbox
	opened  queues.Opened
	window  int
	mirror  bool
	stalled atomic.Bool

	mu     sync.Mutex
	at     uint64
	out    []uint64 // not acknowledged
	gaps   [][2]uint64
	log    []string // the last of what was told, and acknowledged
	closed error
	over   bool // no entry may come any more
}

// sent notes the result of a send.
func (b *box) sent(s queues.Sent, id, text string) {
	if s.Err != nil {
		b.h.fault("%s: send: %v", b.name, s.Err)
		return
	}
	b.mu.Lock()
	first, known := b.ids[id]
	switch {
	case id == "" && s.Duplicate, id != "" && !s.Duplicate && b.stored[id], known && first != s.Seq:
		b.h.fault("%s: %s with the id %q, which was %d: %+v", b.name, text, id, first, s)
	case id != "":
		b.ids[id] = s.Seq
		b.stored[id] = b.stored[id] || !s.Duplicate
	}
	if !s.Duplicate {
		b.last++
	}
	b.mu.Unlock()
	if !s.Duplicate {
		b.see(s.Seq, text)
	}
}

// see notes which entry has a number.
func (b *box) see(seq uint64, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if was, ok := b.texts[seq]; ok && was != text {
		b.h.fault("%s: %d is %s, and %s", b.name, seq, was, text)
	}
	if was, ok := b.numbers[text]; ok && was != seq {
		b.h.fault("%s: %s is %d, and %d", b.name, text, was, seq)
	}
	b.texts[seq], b.numbers[text] = text, seq
}

func (b *box) handle(from, to uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for seq := from; seq <= to; seq++ {
		b.handled[seq] = true
	}
}

// await waits until the device is told that its inbox is closed.
func (d *device) await(t *rapid.T, code queues.Code) {
	d.remember()
	d.b.h.eventually(t, func() string {
		d.mu.Lock()
		defer d.mu.Unlock()
		if queues.CodeOf(d.closed) == code {
			d.over = true
			return ""
		}
		return fmt.Sprintf("%s: closed with %v, want %s: %s", d.b.name, d.closed, code, strings.Join(d.log, ", "))
	})
}

// remember notes where the device was, for one that comes back.
func (d *device) remember() {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := queues.Position{Epoch: d.opened.Epoch, Seq: d.at}
	if len(d.out) > 0 {
		p.Seq = d.out[0] - 1
	}
	d.b.known = append(d.b.known, p)
	if len(d.b.known) > 4 {
		d.b.known = d.b.known[1:]
	}
}

// note notes what happened to the device, which is locked.
func (d *device) note(format string, args ...any) {
	if d.log = append(d.log, fmt.Sprintf(format, args...)); len(d.log) > 20 {
		d.log = d.log[1:]
	}
}

func (d *device) deliver(ms []*queues.InboxMessage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range ms {
		if d.over || m.Seq != d.at+1 || m.Epoch != d.opened.Epoch || m.Inbox != d.b.name {
			d.b.h.fault("%s: got %d of epoch %d after %d, over: %v", m.Inbox, m.Seq, m.Epoch, d.at, d.over)
		}
		d.b.see(m.Seq, string(m.Payload.JSON))
		d.at = m.Seq
		d.out = append(d.out, m.Seq)
		d.note("got %d", m.Seq)
	}
	if len(d.out) > d.window && !d.mirror { // what another has acknowledged is nothing to wait for
		d.b.h.fault("%s: %d entries in a window of %d", d.b.name, len(d.out), d.window)
	}
}

func (d *device) gap(from, to uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if from != d.at+1 || to < from {
		d.b.h.fault("%s: gap from %d to %d after %d", d.b.name, from, to, d.at)
	}
	d.at = to
	d.note("gap %d-%d", from, to)
	d.gaps = append(d.gaps, [2]uint64{from, to})
	d.b.handle(from, to)
}

// gone forgets a device. What is just being delivered may come yet.
func (d *device) gone() {
	d.b.devices = slices.DeleteFunc(d.b.devices, func(x *device) bool { return x == d })
	d.mu.Lock()
	d.gaps = nil
	d.mu.Unlock()
}

// unrest says what isn't as it will be.
func (b *box) unrest(ctx context.Context, store queues.Store) string {
	st, err := store.InboxStats(ctx, b.name)
	if err != nil {
		return err.Error()
	}
	if st.Last != b.last {
		return fmt.Sprintf("%s: %d entries were stored, want %d", b.name, st.Last, b.last)
	}
	if st.Len > b.h.config.Inbox.MaxLen || st.Bytes > b.h.config.Inbox.MaxBytes {
		return fmt.Sprintf("%s has %d entries of %d bytes", b.name, st.Len, st.Bytes)
	}
	for i, d := range b.devices {
		d.mu.Lock()
		at, out, closed, log := d.at, slices.Clone(d.out), d.closed, strings.Join(d.log, ", ")
		d.mu.Unlock()
		processed := at
		if len(out) > 0 {
			processed = out[0] - 1
		}
		switch {
		case closed != nil:
			return fmt.Sprintf("%s: device %d was closed: %v", b.name, i, closed)
		case st.Acked < processed:
			return fmt.Sprintf("%s: device %d has processed %d, acknowledged is %d: %s", b.name, i, processed, st.Acked, log)
		case at < b.last && len(out) < d.window && !d.stalled.Load():
			return fmt.Sprintf("%s: device %d was told up to %d of %d, and has %d: %s", b.name, i, at, b.last, out, log)
		}
	}
	return ""
}

// check checks what has come to rest.
func (b *box) check(t *rapid.T) {
	st, err := b.h.nodes[0].store.InboxStats(b.h.ctx, b.name)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range b.devices {
		d.mu.Lock()
		gaps := d.gaps
		d.gaps = nil
		d.mu.Unlock()
		for _, g := range gaps {
			for seq := g[0]; seq <= g[1]; seq++ {
				b.lost(t, seq, d.mirror && seq <= st.Acked)
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	for seq := uint64(1); seq <= st.Acked; seq++ {
		if !b.handled[seq] {
			t.Fatalf("%s: %d is acknowledged, and nobody had it", b.name, seq)
		}
	}
	newest := map[string]uint64{}
	for seq := uint64(1); seq <= b.last; seq++ {
		p := b.h.topics[b.texts[seq]]
		if p.topic != "" && p.seq <= newest[p.topic] {
			t.Fatalf("%s: %d is number %d of %s, after number %d", b.name, seq, p.seq, p.topic, newest[p.topic])
		}
		newest[p.topic] = p.seq
	}
}

// lost checks that an entry may be lost: it could expire, or there was no room for it.
func (b *box) lost(t *rapid.T, seq uint64, acked bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	text, seen := b.texts[seq] // one of a topic may be lost before anybody sees it
	if dropped := b.last >= seq+uint64(b.h.config.Inbox.MaxLen) || b.crowded(seq); seen && !dropped && !acked && !b.short[text] {
		t.Fatalf("%s: %d, %s, is told to be lost; the last is %d", b.name, seq, text, b.last)
	}
}

// crowded reports whether so many bytes may have come after an entry that there was no room for it. The box is locked.
func (b *box) crowded(seq uint64) bool {
	bytes := int64(0)
	for ; seq <= b.last; seq++ {
		if text, known := b.texts[seq]; known {
			bytes += int64(len(text))
		} else {
			bytes += largest // of a topic, and nobody has seen it
		}
	}
	return bytes > b.h.config.Inbox.MaxBytes
}
