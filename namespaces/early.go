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

// releaseEarly returns what was held, to be queued now. s.mu is held.
func (s *Socket) releaseEarly() []*engine.Batch {
	if s.early == nil {
		return nil
	}
	held := s.early.batches
	s.early = nil
	return held
}
