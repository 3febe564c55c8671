package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// newArgs makes arguments, as a middleware does that replaces an event's.
func newArgs(t *testing.T, args ...any) server.Args {
	t.Helper()
	p, err := parser.Marshal(args...)
	if err != nil {
		t.Fatal(err)
	}
	a, err := parser.ParseArgs(p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// socket-middleware.ts
func TestUseEvent(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	var run []string
	note := func(e *server.Event) {
		var first, second string
		e.Decode(&first, &second)
		run = append(run, fmt.Sprint(e.Name, " ", e.Args.Len(), " ", first, second))
	}
	ns.OnAny(func(_ context.Context, e *server.Event) { note(e) })
	ns.UseEvent(func(_ context.Context, e *server.Event) error {
		note(e)
		switch e.Name {
		case "join":
			e.Name, e.Args = "wrap", newArgs(t, "join", "woot")
		case "stop":
			return server.Errorf("forbidden", "Authentication error")
		case "panic":
			panic("boom")
		}
		return nil
	})
	ns.UseEvent(func(_ context.Context, e *server.Event) error { note(e); return nil })
	ns.Handle("wrap", func(_ context.Context, e *server.Event) error { note(e); return e.Ack("wrapped") })
	for _, name := range []string{"join", "stop", "panic"} {
		server.On(ns, name, func(context.Context, *server.Socket, any) error {
			t.Errorf("the handler of %q ran", name)
			return nil
		})
	}
	var failed []error
	ns.OnError(func(_ context.Context, _ *server.Socket, err error) { failed = append(failed, err) })

	c := ts.Connect("/")
	if got := answer[string](t, c, "join", "woot"); got != "wrapped" {
		t.Error(got)
	}
	want := []string{"join 1 woot", "join 1 woot", "wrap 2 joinwoot", "wrap 2 joinwoot"}
	if !slices.Equal(run, want) {
		t.Errorf("ran %q, want %q", run, want)
	}
	run = nil
	if got := answer[failure](t, c, "stop"); got != (failure{false, "forbidden", "Authentication error"}) {
		t.Error(got)
	}
	c.Emit("stop") // without an ack nobody is told
	if got := answer[failure](t, c, "panic"); got.Code != "internal" {
		t.Error(got)
	}
	if want := []string{"stop 0 ", "stop 0 ", "stop 0 ", "stop 0 ", "panic 0 ", "panic 0 "}; !slices.Equal(run, want) {
		t.Errorf("ran %q, want %q", run, want)
	}
	answer[string](t, c, "join", "woot") // what was reported before is there
	if len(failed) != 3 || failed[0].Error() != "Authentication error" || c.Pending() != 0 {
		t.Errorf("reported %v, %d events came", failed, c.Pending())
	}
}

// socket.ts, onAny
func TestOnAny(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns, other := io.Of("/"), io.Of("/other")
	var seen []string
	for i := range 2 {
		ns.OnAny(func(ctx context.Context, e *server.Event) {
			var arg any
			e.Decode(&arg)
			seen = append(seen, fmt.Sprint(i, e.Name, arg, e.WantsAck(), e.Socket.ID() != "", ctx.Err()))
		})
	}
	ns.OnAny(func(context.Context, *server.Event) { panic("boom") }) // keeps no event from its handler
	server.OnAck(ns, "known", func(context.Context, *server.Socket, any) (int, error) { return 1, nil })
	server.OnAck(other, "known", func(context.Context, *server.Socket, any) (int, error) { return 2, nil })
	c := ts.Connect("/")
	c.Emit("my-event", "123")
	c.Emit("binary", []byte{1, 2})
	if answer[int](t, c, "known", 5) != 1 || answer[int](t, ts.Connect("/other"), "known", 5) != 2 {
		t.Error("wrong answers")
	}
	want := []string{
		"0my-event123false true <nil>", "1my-event123false true <nil>",
		"0binary[1 2] false true <nil>", "1binary[1 2] false true <nil>",
		"0known5 true true <nil>", "1known5 true true <nil>",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
	if st := io.Stats().Namespaces; st.Panics != 3 || st.Unhandled != 2 {
		t.Errorf("%d panics, %d unhandled", st.Panics, st.Unhandled)
	}
}

// socket.ts, onAnyOutgoing
func TestOnAnyOutgoing(t *testing.T) {
	for _, recovery := range []*server.Recovery{nil, {}} {
		t.Run(fmt.Sprintf("recovery=%v", recovery != nil), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				io, ts := serve(t, server.Config{Recovery: recovery})
				ns := io.Of("/")
				var mu sync.Mutex
				seen := map[string][]string{}
				ns.OnAnyOutgoing(func(_ context.Context, s *server.Socket, out server.Outgoing) {
					var arg any
					if err := out.Args.Decode(0, &arg); err != nil {
						t.Error(err)
					}
					mu.Lock() // two sockets, two mailboxes
					defer mu.Unlock()
					seen[s.ID()] = append(seen[s.ID()], fmt.Sprint(out.Name, " ", arg))
				})
				server.OnAck(ns, "acks aren't seen", func(context.Context, *server.Socket, any) (int, error) { return 1, nil })
				a, b := ts.Connect("/"), ts.Connect("/")
				s := ns.Socket(a.ID())
				ctx := t.Context()
				for _, err := range []error{
					s.Emit(ctx, "my-event", "123"),
					s.Emit(ctx, "binary", []byte{1, 2, 3}),
					s.EmitVolatile(ctx, "volatile", 1),
					s.EmitAck(func(*server.Answer, error) {}, "with ack", 2),
				} {
					if err != nil {
						t.Error(err)
					}
				}
				synctest.Wait()
				for _, err := range []error{
					ns.Emit(ctx, "to all", "456"),
					ns.To(a.ID()).Emit(ctx, "to one", []byte{4}),
					s.Broadcast().Emit(ctx, "to the rest", true),
					ns.All().Volatile().Emit(ctx, "volatile to all", nil),
				} {
					if err != nil {
						t.Error(err)
					}
				}
				go b.Expect("to all")
				a.Call("acks aren't seen")
				synctest.Wait()
				wantA := []string{"my-event 123", "binary [1 2 3]", "volatile 1", "with ack 2", "to all 456", "to one [4]", "volatile to all <nil>"}
				wantB := []string{"to all 456", "to the rest true", "volatile to all <nil>"}
				if !slices.Equal(seen[a.ID()], wantA) || !slices.Equal(seen[b.ID()], wantB) {
					t.Errorf("seen\n%q\n%q, want\n%q\n%q", seen[a.ID()], seen[b.ID()], wantA, wantB)
				}
				a.Close()
				b.Close()
			})
		})
	}
}

// middleware.ts
func TestMiddlewareOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{})
		io.Of("/").Use(func(context.Context, *server.Socket) error {
			t.Error("a middleware of / ran for /chat")
			return nil
		})
		ns := io.Of("/chat")
		var run []string
		for i := range 3 {
			ns.Use(func(_ context.Context, s *server.Socket) error {
				time.Sleep(50 * time.Millisecond)
				run = append(run, fmt.Sprint(i, " ", s.Connected(), len(ns.Sockets()), ns.Socket(s.ID()) != nil, len(s.Rooms())))
				return nil
			})
		}
		ns.OnConnect(func(_ context.Context, s *server.Socket) error {
			run = append(run, fmt.Sprint("connect ", s.Connected(), len(ns.Sockets()), ns.Socket(s.ID()) == s, s.Rooms()[0] == s.ID()))
			return nil
		})
		ts.Connect("/chat").Close()
		synctest.Wait()
		want := []string{"0 false 0 false 0", "1 false 0 false 0", "2 false 0 false 0", "connect true 1 true true"}
		if !slices.Equal(run, want) {
			t.Errorf("ran %q, want %q", run, want)
		}
	})
}

// middleware.ts: an error ends the row; what went wrong inside is not the client's business.
func TestMiddlewareErrors(t *testing.T) {
	for _, test := range []struct {
		err     error
		message string
		data    string
	}{
		{errors.New("Authentication error"), "Authentication error", ""},
		{&server.Error{Message: "Authentication error", Data: map[string]any{"a": "b", "c": 3}}, "Authentication error", `{"a":"b","c":3}`},
		{fmt.Errorf("wrapped: %w", &server.Error{Code: "x", Message: "inner", Data: 7}), "wrapped: inner", "7"},
		{&server.Error{Message: "can't be encoded", Data: func() {}}, "can't be encoded", ""},
		{nil, "internal error", ""}, // panics
	} {
		io, ts := serve(t, server.Config{})
		ns := io.Of("/")
		ns.Use(func(_ context.Context, s *server.Socket) error {
			if test.err == nil {
				panic("boom")
			}
			return errors.Join(s.Join("room1"), test.err)
		})
		ns.Use(func(context.Context, *server.Socket) error { t.Error("the next middleware ran"); return nil })
		ns.OnConnect(func(context.Context, *server.Socket) error { t.Error("connected"); return nil })
		ns.OnDisconnect(func(context.Context, *server.Socket, string) { t.Error("disconnected") })
		_, err := ts.TryConnect("/")
		var refused *servertest.ConnectError
		if !errors.As(err, &refused) || refused.Message != test.message || string(refused.Data) != test.data {
			t.Errorf("%v: the client got %v", test.err, err)
		}
	}
}

// namespaces.ts: an OnConnect that fails disconnects the socket.
func TestConnectError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{})
		ns := io.Of("/")
		left := reasons(io)
		var failed []error
		ns.OnError(func(_ context.Context, _ *server.Socket, err error) { failed = append(failed, err) })
		ns.OnConnect(func(context.Context, *server.Socket) error { return errors.New("no") })
		ns.OnConnect(func(context.Context, *server.Socket) error { t.Error("the next ran"); return nil })
		w := dial(t, ts, "websocket")
		w.connect("/", "")
		w.expect("41", "nothing")
		if got := <-left; got != server.ReasonServer || len(failed) != 1 {
			t.Error(got, failed)
		}
		w.cut()
	})
}

// socket-io.adapter: create-room, join-room, leave-room, delete-room
func TestOnRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{})
		ns := io.Of("/")
		var log []server.RoomChange
		ns.OnRoom(func(c server.RoomChange) { log = append(log, c) })
		a, b := ts.Connect("/"), ts.Connect("/")
		synctest.Wait()
		sa, sb := ns.Socket(a.ID()), ns.Socket(b.ID())
		check := func(what string, want ...server.RoomChange) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(log, want) {
				t.Errorf("%s: heard %+v, want %+v", what, log, want)
			}
			log = nil
		}
		check("connect", server.RoomChange{Room: a.ID(), Socket: a.ID(), Joined: true, Edge: true},
			server.RoomChange{Room: b.ID(), Socket: b.ID(), Joined: true, Edge: true})
		sa.Join("r")
		sa.Join("r") // is in it
		sb.Join("r")
		check("join", server.RoomChange{Room: "r", Socket: a.ID(), Joined: true, Edge: true},
			server.RoomChange{Room: "r", Socket: b.ID(), Joined: true})
		sa.Leave("r", "unknown")
		sa.Leave("r")
		check("leave", server.RoomChange{Room: "r", Socket: a.ID()})
		b.Leave()
		check("disconnect", server.RoomChange{Room: "r", Socket: b.ID(), Edge: true},
			server.RoomChange{Room: b.ID(), Socket: b.ID(), Edge: true})
		if rooms := ns.Rooms(); len(rooms) != 1 || rooms[0] != a.ID() {
			t.Errorf("left are %q", rooms)
		}
		a.Close()
	})
}
