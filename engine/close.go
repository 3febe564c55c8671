package engine

import "time"

// Close ends the session after what is queued has been written, like the
// official socket.close(): reason ForcedClose. CloseNow does not wait.
// Both report whether the Receiver was told before the call returned. While
// the Receiver itself is being called it is told afterwards.
func (s *Session) Close() (ended bool) {
	s.mu.Lock()
	if s.state.Load() != stateOpen {
		defer s.mu.Unlock()
		return s.told
	}
	s.state.Store(stateClosing)
	flush := s.release()
	now := !flush && !s.flushing && s.queue.empty() && (s.conn != nil || s.poll.held)
	if !now && s.poll != nil {
		p := s.poll
		p.timer = time.AfterFunc(closingTimeout, func() { s.finish(ForcedClose, nil) })
	}
	s.mu.Unlock()
	switch {
	case now:
		return s.finish(ForcedClose, nil)
	case flush:
		s.Flush()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

// CloseNow ends the session at once; what is queued is lost. See Close.
func (s *Session) CloseNow() (ended bool) { return s.finish(ForcedClose, nil) }

// finish ends the session, once. A GET that is held is answered with a close
// packet.
func (s *Session) finish(reason Reason, cause error) (ended bool) {
	return s.finishWith(reason, cause, closeBatch)
}

// finishWith is finish with another answer for a held GET.
func (s *Session) finishWith(reason Reason, cause error, answer *Batch) (ended bool) {
	s.mu.Lock()
	if s.state.Load() == stateClosed {
		defer s.mu.Unlock()
		return s.told
	}
	s.state.Store(stateClosed)
	s.end = &ending{reason, cause}
	s.drop()
	if s.done != nil {
		close(s.done)
	}
	if s.poll != nil {
		s.poll.finish(answer)
	}
	conn, cand, transport := s.conn, s.cand, s.transport()
	s.cand = nil
	tell := !s.inside
	s.told = tell
	s.mu.Unlock()

	if conn != nil {
		conn.Close()
	}
	if cand != nil {
		cand.abandon()
	}
	s.server.forget(s, reason, cause, transport)
	if tell {
		s.recv.Closed(reason, cause)
	}
	return tell
}

// discard ends a session that was never opened.
func (s *Session) discard() {
	s.mu.Lock()
	s.state.Store(stateClosed)
	s.drop()
	s.mu.Unlock()
}
