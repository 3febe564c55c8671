package engine

import (
	"context"
	"errors"
	"time"
)

// Refuse has the server turn new handshakes away from now on, with status 503.
// Sessions that there are live on.
func (srv *Server) Refuse() { srv.draining.Store(true) }

// ErrClosed says that a session has ended.
var ErrClosed = errors.New("engine: session closed")

// HasRoom reports whether the send queue is at most half full: for who can
// send later as well.
func (s *Session) HasRoom() bool {
	cfg := &s.server.cfg
	s.mu.Lock()
	packets, bytes := s.held.packets+s.flying.packets, s.held.bytes+s.flying.bytes
	s.mu.Unlock()
	return int(packets) <= cfg.MaxQueuedPackets/2 && int(bytes) <= cfg.MaxQueuedBytes/2
}

// WaitRoom waits until the send queue is half empty: for who has more to send
// than it holds. It fails with ErrClosed when the session has ended, or when
// ctx has.
func (s *Session) WaitRoom(ctx context.Context) error {
	for {
		s.mu.Lock()
		open := s.state.Load() == stateOpen
		s.mu.Unlock()
		switch {
		case !open:
			return ErrClosed
		case s.HasRoom():
			return nil
		}
		// Rare and bound to the network's pace: looking again costs less than a
		// field for waiters in every session.
		select {
		case <-s.Done():
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}
