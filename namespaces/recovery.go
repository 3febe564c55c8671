package namespaces

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
)

// recovery is what a socket that can be recovered keeps up to date while it is
// connected. All but private is guarded by the namespace's order lock.
type recovery struct {
	private string
	from    adapters.Offset // where it connected first
	last    adapters.Offset // the last logged event sent to it
	stays   []adapters.Stay
}

// endedStays is how many left rooms are remembered. Events of a room left
// longer ago than that can't be told apart: the session then starts later.
const endedStays = 64

func (r *recovery) join(room string, at adapters.Offset) {
	if r != nil {
		r.stays = append(r.stays, adapters.Stay{Room: room, From: at})
	}
}

func (r *recovery) leave(room string, at adapters.Offset) {
	if r == nil {
		return
	}
	ended := 0
	for i := range r.stays {
		if stay := &r.stays[i]; stay.To.IsZero() {
			if stay.Room == room {
				stay.To = at
			}
		}
		if !r.stays[i].To.IsZero() {
			ended++
		}
	}
	if ended > endedStays {
		i := slices.IndexFunc(r.stays, func(s adapters.Stay) bool { return !s.To.IsZero() })
		if r.stays[i].To.Compare(r.from) > 0 {
			r.from = r.stays[i].To
		}
		r.stays = slices.Delete(r.stays, i, i+1)
	}
}

// enter begins the record when the socket is admitted.
func (r *recovery) enter(id string, ns *Namespace, resume *resumed) {
	switch {
	case r == nil:
	case resume == nil:
		r.from = ns.tail
		// Rooms joined in a middleware are stays already.
		r.stays = append(r.stays, adapters.Stay{Room: id, From: ns.tail})
	default:
		r.from, r.last = resume.session.From, resume.session.Last
		r.stays = append(slices.Clone(resume.session.Stays), r.stays...)
	}
}

// persists reports whether a client that went for that reason may come back.
func persists(reason string) bool {
	switch reason {
	case ReasonClient, ReasonServer, string(engine.ParseError):
		return false
	}
	return true
}

// saved returns the socket's state, as of one moment: the order lock and s.mu
// are held, and nothing is delivered to it from now on.
func (s *Socket) saved() *adapters.Session {
	return &adapters.Session{
		ID: s.id, Private: s.rec.private, Stays: slices.Clone(s.rec.stays), Data: maps.Clone(s.data),
		From: s.rec.from, Last: s.rec.last, Until: s.ns.tail, Ended: time.Now(),
	}
}

// save keeps a socket's state, if there is one to keep, for its client's return,
// or has it forgotten if keep is zero.
func (s *Socket) save(state *adapters.Session, keep time.Duration) {
	if state != nil {
		err := s.ns.log.Save(context.Background(), state, keep)
		if err != nil {
			s.ns.reg.log.Warn("a session could not be saved: its client will get a fresh one", "namespace", s.ns.name, "error", err)
		}
	}
	s.unclaim()
}

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
	after   adapters.Offset // the client has everything up to here
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
		if r := s.resume(ctx, auth.Private, auth.Offset); r != nil {
			return r
		}
		s.ns.reg.stats.notRecovered.Add(1)
	}
	s.rec = &recovery{private: newID()}
	s.claim(s.rec.private)
	return nil
}

// resume loads the session of a private id.
func (s *Socket) resume(ctx context.Context, private string, offset *string) *resumed {
	if other := s.claim(private); other != nil {
		// The client is back before we noticed that it had gone. That ends the
		// old connection, and saves its state.
		if other.state.Load() == connecting {
			return nil
		}
		other.client.end(string(engine.TransportClose))
		other.client.sess.CloseNow()
		// Its state is saved before it gives up the id.
		if !s.claimAfter(other, private) {
			return nil
		}
	}
	s.rec = &recovery{private: private}
	r := s.load(ctx, private, offset)
	if r == nil {
		s.unclaim()
		s.rec = nil
		return nil
	}
	s.id = r.session.ID
	s.mu.Lock()
	s.data = r.session.Data
	s.mu.Unlock()
	return r
}

// load returns the session if nothing that it has to be told can be missing.
func (s *Socket) load(ctx context.Context, private string, offset *string) *resumed {
	saved, err := s.ns.log.Load(ctx, private)
	if err != nil {
		return nil
	}
	r := &resumed{session: saved, after: saved.From}
	last := saved.Last.IsZero()
	if offset != nil {
		at, ok := adapters.ParseOffset(*offset)
		if !ok || at.Compare(saved.From) < 0 || at.Compare(saved.Until) > 0 {
			return nil
		}
		r.after = at
		last = at == saved.Last
	}
	if last { // nothing up to Until is news
		r.after = saved.Until
	}
	if _, err := s.ns.log.After(ctx, r.after, 1); err != nil {
		return nil
	}
	return r
}

// replayChunk is how many events of the log are looked at in one go.
const replayChunk = 256

// replay sends what the client has missed, ahead of the answer to CONNECT, up
// to the end of the log. What was logged meanwhile is for admit to find out.
func (s *Socket) replay(ctx context.Context, r *resumed) bool {
	ns := s.ns
	for {
		entries, err := ns.log.After(ctx, r.after, replayChunk)
		if err != nil {
			// It was trimmed under our hands. The client comes back, and gets a fresh session.
			if !errors.Is(err, adapters.ErrTrimmed) {
				ns.reg.log.Warn("a session's replay failed", "namespace", ns.name, "error", err)
			}
			s.client.sess.Close()
			return false
		}
		for _, e := range entries {
			r.after = e.At
			if !r.session.Wants(e) {
				continue
			}
			if err := s.replayOne(e); err != nil {
				return false
			}
			r.session.Last = e.At
		}
		if len(entries) < replayChunk {
			return true
		}
		if s.client.sess.WaitRoom(ctx) != nil {
			return false
		}
	}
}

func (s *Socket) replayOne(e adapters.Entry) error {
	return s.send(&parser.Packet{Type: parser.Event, Namespace: s.ns.name, ID: -1, Payload: e.Op.Data.With(e.At.String())})
}
