package redisadapter_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/server/servertest"
)

// written waits until a session's state was written to a server as it is now, with what is in it.
func written(t *testing.T, s *redistest.Server, c *servertest.Client, parts ...string) {
	t.Helper()
	var id string
	info, err := s.Admin().Info(t.Context(), "replication").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if _, found, ok := strings.Cut(line, "master_replid:"); ok {
			id = strings.TrimSpace(found)
		}
	}
	eventually(t, "the state is written", func() bool {
		b, _ := base64.StdEncoding.DecodeString(s.Admin().Get(t.Context(), "sio:session:"+c.PrivateID()).Val())
		return id != "" && !slices.ContainsFunc(append(parts, id), func(part string) bool { return !strings.Contains(string(b), part) })
	})
}

// fresh checks that a client doesn't get its session back, and why.
func fresh(t *testing.T, n *streamNode, c *servertest.Client, offset, why string) {
	t.Helper()
	before := n.io.Stats().Namespaces.Fresh[why]
	if got := stateOf(t, back(n, c, offset)); got.Recovered || n.io.Stats().Namespaces.Fresh[why] != before+1 {
		t.Errorf("expected a fresh session (%s): %+v, %v", why, got, n.io.Stats().Namespaces.Fresh)
	}
}

// TestStreamsStateLost: Redis loses the last state of a session, but nothing of the stream, and the session's node
// dies. The client came back to the state before: without the room that it had just joined.
func TestStreamsStateLost(t *testing.T) {
	t.Run("failover", func(t *testing.T) {
		p := newPair(t)
		a, b := p.node(patient), p.node(patient)
		c := a.Connect("/")
		b.ns.Emit(t.Context(), "n", 1)
		_, offset := take(c)
		p.synced()
		p.between.Hold()
		c.Call("join", "r")
		p.fail(a)
		fresh(t, b, c, offset, "failover")
	})
	t.Run("restart", func(t *testing.T) {
		r := redistest.Start(t)
		a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
		c := a.Connect("/")
		b.ns.Emit(t.Context(), "n", 1)
		_, offset := take(c)
		if err := r.Admin().Save(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		c.Call("join", "r")
		a.crash()
		r.Kill()
		r.Restart()
		fresh(t, b, c, offset, "failover")
	})
}

// TestStreamsStateWrittenAgain: a node that lives writes the states of its sessions to the new primary, also
// what that had lost of them, or all of it.
func TestStreamsStateWrittenAgain(t *testing.T) {
	p := newPair(t)
	a, b := p.node(patient), p.node(patient)
	c, quiet := a.Connect("/"), a.Connect("/")
	b.ns.Emit(t.Context(), "n", 1)
	_, offset := take(c)
	take(quiet)
	p.synced()
	p.between.Hold()
	c.Call("join", "r")
	d := a.Connect("/") // of which the replica knows nothing
	d.Call("join", "r")
	p.fail()
	written(t, p.replica, c, "r")
	written(t, p.replica, d, "r")
	written(t, p.replica, quiet)
	a.crash()
	b.ns.To("r").Emit(t.Context(), "n", 2)
	for _, was := range []*servertest.Client{c, d} {
		offset := offset
		if was == d {
			offset = ""
		}
		e := back(b, was, offset)
		if n, _ := take(e); n != 2 {
			t.Errorf("%d came", n)
		}
		if got := stateOf(t, e); !got.Recovered || !slices.Contains(got.Rooms, "r") {
			t.Errorf("%+v, %v", got, b.io.Stats().Namespaces.Fresh)
		}
	}
	if got := stateOf(t, back(b, quiet, offset)); !got.Recovered {
		t.Errorf("%+v, %v", got, b.io.Stats().Namespaces.Fresh)
	}
}

// TestStreamsStateOfDeadConnection: a client has moved to another node, and the new primary doesn't know of it. The node on
// which its connection seems to live wrote its older state again, as if it was the last one.
func TestStreamsStateOfDeadConnection(t *testing.T) {
	for _, lives := range []bool{false, true} {
		p := newPair(t)
		a, b, other := p.node(patient), p.node(patient), p.node(patient)
		c := a.Connect("/")
		b.ns.Emit(t.Context(), "n", 1)
		_, offset := take(c)
		defer c.Stall()()
		a.ns.Local().Emit(t.Context(), "n", 2) // the last that it reads
		take(c)
		eventually(t, "all is saved", func() bool { return a.driver.StreamStats().Unsaved == 0 })
		p.synced()
		p.between.Hold()
		a.link.Cut()
		d := back(b, c, offset)
		d.Call("join", "r")
		if lives {
			p.fail()
			written(t, p.replica, c, "r", "turn\x01")
		} else {
			p.fail(b)
		}
		eventually(t, "the node asks its client", func() bool { return a.driver.StreamStats().Unsaved == 1 || a.ns.Socket(c.ID()) == nil })
		if !lives {
			fresh(t, other, c, offset, "failover")
			continue
		}
		if got := stateOf(t, back(other, c, offset)); !got.Recovered || !slices.Contains(got.Rooms, "r") {
			t.Errorf("%+v, %v", got, other.io.Stats().Namespaces.Fresh)
		}
	}
}

// TestStreamsStateAway: whether what a new primary has of a client that is away is the last of it can't be told.
func TestStreamsStateAway(t *testing.T) {
	p := newPair(t)
	a := p.node(patient)
	c := a.Connect("/")
	s := a.ns.Socket(c.ID())
	c.Close()
	<-s.Context().Done()
	eventually(t, "all is saved", func() bool { return a.driver.StreamStats().Unsaved == 0 })
	p.synced()
	p.fail()
	fresh(t, a, c, "", "failover")
}
