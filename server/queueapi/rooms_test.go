package queueapi_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/queueapi"
	"github.com/roomcast/roomcast/server/servertest"
)

// roomEvent is an inbox:message of a room.
type roomEvent struct {
	Data struct {
		Room, Event string
		Args        []any
	}
}

// joinable has sockets join rooms durably, and leave them.
func joinable(b *bench, ns *server.Namespace) {
	server.OnAck(ns, "join", func(ctx context.Context, s *server.Socket, rooms []string) (bool, error) {
		return true, b.api.Join(ctx, s, rooms...)
	})
	server.OnAck(ns, "leave", func(ctx context.Context, s *server.Socket, rooms []string) (bool, error) {
		return true, b.api.Leave(ctx, s, rooms...)
	})
}

// TestDurableRoom: a member that is away gets what was sent to the room when it is back.
func TestDurableRoom(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		joinable(b, b.io.Of("/"))
		ada := b.client("ada")
		ada.Call("join", []string{"lobby: Ü"})
		ada.Close()
		synctest.Wait()
		for i := range 3 {
			if err := b.io.To("lobby: Ü").Durable().Emit(t.Context(), "said", i, []byte{9}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.io.Of("/").To("lobby: Ü").Durable().Emit(t.Context(), "bye"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ada = b.client("ada")
		ada.must("inbox:open", m{})
		for i := range 3 {
			var v roomEvent
			ada.Expect("inbox:message").Decode(&v)
			if v.Data.Room != "lobby: Ü" || v.Data.Event != "said" || v.Data.Args[0] != float64(i) || !bytes.Equal(v.Data.Args[1].([]byte), []byte{9}) {
				t.Errorf("%+v", v)
			}
		}
		var v roomEvent
		ada.Expect("inbox:message").Decode(&v)
		if v.Data.Event != "bye" || v.Data.Args == nil || len(v.Data.Args) != 0 {
			t.Errorf("%+v", v)
		}
		ada.Call("leave", []string{"lobby: Ü"})
		if err := b.io.To("lobby: Ü").Durable().Emit(t.Context(), "said", 4); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		ada.quiet()
	})
}

// TestDurableRooms: who is in several rooms gets an event once, and others theirs.
func TestDurableRooms(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		joinable(b, b.io.Of("/"))
		rooms := map[string][]string{"ada": {"a", "b"}, "bob": {"b"}, "eve": {"c"}}
		clients := map[string]*client{}
		for name, joined := range rooms {
			c := b.client(name)
			c.Call("join", joined)
			c.must("inbox:open", m{})
			clients[name] = c
		}
		for range 2 { // what is sent twice arrives twice
			if err := b.io.To("a").To("b", "a").Durable().Emit(t.Context(), "said", "hello"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		for _, name := range []string{"ada", "bob"} {
			for range 2 {
				e, _ := clients[name].message("inbox:message")
				e.Ack()
			}
		}
		for _, c := range clients {
			c.quiet()
		}
	})
}

// TestDurableElsewhere: a namespace without the events of queues has durable rooms, too, when it is told who keeps them.
func TestDurableElsewhere(t *testing.T) {
	run(t, queueapi.Config{}, func(t *testing.T, b *bench) {
		chat := b.io.Of("/chat")
		chat.KeepWith(b.api)
		joinable(b, chat)
		ada := b.client("ada")
		tab := b.http.Connect("/chat", servertest.Auth(m{"user": "ada"}))
		tab.Call("join", []string{"lobby"})
		tab.Close()
		if err := b.io.To("lobby").Durable().Emit(t.Context(), "another room"); err != nil {
			t.Fatal(err)
		}
		if err := chat.To("lobby").Durable().Emit(t.Context(), "said"); err != nil {
			t.Fatal(err)
		}
		ada.must("inbox:open", m{})
		var v roomEvent
		ada.Expect("inbox:message").Decode(&v)
		if v.Data.Event != "said" {
			t.Errorf("%+v", v)
		}
		ada.quiet()
	})
}

// TestDurableRefused: what a durable broadcast can't do is refused, not left out.
func TestDurableRefused(t *testing.T) {
	store := &failing{Store: memqueue.New(memqueue.Config{})}
	runWith(t, store, queueapi.Config{}, func(t *testing.T, b *bench) {
		ns := b.io.Of("/")
		b.client("")
		nobody := ns.Sockets()[0]
		parent := b.io.OfMatch(regexp.MustCompile("^/org-"))
		queueapi.Open(parent, queueapi.Config{Broker: b.broker})
		for name, c := range map[string]struct {
			of   server.Broadcast
			want error
		}{
			"except":      {b.io.To("a").Except("b"), server.ErrDurable},
			"a socket's":  {nobody.To("a"), server.ErrDurable},
			"local":       {b.io.To("a").Local(), server.ErrDurable},
			"volatile":    {b.io.To("a").Volatile(), server.ErrDurable},
			"compress":    {b.io.To("a").Compress(false), server.ErrDurable},
			"no rooms":    {ns.All(), server.ErrDurable},
			"no queues":   {b.io.Of("/other").To("a"), server.ErrNoKeeper},
			"parent":      {parent.To("a"), server.ErrParent},
			"a child's":   {b.io.Of("/org-1").To("a"), nil},
			"on":          {b.io.To("a").Compress(true), nil},
			"many, twice": {b.io.To("a", "a", "b"), nil},
		} {
			if err := c.of.Durable().Emit(t.Context(), "said"); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := b.io.To("a").Durable().Emit(t.Context(), "said", make(chan int)); err == nil {
			t.Error("a channel was stored")
		}
		if err := b.api.Join(t.Context(), nobody, "a"); queues.CodeOf(err) != queues.CodeUnauthorized {
			t.Errorf("nobody joined: %v", err)
		}
		if err := b.api.Leave(t.Context(), nobody, "a"); queues.CodeOf(err) != queues.CodeUnauthorized {
			t.Errorf("nobody left: %v", err)
		}
		store.err.Store(queues.ErrQueueFull)
		if err := b.io.To("a", "b").Durable().Emit(t.Context(), "said"); queues.CodeOf(err) != queues.CodeQueueFull {
			t.Errorf("while the store is full: %v", err)
		}
	})
}

// TestDurableWithoutQueues: a server without queues says so.
func TestDurableWithoutQueues(t *testing.T) {
	io, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := io.To("a").Durable().Emit(t.Context(), "said"); !errors.Is(err, server.ErrNoKeeper) {
		t.Error(err)
	}
	if err := io.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}
