package ledger

import (
	"math"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// Claim does a call of WorkStore.Claim.
func (l *Ledger) Claim(c *queues.ClaimCall) {
	q, err := l.queue(c.Queue)
	if err != nil {
		c.Err = err
		return
	}
	l.due(q)
	l.claim(q, c)
	l.wake(q)
}

func (l *Ledger) claim(q *queue, c *queues.ClaimCall) {
	c.Lease, c.Next = q.cfg.Lease, -1
	allowed := q.allowance(l.now)
	short, total := 0, 0
	full := func() bool { return c.MaxBytes > 0 && total >= c.MaxBytes }
	for i := range c.Wants {
		w := &c.Wants[i]
		h := &holder{node: c.Node, session: w.Session, grace: w.Grace.Milliseconds()}
		bytes := 0
		for len(w.Got) < w.Messages && (w.Bytes == 0 || bytes < w.Bytes) && !full() && allowed > 0 && !q.consumePaused {
			m := l.next(q)
			if m == nil {
				break
			}
			msg := l.handOut(q, m, h, w.AtMostOnce)
			if msg == nil {
				continue // its record is missing: nobody can have it
			}
			allowed--
			bytes += int(m.size)
			total += int(m.size)
			w.Got = append(w.Got, msg)
		}
		if (w.Bytes == 0 || bytes < w.Bytes) && !full() {
			short += w.Messages - len(w.Got)
		}
	}
	if short == 0 {
		delete(q.waiters, c.Node)
		return
	}
	c.Next = q.next(l.now, allowed)
	if c.Wait {
		q.waiters[c.Node] = short
	} else {
		delete(q.waiters, c.Node)
	}
}

// next takes the message that is to be handed out next off its line.
func (l *Ledger) next(q *queue) *message {
	for i := len(q.ready) - 1; i >= 0; i-- {
		for {
			m := q.ready[i].front()
			if m == nil {
				break
			}
			if at := m.times[byExpiry]; at > 0 && at <= l.now {
				l.expire(q, m)
				continue
			}
			return q.ready[i].pop()
		}
	}
	return nil
}

// handOut leases m, which next has returned, to h.
func (l *Ledger) handOut(q *queue, m *message, h *holder, settle bool) *queues.Message {
	q.fence++
	m.fence = q.fence
	m.attempt++
	msg := l.message(q, m)
	if msg == nil || settle {
		if msg == nil {
			q.stats.Dropped++
		} else {
			q.stats.Acked++
			q.delivered(m)
		}
		l.forgetTries(q, m)
		q.remove(m)
		l.kv.Delete(l.at(keyMessage, q.no, m.seq))
		l.mark(q, 0)
		return msg
	}
	q.delivered(m)
	l.lease(q, m, h, l.now+q.cfg.Lease.Milliseconds())
	q.touched[m.seq] = m
	l.mark(q, m.seq)
	msg.Lease = q.cfg.Lease
	return msg
}

func (q *queue) delivered(m *message) {
	if q.cfg.Rate > 0 {
		q.allowed += 1000 / q.cfg.Rate
	}
	q.stats.Delivered++
	if m.attempt > 1 {
		q.stats.Redelivered++
	}
}

func (l *Ledger) lease(q *queue, m *message, h *holder, until int64) {
	m.state, m.holder, m.parked = leased, h, false
	q.nLeased++
	if h.session != "" {
		q.sessions[h.session]++
	}
	q.deadlines.set(m, until)
}

// allowance is how many messages the consume rate allows now (GCRA: q.allowed moves on by
// one interval with each message, and may be ahead of the clock by a burst).
func (q *queue) allowance(now int64) int {
	if q.cfg.Rate <= 0 {
		return math.MaxInt
	}
	interval := 1000 / q.cfg.Rate
	q.allowed = max(q.allowed, float64(now))
	return int((float64(now)+float64(q.cfg.Burst)*interval-q.allowed)/interval + 1e-6)
}

// next is how long until a claim may get more; negative: not before the queue changes.
func (q *queue) next(now int64, allowed int) time.Duration {
	switch {
	case q.consumePaused:
		return -1
	case allowed <= 0 && q.nReady() > 0:
		interval := 1000 / q.cfg.Rate
		at := q.allowed - float64(q.cfg.Burst-1)*interval
		return time.Duration(math.Ceil(max(at-float64(now), 1))) * time.Millisecond
	case q.deadlines.top() == nil:
		return -1
	}
	return time.Duration(max(q.deadlines.top().times[byDeadline]-now, 0)) * time.Millisecond
}

// wake tells as many waiting nodes as there are messages for.
func (l *Ledger) wake(q *queue) {
	if len(q.waiters) == 0 || q.consumePaused {
		return
	}
	n := min(q.nReady(), q.allowance(l.now))
	for node, wanted := range q.waiters {
		if n <= 0 {
			return
		}
		n -= wanted
		delete(q.waiters, node)
		l.events = append(l.events, Event{Node: node, Queue: q.name})
	}
}
