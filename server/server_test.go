package server_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// serve starts a server with cfg; its clients have no handshake limit.
func serve(t *testing.T, cfg server.Config) (*server.Server, *servertest.Server) {
	t.Helper()
	cfg.Engine.HandshakeRate = -1
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	io, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := servertest.Serve(t, io)
	t.Cleanup(func() { io.Shutdown(context.Background()) })
	return io, ts
}

type failure struct {
	OK            bool
	Code, Message string
}

// answer calls an event and decodes the ack's first argument.
func answer[T any](t *testing.T, c *servertest.Client, event string, args ...any) (v T) {
	t.Helper()
	if err := c.Call(event, args...).Decode(0, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestHandlers(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	type object struct {
		Name string
		Raw  []byte
	}
	server.OnAck(ns, "twice", func(_ context.Context, _ *server.Socket, n int64) (int64, error) { return 2 * n, nil })
	server.OnAck(ns, "object", func(_ context.Context, _ *server.Socket, o object) (object, error) { return o, nil })
	server.On(ns, "refuse", func(context.Context, *server.Socket, any) error { return server.Errorf("forbidden", "not you") })
	server.On(ns, "fail", func(context.Context, *server.Socket, any) error { return errors.New("secret") })
	server.On(ns, "panic", func(context.Context, *server.Socket, any) error { panic("boom") })
	server.On(ns, "fine", func(context.Context, *server.Socket, any) error { return nil })
	server.OnAck(ns, "unencodable", func(context.Context, *server.Socket, any) (any, error) { return func() {}, nil })
	ns.Handle("several", func(_ context.Context, e *server.Event) error {
		var a int
		var b string
		var c []byte
		if err := e.Decode(&a, &b, &c); err != nil {
			return err
		}
		return e.Ack(c, b, a)
	})
	var failed []error
	ns.OnError(func(_ context.Context, _ *server.Socket, err error) { failed = append(failed, err) })
	c := ts.Connect("/")

	if n := answer[int](t, c, "twice", 21); n != 42 {
		t.Error(n)
	}
	if o := answer[object](t, c, "object", object{"Ada", []byte{0, 255}}); o.Name != "Ada" || !bytes.Equal(o.Raw, []byte{0, 255}) {
		t.Error(o)
	}
	var raw []byte
	var text string
	var n int
	if err := c.Call("several", 7, "é", []byte("bin")).DecodeAll(&raw, &text, &n); err != nil || string(raw) != "bin" || text != "é" || n != 7 {
		t.Error(raw, text, n, err)
	}
	if args := c.Call("fine"); args.Len() != 0 {
		t.Error("an ack with arguments")
	}
	for _, test := range []struct {
		event string
		arg   any
		want  failure
	}{
		{"refuse", nil, failure{false, "forbidden", "not you"}},
		{"fail", nil, failure{false, "internal", "internal error"}},
		{"panic", nil, failure{false, "internal", "internal error"}},
		{"unencodable", nil, failure{false, "internal", "internal error"}},
		{"twice", "x", failure{false, "bad_request", `argument 1 of "twice": string can't be a whole number of 64 bits`}},
	} {
		if got := answer[failure](t, c, test.event, test.arg); got != test.want {
			t.Errorf("%s: %+v", test.event, got)
		}
	}
	if answer[int](t, c, "twice", 1) != 2 || len(failed) != 5 {
		t.Errorf("the connection lives on; reported: %v", failed)
	}
	if p := (*server.PanicError)(nil); !errors.As(errors.Join(failed...), &p) || p.Value != "boom" {
		t.Error(p)
	}
}

func TestOrder(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	next := 0
	server.On(ns, "n", func(ctx context.Context, s *server.Socket, n int) error {
		if n != next {
			t.Errorf("%d came, expected %d", n, next)
		}
		next++
		return s.Emit(ctx, "n", n)
	})
	c := ts.Connect("/")
	for i := range 500 {
		c.Emit("n", i)
	}
	for i := range 500 {
		var n int
		if c.Expect("n").Decode(&n); n != i {
			t.Fatalf("%d came back, expected %d", n, i)
		}
	}
}

// TestCall: a handler may ask its own client while more events wait.
func TestCall(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	server.OnAck(ns, "ask", func(ctx context.Context, s *server.Socket, v string) (string, error) {
		a, err := s.Call(ctx, "question", v)
		if err != nil {
			return "", err
		}
		var r string
		return r, a.Decode(&r)
	})
	server.On(ns, "noise", func(context.Context, *server.Socket, any) error { return nil })
	c := ts.Connect("/")
	done := make(chan string)
	go func() { done <- answer[string](t, c, "ask", "name") }()
	q := c.Expect("question")
	for range 100 {
		c.Emit("noise")
	}
	q.Ack("Ada")
	if got := <-done; got != "Ada" {
		t.Error(got)
	}

	s := ns.Socket(c.ID())
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.Call(ctx, "question"); !errors.Is(err, server.ErrAckTimeout) {
		t.Error(err)
	}
	c.Expect("question")
	go func() { c.Expect("question"); c.Close() }()
	if _, err := s.Call(t.Context(), "question"); !errors.Is(err, server.ErrDisconnected) {
		t.Error(err)
	}
	if err := s.Emit(t.Context(), "late"); !errors.Is(err, server.ErrDisconnected) {
		t.Error(err)
	}
	if err := s.Join("late"); !errors.Is(err, server.ErrDisconnected) {
		t.Error(err)
	}
}

func TestRooms(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/chat")
	ctx := t.Context()
	var clients []*servertest.Client
	for i := range 4 {
		c := ts.Connect("/chat")
		clients = append(clients, c)
		s := ns.Socket(c.ID())
		if err := s.Join("all", fmt.Sprint("parity", i%2)); err != nil {
			t.Fatal(err)
		}
	}
	sender := ns.Socket(clients[0].ID())
	for i, test := range []struct {
		to   server.Broadcast
		want []int
	}{
		{ns.All(), []int{0, 1, 2, 3}},
		{ns.To("all"), []int{0, 1, 2, 3}},
		{ns.To("parity0"), []int{0, 2}},
		{ns.To("parity0", "parity1", "all"), []int{0, 1, 2, 3}},
		{ns.To("all").Except("parity0"), []int{1, 3}},
		{ns.Except(clients[3].ID()), []int{0, 1, 2}},
		{ns.To(clients[2].ID()), []int{2}},
		{sender.To("parity0"), []int{2}},
		{sender.Broadcast(), []int{1, 2, 3}},
		{ns.Local().To("parity1"), []int{1, 3}},
		{ns.To("nobody"), nil},
	} {
		if err := test.to.Emit(ctx, "e", i, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		ns.Emit(ctx, "end", i)
		for k, c := range clients {
			e := c.Next()
			if got := e.Name == "e"; got != slices.Contains(test.want, k) {
				t.Errorf("broadcast %d, client %d: %v", i, k, got)
			}
			if e.Name == "e" {
				var n int
				var b []byte
				if e.Decode(&n, &b); n != i || !bytes.Equal(b, []byte{byte(i)}) {
					t.Errorf("broadcast %d: %d, %v", i, n, b)
				}
				c.Expect("end")
			}
		}
	}

	// A broadcast is a value: deriving from one doesn't change it.
	base := ns.To("parity0")
	_ = base.To("parity1")
	if n, _ := base.FetchSockets(ctx); len(n) != 2 {
		t.Errorf("%d sockets", len(n))
	}
	ns.To("parity0").Join(ctx, "more")
	ns.To("parity1").Leave(ctx, "all")
	if ns.Count("more") != 2 || ns.Count("all") != 2 {
		t.Error(ns.Count("more"), ns.Count("all"))
	}
	ns.To("more").Disconnect(ctx, false)
	for _, i := range []int{0, 2} {
		clients[i].WaitClosed()
	}
}

func TestBroadcastCall(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	a, b := ts.Connect("/"), ts.Connect("/")
	for _, c := range []*servertest.Client{a, b} {
		go func() { c.Expect("sum").Ack(c.ID()) }()
	}
	answers, err := ns.All().Call(t.Context(), "sum", 1)
	var ids []string
	for _, x := range answers {
		var id string
		x.Decode(&id)
		ids = append(ids, id)
	}
	if err != nil || len(ids) != 2 || !slices.Contains(ids, a.ID()) || !slices.Contains(ids, b.ID()) {
		t.Error(ids, err)
	}
	if answers, err := ns.To("nobody").Call(t.Context(), "sum"); len(answers) != 0 || err != nil {
		t.Error(answers, err)
	}
	go func() { a.Expect("half").Ack(1); b.Expect("half"); b.Close() }()
	if answers, err := ns.All().Call(t.Context(), "half"); len(answers) != 1 || !errors.Is(err, server.ErrDisconnected) {
		t.Error(answers, err)
	}
}

func TestMiddlewares(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	ns.Use(func(_ context.Context, s *server.Socket) error { return s.Join("hall") })
	ns.Use(func(_ context.Context, s *server.Socket) error {
		var auth struct{ Name string }
		if err := s.Handshake().DecodeAuth(&auth); err != nil || auth.Name == "" {
			return &server.Error{Message: "who are you?", Data: map[string]int{"code": 7}}
		}
		s.Set("name", auth.Name)
		return nil
	})
	_, err := ts.TryConnect("/")
	var refused *servertest.ConnectError
	if !errors.As(err, &refused) || refused.Message != "who are you?" || string(refused.Data) != `{"code":7}` {
		t.Error(err)
	}
	if len(ns.Rooms()) != 0 {
		t.Errorf("a refused socket left %v", ns.Rooms())
	}
	c := ts.Connect("/", servertest.Auth(map[string]string{"name": "Ada"}))
	if s := ns.Socket(c.ID()); server.Value[string](s, "name") != "Ada" || !s.In("hall") {
		t.Error(s.Data(), s.Rooms())
	}
	if _, err := ts.TryConnect("/none"); !errors.As(err, &refused) || refused.Message != "Invalid namespace" {
		t.Error(err)
	}
}

func TestDynamicNamespaces(t *testing.T) {
	io, ts := serve(t, server.Config{CleanupEmpty: true})
	parent := io.OfMatch(regexp.MustCompile(`^/org-\d+$`))
	server.OnAck(parent, "where", func(_ context.Context, s *server.Socket, _ any) (string, error) {
		return s.Namespace().Name(), nil
	})
	a, b := ts.Connect("/org-1"), ts.Connect("/org-2")
	if got := answer[string](t, a, "where") + answer[string](t, b, "where"); got != "/org-1/org-2" {
		t.Error(got)
	}
	parent.Emit(t.Context(), "all")
	a.Expect("all")
	b.Expect("all")
	if _, err := ts.TryConnect("/org-x"); err == nil {
		t.Error("joined")
	}
	one := io.Of("/org-1")
	gone := make(chan bool)
	one.OnDisconnect(func(context.Context, *server.Socket, string) { close(gone) })
	a.Close()
	<-gone
	if answer[string](t, ts.Connect("/org-1"), "where") != "/org-1" {
		t.Error("not made again")
	}
}

func TestDisconnectHooks(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	log := make(chan string, 10)
	ns.OnDisconnecting(func(ctx context.Context, s *server.Socket, reason string) {
		log <- fmt.Sprint("disconnecting ", reason, " ", s.In("r"), " ", ctx.Err())
	})
	ns.OnDisconnect(func(_ context.Context, s *server.Socket, reason string) {
		log <- fmt.Sprint("disconnect ", reason, " ", len(s.Rooms()))
	})
	for reason, end := range map[string]func(*servertest.Client, *server.Socket){
		server.ReasonClient:           func(c *servertest.Client, _ *server.Socket) { c.Leave() },
		server.ReasonServer:           func(_ *servertest.Client, s *server.Socket) { s.Disconnect(false) },
		string(engine.TransportClose): func(c *servertest.Client, _ *server.Socket) { c.Close() },
	} {
		c := ts.Connect("/")
		s := ns.Socket(c.ID())
		s.Join("r")
		end(c, s)
		if got, want := <-log, "disconnecting "+reason+" true context canceled"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if got, want := <-log, "disconnect "+reason+" 0"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	io, ts := serve(t, server.Config{Limits: server.Limits{RoomsPerSocket: 3, RoomName: 4, PendingAcks: 2}})
	ns := io.Of("/")
	s := ns.Socket(ts.Connect("/").ID()) // in its own room already
	if err := s.Join("a", "b"); err != nil {
		t.Error(err)
	}
	if err := s.Join("c"); !errors.Is(err, server.ErrTooManyRooms) {
		t.Error(err)
	}
	if err := s.Join("a", "b", "a"); err != nil { // it is there already: that was one too many
		t.Error(err)
	}
	s.Leave("a")
	if err := s.Join("1234", "1234"); err != nil {
		t.Error(err)
	}
	if err := s.Join("12345"); !errors.Is(err, server.ErrRoomName) {
		t.Error(err)
	}
	for i := range 3 {
		err := s.EmitAck(func(*server.Answer, error) {}, "q")
		if (i < 2) != (err == nil) || i == 2 && !errors.Is(err, server.ErrTooManyAcks) {
			t.Errorf("ack %d: %v", i, err)
		}
	}
	want := map[string]int64{"rooms": 1, "room_name": 1, "acks": 1}
	if got := io.Stats().Namespaces.Rejected; !maps.Equal(got, want) {
		t.Errorf("counted: %v", got)
	}
}

// A driver stayed open behind a server that a bad setting had kept from being made.
func TestBadSettingOpensNothing(t *testing.T) {
	var d opens
	_, err := server.New(server.Config{Driver: &d, Engine: engine.Config{Origins: []string{"nonsense"}}})
	if err == nil || d.n != 0 {
		t.Errorf("%v, %d adapters opened", err, d.n)
	}
}

// opens counts the adapters of a driver.
type opens struct {
	adapters.Memory
	n int
}

func (d *opens) Open(name string, l adapters.Local) (adapters.Adapter, error) {
	d.n++
	return d.Memory.Open(name, l)
}
