package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// affordable is how many messages one call moves because their time has come.
const affordable = 256

// due moves messages whose time has come, and reports whether those are all.
func (l *Ledger) due(q *queue) (all bool) {
	retry := func(m *message) {
		if !l.late(q, m) {
			l.ready(q, m)
		}
	}
	var retries []*message
	left := affordable
	for ; left > 0; left-- {
		m := q.deadlines.top()
		if m == nil || m.times[byDeadline] > l.now {
			break
		}
		switch {
		case m.state == scheduled && m.attempt > 0:
			q.take(m)
			if m.key != nil {
				retry(m) // at once: a message of its key may be the next in this loop
				break
			}
			retries = append(retries, m)
		case m.state == scheduled:
			q.take(m)
			q.ready[m.priority].pushBack(m)
		case m.parked:
			q.stats.Released++
			l.release(q, m)
		default:
			q.stats.Lapsed++
			l.fail(q, m, 0, "")
		}
	}
	for _, m := range slices.Backward(retries) { // each to the head: the first that was due is first
		retry(m)
	}
	for ; left > 0; left-- {
		m := q.expiries.top()
		if m == nil || m.times[byExpiry] > l.now {
			break
		}
		if m.state == leased {
			q.expiries.remove(m) // looked at again when the lease ends
			continue
		}
		l.expire(q, m)
	}
	for ; left > 0; left-- {
		m := q.dead.front()
		if m == nil || m.letter.died+q.cfg.DeadTTL.Milliseconds() > l.now {
			break
		}
		l.bin(q, m)
	}
	return left > 0
}

// Sweep does WorkStore.Sweep.
func (l *Ledger) Sweep(queue string) (time.Duration, error) {
	q, err := l.queue(queue)
	if err != nil {
		return 0, err
	}
	all := l.due(q)
	l.turnIDs(&q.ids, keyID, q.no, q.cfg.Dedupe.Milliseconds())
	l.wake(q)
	if !all {
		return 0, nil
	}
	next := int64(-1)
	sooner := func(at int64) {
		if wait := max(at-l.now, 0); next < 0 || wait < next {
			next = wait
		}
	}
	if m := q.deadlines.top(); m != nil {
		sooner(m.times[byDeadline])
	}
	if m := q.expiries.top(); m != nil {
		sooner(m.times[byExpiry])
	}
	if m := q.dead.front(); m != nil {
		sooner(m.letter.died + q.cfg.DeadTTL.Milliseconds())
	}
	return time.Duration(next) * time.Millisecond, nil
}

// held returns the leased messages whose holder f wants, in the order of their numbers.
func (q *queue) held(f func(*holder) bool) []*message {
	var ms []*message
	for _, m := range q.deadlines.ms {
		if m.state == leased && f(m.holder) {
			ms = append(ms, m)
		}
	}
	slices.SortFunc(ms, func(a, b *message) int { return cmp.Compare(a.seq, b.seq) })
	return ms
}

// bury makes m dead.
func (l *Ledger) bury(q *queue, m *message, reason, text string) {
	q.stats.DeadLettered++
	if text == "" {
		text = l.lastError(q, m)
	}
	r, ok := l.record(q, m.seq)
	l.forgetTries(q, m)
	q.remove(m)
	if !ok {
		return
	}
	d := *m // what is left in a line is not this one any more
	d.fence, d.key = 0, nil
	d.letter = &letter{id: idOr(r.ID, m.seq), reason: reason, died: l.now}
	q.dead.pushBack(&d)
	l.storeLetter(q, &d, text)
	for q.dead.n > q.cfg.DeadMax {
		l.bin(q, q.dead.front())
	}
}

// bin deletes a dead message.
func (l *Ledger) bin(q *queue, m *message) {
	m.line.leave(m)
	l.kv.Delete(l.at(keyDead, q.no, m.seq))
	l.kv.Delete(l.at(keyMessage, q.no, m.seq))
}

func (l *Ledger) storeLetter(q *queue, m *message, text string) {
	b := numbers(uint64(m.letter.died), uint64(m.attempt), uint64(m.failures), uint64(len(m.letter.reason)))
	b = append(b, m.letter.reason...)
	l.kv.Set(l.at(keyDead, q.no, m.seq), append(b, cut(text)...))
}

// lastError returns what was said when m failed last.
func (l *Ledger) lastError(q *queue, m *message) string {
	if !m.tries {
		return ""
	}
	_, text, ok := parse(l.kv.Get(l.at(keyTries, q.no, m.seq)), 3)
	if !ok {
		return ""
	}
	return string(text)
}

func parseLetter(b []byte) (vs []uint64, reason, text string, ok bool) {
	vs, rest, ok := parse(b, 4)
	if !ok || vs[3] > uint64(len(rest)) {
		return nil, "", "", false
	}
	return vs, string(rest[:vs[3]]), string(rest[vs[3]:]), true
}

// info returns m as Peek shows it.
func (l *Ledger) info(q *queue, m *message) *queues.Info {
	msg := l.message(q, m)
	if msg == nil {
		return nil
	}
	in := &queues.Info{Message: *msg}
	switch m.state {
	case ready:
		in.State = queues.Ready
	case scheduled, leased:
		in.State, in.Until = queues.Scheduled, fromMillis(m.times[byDeadline])
		if m.state == leased {
			in.State, in.Node, in.Session = queues.Leased, m.holder.node, m.holder.session
		}
	case blocked:
		in.State = queues.Blocked
	case dead:
		in.State, in.Reason = queues.Dead, m.letter.reason
		in.Until = fromMillis(m.letter.died + q.cfg.DeadTTL.Milliseconds())
		_, _, in.Error, _ = parseLetter(l.kv.Get(l.at(keyDead, q.no, m.seq)))
		return in
	}
	in.Error = l.lastError(q, m)
	return in
}
