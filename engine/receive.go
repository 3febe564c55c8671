package engine

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"
)

// errEnded makes a Conn stop serving: the session has ended, or left it.
var errEnded = errors.New("engine: session ended")

// enter begins to hand over to the Receiver what one read brought. One reader
// at a time does: the connection, or a POST. It fails if the session has ended.
func (s *Session) enter() bool {
	s.rmu.Lock()
	s.mu.Lock()
	s.inside = s.state.Load() != stateClosed
	ok := s.inside
	s.mu.Unlock()
	if !ok {
		s.rmu.Unlock()
	}
	return ok
}

// leave ends what enter began. If the session ended meanwhile, the Receiver is
// told now.
func (s *Session) leave() {
	defer s.rmu.Unlock()
	defer s.tell()
	s.recv.Handled()
}

// tell lets others tell the Receiver that the session ended, or does it if
// it ended before.
func (s *Session) tell() {
	s.mu.Lock()
	s.inside = false
	if s.late { // what was held up has yet to be read
		s.late = false
		s.deadline = s.server.now() + int64(s.server.cfg.PingTimeout)
	}
	end := s.end
	tell := end != nil && !s.told
	s.told = s.told || tell
	s.mu.Unlock()
	if tell {
		s.recv.Closed(end.reason, end.cause)
	}
}

// receive acts on a packet, between enter and leave.
func (s *Session) receive(p Packet, owned bool) error {
	switch s.state.Load() {
	case stateClosed:
		return errEnded
	case stateClosing:
		return nil // as officially: what comes while closing is ignored
	}
	if p.Type == Message {
		if s.beat.Load() == beatWaiting {
			s.rearm()
		}
		s.server.stats.MessagesIn.Add(s, 1)
		s.recv.Message(p.Data, p.Binary, owned)
		return nil
	}
	switch {
	case p.Type == Pong && s.rev != 3 && s.beat.Load() != beatQuiet:
		s.ponged() // asked for, and so as rare as our pings
	case !s.paced():
		s.finish(TransportError, ErrControlRate)
		return errEnded
	case p.Type == Ping && s.rev == 3:
		s.pinged()
		s.Send(pongBatch)
	case p.Type == Pong && s.rev != 3:
		s.ponged()
	case p.Type == Ping, p.Type == Pong:
		s.finish(TransportError, ErrHeartbeatDirection)
		return errEnded
	case s.beat.Load() == beatWaiting:
		s.rearm()
	}
	return nil
}

// paced takes a token for a control packet, from a bucket that is full with two
// seconds' worth. The bucket is one number: the time at which it would be full again.
func (s *Session) paced() bool {
	each := s.server.control
	now := s.server.now()
	full := max(s.control, now) + int64(each)
	if full-now > int64(2*time.Second) && each > 0 {
		return false
	}
	s.control = full
	return true
}

// sink hands what a connection reads to its session. A candidate for an
// upgrade does so once the client has sent the upgrade packet.
type sink struct {
	s       *Session
	conn    Conn
	cand    *candidate // until then
	probes  int        // that the candidate has sent
	entered bool
}

func (k *sink) Frame(data []byte, binary, owned bool) error {
	p, err := parseFrame(data, binary, k.s.Protocol())
	if k.cand != nil {
		return k.probe(p, err)
	}
	if err != nil {
		k.s.finish(ParseError, err)
		return errEnded
	}
	if !k.entered {
		if k.entered = k.s.enter(); !k.entered {
			return errEnded
		}
	}
	return k.s.receive(p, owned)
}

// parseFrame parses a message of a WebSocket or WebTransport connection.
func parseFrame(data []byte, binary bool, rev int) (Packet, error) {
	if binary {
		return ParseBinary(data, rev), nil
	}
	return ParsePacket(data, rev)
}

func (k *sink) Handled() {
	if k.entered {
		k.entered = false
		k.s.leave()
	}
}

// serve reads from conn until it ends. It is the reader's goroutine.
func (k *sink) serve() {
	err := read(k.s.server, k.conn, k)
	if err == ErrRenew {
		k.s.server.tasks.run(k.serve)
		return
	}
	k.ended(err)
}

// ended acts on the end of conn.
func (k *sink) ended(err error) {
	k.Handled()
	switch s := k.s; {
	case k.cand != nil:
		k.cand.abort()
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, errEnded):
		s.finish(TransportClose, nil)
	default:
		s.finish(TransportError, err)
	}
}

// read is conn.Serve; a panic of the upper layer becomes an error.
func read(srv *Server, conn Conn, k Sink) (err error) {
	defer func() {
		if v := recover(); v != nil {
			srv.log.Error("engine: panic while handling a message", "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("engine: panic while handling a message: %v", v)
			conn.Close()
		}
	}()
	return conn.Serve(k)
}

// from binds the session to the first origin that a request of it names, and
// tells whether origin is that one, or none.
func (s *Session) from(origin string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.origin == "" {
		s.origin = origin
	}
	return origin == "" || origin == s.origin
}
