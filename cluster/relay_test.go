package cluster

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRelay: nodes that can't reach each other hand requests on through the store.
func TestRelay(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.node("a", w.cfg, ""), w.node("b", w.cfg, "")
		sid := a.open()
		w.expect(b.post(sid, "4hello"), 200, "ok")
		w.expect(b.get(sid), 200, "4hello")
		held := b.hold(sid)
		w.expect(b.post(sid, "4woken"), 200, "ok")
		w.expect(<-held, 200, "4woken")

		// In pieces, both ways.
		large := "4" + strings.Repeat("x", 999_999)
		w.expect(b.post(sid, large), 200, "ok")
		w.expect(b.post(sid, "4"+strings.Repeat("y", 999_999)), 200, "ok")
		w.expect(b.get(sid), 200, large+"\x1e4"+strings.Repeat("y", 999_999))

		// Upgrades aren't, and the session goes on.
		if ws := b.websocket("sid=" + sid); ws.status != 400 {
			t.Errorf("an upgrade: %d", ws.status)
		}
		w.expect(b.post(sid, "4hello"), 200, "ok")
		w.expect(b.get(sid), 200, "4hello")

		// A client that goes.
		ctx, cancel := context.WithCancel(context.Background())
		go b.try(ctx, "GET", poll(sid), nil)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if got := a.upper.take(); got != "transport error: engine: poll connection closed prematurely" {
			t.Errorf("the session: %q", got)
		}
		if st := b.node.Stats(); st.Polls[Relayed].Load() == 0 || st.Posts[Relayed].Load() == 0 {
			t.Error("nothing is counted")
		}

		// Nobody listens: unknown at once.
		sid = a.open()
		held = b.hold(sid)
		a.node.stop()
		synctest.Wait()
		begin := time.Now()
		w.expect(b.post(sid, "4x"), 400, unknown)
		if d := time.Since(begin); d > time.Second {
			t.Errorf("it took %s", d)
		}
		w.expect(<-held, 400, unknown)
		for _, n := range []*testNode{a, b} {
			if rl := &n.node.relay; len(rl.asked) != 0 || n == b && len(rl.serving) != 0 {
				t.Errorf("%d asked, %d being served", len(rl.asked), len(rl.serving))
			}
		}
	})
}

// TestRelayWhereDialFails falls back from HTTP to the store.
func TestRelayWhereDialFails(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		w.mu.Lock()
		delete(w.inner, "a:1")
		w.mu.Unlock()
		sid := nodes[0].open()
		w.expect(nodes[1].post(sid, "4hello"), 200, "ok")
		w.expect(nodes[1].get(sid), 200, "4hello")
	})
}

// TestRelayAnswersAtLast names a bug: a client whose request the owner refused for their number, or whose request or
// answer was lost with the store's connection, waited for the end of its session.
func TestRelayAnswersAtLast(t *testing.T) {
	run(t, func(w *world) {
		few := w.cfg
		few.MaxForwards = 1
		a, b := w.node("a", few, ""), w.node("b", w.cfg, "")
		sid, other := a.open(), a.open()
		held := b.hold(sid)
		w.expect(b.post(other, "4x"), 503, "Too many requests of other nodes' sessions\n")
		w.expect(a.post(sid, "4woken"), 200, "ok")
		w.expect(<-held, 200, "4woken")

		for lost, to := range map[string]*testNode{"the request": a, "the answer": b} {
			var inbox func([]byte)
			w.store.set(func(s *store) { inbox, s.inbox[to.node.id] = s.inbox[to.node.id], func([]byte) {} })
			begin := time.Now()
			w.expect(b.post(other, "4x"), 400, unknown)
			if d := time.Since(begin); d > 2*relayAge {
				t.Errorf("%s is lost: it took %s", lost, d)
			}
			w.store.set(func(s *store) { s.inbox[to.node.id] = inbox })
		}
	})
}

func TestRelayRefuses(t *testing.T) {
	run(t, func(w *world) {
		a, b := w.node("a", w.cfg, ""), w.node("b", w.cfg, "")
		sid := a.open()
		var last []byte
		w.store.set(func(s *store) {
			s.hear = func(to ID, m []byte) {
				if to == a.node.id {
					last = bytes.Clone(m)
				}
			}
		})
		w.expect(b.post(sid, "4once"), 200, "ok")
		w.expect(a.get(sid), 200, "4once")
		refused := a.node.Stats().Refused.Load()
		send := func(why string, m []byte) {
			t.Helper()
			if _, err := w.store.Send(context.Background(), a.node.id, m); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := a.node.Stats().Refused.Load(); n != refused+1 {
				t.Errorf("%s wasn't refused", why)
			}
			refused = a.node.Stats().Refused.Load()
		}
		w.store.set(func(s *store) { s.hear = nil })
		whole := bytes.Clone(last)
		send("a call that was served", bytes.Clone(whole))
		changed := bytes.Clone(whole)
		changed[pieceHead+3] ^= 1
		send("a changed piece", changed)
		send("an empty piece", nil)
		send("a short piece", whole[:pieceHead])

		p, err := parsePiece(bytes.Clone(whole), a.node.keys, a.node.id)
		if err != nil {
			t.Fatal(err)
		}
		fresh := func(f func(p *piece)) []byte {
			q := p
			q.call[0]++
			q.time = a.node.table.storeTime().UnixMilli()
			f(&q)
			return q.append(nil, a.node.keys, a.node.id)
		}
		send("an old piece", fresh(func(p *piece) { p.time -= (relayAge + time.Second).Milliseconds() }))
		send("a piece from the future", fresh(func(p *piece) { p.time += (relayAge + time.Second).Milliseconds() }))
		send("a second piece without a first", fresh(func(p *piece) { p.index, p.of = 1, 2 }))
		send("too many pieces", fresh(func(p *piece) { p.of = maxPieces + 1 }))
		send("an unknown kind", fresh(func(p *piece) { p.kind = 9 }))
		send("what is no request", fresh(func(p *piece) { p.data = []byte("hello") }))
		send("for another node", p.append(nil, a.node.keys, b.node.id))
		send("with another secret", p.append(nil, newKeys(testSecret), a.node.id))
		if w.store.Send(context.Background(), a.node.id, fresh(func(p *piece) { p.kind = pieceAnswer })); a.node.Stats().Refused.Load() != refused {
			t.Error("an answer that nobody waits for is no attack")
		}

		// Repeated later, it is too old; and what was remembered is forgotten.
		time.Sleep(3 * relayAge)
		send("a repetition later", whole)
		a.node.relay.mu.Lock()
		defer a.node.relay.mu.Unlock()
		if n := len(a.node.relay.spent); n != 0 {
			t.Errorf("%d calls are remembered", n)
		}
	})
}

func FuzzPiece(f *testing.F) {
	k := newKeys(testSecret)
	good := piece{pieceRequest, 1, call{1}, 5, 0, 1, []byte("GET / HTTP/1.1\r\n\r\n")}
	f.Add(good.append(nil, k, 2))
	f.Add(make([]byte, pieceHead+sealBytes))
	n := &Node{cfg: Config{MaxForwards: 1}.withDefaults(), id: 2, keys: k}
	n.log = n.cfg.Logger
	n.table.init(2)
	n.relay.init(n)
	n.relay.closed = true // it isn't served
	f.Fuzz(func(t *testing.T, b []byte) {
		n.relay.take(b)
		if len(b) >= sealBytes { // and the same with a good seal
			id := n.id.bytes()
			text := b[:len(b)-sealBytes]
			sealed := append(bytes.Clone(text), k.sealOf("relay", id[:], text)...)
			if p, err := parsePiece(sealed, k, 2); err == nil && !bytes.Equal(p.append(nil, k, 2), sealed) {
				t.Errorf("%x comes back as another", sealed)
			}
			n.relay.take(sealed)
		}
	})
}
