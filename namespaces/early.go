package namespaces

import "github.com/roomcast/roomcast/engine"

// early holds what is sent to a socket before it has joined, see Config.HoldEarly.
type early struct {
	batches []*engine.Batch
	full    bool
}

// expectEarly makes a socket that is connecting one that broadcasts find.
func (s *Socket) expectEarly() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() != connecting {
		return
	}
	s.early = &early{}
	s.ns.index.Add(s)
}

// hold keeps b until the socket has joined. It reports false if the socket
// isn't connecting: then b may be sent.
func (s *Socket) hold(b *engine.Batch) bool {
	if !s.ns.reg.cfg.HoldEarly || s.state.Load() != connecting {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.early == nil || s.state.Load() != connecting {
		return false
	}
	if e := s.early; len(e.batches) < s.ns.reg.cfg.Limits.WaitingEvents {
		e.batches = append(e.batches, b)
	} else if !e.full {
		// As a queue that overflows: nobody goes on with a gap. Our caller may hold locks.
		e.full = true
		s.mail().put(func() {
			s.ns.reg.stats.rejected("events")
			s.client.sess.Close()
		})
	}
	return true
}

// releaseEarly queues what was held. s.mu is held.
func (s *Socket) releaseEarly() (flush bool) {
	if s.early == nil {
		return false
	}
	for _, b := range s.early.batches {
		flush = s.client.sess.Append(b) || flush
	}
	s.early = nil
	return flush
}
