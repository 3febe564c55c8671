package cluster

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (w *world) members(n *testNode, want string) {
	w.Helper()
	var names []string
	for _, m := range n.node.Members() {
		names = append(names, m.Name)
	}
	if got := strings.Join(names, " "); got != want {
		w.Errorf("%s sees %q, want %q", n.node.Name(), got, want)
	}
}

func TestMembers(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b", "c")
		time.Sleep(beatInterval + beatGap)
		synctest.Wait()
		for _, n := range nodes {
			w.members(n, "a b c")
		}
		nodes[1].leave()
		time.Sleep(beatInterval + beatGap)
		synctest.Wait()
		w.members(nodes[0], "a c")
		nodes[2].kill()
		time.Sleep(beatInterval)
		w.members(nodes[0], "a c")
		time.Sleep(deadAfter + beatInterval)
		w.members(nodes[0], "a")
	})
}

func TestStoreThatIsAway(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		time.Sleep(2 * beatInterval)
		w.store.set(func(s *store) { s.down = true })
		time.Sleep(time.Minute) // everybody stays, and goes on being reached
		sid := nodes[0].open()
		w.members(nodes[1], "a b")
		w.expect(nodes[1].post(sid, "4hello"), 200, "ok")
		if nodes[1].node.Stats().BeatFailures.Load() == 0 {
			t.Error("nothing is counted")
		}
		w.store.set(func(s *store) { // it comes back without its data
			s.down = false
			clear(s.members)
		})
		for range 40 {
			time.Sleep(beatInterval / 10)
			w.expect(nodes[1].post(sid, "4hello"), 200, "ok")
			w.members(nodes[1], "a b")
		}
		w.store.set(func(s *store) { s.down = true })
		nodes[0].kill()
		time.Sleep(time.Minute)
		w.store.set(func(s *store) { s.down = false })
		time.Sleep(deadAfter + 3*beatInterval)
		w.members(nodes[1], "b")

		w.store.set(func(s *store) { s.down = true })
		if _, err := Join(w.Context(), Config{Store: w.store}); err == nil || !strings.Contains(err.Error(), "secret") {
			t.Errorf("joining without a store: %v", err)
		}
		w.store.set(func(s *store) { s.down = false })
	})
}

// TestNewMember: a session of a node that started within this beat is found at once.
func TestNewMember(t *testing.T) {
	run(t, func(w *world) {
		a := w.start("a")[0]
		time.Sleep(beatInterval + 10*beatGap)
		b := w.start("b")[0]
		begin := time.Now()
		w.expect(a.post(b.open(), "4hello"), 200, "ok")
		if d := time.Since(begin); d > 2*beatGap {
			t.Errorf("it took %s", d)
		}
		// Ids of no node cost a beat at most every beatGap.
		before := w.store.beats()
		for range 20 {
			w.expect(a.get("AAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 400, unknown)
		}
		if beats := w.store.beats() - before; beats > 25 {
			t.Errorf("%d beats", beats)
		}
	})
}

func (s *store) beats() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beaten
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "Store is needed"},
		{Config{Store: newStore(), Secret: make([]byte, 31)}, "at least 32"},
		{Config{Store: newStore(), Name: strings.Repeat("x", 65)}, "longer than 64"},
		{Config{Store: newStore(), Advertise: "host"}, "missing port"},
		{Config{Store: &store{secret: []byte("short")}}, "at least 32"},
	} {
		if _, err := Join(context.Background(), tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
