package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// newRecovering returns a server with recovery on.
func newRecovering(t *testing.T) (*server.Server, *server.Namespace, *servertest.Server) {
	t.Helper()
	io, err := server.New(server.Config{
		Recovery: &server.Recovery{},
		Engine:   engine.Config{HandshakeRate: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	ns := io.Of("/")
	server.OnAck(ns, "join", func(_ context.Context, s *server.Socket, room string) (bool, error) {
		s.Set("room", room)
		return s.Recovered(), s.Join(room)
	})
	server.OnAck(ns, "leave", func(_ context.Context, s *server.Socket, room string) (bool, error) {
		s.Leave(room)
		return true, nil
	})
	server.OnAck(ns, "recovered", func(_ context.Context, s *server.Socket, _ any) (bool, error) {
		return s.Recovered(), nil
	})
	ts := servertest.Serve(t, io)
	t.Cleanup(func() { io.Shutdown(context.Background()) })
	return io, ns, ts
}

func recoveredOf(t *testing.T, c *servertest.Client) bool {
	t.Helper()
	var r bool
	if err := c.Call("recovered").Decode(0, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// take reads the number and the offset of the next event.
func take(c *servertest.Client) (n int, offset string) {
	c.Expect("n").Decode(&n, &offset)
	return n, offset
}

func back(ts *servertest.Server, c *servertest.Client, offset string) *servertest.Client {
	auth := map[string]any{"pid": c.PrivateID()}
	if offset != "" {
		auth["offset"] = offset
	}
	return ts.Connect("/", servertest.Auth(auth))
}

// TestRecovery: a client that was away gets what it missed, once and in order,
// with its id, rooms and data; also when the server hasn't noticed that it went.
func TestRecovery(t *testing.T) {
	_, ns, ts := newRecovering(t)
	ctx := t.Context()
	for _, noticed := range []bool{true, false} {
		for _, had := range []int{0, 3} { // events before it went
			t.Run(fmt.Sprintf("noticed=%v/had=%d", noticed, had), func(t *testing.T) {
				c := ts.Connect("/")
				c.Call("join", "r")
				offset := ""
				for i := range had {
					ns.To("r").Emit(ctx, "n", i)
					_, offset = take(c)
				}
				if noticed {
					s := ns.Socket(c.ID())
					c.Close()
					<-s.Context().Done()
				}
				for i := range 10 {
					ns.To("other").Emit(ctx, "n", -1)
					ns.To("r").Except("none").Emit(ctx, "n", had+i)
					ns.To("r").Volatile().Emit(ctx, "volatile")
				}
				if !noticed { // the old connection still is there, but nobody reads it
					c.Close()
				}
				d := back(ts, c, offset)
				if d.ID() != c.ID() || d.PrivateID() != c.PrivateID() || !recoveredOf(t, d) {
					t.Fatalf("not recovered: id %s, was %s", d.ID(), c.ID())
				}
				ns.To("r").Emit(ctx, "n", had+10)
				for i := range 11 {
					if n, _ := take(d); n != had+i {
						t.Fatalf("event %d came, expected %d", n, had+i)
					}
				}
				if s := ns.Socket(d.ID()); !s.In("r") || server.Value[string](s, "room") != "r" {
					t.Errorf("rooms %v, data %v", s.Rooms(), s.Data())
				}
				d.Leave()
			})
		}
	}
}

// TestRecoveryLeftRoom: what was sent to a room after the client had left it is
// not replayed, and what was sent while it was in is.
func TestRecoveryLeftRoom(t *testing.T) {
	_, ns, ts := newRecovering(t)
	ctx := t.Context()
	c := ts.Connect("/")
	ns.To("r").Emit(ctx, "n", 0) // not in it yet
	c.Call("join", "r")
	ns.To("r").Emit(ctx, "n", 1)
	c.Call("leave", "r")
	ns.To("r").Emit(ctx, "n", 2)
	ns.Emit(ctx, "n", 3)
	c.Close()
	d := back(ts, c, "") // as if nothing of it had arrived
	for _, want := range []int{1, 3} {
		if n, _ := take(d); n != want {
			t.Fatalf("event %d came, expected %d", n, want)
		}
	}
	if !recoveredOf(t, d) || d.Pending() != 0 {
		t.Errorf("recovered, %d events too many", d.Pending())
	}
}

// TestRecoveryRefused: what can't be proved gets a fresh session.
func TestRecoveryRefused(t *testing.T) {
	_, ns, ts := newRecovering(t)
	ctx := t.Context()
	c := ts.Connect("/")
	ns.Emit(ctx, "n", 1)
	_, offset := take(c)
	s := ns.Socket(c.ID())
	c.Close()
	<-s.Context().Done()
	for name, auth := range map[string]map[string]any{
		"unknown id":       {"pid": "AAAAAAAAAAAAAAAAAAAA", "offset": offset},
		"no id":            {"offset": offset},
		"id of a socket":   {"pid": c.ID(), "offset": offset},
		"offset ahead":     {"pid": c.PrivateID(), "offset": "99999999999999-0"},
		"malformed offset": {"pid": c.PrivateID(), "offset": "x"},
		"numbers":          {"pid": 7, "offset": 9},
	} {
		d := ts.Connect("/", servertest.Auth(auth))
		if d.ID() == c.ID() || recoveredOf(t, d) {
			t.Errorf("%s: recovered", name)
		}
	}
	// A namespace that the client has left by itself is over.
	e := ts.Connect("/")
	es := ns.Socket(e.ID())
	e.Leave()
	<-es.Context().Done()
	if f := back(ts, e, ""); recoveredOf(t, f) {
		t.Error("recovered after leaving")
	}
}

// TestRecoveryChecker: clients drop and come back at random while several
// goroutines broadcast; every client gets everything once and in order.
func TestRecoveryChecker(t *testing.T) {
	const clients, senders, events = 8, 4, 150
	_, ns, ts := newRecovering(t)
	ctx := t.Context()
	first := make([]*servertest.Client, clients)
	for i := range first {
		first[i] = ts.Connect("/")
		first[i].Call("join", fmt.Sprint("r", i%2))
	}
	var sending, receiving sync.WaitGroup
	for g := range senders {
		sending.Go(func() {
			for i := range events {
				target := ns.To("r0", "r1")
				if i%3 == 0 {
					target = ns.All()
				}
				if err := target.Emit(ctx, "n", g, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for k, c := range first {
		receiving.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(k)))
			var next [senders]int
			offset, drops := "", 0
			for got := 0; got < senders*events; got++ {
				e := c.Expect("n")
				var g, i int
				var at string
				if err := e.Args.DecodeAll(&g, &i, &at); err != nil {
					t.Error(err)
					return
				}
				if i != next[g] {
					t.Errorf("client %d: event %d of sender %d came, expected %d (after %d drops)", k, i, g, next[g], drops)
					return
				}
				next[g]++
				offset = at
				if rnd.IntN(40) == 0 { // what has come but wasn't looked at counts as lost
					c.Close()
					d := back(ts, c, offset)
					if d.ID() != c.ID() {
						t.Errorf("client %d was not recovered", k)
						return
					}
					c, drops = d, drops+1
				}
			}
		})
	}
	sending.Wait()
	receiving.Wait()
}
