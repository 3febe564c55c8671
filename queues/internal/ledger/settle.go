package ledger

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/roomcast/roomcast/queues"
)

// Settle does a call of WorkStore.Settle.
func (l *Ledger) Settle(c *queues.SettleCall) {
	q, err := l.queue(c.Queue)
	if err != nil {
		c.Err = err
		return
	}
	l.due(q)
	before := q.stats.DeadLettered
	c.Results = make([]error, len(c.Items))
	for i := range c.Items {
		c.Results[i] = l.settle(q, &c.Items[i])
	}
	c.Dead = int(q.stats.DeadLettered - before)
	if c.Claim != nil {
		l.claim(q, c.Claim)
	}
	l.wake(q)
}

func (l *Ledger) settle(q *queue, s *queues.Settlement) error {
	m, err := l.find(q, s.Ref, s.Node)
	if err != nil {
		return err
	}
	switch s.Outcome {
	case queues.Ack:
		l.erase(q, m)
		q.stats.Acked++
		return nil
	case queues.Reject:
		l.bury(q, m, queues.DeadRejected, s.Error)
		return nil
	}
	if m.state != leased {
		return nil // it was given back before
	}
	switch s.Outcome {
	case queues.Nack:
		q.stats.Nacked++
		l.fail(q, m, s.Delay, s.Error)
	case queues.Release:
		q.stats.Released++
		l.release(q, m)
	case queues.Park:
		if s.Grace <= 0 || m.holder.session == "" {
			q.stats.Released++
			l.release(q, m)
			break
		}
		l.park(q, m, s.Grace.Milliseconds())
	default:
		return queues.ErrBadRequest
	}
	return nil
}

// find returns the message of a hand-out. If node isn't empty it must hold the lease.
func (l *Ledger) find(q *queue, ref queues.Ref, node string) (*message, error) {
	m := q.touched[ref.Seq]
	switch {
	case m == nil && ref.Fence <= q.loaded && l.waits(q, ref.Seq):
		return nil, queues.ErrSuperseded // it was handed out before the store was opened, and will be again
	case m == nil:
		return nil, queues.ErrGone
	case m.fence != ref.Fence, node != "" && (m.holder == nil || m.holder.node != node):
		return nil, queues.ErrSuperseded
	}
	return m, nil
}

// waits reports whether a message is stored, and not dead.
func (l *Ledger) waits(q *queue, seq uint64) bool {
	return l.kv.Get(l.at(keyMessage, q.no, seq)) != nil && l.kv.Get(l.at(keyDead, q.no, seq)) == nil
}

// fail counts a failure of m, which is leased, and lets it wait for its next attempt.
func (l *Ledger) fail(q *queue, m *message, delay time.Duration, text string) {
	m.failures++
	if l.worn(q, m, text) {
		return
	}
	if delay == 0 {
		delay = q.cfg.Backoff(int(m.failures), l.random())
	}
	q.take(m)
	if l.late(q, m) {
		return
	}
	due := int64(0)
	if delay > 0 {
		due = l.now + millis(delay)
	}
	l.storeTries(q, m, due, cut(text))
	if due == 0 {
		l.ready(q, m)
		return
	}
	if q.cfg.OnFail == queues.Skip {
		q.free(m)
	}
	q.schedule(m, due)
}

// ready puts m, which was handed out before and is nowhere now, at the head of the queue or of its key.
func (l *Ledger) ready(q *queue, m *message) {
	if k := m.key; k != nil && k.active != m {
		if now := q.keys[k.name]; now != nil {
			m.key = now
			now.waiting.pushFront(m)
			q.nBlocked++
			return
		}
		k.active = m // nobody has the key any more
		q.keys[k.name] = k
	}
	q.ready[m.priority].pushFront(m)
}

// release gives m, which is leased, back.
func (l *Ledger) release(q *queue, m *message) {
	if l.worn(q, m, "") {
		return
	}
	q.take(m)
	if l.late(q, m) {
		return
	}
	l.storeTries(q, m, 0, l.lastError(q, m))
	l.ready(q, m)
}

// park keeps m, which is leased, for its session.
func (l *Ledger) park(q *queue, m *message, grace int64) {
	m.parked = true
	q.deadlines.set(m, l.now+grace)
}

// worn makes m dead if it was tried often enough.
func (l *Ledger) worn(q *queue, m *message, text string) bool {
	switch {
	case int(m.failures) >= q.cfg.MaxFailures:
		l.bury(q, m, queues.DeadFailures, text)
	case int(m.attempt) >= q.cfg.MaxAttempts:
		l.bury(q, m, queues.DeadAttempts, text)
	default:
		return false
	}
	return true
}

// late expires m, which was leased, if its TTL is over.
func (l *Ledger) late(q *queue, m *message) bool {
	at := m.times[byExpiry]
	if at == 0 || at > l.now {
		return false
	}
	l.expire(q, m)
	return true
}

// expire drops m, or makes it dead.
func (l *Ledger) expire(q *queue, m *message) {
	q.stats.Expired++
	if q.cfg.DeadLetterExpired {
		l.bury(q, m, queues.DeadExpired, "")
		return
	}
	l.erase(q, m)
}

// Extend does a call of WorkStore.Extend.
func (l *Ledger) Extend(c *queues.ExtendCall) {
	q, err := l.queue(c.Queue)
	if err != nil {
		c.Err = err
		return
	}
	l.due(q)
	c.Lease = or(c.For, q.cfg.Lease)
	c.Results = make([]error, len(c.Items))
	for i, ref := range c.Items {
		m, err := l.find(q, ref, c.Node)
		if err == nil && m.state != leased {
			err = queues.ErrSuperseded
		}
		if err == nil && !m.parked {
			q.deadlines.set(m, l.now+millis(c.Lease))
		}
		c.Results[i] = err
	}
	l.wake(q)
}

// Release does WorkStore.Release.
func (l *Ledger) Release(queue, node string, except []queues.Ref) (int, error) {
	q, err := l.queue(queue)
	if err != nil {
		return 0, err
	}
	l.due(q)
	keep := make(map[queues.Ref]bool, len(except))
	for _, ref := range except {
		keep[ref] = true
	}
	n := 0
	held := q.held(func(h *holder) bool { return h.node == node })
	for _, m := range slices.Backward(held) { // each to the head: the first one is first
		if m.parked || keep[queues.Ref{Seq: m.seq, Fence: m.fence}] {
			continue
		}
		n++
		if m.holder.session != "" && m.holder.grace > 0 {
			l.park(q, m, m.holder.grace)
			continue
		}
		q.stats.Released++
		l.release(q, m)
	}
	delete(q.waiters, node)
	l.wake(q)
	return n, nil
}

// Rebind does WorkStore.Rebind.
func (l *Ledger) Rebind(queue, session, node string) ([]*queues.Message, error) {
	q, err := l.queue(queue)
	if err != nil {
		return nil, err
	}
	l.due(q)
	if session == "" || q.sessions[session] == 0 {
		return nil, nil
	}
	var got []*queues.Message
	var h *holder
	for _, m := range q.held(func(h *holder) bool { return h.session == session }) {
		if h == nil {
			h = &holder{node: node, session: session, grace: m.holder.grace}
		}
		m.holder, m.parked = h, false
		q.deadlines.set(m, l.now+q.cfg.Lease.Milliseconds())
		if msg := l.message(q, m); msg != nil {
			msg.Lease = q.cfg.Lease
			got = append(got, msg)
		}
	}
	l.wake(q)
	return got, nil
}

// cut returns the first KB of s.
func cut(s string) string {
	const most = 1024
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) {
		s = s[:len(s)-1]
	}
	return s
}
