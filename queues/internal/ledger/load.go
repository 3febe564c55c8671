package ledger

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/roomcast/roomcast/queues/internal/record"
)

// format is the version of what is stored.
const format = "1"

// ErrFormat says that what is stored is of another version of the program, or of something else.
var ErrFormat = errors.New("queues: the stored data has another format")

// corrupt is what is wrong with a key that can't be.
func corrupt(key []byte) error { return fmt.Errorf("%w: key %q", record.ErrCorrupt, key) }

// Load makes a ledger of what is stored in kv, which may be nothing. now is the time in Unix ms.
func Load(kv KV, now int64) (*Ledger, error) {
	l := newLedger(kv)
	l.now = now
	if err := l.loadFormat(); err != nil {
		return nil, err
	}
	byNo, err := l.loadQueues()
	if err != nil {
		return nil, err
	}
	if err := l.loadMessages(byNo); err != nil {
		return nil, err
	}
	inboxes, err := l.loadInboxes()
	if err != nil {
		return nil, err
	}
	return l, l.loadEntries(inboxes)
}

func (l *Ledger) loadFormat() error {
	switch v := l.kv.Get([]byte{keyFormat}); {
	case v == nil:
		l.kv.Set([]byte{keyFormat}, []byte(format))
	case string(v) != format:
		return fmt.Errorf("%w: %q, not %q", ErrFormat, v, format)
	}
	l.secret = l.kv.Get([]byte{keySecret})
	if l.secret == nil {
		l.secret = make([]byte, 32)
		rand.Read(l.secret)
		l.kv.Set([]byte{keySecret}, l.secret)
	}
	return nil
}

// scan calls f with the parts of all keys of a kind that begin with a number.
func (l *Ledger) scan(kind byte, f func(no uint32, rest, value []byte) error) error {
	from, to := kindRange(kind)
	return l.kv.Scan(from, to, func(key, value []byte) error {
		if len(key) < 5 {
			return corrupt(key)
		}
		return f(binary.BigEndian.Uint32(key[1:]), key[5:], value)
	})
}

// scanSeq is scan for keys that end with the number of a message or entry.
func (l *Ledger) scanSeq(kind byte, f func(no uint32, seq uint64, value []byte) error) error {
	return l.scan(kind, func(no uint32, rest, value []byte) error {
		if len(rest) != 8 {
			return corrupt(rest)
		}
		return f(no, binary.BigEndian.Uint64(rest), value)
	})
}

// scanIDs is scan for keys that end with a generation and an id.
func (l *Ledger) scanIDs(kind byte, f func(no uint32, start int64, id string, seq uint64) error) error {
	return l.scan(kind, func(no uint32, rest, value []byte) error {
		vs, _, ok := parse(value, 1)
		if len(rest) < 8 || !ok {
			return corrupt(rest)
		}
		return f(no, int64(binary.BigEndian.Uint64(rest)), string(rest[8:]), vs[0])
	})
}

func (l *Ledger) loadQueues() (map[uint32]*queue, error) {
	byNo := map[uint32]*queue{}
	from, to := kindRange(keyQueue)
	err := l.kv.Scan(from, to, func(key, value []byte) error {
		var s stored
		if err := json.Unmarshal(value, &s); err != nil {
			return corrupt(key)
		}
		q := newQueue(string(key[1:]), s.No, s.Config.WithDefaults())
		q.publishPaused, q.consumePaused = s.PublishPaused, s.ConsumePaused
		l.queues[q.name], byNo[q.no] = q, q
		l.nextNo = max(l.nextNo, q.no)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return byNo, l.scan(keyMarks, func(no uint32, rest, value []byte) error {
		vs, _, ok := parse(value, 3)
		if q := byNo[no]; q == nil || !ok {
			return corrupt(value)
		} else {
			q.marks = marks{vs[0], vs[1], vs[2]}
			q.seq, q.fence, q.loaded = vs[0], vs[1], vs[1]
		}
		return nil
	})
}

// place is where something stored belongs.
type place struct {
	no  uint32
	seq uint64
}

func (l *Ledger) loadMessages(byNo map[uint32]*queue) error {
	tries := map[place][]uint64{}
	err := l.scanSeq(keyTries, func(no uint32, seq uint64, value []byte) error {
		vs, _, ok := parse(value, 3)
		if !ok {
			return corrupt(value)
		}
		tries[place{no, seq}] = vs
		return nil
	})
	if err != nil {
		return err
	}
	letters := map[place]*letter{}
	counts := map[place][]uint64{}
	err = l.scanSeq(keyDead, func(no uint32, seq uint64, value []byte) error {
		vs, reason, _, ok := parseLetter(value)
		if !ok {
			return corrupt(value)
		}
		letters[place{no, seq}] = &letter{reason: reason, died: int64(vs[0])}
		counts[place{no, seq}] = vs
		return nil
	})
	if err != nil {
		return err
	}
	var slab []message // messages are allocated many at a time: there may be a million
	err = l.scanSeq(keyMessage, func(no uint32, seq uint64, value []byte) error {
		q := byNo[no]
		h, err := record.ParseHead(value)
		if q == nil || err != nil {
			return corrupt(value[:min(len(value), 64)])
		}
		if len(slab) == 0 {
			slab = make([]message, 256)
		}
		m := &slab[0]
		slab = slab[1:]
		*m = message{seq: seq, stored: h.Stored, size: int32(h.Size), priority: uint8(h.Priority)}
		m.times[byExpiry] = h.Expires
		q.seq = max(q.seq, seq)
		at := place{no, seq}
		if letter := letters[at]; letter != nil {
			r, err := record.Parse(value)
			if err != nil {
				return err
			}
			m.letter = letter
			m.letter.id = idOr(r.ID, seq)
			m.attempt, m.failures = int32(counts[at][1]), int32(counts[at][2])
			q.dead.pushBack(m)
			return nil
		}
		due := h.Due
		if t := tries[at]; t != nil {
			m.tries = true
			m.attempt, m.failures, due = int32(t[0]), int32(t[1]), int64(t[2])
		} else if seq <= q.marks.claimed && due <= l.now {
			m.attempt = 1 // perhaps
		}
		if due <= l.now {
			due = 0 // it had its place among the ready ones
		}
		q.insert(m, due, h.Key)
		return nil
	})
	if err != nil {
		return err
	}
	for _, q := range byNo {
		q.dead.sort(func(m *message) int64 { return m.letter.died })
	}
	return l.scanIDs(keyID, func(no uint32, start int64, id string, seq uint64) error {
		if q := byNo[no]; q != nil {
			q.ids.load(start, id, seq)
		}
		return nil
	})
}

func (l *Ledger) loadInboxes() (map[uint32]*inbox, error) {
	byNo := map[uint32]*inbox{}
	if v := l.kv.Get([]byte{keyEpoch}); v != nil {
		vs, _, ok := parse(v, 1)
		if !ok {
			return nil, corrupt([]byte{keyEpoch})
		}
		l.epoch = vs[0]
	}
	from, to := kindRange(keyInbox)
	err := l.kv.Scan(from, to, func(key, value []byte) error {
		vs, _, ok := parse(value, 2)
		if !ok {
			return corrupt(key)
		}
		b := &inbox{name: string(key[1:]), no: uint32(vs[0]), epoch: vs[1], base: 1, used: l.now}
		l.enter(b)
		byNo[b.no] = b
		l.nextNo = max(l.nextNo, b.no)
		l.epoch = max(l.epoch, b.epoch)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = l.scan(keyCursor, func(no uint32, rest, value []byte) error {
		vs, _, ok := parse(value, 4)
		b := byNo[no]
		if b == nil || !ok {
			return corrupt(value)
		}
		b.cursor = cursor{vs[0], vs[1], vs[2], vs[3]}
		return nil
	})
	return byNo, err
}

func (l *Ledger) loadEntries(byNo map[uint32]*inbox) error {
	err := l.scanSeq(keyEntry, func(no uint32, seq uint64, value []byte) error {
		b := byNo[no]
		h, err := record.ParseHead(value)
		if b == nil || err != nil {
			return corrupt(value[:min(len(value), 64)])
		}
		if len(b.entries) == 0 {
			b.base = seq
		}
		if !b.padTo(seq) {
			return corrupt(value[:min(len(value), 64)])
		}
		b.push(entry{int32(h.Size), h.Expires})
		b.cursor.last = max(b.cursor.last, seq)
		return nil
	})
	if err != nil {
		return err
	}
	for _, b := range byNo { // what was lost behind the last entry
		if len(b.entries) > 0 && !b.padTo(b.cursor.last+1) {
			return corrupt(nameKey(keyInbox, b.name))
		}
	}
	err = l.scan(keyTopic, func(no uint32, rest, value []byte) error {
		vs, _, ok := parse(value, 1)
		b := byNo[no]
		if b == nil || !ok {
			return corrupt(value)
		}
		l.joinTopic(b, string(rest), vs[0])
		return nil
	})
	if err != nil {
		return err
	}
	return l.scanIDs(keyEntryID, func(no uint32, start int64, id string, seq uint64) error {
		if b := byNo[no]; b != nil {
			b.ids.load(start, id, seq)
		}
		return nil
	})
}

// padTo appends holes up to where seq comes next, and reports whether it can't be wrong that there are so many.
func (b *inbox) padTo(seq uint64) bool {
	if seq-b.base > 2*maxSpan {
		return false
	}
	for b.base+uint64(len(b.entries)) < seq {
		b.entries = append(b.entries, entry{size: -1})
	}
	return true
}

// Close stores what is only known by this process, so that the next one knows it exactly.
func (l *Ledger) Close() {
	for _, q := range l.queues {
		q.each(func(m *message) {
			switch {
			case m.state == leased: // not stored since it was handed out
				l.storeTries(q, m, 0, l.lastError(q, m))
			case m.attempt > 0 && !m.tries: // perhaps: marks.claimed says so
				l.storeTries(q, m, 0, "")
			}
		})
		l.kv.Set(kindKey(keyMarks, q.no), numbers(q.seq, q.fence, 0))
	}
}

// each calls f for all messages that aren't dead.
func (q *queue) each(f func(*message)) {
	lines := []*line{&q.ready[0], &q.ready[1], &q.ready[2], &q.ready[3]}
	for _, k := range q.keys {
		lines = append(lines, &k.waiting)
	}
	for _, l := range lines {
		for i := range l.deque.n {
			if m := l.at(i); l.in(m) {
				f(m)
			}
		}
	}
	for _, m := range q.deadlines.ms {
		f(m)
	}
}
