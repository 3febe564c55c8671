package queuetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/roomcast/roomcast/queues"
)

// InboxModel does anything with inboxes of a store, and compares what it answers with a model. pass lets time pass for
// the store. reopen, if not nil, ends the process that has it, orderly, and returns it as the next one opens it.
func InboxModel(t *testing.T, store queues.Store, pass func(time.Duration), reopen func() queues.Store) {
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		user := fmt.Sprint("m", runs)
		m := &inboxModel{ctx: t.Context(), store: store, pass: pass, user: user, limits: queues.InboxLimits{
			MaxLen:   rapid.SampledFrom([]int{2, 5, 100}).Draw(rt, "maxLen"),
			MaxBytes: rapid.SampledFrom([]int64{25, 1000}).Draw(rt, "maxBytes"),
			TTL:      rapid.SampledFrom([]time.Duration{seconds(630), seconds(1 << 30)}).Draw(rt, "ttl"),
			Overflow: rapid.SampledFrom([]queues.Overflow{queues.DropOldest, queues.RejectNew}).Draw(rt, "overflow"),
			Topics:   2,
			Devices:  1,
			Inboxes:  rapid.SampledFrom([]int{0, 2}).Draw(rt, "inboxes"),
		}}
		for _, name := range []string{user, user + "/d", user + "/e"} {
			m.inboxes = append(m.inboxes, &modelInbox{name: name})
		}
		actions := map[string]func(*rapid.T){
			"append": m.append, "append 2": m.append, "append 3": m.append, "open": m.open, "open 2": m.open,
			"read": m.read, "read 2": m.read, "acknowledge": m.acknowledge, "acknowledge 2": m.acknowledge,
			"subscribe": m.subscribe, "unsubscribe": m.unsubscribe, "members": m.members, "close": m.close, "delete": m.delete,
			"forget": m.forget, "pass": m.sleep, "sweep": m.sweep, "stats": m.stats,
		}
		if reopen != nil {
			actions["restart"] = func(*rapid.T) {
				store = reopen()
				m.store = store
				for _, b := range m.inboxes {
					b.owners, b.dropped, b.seen = nil, 0, m.now
				}
			}
		}
		defer func() {
			for _, b := range m.inboxes {
				_ = m.store.DeleteInbox(m.ctx, b.name)
			}
		}()
		rt.Repeat(actions)
		m.stats(rt)
	})
}

// inboxModel is what inboxes should do, said as plainly as possible. Its clock shows full minutes; what ends by the clock ends
// half a minute past, so that it doesn't matter if a real clock runs a few seconds meanwhile.
type inboxModel struct {
	ctx     context.Context
	store   queues.Store
	pass    func(time.Duration)
	user    string
	limits  queues.InboxLimits
	now     int64 // seconds
	inboxes []*modelInbox
	texts   int
	tseq    uint64
}

type modelInbox struct {
	name          string
	epochs        []uint64 // the last one is it, if it exists
	exists        bool
	acked, last   uint64
	overflow      uint64 // the highest number lost since there was no room
	expired       uint64 // the highest number lost by time
	entries       []modelEntry
	owners        []modelOwner
	topics        map[string]uint64
	ids           map[string]modelID
	dropped, late uint64
	touched, seen int64 // when it was used for certain, and maybe
}

type modelEntry struct {
	seq     uint64
	text    string
	expires int64
}

type modelOwner struct {
	queues.Owner
	mirror bool
}

type modelID struct {
	seq uint64
	at  int64
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// pick picks an inbox, as it is by now.
func (m *inboxModel) pick(t *rapid.T) *modelInbox {
	b := rapid.SampledFrom(m.inboxes).Draw(t, "inbox")
	m.expire(b)
	b.seen = m.now
	return b
}

func (m *inboxModel) owner(t *rapid.T) queues.Owner {
	n := rapid.IntRange(0, 2).Draw(t, "owner")
	return queues.Owner{Node: fmt.Sprint(m.user, "-", n%2), Number: uint64(n/2 + 1)}
}

func (m *inboxModel) topic(t *rapid.T) string {
	return m.user + rapid.SampledFrom([]string{"t", "u", "v"}).Draw(t, "topic")
}

func (b *modelInbox) epoch() uint64 {
	if !b.exists {
		return 0
	}
	return b.epochs[len(b.epochs)-1]
}

func (b *modelInbox) bytes() (n int64) {
	for _, e := range b.entries {
		n += int64(len(e.text))
	}
	return n
}

func (b *modelInbox) owns(o queues.Owner) bool {
	return slices.ContainsFunc(b.owners, func(x modelOwner) bool { return x.Owner == o })
}

func (m *inboxModel) expire(b *modelInbox) {
	b.entries = slices.DeleteFunc(b.entries, func(e modelEntry) bool {
		if e.expires > m.now {
			return false
		}
		b.expired = max(b.expired, e.seq)
		b.late++
		return true
	})
}

// create makes the inbox, unless there are too many, of all or of devices.
func (m *inboxModel) create(b *modelInbox) error {
	if b.exists {
		return nil
	}
	all, devices := 0, 0
	for _, other := range m.inboxes {
		if !other.exists {
			continue
		}
		all++
		if strings.Contains(other.name, "/") {
			devices++
		}
	}
	if m.limits.Inboxes > 0 && all >= m.limits.Inboxes {
		return queues.ErrInboxes
	}
	if strings.Contains(b.name, "/") && devices >= m.limits.Devices {
		return queues.ErrDevices
	}
	*b = modelInbox{
		name: b.name, epochs: b.epochs, exists: true, topics: map[string]uint64{}, ids: map[string]modelID{},
		touched: m.now, seen: m.now,
	}
	return nil
}

// born checks the epoch of an inbox that may be new.
func (b *modelInbox) born(t *rapid.T, created bool, epoch uint64) {
	switch {
	case !created && epoch != b.epoch():
		t.Fatalf("%s has epoch %d, it was %d", b.name, epoch, b.epoch())
	case created && (epoch == 0 || epoch >= 1<<53 || slices.Contains(b.epochs, epoch)):
		t.Fatalf("%s has epoch %d after %d", b.name, epoch, b.epochs)
	case created:
		b.epochs = append(b.epochs, epoch)
	}
}

func (m *inboxModel) append(t *rapid.T) {
	b := m.pick(t)
	c := &queues.AppendCall{Inbox: b.name, Limits: m.limits}
	for range rapid.IntRange(1, 4).Draw(t, "entries") {
		m.texts++
		text := fmt.Sprintf("%q", fmt.Sprint(m.texts, strings.Repeat(".", rapid.IntRange(0, 9).Draw(t, "size"))))
		e := &queues.Entry{Payload: queues.Payload{JSON: []byte(text)}}
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0, 1:
			e.Topic = m.topic(t)
			m.tseq++
			e.TopicSeq = m.tseq - uint64(rapid.IntRange(0, min(2, int(m.tseq)-1)).Draw(t, "again"))
		case 2:
			e.Existing = true
		}
		if rapid.IntRange(0, 2).Draw(t, "named") == 0 {
			e.ID = fmt.Sprint("id", rapid.IntRange(0, 3).Draw(t, "id"))
		}
		if rapid.IntRange(0, 2).Draw(t, "short") == 0 {
			e.TTL = seconds(int64(rapid.IntRange(0, 8).Draw(t, "ttl"))*60 + 30)
		}
		c.Entries = append(c.Entries, e)
	}
	m.store.Append(m.ctx, []*queues.AppendCall{c})
	if c.Err != nil || len(c.Results) != len(c.Entries) {
		t.Fatalf("%d results, %v", len(c.Results), c.Err)
	}
	there, dropped := b.exists, b.dropped
	if !there {
		dropped = 0
	}
	for i, e := range c.Entries {
		if got, want := c.Results[i], m.put(b, e, c.Results[i].Duplicate); got != want {
			t.Fatalf("entry %d, %+v:\n%+v, want\n%+v", i, e, got, want)
		}
	}
	if b.exists {
		b.born(t, !there, c.Epoch)
		b.touched = m.now
	}
	if uint64(c.Dropped) != b.dropped-dropped {
		t.Fatalf("%d were dropped, want %d", c.Dropped, b.dropped-dropped)
	}
}

// put says what becomes of an entry. known is what the store says of its id, where that isn't certain.
func (m *inboxModel) put(b *modelInbox, e *queues.Entry, known bool) queues.AppendResult {
	if e.Topic != "" {
		last, member := b.topics[e.Topic]
		if !member {
			return queues.AppendResult{Skipped: true}
		}
		if last >= e.TopicSeq {
			return queues.AppendResult{Duplicate: true}
		}
	}
	if id, ok := b.ids[e.ID]; ok && e.ID != "" && b.exists {
		age := m.now - id.at // ids are known for 5 to 10 minutes
		if age <= 240 || age < 660 && known {
			return queues.AppendResult{Seq: id.seq, Duplicate: true}
		}
	}
	if e.Existing && !b.exists {
		return queues.AppendResult{Err: queues.ErrNotFound}
	}
	made := !b.exists
	if err := m.create(b); err != nil {
		return queues.AppendResult{Err: err}
	}
	size := int64(e.Payload.Size())
	for len(b.entries) >= m.limits.MaxLen || b.bytes()+size > m.limits.MaxBytes {
		if m.limits.Overflow == queues.RejectNew || size > m.limits.MaxBytes {
			return queues.AppendResult{Err: queues.ErrQueueFull}
		}
		b.overflow = b.entries[0].seq
		b.entries = b.entries[1:]
		b.dropped++
	}
	b.last++
	ttl := e.TTL
	if ttl == 0 {
		ttl = m.limits.TTL
	}
	b.entries = append(b.entries, modelEntry{b.last, string(e.Payload.JSON), m.now + int64(ttl/time.Second)})
	if e.Topic != "" {
		b.topics[e.Topic] = e.TopicSeq
	}
	if e.ID != "" {
		b.ids[e.ID] = modelID{b.last, m.now}
	}
	return queues.AppendResult{Seq: b.last, Made: made}
}

func (b *modelInbox) acknowledge(seq uint64) {
	if seq > b.acked {
		b.acked = seq
		b.entries = slices.DeleteFunc(b.entries, func(e modelEntry) bool { return e.seq <= seq })
	}
}

func (m *inboxModel) open(t *rapid.T) {
	b, o, mirror := m.pick(t), m.owner(t), rapid.Bool().Draw(t, "mirror")
	var since *queues.Position
	if rapid.Bool().Draw(t, "since") {
		since = &queues.Position{Epoch: b.epoch(), Seq: uint64(rapid.IntRange(0, int(b.last)+1).Draw(t, "seq"))}
		if len(b.epochs) > 0 && rapid.IntRange(0, 3).Draw(t, "of before") == 0 {
			since.Epoch = b.epochs[0]
		}
	}
	opened, err := m.store.Open(m.ctx, b.name, o, since, mirror, m.limits)
	there := b.exists
	if want := m.create(b); want != nil {
		if err != want {
			t.Fatalf("%v, want %v", err, want)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	b.born(t, !there, opened.Epoch)
	b.touched = m.now
	if mirror && !slices.ContainsFunc(b.owners, func(x modelOwner) bool { return !x.mirror }) {
		b.owners = slices.DeleteFunc(b.owners, func(x modelOwner) bool { return x.Owner == o })
	} else {
		b.owners = nil
	}
	b.owners = append(b.owners, modelOwner{o, mirror})
	known := since == nil || since.Epoch == b.epoch() && since.Seq <= b.last
	if since != nil && known {
		b.acknowledge(since.Seq)
	}
	want := queues.Opened{Epoch: b.epoch(), Acked: b.acked, First: b.last + 1, Last: b.last}
	if len(b.entries) > 0 {
		want.First = b.entries[0].seq
	}
	switch {
	case !known:
		want.Reason = queues.LostEpoch
	case b.overflow > b.acked:
		want.Reason = queues.LostOverflow
	case b.expired > b.acked:
		want.Reason = queues.LostExpired
	default:
		want.Recovered = true
	}
	if opened != want {
		t.Fatalf("opened since %+v:\n%+v, want\n%+v", since, opened, want)
	}
}

func (m *inboxModel) read(t *rapid.T) {
	b, o := m.pick(t), m.owner(t)
	c := &queues.ReadCall{
		Inbox: b.name, Owner: o, After: uint64(rapid.IntRange(0, int(b.last)+1).Draw(t, "after")),
		Max: rapid.IntRange(1, 5).Draw(t, "max"), MaxBytes: rapid.SampledFrom([]int{0, 0, 10}).Draw(t, "bytes"),
	}
	m.store.Read(m.ctx, []*queues.ReadCall{c})
	if !m.owned(t, b, o, c.Err) {
		return
	}
	var got, want []string
	for _, e := range c.Entries {
		got = append(got, fmt.Sprint(e.Seq, " ", string(e.Payload.JSON)))
		if e.Inbox != b.name || e.Epoch != b.epoch() {
			t.Fatalf("an entry of %s %d", e.Inbox, e.Epoch)
		}
	}
	least, most, bytes := b.last, b.last, 0 // up to where it may have read
	for _, e := range b.entries {
		if e.seq <= max(c.After, b.acked) {
			continue
		}
		if len(want) == c.Max || c.MaxBytes > 0 && bytes >= c.MaxBytes {
			most = e.seq - 1
			break
		}
		want = append(want, fmt.Sprint(e.seq, " ", e.text))
		bytes += len(e.text)
		least = e.seq
	}
	if len(want) < c.Max && (c.MaxBytes == 0 || bytes < c.MaxBytes) {
		least = b.last
	}
	if !slices.Equal(got, want) || c.Through < least || c.Through > most {
		t.Fatalf("%q through %d, want %q through %d to %d", got, c.Through, want, least, most)
	}
	if c.Acked != b.acked || c.Last != b.last {
		t.Fatalf("acknowledged %d of %d, want %d of %d", c.Acked, c.Last, b.acked, b.last)
	}
}

// owned checks the error of a call by an owner, or of somebody who isn't one.
func (m *inboxModel) owned(t *rapid.T, b *modelInbox, o queues.Owner, err error) bool {
	code := queues.CodeOf(err)
	switch owns := b.owns(o); {
	case owns && err != nil:
		t.Fatalf("the owner is told: %v", err)
	case !owns && code != queues.CodeTakenOver && (b.exists || code != queues.CodeConflict):
		t.Fatalf("somebody else is told: %v", err)
	}
	return b.owns(o)
}

func (m *inboxModel) acknowledge(t *rapid.T) {
	b, o := m.pick(t), m.owner(t)
	at := queues.Position{Epoch: b.epoch(), Seq: uint64(rapid.IntRange(0, int(b.last)+1).Draw(t, "seq"))}
	if rapid.IntRange(0, 5).Draw(t, "of another epoch") == 0 {
		at.Epoch++
	}
	c := &queues.AcknowledgeCall{Inbox: b.name, Owner: o, At: at}
	m.store.Acknowledge(m.ctx, []*queues.AcknowledgeCall{c})
	if b.owns(o) && (at.Epoch != b.epoch() || at.Seq > b.last) {
		if queues.CodeOf(c.Err) != queues.CodeConflict {
			t.Fatalf("acknowledge %+v: %v", at, c.Err)
		}
		return
	}
	if !m.owned(t, b, o, c.Err) {
		return
	}
	if at.Seq > b.acked {
		b.touched = m.now
	}
	b.acknowledge(at.Seq)
	if c.Acked != b.acked {
		t.Fatalf("acknowledged %d, want %d", c.Acked, b.acked)
	}
}

func (m *inboxModel) subscribe(t *rapid.T) {
	b, topic := m.pick(t), m.topic(t)
	there := b.exists
	_, member := b.topics[topic]
	err := m.store.Subscribe(m.ctx, b.name, topic, m.limits)
	want := m.create(b)
	switch {
	case want != nil:
	case !member && len(b.topics) >= m.limits.Topics:
		want = queues.ErrQueueFull
	case !member:
		b.topics[topic], b.touched = 0, m.now
	}
	if queues.CodeOf(err) != queues.CodeOf(want) || want == queues.ErrInboxes && err != want {
		t.Fatalf("subscribe: %v, want %v", err, want)
	}
	if !there && b.exists {
		m.meet(t, b)
	}
}

// meet learns the epoch of an inbox that was made.
func (m *inboxModel) meet(t *rapid.T, b *modelInbox) {
	st, err := m.store.InboxStats(m.ctx, b.name)
	if err != nil {
		t.Fatal(err)
	}
	b.born(t, true, st.Epoch)
}

func (m *inboxModel) unsubscribe(t *rapid.T) {
	b, topic := m.pick(t), m.topic(t)
	if err := m.store.Unsubscribe(m.ctx, b.name, topic); err != nil {
		t.Fatal(err)
	}
	delete(b.topics, topic)
}

func (m *inboxModel) members(t *rapid.T) {
	topic := m.topic(t)
	var got, want []string
	for after := ""; ; {
		page, next, err := m.store.Members(m.ctx, topic, after, 1)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if after = next; after == "" {
			break
		}
	}
	slices.Sort(got)
	for _, b := range m.inboxes {
		if _, ok := b.topics[topic]; ok && b.exists {
			want = append(want, b.name)
		}
	}
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Fatalf("members %q, want %q", got, want)
	}
}

func (m *inboxModel) close(t *rapid.T) {
	b, o := m.pick(t), m.owner(t)
	if err := m.store.CloseInbox(m.ctx, b.name, o); err != nil {
		t.Fatal(err)
	}
	b.owners = slices.DeleteFunc(b.owners, func(x modelOwner) bool { return x.Owner == o })
	b.touched = m.now
}

func (m *inboxModel) delete(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		t.Skip()
	}
	b := m.pick(t)
	if err := m.store.DeleteInbox(m.ctx, b.name); err != nil {
		t.Fatal(err)
	}
	*b = modelInbox{name: b.name, epochs: b.epochs}
}

func (m *inboxModel) forget(t *rapid.T) {
	node := fmt.Sprint(m.user, "-", rapid.IntRange(0, 1).Draw(t, "node"))
	if err := m.store.Forget(m.ctx, node); err != nil {
		t.Fatal(err)
	}
	for _, b := range m.inboxes {
		b.owners = slices.DeleteFunc(b.owners, func(x modelOwner) bool { return x.Node == node })
		b.seen = m.now
	}
}

func (m *inboxModel) sleep(t *rapid.T) {
	d := int64(rapid.SampledFrom([]int{60, 60, 300, 1200}).Draw(t, "seconds"))
	m.pass(seconds(d))
	m.now += d
}

// sweep forgets what was unused for 20.5 minutes.
func (m *inboxModel) sweep(t *rapid.T) {
	const idle = 1230
	for after, n := "", 0; ; n++ {
		next, err := m.store.SweepInboxes(m.ctx, after, seconds(idle))
		if err != nil {
			t.Fatal(err)
		}
		if after = next; after == "" {
			break
		}
	}
	for _, b := range m.inboxes {
		m.expire(b)
		if !b.exists {
			continue
		}
		unused := len(b.entries) == 0 && len(b.owners) == 0 && len(b.topics) == 0
		st, err := m.store.InboxStats(m.ctx, b.name)
		if err != nil {
			t.Fatal(err)
		}
		gone := st == queues.InboxStats{}
		if gone && (!unused || m.now-b.touched < idle) || !gone && unused && m.now-b.seen >= idle {
			t.Fatalf("%s was swept: %v; used at %d to %d of %d; %+v", b.name, gone, b.touched, b.seen, m.now, b)
		}
		if gone {
			*b = modelInbox{name: b.name, epochs: b.epochs}
		}
	}
}

// stats compares the numbers.
func (m *inboxModel) stats(t *rapid.T) {
	for _, b := range m.inboxes {
		m.expire(b)
		st, err := m.store.InboxStats(m.ctx, b.name)
		if err != nil {
			t.Fatal(err)
		}
		if st.Expired > b.late { // what expired unseen, and was acknowledged, isn't counted
			t.Fatalf("%s: %d have expired, want %d at most", b.name, st.Expired, b.late)
		}
		st.Expired = 0
		want := queues.InboxStats{
			Epoch: b.epoch(), Len: len(b.entries), Bytes: b.bytes(), Last: b.last, Acked: b.acked,
			Owners: len(b.owners), Topics: len(b.topics), Dropped: b.dropped,
		}
		if st != want {
			t.Fatalf("%s:\n%+v, want\n%+v", b.name, st, want)
		}
	}
}
