package ledger

import (
	"strconv"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/internal/record"
)

// Publish does a call of WorkStore.Publish, and the claim in it.
func (l *Ledger) Publish(c *queues.PublishCall) {
	q, err := l.queue(c.Queue)
	if err != nil {
		c.Err = err
		return
	}
	l.due(q)
	if q.publishPaused {
		c.Err = queues.ErrPaused
		return
	}
	window := q.cfg.Dedupe.Milliseconds()
	l.turnIDs(&q.ids, keyID, q.no, window)
	c.Results = make([]queues.PublishResult, len(c.Drafts))
	for i, d := range c.Drafts {
		c.Results[i] = l.publish(q, d, window > 0, &c.Dropped)
	}
	l.mark(q, 0)
	if c.Claim != nil {
		l.claim(q, c.Claim)
	}
	l.wake(q)
}

func (l *Ledger) publish(q *queue, d *queues.Draft, dedupe bool, dropped *int) queues.PublishResult {
	dedupe = dedupe && d.ID != ""
	if dedupe {
		if seq, ok := q.ids.find(d.ID); ok {
			q.stats.Duplicates++
			return queues.PublishResult{ID: d.ID, Seq: seq, Duplicate: true}
		}
		if q.ids.bytes+idCost+int64(len(d.ID)) > q.cfg.DedupeBytes {
			q.stats.Refused++
			return queues.PublishResult{ID: d.ID, Err: &queues.Error{
				Code: queues.CodeQueueFull, Message: "too many ids to remember",
				RetryAfter: min(q.cfg.Dedupe, time.Minute),
			}}
		}
	}
	size := d.Payload.Size()
	if !l.makeRoom(q, size, dropped) {
		q.stats.Refused++
		return queues.PublishResult{ID: d.ID, Err: queues.ErrQueueFull}
	}
	q.seq++
	r := record.Record{
		Head:        record.Head{Priority: d.Priority, Stored: l.now, Key: d.Key, Size: size},
		ID:          d.ID,
		Headers:     d.Headers,
		JSON:        d.Payload.JSON,
		Attachments: d.Payload.Attachments,
	}
	if d.Delay > 0 {
		r.Due = l.now + millis(d.Delay)
	} else if at := d.At.UnixMilli(); !d.At.IsZero() && at > l.now {
		r.Due = at
	}
	if ttl := or(d.TTL, q.cfg.TTL); ttl > 0 {
		r.Expires = max(l.now, r.Due) + millis(ttl)
	}
	m := &message{seq: q.seq, stored: l.now, size: int32(size), priority: uint8(d.Priority)}
	m.times[byExpiry] = r.Expires
	l.storeRecord(q, m.seq, &r)
	if dedupe {
		q.ids.add(d.ID, m.seq)
		l.kv.Set(idKey(keyID, q.no, q.ids.start, d.ID), numbers(m.seq))
	}
	q.insert(m, r.Due, d.Key)
	q.stats.Published++
	return queues.PublishResult{ID: idOr(d.ID, m.seq), Seq: m.seq}
}

// makeRoom reports whether a message of size fits, after dropping others if the queue drops.
func (l *Ledger) makeRoom(q *queue, size int, dropped *int) bool {
	fits := func() bool { return q.len() < q.cfg.MaxLen && q.bytes+int64(size) <= q.cfg.MaxBytes }
	if fits() {
		return true
	}
	if q.cfg.Overflow != queues.DropOldest || int64(size) > q.cfg.MaxBytes {
		return false
	}
	for !fits() {
		m := q.oldest()
		if m == nil {
			return false
		}
		l.erase(q, m)
		q.stats.Dropped++
		*dropped++
	}
	return true
}

// oldest returns the ready message that is dropped first.
func (q *queue) oldest() *message {
	for i := range q.ready {
		if m := q.ready[i].front(); m != nil {
			return m
		}
	}
	return nil
}

// idOr returns the id of a message: what its publisher said, or one made of its number.
func idOr(id string, seq uint64) string {
	if id == "" {
		return "~" + strconv.FormatUint(seq, 36)
	}
	return id
}

func or(a, b time.Duration) time.Duration {
	if a > 0 {
		return a
	}
	return b
}

// millis rounds up, so that what is not nothing stays something.
func millis(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
