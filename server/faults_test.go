package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// Each test here is of a fault that there once was.

// A client that the server had put out, after it had recovered once, came back
// with its rooms: the session saved at its first absence was still there.
func TestKickedClientCannotRecover(t *testing.T) {
	for _, how := range []string{"by the server", "by itself"} {
		t.Run(how, func(t *testing.T) {
			io, ts := serve(t, server.Config{Recovery: &server.Recovery{}})
			ns := io.Of("/")
			left := make(chan struct{}, 4)
			ns.OnDisconnect(func(context.Context, *server.Socket, string) { left <- struct{}{} })
			a := ts.Connect("/")
			if err := ns.Socket(a.ID()).Join("secret"); err != nil {
				t.Fatal(err)
			}
			pid := servertest.Auth(map[string]string{"pid": a.PrivateID()})
			a.Close()
			<-left
			b := ts.Connect("/", pid)
			s := ns.Socket(b.ID())
			if !s.Recovered() || !s.In("secret") {
				t.Fatal("the first return was not recovered")
			}
			if how == "by itself" {
				b.Leave()
			} else {
				s.Disconnect(false)
			}
			<-left
			c := ts.Connect("/", pid)
			if s := ns.Socket(c.ID()); s.Recovered() || s.In("secret") || c.ID() == a.ID() {
				t.Error("a session that was ended on purpose was recovered")
			}
		})
	}
}

// A dynamic namespace stayed for ever when its only client was refused.
func TestCleanupAfterRefusal(t *testing.T) {
	for _, cleanup := range []bool{true, false} {
		io, ts := serve(t, server.Config{CleanupEmpty: cleanup})
		parent := io.OfMatch(regexp.MustCompile(`^/d-\d+$`))
		parent.Use(func(_ context.Context, s *server.Socket) error {
			var who struct{ Good bool }
			if s.Handshake().DecodeAuth(&who) == nil && who.Good {
				return nil
			}
			return errors.New("no")
		})
		refuse := func() {
			t.Helper()
			var refused *servertest.ConnectError
			if _, err := ts.TryConnect("/d-1"); !errors.As(err, &refused) {
				t.Fatal(err)
			}
		}
		exists := func() bool {
			for _, ns := range io.Namespaces() {
				if ns.Name() == "/d-1" {
					return true
				}
			}
			return false
		}
		refuse()
		// The client has its answer before the server has tidied up.
		for deadline := time.Now().Add(servertest.Patience); cleanup && exists(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the namespace is still there")
			}
		}
		if !cleanup && !exists() {
			t.Error("cleaned up without CleanupEmpty")
		}
		good := ts.Connect("/d-1", servertest.Auth(map[string]bool{"good": true}))
		refuse()
		if !exists() || io.Of("/d-1").Socket(good.ID()) == nil {
			t.Error("cleaned up under a connected client")
		}
	}
}

// Shutdown waited, until its context ended, for a middleware that waited for
// its own context to end.
func TestShutdownEndsMiddlewares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{ConnectTimeout: -1})
		entered := make(chan struct{})
		io.Of("/").Use(func(ctx context.Context, _ *server.Socket) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		})
		go ts.TryConnect("/")
		<-entered
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := io.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

// The function of OfFunc got a context that never ended, so that it could
// outlive its client and hold up Shutdown.
func TestShutdownEndsNamespaceFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{ConnectTimeout: -1})
		entered := make(chan struct{})
		io.OfFunc(func(ctx context.Context, _ string, _ json.RawMessage) bool {
			close(entered)
			<-ctx.Done()
			return false
		})
		go ts.TryConnect("/any")
		<-entered
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := io.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

// A panic in an OnNamespace function ended the process when a client's CONNECT
// had made the namespace.
func TestPanicInOnNamespace(t *testing.T) {
	io, ts := serve(t, server.Config{})
	io.OfMatch(regexp.MustCompile(`^/d-`))
	io.OnNamespace(func(*server.Namespace) { panic("boom") })
	ts.Connect("/d-1")
	if n := io.Stats().Namespaces.Panics; n != 1 {
		t.Errorf("%d panics counted", n)
	}
}

// A handler that asked its own socket by a broadcast never got the ack when the
// mailbox was full: the reader waited for the handler. And workers that had
// nothing to do outlived Shutdown.
func TestBroadcastCallFromHandlerWithFullMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{Limits: server.Limits{WaitingEvents: 2}})
		ns := io.Of("/")
		result := make(chan error, 1)
		server.On(ns, "ask", func(ctx context.Context, s *server.Socket, _ any) error {
			_, err := ns.To(s.ID()).Call(ctx, "question")
			result <- err
			return nil
		})
		server.On(ns, "noise", func(context.Context, *server.Socket, any) error { return nil })
		c := ts.Connect("/")
		c.Emit("ask")
		q := c.Expect("question")
		for range 10 {
			c.Emit("noise")
		}
		q.Ack("answer")
		if err := <-result; err != nil {
			t.Error(err)
		}
		c.Close()
		if err := io.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Of two Shutdowns at once, one waited until its context ended.
func TestShutdownTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{})
		entered, release := make(chan struct{}), make(chan struct{})
		server.On(io.Of("/"), "slow", func(context.Context, *server.Socket, any) error {
			close(entered)
			<-release
			return nil
		})
		ts.Connect("/").Emit("slow")
		<-entered
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		errs := make(chan error, 2)
		for range 2 {
			go func() { errs <- io.Shutdown(ctx) }()
		}
		synctest.Wait()
		close(release)
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// A client that went while a middleware waited for its context ended the
// process: its context was ended twice.
func TestClientGoesDuringMiddleware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{ConnectTimeout: time.Second})
		returned := make(chan struct{})
		io.Of("/").Use(func(ctx context.Context, _ *server.Socket) error {
			<-ctx.Done() // the connect timeout closes the connection
			close(returned)
			return ctx.Err()
		})
		if _, err := ts.TryConnect("/"); err == nil {
			t.Error("connected")
		}
		<-returned
		if err := io.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(io.Of("/").Sockets()); n != 0 {
			t.Errorf("%d sockets left", n)
		}
	})
}

// A room that a client had left before anything was sent in its namespace was
// its room again when it recovered.
func TestRoomLeftBeforeFirstEvent(t *testing.T) {
	io, ts := serve(t, server.Config{Recovery: &server.Recovery{}})
	ns := io.Of("/")
	c := ts.Connect("/")
	s := ns.Socket(c.ID())
	s.Join("left")
	s.Leave("left")
	c.Close()
	<-s.Context().Done()
	d := ts.Connect("/", servertest.Auth(map[string]string{"pid": c.PrivateID()}))
	if s := ns.Socket(d.ID()); !s.Recovered() || s.In("left") {
		t.Errorf("recovered %v, in %q", s.Recovered(), s.Rooms())
	}
}

// A client could hear that it had joined, and tell the program so, before the
// program could find it: while its session was being flushed the answer left at once.
func TestMemberOnceAnswered(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 25 {
				c, err := ts.TryConnect("/")
				if err != nil {
					t.Error(err)
					return
				}
				s := ns.Socket(c.ID())
				if s == nil || !s.Connected() || !s.In(c.ID()) || ns.To(c.ID()).Emit(t.Context(), "welcome") != nil {
					t.Error("the client is not a member yet")
					return
				}
				c.Expect("welcome")
				c.Close()
			}
		})
	}
	all.Wait()
}

// Events that came while a socket's middlewares ran were handled, also when these
// refused it; and those of a socket that the program had put out.
func TestUnwelcomeSocketIsNotHeard(t *testing.T) {
	wait := func(ctx context.Context) error { <-ctx.Done(); return nil }
	for _, test := range []struct {
		name    string
		use     func(ctx context.Context, s *server.Socket) error
		connect func(ctx context.Context, s *server.Socket) error
		leave   string // what the client sends at last
		handled []string
	}{
		{name: "refused by a middleware", use: func(context.Context, *server.Socket) error { return errors.New("no") }},
		{name: "put out by a middleware", use: func(_ context.Context, s *server.Socket) error { s.Disconnect(false); return nil }},
		{name: "a panic", use: func(context.Context, *server.Socket) error { panic("boom") }},
		{name: "refused by OnConnect", connect: func(context.Context, *server.Socket) error { return errors.New("no") }},
		{name: "put out by OnConnect", connect: func(_ context.Context, s *server.Socket) error { s.Disconnect(true); return nil }},
		{name: "leaves before the middlewares are done", leave: "41",
			use: func(ctx context.Context, _ *server.Socket) error { return wait(ctx) }},
		{name: "breaks a rule before the middlewares are done", leave: "4x",
			use: func(ctx context.Context, _ *server.Socket) error { return wait(ctx) }},
		{name: "put out by its handler", handled: []string{"any kick", "kick"}},
		{name: "leaves by itself", leave: "41", handled: []string{"any kick", "kick", "any secret", "secret"}},
	} {
		for _, transport := range transports {
			t.Run(test.name+"/"+transport, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					io, ts := serve(t, server.Config{})
					ns := io.Of("/")
					var handled []string
					ns.OnAny(func(_ context.Context, e *server.Event) { handled = append(handled, "any "+e.Name) })
					if test.use != nil {
						ns.Use(test.use)
					}
					if test.connect != nil {
						ns.OnConnect(test.connect)
					}
					server.On(ns, "kick", func(_ context.Context, s *server.Socket, _ any) error {
						if handled = append(handled, "kick"); test.leave == "" {
							s.Disconnect(false)
						}
						return nil
					})
					server.On(ns, "secret", func(context.Context, *server.Socket, any) error {
						handled = append(handled, "secret")
						return nil
					})
					w := dial(t, ts, transport)
					packets := []string{"40", `42["kick"]`, `42["secret"]`}
					if test.use == nil && test.leave != "" {
						w.connect("/", "")
						packets = packets[1:]
					}
					if test.leave != "" {
						packets = append(packets, test.leave)
					}
					w.send(packets...)
					time.Sleep(time.Second)
					synctest.Wait()
					if !slices.Equal(handled, test.handled) {
						t.Errorf("handled %q, want %q", handled, test.handled)
					}
					w.cut()
				})
			})
		}
	}
}

// A client that closed its connection as soon as it heard that it was put out had
// its own reason for the disconnect, now and then.
func TestReasonOfSocketPutOut(t *testing.T) {
	io, ts := serve(t, server.Config{})
	left := reasons(io)
	for range 100 {
		c := ts.Connect("/") // closes its connection when its namespace is gone
		go io.Of("/").Socket(c.ID()).Disconnect(false)
		c.WaitClosed()
		if got := <-left; got != server.ReasonServer {
			t.Fatalf("the reason is %q", got)
		}
	}
}

// A dynamic namespace that its last client left while OnNamespace functions still heard that it was made
// ended the process: "close of nil channel".
func TestNamespaceEndsWhileItIsAnnounced(t *testing.T) {
	io, ts := serve(t, server.Config{CleanupEmpty: true})
	io.OfMatch(regexp.MustCompile(`^/org$`))
	heard, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	io.OnNamespace(func(*server.Namespace) {
		once.Do(func() {
			close(heard)
			<-goOn
		})
	})
	first, second := dial(t, ts, "websocket"), dial(t, ts, "websocket")
	first.send("40/org,")
	<-heard
	joins := func(w *wire) {
		t.Helper()
		if p := w.next(); !strings.HasPrefix(p, `40/org,{"sid":`) {
			t.Fatal(p)
		}
	}
	gone := func() bool { return io.Stats().Namespaces.Namespaces == 1 }
	second.send("40/org,")
	joins(second)
	second.send("41/org,")
	waitFor(t, "the namespace is still there", gone)
	close(goOn)
	joins(first) // into one that was made anew
	second.send("40/org,")
	joins(second)
	first.send("41/org,")
	second.send("41/org,")
	waitFor(t, "the second namespace is still there", gone)
}
