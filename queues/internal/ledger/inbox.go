package ledger

import (
	"slices"
	"strings"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/internal/record"
)

// inbox is one inbox. Its entries have the numbers from base on.
type inbox struct {
	name    string
	no      uint32
	epoch   uint64
	base    uint64
	entries []entry
	n       int // entries that aren't holes
	bytes   int64
	soonest int64 // when an entry expires, at the earliest; 0: none does
	cursor  cursor
	owners  []owner
	topics  map[string]uint64 // topic -> number of its last entry
	ids     ids
	used    int64 // when last
	stats   queues.InboxStats
}

// entry is what the ledger has in mind of an entry. Its size is negative if it is lost.
type entry struct {
	size    int32
	expires int64
}

// cursor is what is stored of an inbox beside its entries.
type cursor struct {
	acked    uint64 // processed up to here
	last     uint64 // number of the newest entry
	overflow uint64 // the highest number that was lost since there was no room
	expired  uint64 // the highest number that was lost by expiry
}

type owner struct {
	queues.Owner
	mirror bool
	told   bool // of entries that it hasn't read yet
}

// inboxOf returns an inbox, and makes it if there is none.
func (l *Ledger) inboxOf(name string, limits *queues.InboxLimits) (*inbox, error) {
	b := l.inboxes[name]
	if b == nil {
		if limits.Inboxes > 0 && len(l.inboxes) >= limits.Inboxes {
			return nil, queues.ErrInboxes
		}
		if principal, ok := deviceOf(name); ok && l.devices[principal] >= limits.Devices {
			return nil, queues.ErrDevices
		}
		l.nextNo++
		l.epoch = max(l.epoch+1, uint64(l.now))
		b = &inbox{name: name, no: l.nextNo, epoch: l.epoch, base: 1}
		l.enter(b)
		l.kv.Set(nameKey(keyInbox, name), numbers(uint64(b.no), b.epoch))
	}
	b.used = l.now
	return b, nil
}

// enter lists an inbox.
func (l *Ledger) enter(b *inbox) {
	l.inboxes[b.name] = b
	if principal, ok := deviceOf(b.name); ok {
		l.devices[principal]++
	}
}

// deviceOf returns whose device an inbox is for, if it is for one.
func deviceOf(inbox string) (principal string, ok bool) {
	principal, _, ok = strings.Cut(inbox, "/")
	return principal, ok
}

func (l *Ledger) storeCursor(b *inbox) {
	c := b.cursor
	l.kv.Set(kindKey(keyCursor, b.no), numbers(c.acked, c.last, c.overflow, c.expired))
}

// Append does a call of InboxStore.Append.
func (l *Ledger) Append(c *queues.AppendCall) {
	c.Results = make([]queues.AppendResult, len(c.Entries))
	b, i, made := l.inboxes[c.Inbox], 0, -1
	for ; b == nil && i < len(c.Entries); i++ { // those for which no inbox is made
		switch e := c.Entries[i]; {
		case e.Topic != "":
			c.Results[i].Skipped = true
			continue
		case e.Existing:
			c.Results[i].Err = queues.ErrNotFound
			continue
		}
		var err error
		if b, err = l.inboxOf(c.Inbox, &c.Limits); err != nil {
			c.Results[i].Err = err
			continue
		}
		made = i
		break
	}
	if b == nil {
		return
	}
	c.Epoch, b.used = b.epoch, l.now
	l.expireIn(b)
	l.turnIDs(&b.ids, keyEntryID, b.no, idWindow)
	last := b.cursor.last
	for ; i < len(c.Entries); i++ {
		c.Results[i] = l.append(b, c.Entries[i], &c.Limits, &c.Dropped)
		c.Results[i].Made = i == made && c.Results[i].Err == nil
	}
	if c.Dropped > 0 {
		l.storeCursor(b)
	}
	if b.cursor.last > last {
		l.arrived(b)
	}
}

// idWindow is how long the ids of entries are remembered, in ms.
const idWindow = 5 * 60 * 1000

func (l *Ledger) append(b *inbox, e *queues.Entry, limits *queues.InboxLimits, dropped *int) (res queues.AppendResult) {
	if e.Topic != "" {
		seq, member := b.topics[e.Topic]
		if !member {
			return queues.AppendResult{Skipped: true}
		}
		if seq >= e.TopicSeq {
			return queues.AppendResult{Duplicate: true}
		}
	}
	if e.ID != "" {
		if seq, ok := b.ids.find(e.ID); ok {
			return queues.AppendResult{Seq: seq, Duplicate: true}
		}
	}
	size := e.Payload.Size()
	if !l.makeRoomIn(b, size, limits, dropped) {
		return queues.AppendResult{Err: queues.ErrQueueFull}
	}
	if e.Topic != "" {
		b.topics[e.Topic] = e.TopicSeq
		l.kv.Set(kindKey(keyTopic, b.no, []byte(e.Topic)...), numbers(e.TopicSeq))
	}
	b.cursor.last++
	seq := b.cursor.last
	r := record.Record{
		Head:        record.Head{Stored: l.now, Size: size},
		ID:          e.ID,
		Topic:       e.Topic,
		Headers:     e.Headers,
		JSON:        e.Payload.JSON,
		Attachments: e.Payload.Attachments,
	}
	if ttl := or(e.TTL, limits.TTL); ttl > 0 {
		r.Expires = l.now + millis(ttl)
	}
	if len(b.entries) == 0 {
		b.base = seq
	}
	b.push(entry{int32(size), r.Expires})
	l.kv.Set(l.at(keyEntry, b.no, seq), record.Append(nil, &r))
	if e.ID != "" {
		b.ids.add(e.ID, seq)
		l.kv.Set(idKey(keyEntryID, b.no, b.ids.start, e.ID), numbers(seq))
	}
	return queues.AppendResult{Seq: seq}
}

// push appends an entry.
func (b *inbox) push(e entry) {
	b.entries = append(b.entries, e)
	b.n++
	b.bytes += int64(e.size)
	if e.expires > 0 && (b.soonest == 0 || e.expires < b.soonest) {
		b.soonest = e.expires
	}
}

// makeRoomIn reports whether an entry of size fits, after dropping the oldest if that is what happens.
func (l *Ledger) makeRoomIn(b *inbox, size int, limits *queues.InboxLimits, dropped *int) bool {
	fits := func() bool {
		return b.n < limits.MaxLen && b.bytes+int64(size) <= limits.MaxBytes && len(b.entries) < maxSpan
	}
	if fits() {
		return true
	}
	if limits.Overflow != queues.DropOldest || int64(size) > limits.MaxBytes || limits.MaxLen < 1 {
		return false
	}
	for !fits() {
		b.cursor.overflow = b.base
		b.stats.Dropped++
		*dropped++
		l.lose(b, 0)
		b.trim()
	}
	return true
}

// maxSpan bounds the entries of an inbox together with the holes that expired ones have left among them.
const maxSpan = 1 << 20

// lose deletes entry i.
func (l *Ledger) lose(b *inbox, i int) {
	e := &b.entries[i]
	if e.size < 0 {
		return
	}
	l.kv.Delete(l.at(keyEntry, b.no, b.base+uint64(i)))
	b.n--
	b.bytes -= int64(e.size)
	*e = entry{size: -1}
}

// trim cuts holes off the front.
func (b *inbox) trim() {
	i := 0
	for i < len(b.entries) && b.entries[i].size < 0 {
		i++
	}
	b.base += uint64(i)
	b.entries = b.entries[i:]
	if len(b.entries) == 0 {
		b.entries = nil
	}
}

// expireIn loses entries whose time is over.
func (l *Ledger) expireIn(b *inbox) {
	if b.soonest == 0 || b.soonest > l.now {
		return
	}
	b.soonest = 0
	any := false
	for i, e := range b.entries {
		switch {
		case e.size < 0 || e.expires == 0:
		case e.expires > l.now:
			if b.soonest == 0 || e.expires < b.soonest {
				b.soonest = e.expires
			}
		default:
			b.cursor.expired = max(b.cursor.expired, b.base+uint64(i))
			b.stats.Expired++
			l.lose(b, i)
			any = true
		}
	}
	b.trim()
	if any {
		l.storeCursor(b)
	}
}

// arrived tells the owners.
func (l *Ledger) arrived(b *inbox) {
	for i := range b.owners {
		if o := &b.owners[i]; !o.told {
			o.told = true
			l.events = append(l.events, Event{Node: o.Node, Inbox: b.name})
		}
	}
}

// Open does InboxStore.Open.
func (l *Ledger) Open(name string, o queues.Owner, since *queues.Position, mirror bool, limits queues.InboxLimits) (queues.Opened, error) {
	b, err := l.inboxOf(name, &limits)
	if err != nil {
		return queues.Opened{}, err
	}
	l.expireIn(b)
	if mirror && !slices.ContainsFunc(b.owners, func(o owner) bool { return !o.mirror }) {
		b.owners = slices.DeleteFunc(b.owners, func(old owner) bool { return old.Owner == o })
	} else {
		l.takeOver(b, o)
	}
	b.owners = append(b.owners, owner{Owner: o, mirror: mirror, told: true}) // it reads now

	known := since == nil || since.Epoch == b.epoch && since.Seq <= b.cursor.last
	if known && since != nil && since.Seq > b.cursor.acked {
		l.acknowledge(b, since.Seq)
	}
	c := b.cursor
	opened := queues.Opened{Epoch: b.epoch, Acked: c.acked, First: b.base, Last: c.last}
	if b.n == 0 {
		opened.First = c.last + 1
	}
	switch {
	case !known:
		opened.Reason = queues.LostEpoch
	case c.overflow > c.acked:
		opened.Reason = queues.LostOverflow
	case c.expired > c.acked:
		opened.Reason = queues.LostExpired
	default:
		opened.Recovered = true
	}
	return opened, nil
}

// takeOver ends the ownership of all but o.
func (l *Ledger) takeOver(b *inbox, o queues.Owner) {
	for _, old := range b.owners {
		if old.Owner != o {
			l.events = append(l.events, Event{Node: old.Node, Inbox: b.name, Owner: old.Owner})
		}
	}
	b.owners = nil
}

func (b *inbox) owner(o queues.Owner) *owner {
	for i := range b.owners {
		if b.owners[i].Owner == o {
			return &b.owners[i]
		}
	}
	return nil
}

// Read does a call of InboxStore.Read.
func (l *Ledger) Read(c *queues.ReadCall) {
	b := l.inboxes[c.Inbox]
	if b == nil || b.owner(c.Owner) == nil {
		c.Err = queues.ErrTakenOver
		return
	}
	b.used = l.now
	b.owner(c.Owner).told = false
	l.expireIn(b)
	c.Acked, c.Last, c.Through = b.cursor.acked, b.cursor.last, b.cursor.last
	after := max(c.After, c.Acked)
	bytes := 0
	for i := int(max(after+1, b.base) - b.base); i < len(b.entries); i++ {
		if len(c.Entries) >= c.Max || c.MaxBytes > 0 && bytes >= c.MaxBytes {
			c.Through = b.base + uint64(i) - 1
			break
		}
		if b.entries[i].size < 0 {
			continue
		}
		if m := l.inboxMessage(b, b.base+uint64(i)); m != nil {
			c.Entries = append(c.Entries, m)
			bytes += int(b.entries[i].size)
		}
	}
}

func (l *Ledger) inboxMessage(b *inbox, seq uint64) *queues.InboxMessage {
	r, err := record.Parse(l.kv.Get(l.at(keyEntry, b.no, seq)))
	if err != nil {
		return nil
	}
	return &queues.InboxMessage{
		Inbox:   b.name,
		Epoch:   b.epoch,
		Seq:     seq,
		ID:      r.ID,
		Topic:   r.Topic,
		Headers: r.Headers,
		Payload: queues.Payload{JSON: r.JSON, Attachments: r.Attachments},
		Stored:  fromMillis(r.Stored),
	}
}

// Acknowledge does a call of InboxStore.Acknowledge.
func (l *Ledger) Acknowledge(c *queues.AcknowledgeCall) {
	b := l.inboxes[c.Inbox]
	switch {
	case b == nil || b.owner(c.Owner) == nil:
		c.Err = queues.ErrTakenOver
		return
	case c.At.Epoch != b.epoch:
		c.Err = queues.Refuse(queues.CodeConflict, "the inbox has another epoch")
		return
	case c.At.Seq > b.cursor.last:
		c.Err = queues.Refuse(queues.CodeConflict, "the inbox has no such entry yet")
		return
	}
	b.used = l.now
	if c.At.Seq > b.cursor.acked {
		l.acknowledge(b, c.At.Seq)
	}
	c.Acked = b.cursor.acked
}

// many is from how many deletions on a range is better.
const many = 64

func (l *Ledger) acknowledge(b *inbox, seq uint64) {
	b.cursor.acked = seq
	end := 0
	if seq >= b.base {
		end = min(int(seq-b.base)+1, len(b.entries))
	}
	if end >= many {
		l.kv.DeleteRange(seqKey(keyEntry, b.no, b.base), seqKey(keyEntry, b.no, seq+1))
	}
	for i := range end {
		if e := &b.entries[i]; end >= many && e.size >= 0 {
			b.n--
			b.bytes -= int64(e.size)
			e.size = -1
		}
		l.lose(b, i)
	}
	b.trim()
	l.storeCursor(b)
}

// CloseInbox does InboxStore.CloseInbox.
func (l *Ledger) CloseInbox(name string, o queues.Owner) {
	if b := l.inboxes[name]; b != nil {
		b.used = l.now
		b.owners = slices.DeleteFunc(b.owners, func(old owner) bool { return old.Owner == o })
	}
}

// DeleteInbox does InboxStore.DeleteInbox.
func (l *Ledger) DeleteInbox(name string) {
	b := l.inboxes[name]
	if b == nil {
		return
	}
	l.takeOver(b, queues.Owner{})
	for topic := range b.topics {
		l.leaveTopic(b, topic)
	}
	delete(l.inboxes, name)
	if principal, ok := deviceOf(name); ok {
		if l.devices[principal]--; l.devices[principal] == 0 {
			delete(l.devices, principal)
		}
	}
	l.kv.Delete(nameKey(keyInbox, name))
	l.kv.Set([]byte{keyEpoch}, numbers(l.epoch)) // the clock may be behind it
	for _, kind := range []byte{keyCursor, keyEntry, keyTopic, keyEntryID} {
		l.kv.DeleteRange(all(kind, b.no))
	}
}

// SweepInboxes does InboxStore.SweepInboxes.
func (l *Ledger) SweepInboxes(after string, idle time.Duration) (next string) {
	if after == "" || l.names == nil {
		l.names = make([]string, 0, len(l.inboxes))
		for name := range l.inboxes {
			l.names = append(l.names, name)
		}
		slices.Sort(l.names)
	}
	i, found := slices.BinarySearch(l.names, after)
	if found {
		i++
	}
	end := min(i+affordable, len(l.names))
	for _, name := range l.names[i:end] {
		b := l.inboxes[name]
		if b == nil {
			continue
		}
		l.expireIn(b)
		l.turnIDs(&b.ids, keyEntryID, b.no, idWindow)
		if b.n == 0 && len(b.owners) == 0 && len(b.topics) == 0 && b.used+idle.Milliseconds() <= l.now {
			l.DeleteInbox(name)
		}
	}
	if end == len(l.names) {
		l.names = nil
		return ""
	}
	return l.names[end-1]
}

// InboxStats does InboxStore.InboxStats.
func (l *Ledger) InboxStats(name string) queues.InboxStats {
	b := l.inboxes[name]
	if b == nil {
		return queues.InboxStats{}
	}
	l.expireIn(b)
	s := b.stats
	s.Epoch, s.Len, s.Bytes = b.epoch, b.n, b.bytes
	s.Last, s.Acked = b.cursor.last, b.cursor.acked
	s.Owners, s.Topics = len(b.owners), len(b.topics)
	return s
}
