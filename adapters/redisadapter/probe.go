package redisadapter

import (
	"fmt"
	"strconv"
	"time"
)

// probe follows the messages that a subscriber's node sends to itself through
// Redis. Deaf is who doesn't hear what Redis has taken.
type probe struct {
	topic   *topic
	payload func(seq int64) []byte

	seq   int64     // the last one sent
	taken int64     // the last one that Redis has taken
	heard int64     // the last one heard
	owed  time.Time // when the first one was taken that is to be heard; zero: none
	due   int       // how many were taken since
	last  time.Time // when one was heard last
	beat  time.Time // when late was asked last
	deaf  bool
}

// reset begins anew with a connection.
func (p *probe) reset() {
	p.heard, p.owed, p.due, p.deaf = p.seq, time.Time{}, 0, false
}

func (p *probe) took(seq int64, now time.Time) {
	p.taken = max(p.taken, seq)
	if p.taken <= p.heard {
		return
	}
	if p.due++; p.owed.IsZero() {
		p.owed = now
	}
}

func (p *probe) hear(seq int64, now time.Time) {
	p.heard, p.last = max(p.heard, seq), now
	p.owed, p.due = time.Time{}, 0
	if p.taken > p.heard {
		p.owed, p.due = now, 1
	}
}

// minSilence is the least time without a sign that makes a node deaf, however short its
// heartbeats are: on a busy machine a goroutine may not run for hundreds of milliseconds.
const minSilence = time.Second

// late reports whether probes are overdue: three, and the reader has waited for anything
// at all for as long, or they are very late. A node that is slow to read is not deaf, nor
// is one that was slow to ask: to connect anew would lose what it has yet to read.
func (p *probe) late(now, waits time.Time, every time.Duration) bool {
	slow := now.Sub(p.beat) > 2*every
	p.beat = now
	if p.owed.IsZero() {
		return false
	}
	if slow {
		p.owed, p.due = now, 0
	}
	silence := max(missed*every, minSilence)
	silent, waited := now.Sub(p.owed), now.Sub(waits)
	return p.due >= missed && (silent > silence && waited > silence || silent > 10*silence)
}

// beat sends a probe, and connects anew if the earlier ones didn't come back.
func (s *subscriber) beat(now time.Time) {
	every := s.bus.cfg.Heartbeat
	waits := time.Unix(0, s.waits.Load())
	s.mu.Lock()
	t := s.probe.topic
	var sub *subscription
	if t != nil {
		sub = s.channels[t.name]
	}
	// Who may not listen to its probes won't hear them on another connection either.
	live := s.conn != nil && sub != nil && sub.err == nil
	deaf := live && s.probe.late(now, waits, every)
	if deaf {
		s.probe.deaf, s.probe.owed = true, time.Time{}
		s.lost = errDeaf
	}
	s.probe.seq++
	seq, payload := s.probe.seq, s.probe.payload
	s.mu.Unlock()
	if deaf {
		s.bus.stats.deaf.Add(1)
		s.bus.cfg.Logger.Error("redisadapter: Redis is there, but brings nothing: connecting anew", "subscriber", s.name)
		s.disconnect()
		return
	}
	if live {
		s.bus.publish(t.name, payload(seq), func(err error) {
			if err == nil {
				s.mu.Lock()
				s.probe.took(seq, time.Now())
				s.mu.Unlock()
			}
		})
	}
}

var errDeaf = fmt.Errorf("redisadapter: what this node publishes doesn't come back to it")

// hearProbe handles a message on a channel that is a probe's alone.
func (s *subscriber) hearProbe(_ string, payload []byte) flusher {
	if seq, err := strconv.ParseInt(string(payload), 10, 64); err == nil {
		s.heard(seq)
	}
	return nil
}

func (s *subscriber) heard(seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq <= s.probe.seq {
		s.probe.hear(seq, time.Now())
	}
}

func plainProbe(seq int64) []byte { return strconv.AppendInt(nil, seq, 10) }

// healthy returns what is wrong with the connection.
func (s *subscriber) healthy(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn == nil:
		return fmt.Errorf("redisadapter: not connected to Redis (%s): %w", s.name, s.lost)
	case s.probe.deaf:
		return errDeaf
	case s.probe.topic != nil && s.channels[s.probe.topic.name] != nil && s.channels[s.probe.topic.name].err != nil:
		return s.channels[s.probe.topic.name].err
	case now.Sub(s.probe.last) > 4*s.bus.cfg.Heartbeat:
		return fmt.Errorf("redisadapter: this node doesn't hear itself through Redis (%s)", s.name)
	}
	return nil
}
