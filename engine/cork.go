package engine

import "time"

// corkTime is how long a cork holds back what is sent.
const corkTime = 500 * time.Microsecond

// corkTimer flushes a session whose handler takes long. Timers are pooled by
// server: only sessions that are corked and have something to send own one.
type corkTimer struct {
	timer *time.Timer
	s     *Session
}

// Cork makes Send and Append only gather until Uncork, 0.5 ms have passed, or
// much has gathered (64 packets or 64 KiB). Corks nest.
func (s *Session) Cork() {
	s.mu.Lock()
	s.corks++
	s.mu.Unlock()
}

// Uncork undoes one Cork; the last one flushes.
func (s *Session) Uncork() {
	s.mu.Lock()
	s.corks--
	flush := s.corks == 0 && s.release()
	if s.corks > 0 && !s.queue.empty() && !s.flushing {
		s.armCork() // for what Gather has left to this one
	}
	s.mu.Unlock()
	if flush {
		s.Flush()
	}
}

// Push writes what a cork holds back now, for who is about to wait.
func (s *Session) Push() {
	s.mu.Lock()
	flush := s.release()
	s.mu.Unlock()
	if flush {
		s.Flush()
	}
}

// Hold arms the cork's timer for what was gathered without it: its caller is about to do something
// that may take its time.
func (s *Session) Hold() {
	s.mu.Lock()
	if s.corks > 0 && !s.queue.empty() && !s.flushing {
		s.armCork()
	}
	s.mu.Unlock()
}

// release claims the flush of what a cork held back.
func (s *Session) release() bool {
	s.disarmCork()
	corks := s.corks
	s.corks = 0
	flush := s.state.Load() != stateClosed && s.claim(true)
	s.corks = corks
	return flush
}

func (s *Session) armCork() {
	if s.cork != nil {
		return
	}
	c, _ := s.server.corkTimers.Get().(*corkTimer)
	if c == nil {
		c = &corkTimer{s: s}
		s.cork = c
		c.timer = time.AfterFunc(corkTime, c.fire)
		return
	}
	c.s = s
	s.cork = c
	c.timer.Reset(corkTime)
}

func (s *Session) disarmCork() {
	c := s.cork
	if c == nil {
		return
	}
	s.cork = nil
	if c.timer.Stop() { // else fire runs, and finds that it is too late
		c.s = nil
		s.server.corkTimers.Put(c)
	}
}

func (c *corkTimer) fire() {
	s := c.s
	s.mu.Lock()
	flush := s.cork == c && s.release()
	s.mu.Unlock()
	if flush {
		s.Flush()
	}
}
