package namespaces

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
)

// The reasons for which a client that asked to continue gets a fresh session.
const (
	freshUnknown = "unknown"  // no such session: it has expired, has ended on purpose, or never was
	freshOffset  = "offset"   // what the client names is no offset, or not of this session
	freshAhead   = "ahead"    // the log has lost what the client has received
	freshTrimmed = "trimmed"  // the log doesn't reach back that far
	freshBusy    = "busy"     // another connection of the client was faster
	freshStorage = "storage"  // Redis doesn't answer
	freshDoubt   = "unlogged" // the client received what the log had not taken in time
	freshBehind  = "failover" // Redis has failed over, or restarted, and may have lost a later state
)

// unclaim gives up the private id.
func (s *Socket) unclaim() {
	if s.rec == nil {
		return
	}
	s.ns.mu.Lock()
	if s.ns.claims[s.rec.private] == s {
		delete(s.ns.claims, s.rec.private)
		s.ns.freed.Broadcast()
	}
	s.ns.mu.Unlock()
}

// claim takes the private id, unless another socket of the client has it.
func (s *Socket) claim(private string) (other *Socket) {
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	if other := s.ns.claims[private]; other != nil && other != s {
		return other
	}
	s.ns.claims[private] = s
	return nil
}

// claimAfter takes the private id as soon as other, which is ending, has given it up.
// It reports false if a third socket was faster.
func (s *Socket) claimAfter(other *Socket, private string) bool {
	s.ns.mu.Lock()
	defer s.ns.mu.Unlock()
	for s.ns.claims[private] == other {
		s.ns.freed.Wait()
	}
	if s.ns.claims[private] != nil {
		return false
	}
	s.ns.claims[private] = s
	return true
}

// resumed is an earlier session that a socket continues.
type resumed struct {
	session *adapters.Session
	taken   adapters.Session // as it was found
	after   adapters.Offset  // the client has everything up to here
	page    *adapters.Page   // what follows, if it was read already
}

// rooms returns the rooms to join again.
func (r *resumed) rooms() []string {
	if r == nil {
		return nil
	}
	return r.session.Rooms()
}

// prepareRecovery gives the socket a private id: the one that its client brings
// if its session can be continued without a gap, else a new one.
func (s *Socket) prepareRecovery(ctx context.Context) *resumed {
	if s.ns.log == nil || s.client.sess.Protocol() == 3 {
		return nil
	}
	var auth struct {
		Private string  `json:"pid"`
		Offset  *string `json:"offset"`
	}
	if s.auth != nil && json.Unmarshal(s.auth, &auth) == nil && auth.Private != "" {
		r, why := s.resume(ctx, auth.Private, auth.Offset)
		if r != nil {
			return r
		}
		s.ns.reg.stats.fresh(why)
	}
	rec := &recovery{private: newID()}
	s.rec = rec
	s.claim(rec.private) // nobody else has it
	return nil
}

// resume loads the session of a private id, or says why it can't.
func (s *Socket) resume(ctx context.Context, private string, offset *string) (r *resumed, why string) {
	if len(private) > maxPrivate {
		return nil, freshUnknown
	}
	rec := s.rec
	// Until it is admitted, it gets nothing but the replay.
	s.rec = &recovery{private: private, seen: adapters.Offset{Time: math.MaxUint64}}
	if other := s.claim(private); other != nil {
		// The client is back before we noticed that it had gone. That ends the
		// old connection, and saves its state.
		if other.state.Load() == connecting {
			s.rec = rec
			return nil, freshBusy
		}
		other.client.end(string(engine.TransportClose))
		other.client.sess.CloseNow()
		// Its state is saved before it gives up the id.
		if !s.claimAfter(other, private) {
			s.rec = rec
			return nil, freshBusy
		}
	}
	r, why = s.load(ctx, private, offset)
	if r == nil {
		s.unclaim()
		s.rec = rec
		return nil, why
	}
	s.id = r.session.ID
	s.mu.Lock()
	s.data = maps.Clone(r.session.Data) // the state may have to be put back as it was
	if s.ns.outlives() {
		s.plain = make(map[string]struct{}, len(s.data))
		for key := range s.data {
			s.plain[key] = struct{}{}
		}
	}
	s.mu.Unlock()
	return r, ""
}

// maxPrivate is how long a private id may be, in bytes; ours have 20.
const maxPrivate = 64

// takeTime is how long the log may take to find a session: longer than a change
// is waited for, since a client is better off a little later than without what it missed.
const takeTime = 6 * time.Second

// load takes the session if nothing that it has to be told can be missing.
func (s *Socket) load(ctx context.Context, private string, offset *string) (_ *resumed, why string) {
	if offset != nil && *offset == unlogged {
		return nil, freshDoubt
	}
	ctx, cancel := context.WithTimeout(ctx, takeTime)
	defer cancel()
	saved, err := s.ns.log.Take(ctx, private)
	if err != nil {
		return nil, s.whyNot(err)
	}
	r := &resumed{session: saved, taken: *saved, after: saved.From}
	idle := saved.Last.IsZero()
	if offset != nil {
		at, ok := adapters.ParseOffset(*offset)
		if !ok || at.Compare(saved.From) < 0 {
			s.release(r)
			return nil, freshOffset
		}
		r.after = at
		idle = at == saved.Last
	}
	if idle && saved.Until.Compare(r.after) > 0 { // nothing up to Until is news
		r.after = saved.Until
	}
	page, err := s.ns.log.After(ctx, r.after, replayChunk)
	if err != nil {
		s.release(r)
		return nil, s.whyNot(err)
	}
	r.page = &page
	return r, ""
}

func (s *Socket) whyNot(err error) string {
	switch {
	case errors.Is(err, adapters.ErrUnknown):
		return freshUnknown
	case errors.Is(err, adapters.ErrTaken):
		return freshBusy
	case errors.Is(err, adapters.ErrTrimmed):
		return freshTrimmed
	case errors.Is(err, adapters.ErrAhead):
		return freshAhead
	case errors.Is(err, adapters.ErrBehind):
		return freshBehind
	}
	s.ns.reg.log.Warn("a session could not be loaded: its client gets a fresh one", "namespace", s.ns.name, "error", err)
	return freshStorage
}

// release puts a session back that was taken in vain: its client may come again.
func (s *Socket) release(r *resumed) {
	if r == nil || !s.ns.outlives() {
		return
	}
	state := r.taken
	if state.Ended.IsZero() {
		state.Ended = time.Now()
	}
	s.ns.log.Save(&state, s.ns.reg.cfg.Recovery.MaxDisconnection, func(error) {})
}

// enterTime is how long a client waits for its state to be kept.
const enterTime = 3 * time.Second

// prepareState has the socket's state kept before the client hears of it. If
// that can't be, the socket does without recovery.
func (s *Socket) prepareState(resume *resumed) {
	ns := s.ns
	if s.rec == nil || !ns.outlives() || resume != nil && len(s.rec.stays) == 0 {
		return
	}
	ns.order.Lock()
	s.mu.Lock()
	state := s.snapshot()
	if resume != nil {
		state.From, state.Last = resume.session.From, resume.session.Last
		state.Stays = append(resume.session.Stays[:len(resume.session.Stays):len(resume.session.Stays)], state.Stays...)
	} else {
		at := ns.place()
		state.From, state.Until = at, at
		state.Stays = append(state.Stays, adapters.Stay{Room: s.id, From: at})
	}
	s.mu.Unlock()
	saved := make(chan error, 1)
	ns.log.Save(state, ns.reg.cfg.Recovery.MaxDisconnection, func(err error) { saved <- err })
	ns.order.Unlock()
	timer := time.NewTimer(enterTime)
	defer timer.Stop()
	select {
	case err := <-saved:
		if err == nil {
			return
		}
	case <-timer.C:
		ns.log.Save(state, 0, func(error) {})
	}
	ns.reg.stats.unkept.Add(1)
	s.unclaim()
	ns.order.Lock()
	s.rec = nil
	ns.order.Unlock()
}

// replayChunk is how many events of the log are looked at in one go.
const replayChunk = 256

// replay sends what the client has missed, ahead of the answer to CONNECT, up
// to the end of the log. What was logged meanwhile is for admit to find out.
func (s *Socket) replay(ctx context.Context, r *resumed) bool {
	ns := s.ns
	for {
		var page adapters.Page
		if r.page != nil {
			page, r.page = *r.page, nil
		} else {
			var err error
			if page, err = ns.log.After(ctx, r.after, replayChunk); err != nil {
				// It was trimmed under our hands. The client comes back, and gets a fresh session.
				if !errors.Is(err, adapters.ErrTrimmed) {
					ns.reg.log.Warn("a session's replay failed", "namespace", ns.name, "error", err)
				}
				s.client.sess.Close()
				return false
			}
		}
		for _, e := range page.Entries {
			if !r.session.Wants(e) {
				continue
			}
			if err := s.replayOne(e); err != nil {
				return false
			}
			r.session.Last = e.At
		}
		r.after = page.End
		if page.Last {
			return s.reach(ctx, r)
		}
		if s.client.sess.WaitRoom(ctx) != nil {
			return false
		}
	}
}

// reach waits until this node has been told of all that the client has got: the log may
// be ahead of it. Then what was delivered here without a place in the log, and has none
// yet, is news to the client.
func (s *Socket) reach(ctx context.Context, r *resumed) bool {
	ctx, cancel := context.WithTimeout(ctx, takeTime)
	defer cancel()
	if err := s.ns.log.Reach(ctx, r.after); err != nil {
		s.client.sess.Close() // the client comes back, here or elsewhere
		return false
	}
	return true
}

func (s *Socket) replayOne(e adapters.Entry) error {
	return s.sendNow(&parser.Packet{Type: parser.Event, Namespace: s.ns.name, ID: parser.NoID, Payload: e.Op.Data.With(e.At.String())})
}
