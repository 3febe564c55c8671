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
	last  time.Time // when one was heard last
	deaf  bool
}

// reset begins anew with a connection.
func (p *probe) reset() {
	p.heard, p.owed, p.deaf = p.seq, time.Time{}, false
}

func (p *probe) took(seq int64, now time.Time) {
	p.taken = max(p.taken, seq)
	if p.taken > p.heard && p.owed.IsZero() {
		p.owed = now
	}
}

func (p *probe) hear(seq int64, now time.Time) {
	p.heard, p.last = max(p.heard, seq), now
	p.owed = time.Time{}
	if p.taken > p.heard {
		p.owed = now
	}
}

// late reports whether a probe is overdue.
func (p *probe) late(now time.Time, limit time.Duration) bool {
	return !p.owed.IsZero() && now.Sub(p.owed) > limit
}

// beat sends a probe, and connects anew if the earlier ones didn't come back.
func (s *subscriber) beat(now time.Time) {
	limit := 2 * s.bus.cfg.Heartbeat
	s.mu.Lock()
	t := s.probe.topic
	var sub *subscription
	if t != nil {
		sub = s.channels[t.name]
	}
	deaf := s.conn != nil && (s.probe.late(now, limit) || sub != nil && sub.err == nil && !sub.isReady() && now.Sub(s.since) > 2*limit)
	if deaf {
		s.probe.deaf, s.probe.owed = true, time.Time{}
		s.lost = errDeaf
	}
	connected := s.conn != nil && sub != nil && sub.isReady()
	s.probe.seq++
	seq, payload := s.probe.seq, s.probe.payload
	s.mu.Unlock()
	if deaf {
		s.bus.stats.deaf.Add(1)
		s.bus.cfg.Logger.Error("redisadapter: Redis is there, but brings nothing: connecting anew", "subscriber", s.name)
		s.disconnect()
		return
	}
	if connected {
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
	case now.Sub(s.probe.last) > 4*s.bus.cfg.Heartbeat:
		return fmt.Errorf("redisadapter: this node doesn't hear itself through Redis (%s)", s.name)
	}
	return nil
}
