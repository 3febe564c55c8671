package servertest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/parser/msgpack"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server that answers "sum", asks back at "ask", and tells of itself at "who".
func serve(t *testing.T, cfg server.Config) (*server.Namespace, *servertest.Server) {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	io, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { io.Shutdown(context.Background()) })
	ns := io.Of("/chat")
	ns.Use(func(_ context.Context, s *server.Socket) error {
		var auth struct{ Refuse bool }
		if err := s.Handshake().DecodeAuth(&auth); err != nil || auth.Refuse {
			return &server.Error{Message: "not you", Data: []int{1}}
		}
		return nil
	})
	server.OnAck(ns, "sum", func(_ context.Context, _ *server.Socket, list []int) (int, error) {
		sum := 0
		for _, n := range list {
			sum += n
		}
		return sum, nil
	})
	server.On(ns, "ask", func(ctx context.Context, s *server.Socket, data []byte) error {
		a, err := s.Call(ctx, "question", data)
		if err != nil {
			return err
		}
		var answer []byte
		if err := a.Decode(&answer); err != nil {
			return err
		}
		return s.Emit(ctx, "answered", answer, len(answer))
	})
	server.OnAck(ns, "who", func(_ context.Context, s *server.Socket, _ any) (string, error) {
		h := s.Handshake()
		return fmt.Sprint(s.ID(), " ", h.Query.Get("q"), " ", h.Headers.Get("X-Who"), " ", string(h.Auth)), nil
	})
	server.On(ns, "kick", func(_ context.Context, s *server.Socket, all bool) error { s.Disconnect(all); return nil })
	return ns, servertest.Serve(t, io)
}

func TestClient(t *testing.T) {
	for _, opts := range [][]servertest.Option{nil, {servertest.Codec(msgpack.Codec)}} {
		cfg := server.Config{}
		if opts != nil {
			cfg.Parser = msgpack.Codec
		}
		ns, ts := serve(t, cfg)
		c := ts.Connect("/chat", append(opts,
			servertest.Query(url.Values{"q": {"7"}}),
			servertest.Header(http.Header{"X-Who": {"Ada"}}),
			servertest.Auth(map[string]string{"name": "Ada"}))...)
		if ns.Socket(c.ID()) == nil || c.PrivateID() != "" {
			t.Error("the id is wrong, or recovery on")
		}
		var sum int
		var who string
		if err := c.Call("sum", []int{1, 2, 3}).Decode(0, &sum); err != nil || sum != 6 {
			t.Error(sum, err)
		}
		if err := c.Call("who").Decode(0, &who); err != nil || who != c.ID()+` 7 Ada {"name":"Ada"}` {
			t.Error(who, err)
		}
		c.Emit("ask", []byte{1, 2})
		q := c.Expect("question")
		var data []byte
		q.Decode(&data)
		q.Ack(append(data, 3))
		var n int
		c.Expect("answered").Decode(&data, &n)
		if !slices.Equal(data, []byte{1, 2, 3}) || n != 3 {
			t.Error(data, n)
		}
		ns.Emit(t.Context(), "a")
		ns.Emit(t.Context(), "b")
		if e := c.Next(); e.Name != "a" {
			t.Error(e.Name)
		}
		c.Expect("b")
		if c.Pending() != 0 {
			t.Error(c.Pending())
		}
	}
}

func TestRefusals(t *testing.T) {
	_, ts := serve(t, server.Config{})
	var refused *servertest.ConnectError
	if _, err := ts.TryConnect("/chat", servertest.Auth(map[string]bool{"refuse": true})); !errors.As(err, &refused) ||
		refused.Message != "not you" || string(refused.Data) != "[1]" || err.Error() != "connect refused: not you" {
		t.Error(err)
	}
	if _, err := ts.TryConnect("/none"); !errors.As(err, &refused) || refused.Message != "Invalid namespace" {
		t.Error(err)
	}
	if _, err := ts.TryConnect("/chat", servertest.Header(http.Header{"Origin": {"https://evil.example"}})); err == nil {
		t.Error("a page of another origin connected")
	}
	if _, err := ts.TryConnect("/chat", servertest.Auth(func() {})); err == nil {
		t.Error("auth that can't be encoded was sent")
	}
}

func TestEnds(t *testing.T) {
	ns, ts := serve(t, server.Config{})
	left := make(chan string, 1)
	ns.OnDisconnect(func(_ context.Context, _ *server.Socket, reason string) { left <- reason })
	for _, end := range []struct {
		do     func(c *servertest.Client)
		reason string
	}{
		{func(c *servertest.Client) { c.Leave() }, server.ReasonClient},
		{func(c *servertest.Client) { c.Close() }, "transport close"},
		{func(c *servertest.Client) { c.Emit("kick", false); c.WaitClosed() }, server.ReasonServer},
		{func(c *servertest.Client) { c.Emit("kick", true); <-c.Done() }, server.ReasonServer},
	} {
		c := ts.Connect("/chat")
		end.do(c)
		if got := <-left; got != end.reason {
			t.Errorf("the reason is %q, want %q", got, end.reason)
		}
	}
}

func TestRecovery(t *testing.T) {
	ns, ts := serve(t, server.Config{Recovery: &server.Recovery{}})
	c := ts.Connect("/chat")
	s := ns.Socket(c.ID())
	c.Close()
	<-s.Context().Done()
	ns.Emit(t.Context(), "missed")
	d := ts.Connect("/chat", servertest.Auth(map[string]string{"pid": c.PrivateID()}))
	d.Expect("missed")
	if d.ID() != c.ID() || d.PrivateID() != c.PrivateID() {
		t.Error("the ids are new")
	}
}

// Under a router, and at another path.
func TestRouter(t *testing.T) {
	for _, path := range []string{"", "/else"} {
		io, err := server.New(server.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer io.Shutdown(t.Context())
		if path == "" {
			mux := http.NewServeMux()
			mux.Handle("/socket.io/", io)
			servertest.Serve(t, mux).Connect("/")
		} else {
			servertest.Serve(t, io).Connect("/")
		}
	}
}

// recorder is a testing.TB that fails without failing the test.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper()           {}
func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *recorder) Errorf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// What doesn't come as expected fails the test that waits for it, in time.
func TestFailures(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(c *servertest.Client, ns *server.Namespace)
		want string
	}{
		"no event":      {func(c *servertest.Client, _ *server.Namespace) { c.Next() }, "no event came"},
		"another event": {func(c *servertest.Client, ns *server.Namespace) { ns.Emit(context.Background(), "a"); c.Expect("b") }, `event "a" came, expected "b"`},
		"no ack":        {func(c *servertest.Client, _ *server.Namespace) { c.Call("nobody") }, `"nobody": no ack`},
		"closed instead of an ack": {func(c *servertest.Client, _ *server.Namespace) { c.Call("kick", false) },
			`"kick": the server closed the connection instead of an ack: disconnected by the server`},
		"closed instead of an event": {func(c *servertest.Client, _ *server.Namespace) { c.Emit("kick", false); c.Next() },
			"no event: the server closed the connection: disconnected by the server"},
		"not closed":   {func(c *servertest.Client, _ *server.Namespace) { c.WaitClosed() }, "the server did not close the connection"},
		"wants no ack": {func(c *servertest.Client, ns *server.Namespace) { ns.Emit(context.Background(), "a"); c.Next().Ack() }, `event "a" wants no ack`},
		"another type": {func(c *servertest.Client, ns *server.Namespace) {
			ns.Emit(context.Background(), "a", "text")
			var n int
			c.Next().Decode(&n)
		}, `event "a": `},
		"can't be encoded": {func(c *servertest.Client, _ *server.Namespace) { c.Emit("a", func() {}) }, "parser: "},
		"too many events": {func(c *servertest.Client, ns *server.Namespace) {
			for range 1025 {
				ns.Emit(context.Background(), "a")
			}
			<-c.Done()
			for range 1025 {
				c.Next()
			}
		}, "no event: the server closed the connection: 1024 events came that nobody took"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				io, err := server.New(server.Config{Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				ns := io.Of("/")
				server.On(ns, "kick", func(_ context.Context, s *server.Socket, _ any) error { s.Disconnect(false); return nil })
				r := &recorder{TB: t}
				ts := servertest.Serve(r, io)
				begin := time.Now()
				done := make(chan bool)
				go func() {
					defer close(done)
					test.do(ts.Connect("/"), ns)
				}()
				<-done
				if !strings.HasPrefix(r.failure, test.want) {
					t.Errorf("the failure is %q, want %q", r.failure, test.want)
				}
				if d := time.Since(begin); d > servertest.Patience {
					t.Errorf("it took %v", d)
				}
				if err := io.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestConnectFails(t *testing.T) {
	io, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer io.Shutdown(t.Context())
	r := &recorder{TB: t}
	ts := servertest.Serve(r, io)
	done := make(chan bool)
	go func() {
		defer close(done)
		ts.Connect("/none")
	}()
	<-done
	if r.failure != "connect to /none: connect refused: Invalid namespace" {
		t.Error(r.failure)
	}
}
