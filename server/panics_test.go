package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/server"
)

// TestPanics: a panic in any of the program's functions ends neither the process nor
// anybody else's connection, and is counted and logged.
func TestPanics(t *testing.T) {
	type ns = *server.Namespace
	ctx := context.Background()
	for name, test := range map[string]struct {
		set    func(ns)
		act    func(w *wire, s *server.Socket) // besides connecting
		panics int64                           // at least
	}{
		"Use":             {func(ns ns) { ns.Use(func(context.Context, *server.Socket) error { panic("boom") }) }, nil, 1},
		"OnConnect":       {func(ns ns) { ns.OnConnect(func(context.Context, *server.Socket) error { panic("boom") }) }, nil, 1},
		"OnDisconnecting": {func(ns ns) { ns.OnDisconnecting(func(context.Context, *server.Socket, string) { panic("boom") }) }, func(w *wire, _ *server.Socket) { w.send("41") }, 1},
		"OnDisconnect":    {func(ns ns) { ns.OnDisconnect(func(context.Context, *server.Socket, string) { panic("boom") }) }, func(w *wire, _ *server.Socket) { w.send("41") }, 1},
		"OnAny":           {func(ns ns) { ns.OnAny(func(context.Context, *server.Event) { panic("boom") }) }, func(w *wire, _ *server.Socket) { w.send(`42["e"]`) }, 1},
		"OnAnyOutgoing": {func(ns ns) {
			ns.OnAnyOutgoing(func(context.Context, *server.Socket, server.Outgoing) { panic("boom") })
		}, func(_ *wire, s *server.Socket) { s.Emit(ctx, "e") }, 1},
		"OnRoom":        {func(ns ns) { ns.OnRoom(func(server.RoomChange) { panic("boom") }) }, func(_ *wire, s *server.Socket) { s.Join("r"); s.Leave("r") }, 3},
		"UseEvent":      {func(ns ns) { ns.UseEvent(func(context.Context, *server.Event) error { panic("boom") }) }, func(w *wire, _ *server.Socket) { w.send(`42["e"]`) }, 1},
		"HandleOther":   {func(ns ns) { ns.HandleOther(func(context.Context, *server.Event) error { panic("boom") }) }, func(w *wire, _ *server.Socket) { w.send(`42["other"]`) }, 1},
		"Handle":        {func(ns ns) { ns.Handle("e", func(context.Context, *server.Event) error { panic("boom") }) }, func(w *wire, _ *server.Socket) { w.send(`42["e"]`) }, 1},
		"On":            {func(ns ns) { server.On(ns, "e", func(context.Context, *server.Socket, int) error { panic("boom") }) }, func(w *wire, _ *server.Socket) { w.send(`42["e",1]`) }, 1},
		"UnmarshalJSON": {func(ns ns) { server.On(ns, "e", func(context.Context, *server.Socket, touchy) error { return nil }) }, func(w *wire, _ *server.Socket) { w.send(`42["e",{}]`) }, 1},
		"MarshalJSON": {func(ns ns) {
			server.OnAck(ns, "e", func(context.Context, *server.Socket, int) (touchy, error) { return touchy{}, nil })
		}, func(w *wire, _ *server.Socket) { w.send(`420["e",1]`) }, 1},
		"Use, an error's text": {func(ns ns) { ns.Use(func(context.Context, *server.Socket) error { return touchy{} }) }, nil, 1},
		"Use, a nil pointer":   {func(ns ns) { ns.Use(func(context.Context, *server.Socket) error { return (*pointed)(nil) }) }, nil, 1},
		"Use, an error's data": {func(ns ns) {
			ns.Use(func(context.Context, *server.Socket) error { return &server.Error{Data: touchy{}} })
		}, nil, 1},
		"an error's data": {func(ns ns) {
			server.On(ns, "e", func(context.Context, *server.Socket, int) error { return &server.Error{Data: touchy{}} })
		}, func(w *wire, _ *server.Socket) { w.send(`420["e",1]`) }, 1},
		"OnConnect, an error's text": {func(ns ns) { ns.OnConnect(func(context.Context, *server.Socket) error { return touchy{} }) }, nil, 1},
		"an error's text": {func(ns ns) {
			server.On(ns, "e", func(context.Context, *server.Socket, int) error { return touchy{} })
		}, func(w *wire, _ *server.Socket) { w.send(`420["e",1]`) }, 1},
		"OnError": {func(ns ns) {
			ns.OnError(func(context.Context, *server.Socket, error) { panic("boom") })
			server.On(ns, "e", func(context.Context, *server.Socket, int) error { return fmt.Errorf("an error") })
		}, func(w *wire, _ *server.Socket) { w.send(`42["e",1]`) }, 1},
		"the callback of an ack": {func(ns) {}, func(w *wire, s *server.Socket) {
			s.EmitAck(func(*server.Answer, error) { panic("boom") }, "question")
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				io, ts := serve(t, server.Config{AckTimeout: time.Second, Logger: slog.New(careless{slog.DiscardHandler})})
				server.OnAck(io.Of("/other"), "echo", func(_ context.Context, _ *server.Socket, v any) (any, error) { return v, nil })
				test.set(io.Of("/"))
				w := dial(t, ts, "websocket")
				w.connect("/other", "")
				w.send("40")
				answer := w.next()
				if strings.HasPrefix(name, "Use") && name != "UseEvent" && answer != `44{"message":"internal error"}` {
					t.Errorf("CONNECT is answered with %s", answer)
				}
				synctest.Wait()
				if test.act != nil {
					test.act(w, io.Of("/").Sockets()[0])
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				acked := false
				for len(w.in) > 0 {
					acked = <-w.in == `430[{"ok":false,"code":"internal","message":"internal error"}]` || acked
				}
				if asked := name == "MarshalJSON" || strings.HasPrefix(name, "an error's"); acked != asked {
					t.Errorf("an ack of an internal error: %v, want %v", acked, asked)
				}
				w.send(`42/other,7["echo","alive"]`)
				w.expect(`43/other,7["alive"]`)
				if n := io.Stats().Namespaces.Panics; n < test.panics {
					t.Errorf("%d panics counted, want %d", n, test.panics)
				}
				w.cut()
				synctest.Wait()
				if err := io.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// touchy panics whatever is done with it.
type touchy struct{}

func (touchy) MarshalJSON() ([]byte, error) { panic("boom") }
func (*touchy) UnmarshalJSON([]byte) error  { panic("boom") }
func (touchy) Error() string                { panic("boom") }

// pointed is an error with the usual mistake: a nil pointer to it isn't nil.
type pointed struct{ text string }

func (p *pointed) Error() string { return p.text }

// careless is a log that lets panics through.
type careless struct{ slog.Handler }

func (careless) Enabled(context.Context, slog.Level) bool { return true }

func (careless) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			_ = err.Error()
		}
		return true
	})
	return nil
}

// Clients may be in so many namespaces, and so many dynamic ones may exist; and they are
// told when there can't be more.
func TestNamespaceLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{CleanupEmpty: true, Limits: server.Limits{NamespacesPerClient: 3, Namespaces: 4}})
		io.OfMatch(orgs)
		a, b := dial(t, ts, "websocket"), dial(t, ts, "polling")
		for i := range 3 {
			a.connect(fmt.Sprint("/org-", i), "")
		}
		const full = `{"message":"Too many namespaces"}`
		a.send("40/org-3,")
		a.expect("44/org-3," + full)
		a.send("40") // a static one counts for the client, too
		a.expect("44" + full)
		b.connect("/org-0", "") // is there
		b.connect("/org-3", "")
		b.send("40/org-4,")
		b.expect("44/org-4," + full) // of all clients
		a.send("41/org-2,")
		synctest.Wait()
		b.connect("/org-4", "") // there is room again
		a.connect("/", "")
		if n := io.Stats().Namespaces.Namespaces; n != 5 {
			t.Errorf("%d namespaces", n)
		}
		if n := io.Stats().Namespaces.Rejected["namespaces"]; n != 3 {
			t.Errorf("%d counted", n)
		}
		a.cut()
		b.cut()
	})
	// At most so many are asked for at a time, if that takes its time.
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{Limits: server.Limits{NamespacesPerClient: 3}, ConnectTimeout: -1})
		asked := make(chan string, 10)
		io.OfFunc(func(ctx context.Context, name string, _ json.RawMessage) bool {
			asked <- name
			<-ctx.Done()
			return false
		})
		w := dial(t, ts, "websocket")
		for i := range 4 {
			w.send(fmt.Sprintf("40/x%d,", i))
		}
		w.expect(`44/x3,{"message":"Too many namespaces"}`)
		synctest.Wait()
		if len(asked) != 3 {
			t.Errorf("asked for %d", len(asked))
		}
		w.cut()
	})
}

// Handshakes that are never used are gone when the time to join a namespace is over.
func TestBareHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{})
		for i := range 200 {
			if i%2 == 0 {
				open(t, ts)
			} else {
				dial(t, ts, "websocket")
			}
		}
		if n := io.Stats().Engine.Sessions(); n != 200 {
			t.Errorf("%d sessions", n)
		}
		time.Sleep(10*time.Second - 1)
		if n := io.Stats().Engine.Sessions(); n != 200 {
			t.Errorf("%d sessions just before", n)
		}
		time.Sleep(1) // polling clients don't have to fetch a close packet
		synctest.Wait()
		st := io.Stats()
		if st.Engine.Sessions() != 0 || st.Namespaces.Clients != 0 || st.Namespaces.Rejected["connect_timeout"] != 200 {
			t.Errorf("%d sessions, %d clients, %v", st.Engine.Sessions(), st.Namespaces.Clients, st.Namespaces.Rejected)
		}
	})
}
