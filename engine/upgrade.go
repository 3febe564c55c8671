package engine

import "time"

// candidate is a connection to which a session may move. It has UpgradeTimeout
// to send the upgrade packet; until then the session stays where it is.
type candidate struct {
	s     *Session
	conn  Conn
	timer *time.Timer
}

// offer makes conn the session's candidate, or closes it.
func (s *Session) offer(conn Conn) {
	if k := s.candidate(conn); k != nil {
		s.server.tasks.run(k.serve)
	} else {
		s.server.turnAway(conn)
	}
}

// candidate makes conn the session's candidate, unless it has one, or isn't
// polling: then it returns nil. Officially a session that has begun on a WebSocket may
// move to another; no client does, but whoever has got hold of its id could.
func (s *Session) candidate(conn Conn) *sink {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cand != nil || s.poll == nil || s.state.Load() == stateClosed {
		return nil
	}
	c := &candidate{s: s, conn: conn}
	c.timer = time.AfterFunc(s.server.cfg.UpgradeTimeout, c.abort)
	s.cand = c
	return &sink{s: s, conn: conn, cand: c}
}

// abort gives up the upgrade; the session continues on its transport.
func (c *candidate) abort() {
	s := c.s
	s.mu.Lock()
	if s.cand == c {
		s.cand = nil
		if s.poll != nil {
			s.poll.probed = false
		}
	}
	s.mu.Unlock()
	c.abandon()
}

// abandon closes the connection of a candidate that its session has let go.
func (c *candidate) abandon() {
	c.timer.Stop()
	c.conn.Close()
}

// maxProbes is how many probes of a candidate are answered; one is enough.
const maxProbes = 10

// probe acts on a packet of a candidate.
func (k *sink) probe(p Packet, err error) error {
	switch {
	case err != nil || p.Binary:
	case p.Type == Ping && string(p.Data) == "probe" && k.probes < maxProbes:
		k.probes++
		return k.cand.probed()
	case p.Type == Upgrade && k.cand.upgrade():
		k.cand = nil
		if k.entered = k.s.enter(); !k.entered {
			return errEnded
		}
		k.s.recv.Upgraded()
		k.s.moved()
		return nil // Handled leaves
	}
	k.cand.abort()
	return errEnded
}

// probed answers a probe, and from now on every GET, so that the client can
// pause polling.
func (c *candidate) probed() error {
	done, err := c.conn.Write([]*Batch{probeBatch})
	if err == nil && !done {
		err = c.conn.Drain()
	}
	if err != nil {
		return err
	}
	s := c.s
	s.mu.Lock()
	if p := s.poll; p != nil && s.cand == c {
		p.probed = true
		p.wakeUp()
	}
	s.mu.Unlock()
	return nil
}

// upgrade moves the session to the candidate's connection.
func (c *candidate) upgrade() bool {
	s := c.s
	s.mu.Lock()
	if s.cand != c || s.state.Load() == stateClosed {
		s.mu.Unlock()
		return false
	}
	s.cand = nil
	s.conn = c.conn
	s.poll.finish(closeBatch)
	s.poll = nil
	s.mu.Unlock()

	c.timer.Stop()
	s.server.stats.moved("polling", c.conn.Transport())
	return true
}

// moved writes, after an upgrade, what is still queued, and ends the session
// if it was only waiting for that.
func (s *Session) moved() {
	s.mu.Lock()
	flush := s.claim(true)
	over := !flush && s.state.Load() == stateClosing && !s.flushing && s.queue.empty()
	s.mu.Unlock()
	switch {
	case flush:
		s.Flush()
	case over:
		s.finish(ForcedClose, nil)
	}
}
