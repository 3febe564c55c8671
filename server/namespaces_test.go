package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

var orgs = regexp.MustCompile(`^/org-\d+$`)

// has reports whether a namespace exists.
func has(io *server.Server, name string) bool {
	return slices.ContainsFunc(io.Namespaces(), func(ns *server.Namespace) bool { return ns.Name() == name })
}

// namespaces.ts: names
func TestNamespaceNames(t *testing.T) {
	io, ts := serve(t, server.Config{})
	var made []string
	io.OnNamespace(func(ns *server.Namespace) { made = append(made, ns.Name()) })
	if io.Of("") != io.Of("/") || io.Of("x") != io.Of("/x") || io.Of("/x") == io.Of("/") || !has(io, "/x") {
		t.Error("names differ")
	}
	io.OfMatch(orgs)
	ts.Connect("/org-1")
	ts.Connect("/org-1")
	if want := []string{"/x", "/org-1"}; !slices.Equal(made, want) {
		t.Errorf("OnNamespace heard %q, want %q", made, want)
	}
}

// namespaces.ts: several namespaces on one connection have their own sockets, ids and
// rooms; the end of the connection ends them all, DISCONNECT only one.
func TestMultiplexing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{})
		var mu sync.Mutex
		var log []string
		names := []string{"/", "/chat", "/news"}
		for _, name := range names {
			ns := io.Of(name)
			note := func(what string, s *server.Socket) {
				mu.Lock()
				defer mu.Unlock()
				log = append(log, name+" "+what)
			}
			ns.OnConnect(func(_ context.Context, s *server.Socket) error { note("connect", s); return s.Join("room") })
			ns.OnDisconnect(func(_ context.Context, s *server.Socket, reason string) { note(reason, s) })
		}
		heard := func() (list []string) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			list, log = log, nil
			slices.Sort(list)
			return list
		}
		w := dial(t, ts, "polling")
		var ids []string
		for _, name := range names {
			ids = append(ids, w.connect(name, ""))
		}
		if got, want := heard(), []string{"/ connect", "/chat connect", "/news connect"}; !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
		slices.Sort(ids)
		if len(slices.Compact(ids)) != 3 {
			t.Error("two namespaces have one id", ids)
		}
		if s := io.Of("/chat").Sockets()[0]; s.Session() != io.Of("/").Sockets()[0].Session() || s.In(io.Of("/").Sockets()[0].ID()) {
			t.Error("one connection has two sessions, or a room is shared")
		}
		if err := io.Of("/chat").To("room").Emit(t.Context(), "hi"); err != nil {
			t.Error(err)
		}
		w.expect(`42/chat,["hi"]`)
		w.send("41/chat,")
		if got, want := heard(), []string{"/chat client namespace disconnect"}; !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
		w.cut()
		if got, want := heard(), []string{"/ transport error", "/news transport error"}; !slices.Equal(got, want) {
			t.Errorf("heard %q, want %q", got, want)
		}
	})
}

// namespaces.ts, utility-methods.ts: finding sockets, and moving them.
func TestFetchSockets(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/chat")
	ctx := t.Context()
	var ids []string
	for i := range 3 {
		c := ts.Connect("/chat", servertest.Auth(map[string]int{"n": i}))
		ids = append(ids, c.ID())
		s := ns.Socket(c.ID())
		s.Set("n", i)
		s.Join(fmt.Sprint("room", i%2))
	}
	ts.Connect("/") // of another namespace
	fetch := func(b server.Broadcast) (list []string) {
		t.Helper()
		found, err := b.FetchSockets(ctx)
		if err != nil {
			t.Error(err)
		}
		for _, s := range found {
			list = append(list, s.ID)
		}
		slices.Sort(list)
		return list
	}
	expect := func(b server.Broadcast, which ...int) {
		t.Helper()
		want := []string{}
		for _, i := range which {
			want = append(want, ids[i])
		}
		slices.Sort(want)
		if got := fetch(b); !slices.Equal(got, want) {
			t.Errorf("found %q, want %q", got, want)
		}
	}
	expect(ns.All(), 0, 1, 2)
	expect(ns.To("room0"), 0, 2)
	expect(ns.To("room0", "room1"), 0, 1, 2)
	expect(ns.To("room0").Except(ids[0]), 2)
	expect(ns.To("nobody"))
	expect(ns.Local(), 0, 1, 2)

	found, _ := ns.To(ids[1]).FetchSockets(ctx)
	one := found[0]
	if one.ID != ids[1] || one.Data["n"] != 1 || string(one.Handshake.Auth) != `{"n":1}` || !slices.Contains(one.Rooms, "room1") {
		t.Errorf("%+v", one)
	}

	for _, err := range []error{
		ns.All().Join(ctx, "everybody"), ns.To("room0").Join(ctx, "evens", "more"),
		ns.To("room1").Leave(ctx, "everybody"), one.Join(ctx, "odd"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	expect(ns.To("everybody"), 0, 2)
	expect(ns.To("evens"), 0, 2)
	expect(ns.To("odd"), 1)
	if err := one.Leave(ctx, "odd"); err != nil {
		t.Error(err)
	}
	expect(ns.To("odd"))
	s := ns.Socket(ids[0])
	if err := ns.To("evens").Except(ids[2]).Disconnect(ctx, false); err != nil {
		t.Error(err)
	}
	<-s.Context().Done()
	expect(ns.All(), 1, 2)
	if err := ns.All().Disconnect(ctx, true); err != nil {
		t.Error(err)
	}
	expect(ns.All())
}

// messaging-many.ts: rooms come and go with their members.
func TestRoomLife(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	s := ns.Socket(ts.Connect("/").ID())
	rooms := func(want ...string) {
		t.Helper()
		all := ns.Rooms()
		got := s.Rooms()
		want = append(want, s.ID())
		for _, list := range [][]string{all, got, want} {
			slices.Sort(list)
		}
		if !slices.Equal(got, want) || !slices.Equal(all, want) {
			t.Errorf("the socket is in %q, there are %q, want %q", got, all, want)
		}
	}
	rooms()
	s.Join("a")
	rooms("a")
	s.Join("b", "c", "a")
	rooms("a", "b", "c")
	s.Leave("b", "unknown")
	rooms("a", "c")
	if !s.In("a") || s.In("b") || ns.Count("a") != 1 || ns.Count("b") != 0 {
		t.Error(s.Rooms(), ns.Count("a"))
	}
	s.Disconnect(true)
	<-s.Context().Done()
	for deadline := time.Now().Add(servertest.Patience); len(ns.Rooms())+len(s.Rooms()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("rooms are left:", ns.Rooms(), s.Rooms())
		}
	}
	if err := s.Join("late"); !errors.Is(err, server.ErrDisconnected) || len(ns.Rooms()) != 0 {
		t.Error(err, ns.Rooms())
	}
}

// messaging-many.ts, namespaces.ts: a Broadcast is a value; what is made of it doesn't change it.
func TestBroadcastIsAValue(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	ctx := t.Context()
	a, b := ts.Connect("/"), ts.Connect("/")
	for name, base := range map[string]server.Broadcast{
		"of the namespace": ns.To("room1").In(a.ID()),
		"of a socket":      ns.Socket(b.ID()).To("room1", a.ID()),
	} {
		// More rooms would go into the array that they share, were it not clipped.
		base.To(b.ID())
		base.Except(a.ID())
		base.Volatile().Compress(false).Local().To(b.ID()).Except(a.ID())
		if err := base.Emit(ctx, "hello", name); err != nil {
			t.Error(err)
		}
		a.Expect("hello")
	}
	ns.Emit(ctx, "end")
	a.Expect("end")
	b.Expect("end") // b got nothing before it
}

// namespaces.ts, socket.ts: names that mean something else.
func TestReservedNames(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	s := ns.Socket(ts.Connect("/").ID())
	ctx := t.Context()
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		_, callErr := s.Call(ctx, name)
		_, askErr := ns.All().Call(ctx, name)
		for _, err := range []error{
			s.Emit(ctx, name), s.EmitVolatile(ctx, name), s.EmitAck(func(*server.Answer, error) {}, name), callErr,
			ns.Emit(ctx, name), s.Broadcast().Emit(ctx, name), askErr,
		} {
			if !errors.Is(err, parser.ErrReserved) || err.Error() != fmt.Sprintf("%q is a reserved event name", name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, name := range []string{"connect", "connection", "new_namespace"} {
		_, callErr := ns.ServerSideCall(ctx, name)
		for _, err := range []error{ns.ServerSideEmit(ctx, name), callErr} {
			if !errors.Is(err, parser.ErrReserved) {
				t.Errorf("%s among servers: %v", name, err)
			}
		}
	}
	for _, name := range []string{"connection", "error", "message", "ping", ""} {
		if err := s.Emit(ctx, name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// messaging-many.ts: who doesn't ack in time is told of, beside the answers of the others.
func TestBroadcastCallTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{Limits: server.Limits{PendingAcks: 1}})
		ns := io.Of("/")
		clients := []*servertest.Client{ts.Connect("/"), ts.Connect("/"), ts.Connect("/")}
		for i := range 2 { // again: nothing is pending from the first time
			for _, c := range clients[:2] {
				go func() { c.Expect("some event").Ack(i) }()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			answers, err := ns.All().Call(ctx, "some event")
			cancel()
			clients[2].Expect("some event")
			if !errors.Is(err, server.ErrAckTimeout) || len(answers) != 2 {
				t.Errorf("%d answers, %v", len(answers), err)
			}
		}
		// Without a deadline Config.AckTimeout holds.
		begin := time.Now()
		answers, err := ns.To(clients[2].ID()).Call(t.Context(), "some event")
		if !errors.Is(err, server.ErrAckTimeout) || len(answers) != 0 || time.Since(begin) != 30*time.Second {
			t.Errorf("%d answers, %v, after %v", len(answers), err, time.Since(begin))
		}
		for _, c := range clients {
			c.Close()
		}
	})
}

// namespaces.ts: dynamic namespaces by a pattern and by a function.
func TestDynamicBySeveral(t *testing.T) {
	io, ts := serve(t, server.Config{})
	parent := io.OfMatch(orgs)
	var mu sync.Mutex
	var asked []string
	io.OfFunc(func(_ context.Context, name string, auth json.RawMessage) bool {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, name+string(auth))
		return name == "/dynamic-101"
	})
	io.OfFunc(func(context.Context, string, json.RawMessage) bool { panic("boom") })
	parent.Use(func(_ context.Context, s *server.Socket) error { return s.Join("some-room") })
	var refused *servertest.ConnectError
	if _, err := ts.TryConnect("/abc", servertest.Auth(map[string]int{"n": 1})); !errors.As(err, &refused) || refused.Message != "Invalid namespace" {
		t.Error(err)
	}
	a, b, d := ts.Connect("/org-1"), ts.Connect("/org-2"), ts.Connect("/dynamic-101")
	if want := []string{`/abc{"n":1}`, "/dynamic-101"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	// What is sent by the parent reaches its children, and no others.
	ctx := t.Context()
	parent.Emit(ctx, "hello", 1, "2", map[int]int{3: 4})
	parent.To("some-room").Emit(ctx, "in the room")
	parent.To("nobody").Emit(ctx, "nowhere")
	for _, c := range []*servertest.Client{a, b} {
		c.Expect("hello")
		c.Expect("in the room")
	}
	if d.Pending() != 0 {
		t.Error("another parent's child got something")
	}
	_, fetchErr := parent.FetchSockets(ctx)
	_, callErr := parent.All().Call(ctx, "x")
	for _, err := range []error{fetchErr, callErr, parent.All().Join(ctx, "x")} {
		if !errors.Is(err, server.ErrParent) {
			t.Error(err)
		}
	}
	// One made by the program belongs to the parent, too.
	made := io.Of("/org-3")
	c := ts.Connect("/org-3")
	if s := made.Socket(c.ID()); s == nil || !s.In("some-room") {
		t.Error("the parent's middlewares didn't run in a child that the program made")
	}
	parent.Emit(ctx, "to all children")
	c.Expect("to all children")
}

// namespaces.ts, #4136: clients that ask for a namespace at the same time come into one.
func TestDynamicRace(t *testing.T) {
	for range 20 {
		io, ts := serve(t, server.Config{CleanupEmpty: true})
		var mu sync.Mutex
		created := 0
		io.OnNamespace(func(*server.Namespace) { mu.Lock(); created++; mu.Unlock() })
		var both sync.WaitGroup
		both.Add(2)
		io.OfFunc(func(context.Context, string, json.RawMessage) bool {
			both.Done()
			both.Wait() // neither exists for the other
			return true
		})
		clients := make(chan *servertest.Client, 2)
		for range 2 {
			go func() {
				c, err := ts.TryConnect("/dynamic-101")
				if err != nil {
					t.Error(err)
				}
				clients <- c
			}()
		}
		a, b := <-clients, <-clients
		if a == nil || b == nil {
			t.FailNow()
		}
		io.Of("/dynamic-101").Emit(t.Context(), "message")
		a.Expect("message")
		b.Expect("message")
		if created != 1 {
			t.Errorf("%d namespaces were made", created)
		}
	}
}

// A namespace that is cleaned up while clients come and go loses none of them.
func TestCleanupRace(t *testing.T) {
	io, ts := serve(t, server.Config{CleanupEmpty: true})
	parent := io.OfMatch(orgs)
	server.OnAck(parent, "where", func(_ context.Context, s *server.Socket, _ any) (bool, error) {
		return io.Of(s.Namespace().Name()) == s.Namespace(), nil
	})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				c, err := ts.TryConnect("/org-1")
				if err != nil {
					t.Error(err)
					return
				}
				var registered bool
				if err := c.Call("where").Decode(0, &registered); err != nil || !registered {
					t.Error("a client is in a namespace that was forgotten", err)
				}
				c.Close()
			}
		})
	}
	all.Wait()
	waitFor(t, "the namespace is still there", func() bool { return !has(io, "/org-1") })
	if n := io.Stats().Namespaces.Rooms; n != 0 {
		t.Errorf("%d rooms are left", n)
	}
}

// waitFor waits for what another goroutine is about to do.
func waitFor(t *testing.T, or string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * servertest.Patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(or)
		}
	}
}

// TestCleanupRecovery: the only client of a dynamic namespace loses its connection. The namespace, and the log with
// what the client missed, was cleaned up at once, so that it came back to a fresh session.
func TestCleanupRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{
			CleanupEmpty: true, Recovery: &server.Recovery{}, Limits: server.Limits{Namespaces: 2},
		})
		server.OnAck(io.OfMatch(orgs), "recovered", func(_ context.Context, s *server.Socket, _ any) (bool, error) {
			return s.Recovered(), nil
		})
		c := ts.Connect("/org-1")
		for range 2 {
			c.Close()
			synctest.Wait()
			time.Sleep(time.Minute)
			if !has(io, "/org-1") {
				t.Fatal("the namespace is gone while its client may come back")
			}
			io.Of("/org-1").Emit(t.Context(), "missed")
			c = ts.Connect("/org-1", servertest.Auth(map[string]any{"pid": c.PrivateID()}))
			c.Expect("missed")
			if !answer[bool](t, c, "recovered") {
				t.Error("not recovered")
			}
		}
		time.Sleep(3 * time.Minute) // with a client it stays in any case
		if !has(io, "/org-1") {
			t.Fatal("the namespace is gone under its client")
		}
		c.Close()
		time.Sleep(2*time.Minute + time.Second)
		if has(io, "/org-1") {
			t.Error("the namespace is still there, though nobody can come back")
		}
		// Who leaves doesn't come back.
		c = ts.Connect("/org-2")
		c.Leave()
		synctest.Wait()
		if has(io, "/org-2") {
			t.Error("the namespace is still there after its client has left it")
		}
		// Namespaces that only wait make room for others.
		for _, name := range []string{"/org-3", "/org-4"} {
			ts.Connect(name).Close()
			synctest.Wait()
		}
		for _, name := range []string{"/org-5", "/org-6"} {
			ts.Connect(name)
		}
		if has(io, "/org-3") || has(io, "/org-4") {
			t.Error("namespaces that wait are still there")
		}
		if _, err := ts.TryConnect("/org-7"); err == nil {
			t.Error("there are more namespaces than may be")
		}
	})
}

// namespaces.ts: which namespaces are cleaned up, when their last client goes or is refused.
func TestCleanup(t *testing.T) {
	for _, test := range []struct {
		name, namespace string
		on              bool // CleanupEmpty
		refuse, others  bool
		stays           bool
	}{
		{"static", "/static", true, false, false, true},
		{"static, refused", "/static", true, true, false, true},
		{"on", "/org-1", true, false, false, false},
		{"off", "/org-1", false, false, false, true},
		{"refused, off", "/org-1", false, true, false, true},
		{"refused, on", "/org-1", true, true, false, false},
		{"refused, on, with others", "/org-1", true, true, true, true},
		{"on, with others", "/org-1", true, false, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				io, ts := serve(t, server.Config{CleanupEmpty: test.on})
				refuse := false
				for _, ns := range []*server.Namespace{io.Of("/static"), io.OfMatch(orgs)} {
					ns.Use(func(context.Context, *server.Socket) error {
						if refuse {
							return errors.New("You shall not pass!")
						}
						return nil
					})
				}
				var other *servertest.Client
				if test.others {
					other = ts.Connect(test.namespace)
				}
				synctest.Wait()
				refuse = test.refuse
				c, err := ts.TryConnect(test.namespace)
				if refuse != (err != nil) {
					t.Fatal(err)
				}
				if err == nil {
					c.Close()
				}
				synctest.Wait()
				if has(io, test.namespace) != test.stays {
					t.Errorf("the namespace is there: %v", !test.stays)
				}
				if other != nil && (io.Of(test.namespace).Socket(other.ID()) == nil || len(io.Of(test.namespace).Sockets()) != 1) {
					t.Error("the other client is gone")
				}
				refuse = false
				again := ts.Connect(test.namespace) // made anew, if need be
				if io.Of(test.namespace).Socket(again.ID()) == nil {
					t.Error("the client is not in the namespace of that name")
				}
			})
		})
	}
}
