package server_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// socket.ts: what a socket tells of how its client came.
func TestHandshake(t *testing.T) {
	io, ts := serve(t, server.Config{})
	seen := make(chan *server.Socket, 2)
	for _, name := range []string{"/", "/connection2"} {
		io.Of(name).OnConnect(func(_ context.Context, s *server.Socket) error { seen <- s; return nil })
	}
	before := time.Now().UnixMilli()
	ts.Connect("/connection2",
		servertest.Auth(map[string]string{"key1": "aa", "key2": "&=bb"}),
		servertest.Query(url.Values{"key1": {"1"}, "key2": {"2"}}),
		servertest.Header(http.Header{"X-Custom": {"yes"}}))
	s := <-seen
	h := s.Handshake()
	var auth map[string]string
	if err := h.DecodeAuth(&auth); err != nil || auth["key1"] != "aa" || auth["key2"] != "&=bb" {
		t.Error(auth, err)
	}
	if h.Query.Get("key1") != "1" || h.Query.Get("key2") != "2" || h.Query.Get("EIO") != "4" || h.Query.Get("transport") != "websocket" {
		t.Error(h.Query)
	}
	if h.Headers.Get("X-Custom") != "yes" || h.Secure || h.XDomain || h.Address != "127.0.0.1" {
		t.Errorf("%+v", h)
	}
	if !strings.HasPrefix(h.URL, "/socket.io/?") || !strings.Contains(h.URL, "key1=1") {
		t.Error(h.URL)
	}
	if at, err := time.Parse("Mon Jan 02 2006 15:04:05 GMT-0700 (MST)", h.Time); err != nil || at.Unix() != h.Issued/1000 {
		t.Error(h.Time, h.Issued, err)
	}
	if h.Issued < before || h.Issued > time.Now().UnixMilli() {
		t.Error(h.Issued)
	}
	if r := s.Session().Request(); r.Header.Get("X-Custom") != "yes" || !strings.Contains(r.RawQuery, "key2=2") {
		t.Errorf("%+v", r)
	}
	if s.Protocol() != 4 || s.Transport() != "websocket" || s.Namespace().Name() != "/connection2" {
		t.Error(s.Protocol(), s.Transport(), s.Namespace().Name())
	}
	// Without auth it is an empty object.
	ts.Connect("/")
	if h := (<-seen).Handshake(); string(h.Auth) != "{}" {
		t.Errorf("%s", h.Auth)
	}
}

// socket-timeout.ts, and how else a call may end.
func TestCallEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{AckTimeout: time.Minute})
		ns := io.Of("/")
		c := ts.Connect("/")
		s := ns.Socket(c.ID())
		call := func(ctx context.Context) (time.Duration, error) {
			begin := time.Now()
			a, err := s.Call(ctx, "unknown", 42)
			if (a == nil) != (err != nil) {
				t.Error(a, err)
			}
			return time.Since(begin), err
		}
		within := func(d time.Duration) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
		if d, err := call(within(50 * time.Millisecond)); !errors.Is(err, server.ErrAckTimeout) || d != 50*time.Millisecond {
			t.Error(d, err)
		}
		c.Expect("unknown").Ack() // late: nobody is told
		if err := server.ErrAckTimeout.Error(); err != "operation has timed out" {
			t.Error(err) // the official words
		}
		if d, err := call(t.Context()); !errors.Is(err, server.ErrAckTimeout) || d != time.Minute {
			t.Error(d, err)
		}
		c.Expect("unknown")
		go func() {
			time.Sleep(20 * time.Millisecond)
			c.Expect("unknown").Ack("echo")
		}()
		if d, err := call(within(50 * time.Millisecond)); err != nil || d != 20*time.Millisecond {
			t.Error(d, err)
		}
		cause := errors.New("the caller's own affair")
		ctx, cancel := context.WithCancelCause(t.Context())
		go cancel(cause)
		if _, err := call(ctx); !errors.Is(err, cause) {
			t.Error(err)
		}
		if n := io.Stats().Namespaces.LateAcks; n != 1 {
			t.Errorf("%d late acks", n)
		}
		c.Close()
	})
}

// A call with the socket's own context said, half of the time, that the context
// was canceled when the socket had gone.
func TestCallOfSocketThatGoes(t *testing.T) {
	for range 50 {
		io, ts := serve(t, server.Config{})
		ended := make(chan error, 1)
		server.On(io.Of("/"), "ask", func(ctx context.Context, s *server.Socket, _ any) error {
			_, err := s.Call(ctx, "question")
			ended <- err
			return nil
		})
		c := ts.Connect("/")
		c.Emit("ask")
		c.Expect("question")
		c.Close()
		if err := <-ended; !errors.Is(err, server.ErrDisconnected) {
			t.Fatal(err)
		}
	}
}

// connection-state-recovery.ts: who recovers passes the middlewares again, unless told otherwise.
func TestRecoveryMiddlewares(t *testing.T) {
	for _, skip := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			io, ts := serve(t, server.Config{Recovery: &server.Recovery{SkipMiddlewares: skip}})
			ns := io.Of("/")
			ran, refuse := 0, false
			ns.Use(func(_ context.Context, s *server.Socket) error {
				if ran++; refuse {
					return errors.New("no more")
				}
				if s.Recovered() || s.Connected() {
					t.Error("recovered already")
				}
				return s.Join("again")
			})
			c := ts.Connect("/")
			ns.Socket(c.ID()).Join("room")
			ns.Socket(c.ID()).Leave("again")
			away := func() {
				c.Close()
				synctest.Wait()
				ns.To("room").Emit(t.Context(), "missed")
			}
			auth := servertest.Auth(map[string]string{"pid": c.PrivateID()})
			away()
			ran = 0
			id := c.ID()
			c = ts.Connect("/", auth)
			s := ns.Socket(c.ID())
			if c.ID() != id || !s.Recovered() || !s.In("room") || s.In("again") == skip || (ran == 0) != skip {
				t.Fatalf("skip %v: recovered %v, rooms %q, %d middlewares ran", skip, s.Recovered(), s.Rooms(), ran)
			}
			c.Expect("missed")

			// Who has lost the right to be here is refused, and is told nothing of what it missed.
			away()
			refuse = true
			var refused *servertest.ConnectError
			_, err := ts.TryConnect("/", auth)
			if errors.As(err, &refused) == skip {
				t.Errorf("skip %v: %v", skip, err)
			}
			if skip {
				return
			}
			w := dial(t, ts, "websocket")
			w.send(`40{"pid":"` + c.PrivateID() + `"}`)
			w.expect(`44{"message":"no more"}`, "nothing")
			if len(ns.Sockets()) != 0 || len(ns.Rooms()) != 0 {
				t.Error("somebody is in", ns.Rooms())
			}
			w.cut()
			refuse = false
			c = ts.Connect("/", auth) // the session is still there
			if c.ID() != id {
				t.Error("a refusal ended the session")
			}
			c.Expect("missed")
		})
	}
}

// connection-state-recovery.ts: without the option a private id is just data.
func TestRecoveryOff(t *testing.T) {
	io, ts := serve(t, server.Config{})
	w := dial(t, ts, "polling")
	w.connect("/", `{"pid":"foo","offset":"bar"}`)
	s := io.Of("/").Sockets()[0]
	if s.Recovered() || string(s.Handshake().Auth) != `{"pid":"foo","offset":"bar"}` {
		t.Errorf("%s", s.Handshake().Auth)
	}
	io.Of("/").Emit(t.Context(), "hello")
	w.expect(`42["hello"]`) // no offset
	if st := io.Stats().Namespaces; st.NotRecovered != 0 || st.Recovered != 0 {
		t.Error(st)
	}
}

// Clients of version 2 put what they show into the namespace's query. A token was taken for a
// name that is too long, and the connection closed.
func TestLongQueryOfVersion2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{Engine: engine.Config{EIO3: true}})
		token := strings.Repeat("t", 5000)
		io.Of("/chat").Use(func(_ context.Context, s *server.Socket) error {
			var auth struct{ Token string }
			if err := s.Handshake().DecodeAuth(&auth); err != nil || auth.Token != token {
				t.Errorf("auth has %d bytes: %v", len(auth.Token), err)
			}
			return nil
		})
		io.OfMatch(regexp.MustCompile("^/"))
		for _, transport := range transports {
			w := dial(t, ts, "eio3-"+transport)
			w.expect("40")
			w.send("40/chat?token=" + token + "&b=1,")
			w.expect("40/chat,")
			w.send("40/" + strings.Repeat("n", 255) + "?q,")
			w.expect("end")

			w = dial(t, ts, transport) // to others that is a name
			w.send("40/chat?token=" + token + ",")
			w.expect("end")
		}
		if n := io.Stats().Namespaces.Namespaces; n != 2 {
			t.Errorf("%d namespaces", n)
		}
	})
}
