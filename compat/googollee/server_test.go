package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	socketio "github.com/roomcast/roomcast/compat/googollee"
	"github.com/roomcast/roomcast/compat/googollee/engineio"
	"github.com/roomcast/roomcast/compat/googollee/engineio/session"
	"github.com/roomcast/roomcast/compat/googollee/engineio/transport"
	"github.com/roomcast/roomcast/compat/googollee/engineio/transport/polling"
	"github.com/roomcast/roomcast/compat/googollee/engineio/transport/websocket"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server; clients are of version 4.
func serve(t *testing.T, s *socketio.Server) *servertest.Server {
	t.Helper()
	ts := servertest.Serve(t, s)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return ts
}

func newServer(opts *engineio.Options) *socketio.Server {
	return socketio.NewServerWith(opts, server.Config{Logger: slog.New(slog.DiscardHandler)})
}

// journal is what handlers have noted.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer func() { j.lines = nil }()
	return j.lines
}

func (j *journal) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := j.take(); !slices.Equal(got, want) {
		t.Errorf("noted %q, want %q", got, want)
	}
}

func answer[T any](t *testing.T, c *servertest.Client, event string, args ...any) (v T) {
	t.Helper()
	if err := c.Call(event, args...).Decode(0, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Clients of version 3 and 4 may join "/chat" without "/": OnConnect("/")
// decides about them all the same, as about every connection of googollee's.
func TestRootComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notes := new(journal)
		s := newServer(nil)
		s.OnConnect("/", func(c socketio.Conn) error {
			u := c.URL()
			notes.note("connect %s", c.Namespace())
			if u.Query().Get("bad") != "" {
				return errors.New("not you")
			}
			c.SetContext("set in /")
			c.Join("early")
			c.Emit("lost")
			return nil
		})
		s.OnDisconnect("/", func(c socketio.Conn, reason string) { notes.note("disconnect %s %s", c.Namespace(), reason) })
		s.OnError("/", func(c socketio.Conn, err error) { notes.note("error %s %v", c.Namespace(), err) })
		s.OnEvent("/", "context", func(c socketio.Conn) (any, []string) { return c.Context(), c.Rooms() })
		s.OnConnect("/chat", func(c socketio.Conn) error { notes.note("connect %s", c.Namespace()); return nil })
		s.OnDisconnect("/chat", func(c socketio.Conn, reason string) { notes.note("disconnect %s", c.Namespace()) })
		ts := serve(t, s)

		c := ts.Connect("/chat")
		notes.expect(t, "connect /", "connect /chat")
		if n := s.RoomLen("/", "early"); n != 0 {
			t.Errorf("%d in a room of /, where nobody is", n)
		}
		c.Close()
		synctest.Wait()
		notes.expect(t, "disconnect /chat", "disconnect / client namespace disconnect")

		var refused *servertest.ConnectError
		if _, err := ts.TryConnect("/chat", servertest.Query(url.Values{"bad": {"1"}})); !errors.As(err, &refused) || refused.Message != "not you" {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		notes.expect(t, "connect /", "disconnect / client namespace disconnect", "error / not you")
		if n := s.Count(); n != 0 {
			t.Errorf("%d connections of refused clients", n)
		}

		// Who joins "/" afterwards has the Conn that OnConnect has seen.
		conn := dialRaw(t, ts)
		conn.write("40/chat,")
		conn.read()
		conn.write("40")
		conn.read()
		conn.write(`420["context"]`)
		if got := conn.read(); !strings.HasPrefix(got, `430["set in /",[`) || !strings.Contains(got, `"early"`) {
			t.Error(got)
		}
		if n := s.RoomLen("/", "early"); n != 1 {
			t.Errorf("%d in the room that was joined early", n)
		}
		notes.expect(t, "connect /", "connect /chat")
		conn.close()
		synctest.Wait()
		if got := notes.take(); len(got) != 2 {
			t.Errorf("%q", got)
		}
	})
}

// The handlers of a connection run one at a time, in all its namespaces.
func TestOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		notes := new(journal)
		s := newServer(nil)
		release := make(chan struct{})
		for _, nsp := range []string{"/", "/chat"} {
			s.OnEvent(nsp, "e", func(c socketio.Conn, wait bool) {
				if wait {
					<-release
				}
				notes.note("%s", c.Namespace())
			})
		}
		conn := dialRaw(t, serve(t, s))
		conn.write("40", "40/chat,")
		conn.read()
		conn.read()
		conn.write(`42["e",true]`, `42/chat,["e"]`, `42["e"]`)
		synctest.Wait()
		notes.expect(t)
		close(release)
		synctest.Wait()
		notes.expect(t, "/", "/chat", "/")
	})
}

// A Conn has one id in all namespaces, and a room of that name in each.
func TestIDs(t *testing.T) {
	for name, generator := range map[string]session.IDGenerator{"random": nil, "default": &session.DefaultIDGenerator{}, "own": new(counter)} {
		t.Run(name, func(t *testing.T) {
			s := newServer(&engineio.Options{SessionIDGenerator: generator})
			for _, nsp := range []string{"/", "/chat"} {
				s.OnEvent(nsp, "id", func(c socketio.Conn) (string, string) { return c.ID(), strings.Join(c.Rooms(), " ") })
			}
			conn := dialRaw(t, serve(t, s))
			conn.write("40", "40/chat,")
			conn.read()
			conn.read()
			conn.write(`420["id"]`, `42/chat,0["id"]`)
			root, chat := strings.TrimPrefix(conn.read(), "430"), strings.TrimPrefix(conn.read(), "43/chat,0")
			id, _, _ := strings.Cut(strings.TrimPrefix(root, `["`), `"`)
			if want := fmt.Sprintf(`["%s","%s"]`, id, id); root != want || chat != want {
				t.Errorf("%s in /, %s in /chat", root, chat)
			}
			if len(id) != 20 && id != "c1" || id == conn.sid && generator == nil {
				t.Errorf("id %q, session %q", id, conn.sid)
			}
			for _, nsp := range []string{"", "/chat"} {
				if s.RoomLen(nsp, id) != 1 || !slices.Equal(s.Rooms(nsp), []string{id}) {
					t.Errorf("%q: %d in %q", nsp, s.RoomLen(nsp, id), s.Rooms(nsp))
				}
			}
		})
	}
}

type counter struct{ n int }

func (c *counter) NewID() string { c.n++; return fmt.Sprint("c", c.n) }

// The server's methods take any Conn of the connection, also one of another
// namespace, or a type of the program's that holds one.
func TestRoomsOfOtherConns(t *testing.T) {
	s := newServer(nil)
	type mine struct {
		socketio.Conn
		name string
	}
	s.OnEvent("/chat", "nothing", func(socketio.Conn) {})
	s.OnEvent("/", "join", func(c socketio.Conn, nsp string) []bool {
		return []bool{s.JoinRoom("/", "a", mine{c, "me"}), s.JoinRoom("/chat", "a", c), s.JoinRoom("/none", "a", c)}
	})
	conn := dialRaw(t, serve(t, s))
	conn.write("40", "40/chat,")
	conn.read()
	conn.read()
	conn.write(`420["join"]`)
	if got := conn.read(); got != `430[[true,true,false]]` {
		t.Error(got)
	}
	if s.RoomLen("/", "a") != 1 || s.RoomLen("/chat", "a") != 1 || s.RoomLen("/none", "a") != -1 || s.Rooms("/none") != nil {
		t.Error(s.Rooms("/"), s.Rooms("/chat"))
	}
	s.BroadcastToRoom("/chat", "a", "e", 1)
	if got := conn.read(); got != `42/chat,["e",1]` {
		t.Error(got)
	}
}

// What Emit and Join can't do is OnError's, and so are acks that don't fit.
func TestErrors(t *testing.T) {
	s := newServer(nil)
	failed := make(chan error, 8)
	s.OnError("/", func(c socketio.Conn, err error) { failed <- err })
	s.OnConnect("/panicking", func(socketio.Conn) error { panic("boom") })
	s.OnEvent("/", "e", func(c socketio.Conn) {
		c.Emit("func", func() {}, 1) // not the last argument
		c.Join(strings.Repeat("x", 300))
		c.Emit("disconnect")
		c.Emit("question", func(n int) {})
		c.Emit("question", func() { panic("in an ack") })
	})
	ts := serve(t, s)
	c := ts.Connect("/")
	c.Emit("e")
	c.Expect("question").Ack("text")
	c.Expect("question").Ack()
	for _, want := range []string{"unsupported type: func()", "room name too long", "reserved", "argument 1 of \"ack\"", "event call error: in an ack"} {
		if err := <-failed; !strings.Contains(err.Error(), want) {
			t.Errorf("%v instead of %s", err, want)
		}
	}
	var refused *servertest.ConnectError
	if _, err := ts.TryConnect("/panicking"); !errors.As(err, &refused) || refused.Message != "internal error" {
		t.Errorf("%v", err)
	}
	for _, f := range []any{1, func() {}, func(int) {}, func(*socketio.Conn) {}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("OnEvent took a %T", f)
				}
			}()
			s.OnEvent("/", "bad", f)
		}()
	}
}

func TestConnInitor(t *testing.T) {
	var kept engineio.Conn
	s := newServer(&engineio.Options{ConnInitor: func(r *http.Request, c engineio.Conn) {
		kept = c
		c.SetContext(r.Header.Get("X-User"))
		if _, _, err := c.NextReader(); !errors.Is(err, transport.ErrNotSupported) {
			t.Error(err)
		}
		if r.URL.Query().Get("refuse") != "" {
			c.Close()
		}
	}})
	s.OnEvent("/", "context", func(c socketio.Conn) any { return c.Context() })
	ts := serve(t, s)
	c := ts.Connect("/", servertest.Header(http.Header{"X-User": {"ada"}}))
	if got := answer[string](t, c, "context"); got != "ada" {
		t.Errorf("context %q", got)
	}
	if u := kept.URL(); kept.ID() == "" || kept.RemoteHeader().Get("X-User") != "ada" || u.Path != "/socket.io/" {
		t.Errorf("%q %v", kept.ID(), kept.RemoteHeader())
	}
	if _, err := ts.TryConnect("/", servertest.Query(url.Values{"refuse": {"1"}})); err == nil {
		t.Error("a client that ConnInitor has closed connected")
	}
	first := kept
	_ = first.Close()
	c.Close()
}

// TestOrigins: who may connect, and who may read the answers.
func TestOrigins(t *testing.T) {
	const page = "https://page.example"
	check := func(r *http.Request) bool { return r.Header.Get("Origin") == page }
	checked := &engineio.Options{Transports: []transport.Transport{&polling.Transport{CheckOrigin: check}, &websocket.Transport{CheckOrigin: check}}}
	for _, tt := range []struct {
		name    string
		opts    *engineio.Options
		origin  string
		inFront string // Access-Control-Allow-Origin that middleware has set
		method  string
		status  int
		allowed string
	}{
		{"no origin", nil, "", "", "GET", 200, ""},
		{"own origin", nil, "http://server.example", "", "GET", 200, ""},
		{"other origin", nil, page, "", "GET", 403, ""},
		{"let in by middleware", nil, page, page, "GET", 200, page},
		{"let in by middleware for all", nil, page, "*", "GET", 200, "*"},
		{"middleware for another", nil, page, "https://other.example", "GET", 403, "https://other.example"},
		{"checked: no origin", checked, "", "", "GET", 200, ""},
		{"checked: own origin", checked, "http://server.example", "", "GET", 200, ""},
		{"checked: good", checked, page, "", "GET", 200, page},
		{"checked: bad", checked, "https://evil.example", "", "GET", 403, ""},
		{"preflight, good", checked, page, "", "OPTIONS", 200, page},
		{"preflight, bad", checked, "https://evil.example", "", "OPTIONS", 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(tt.opts)
			defer s.Close()
			r := httptest.NewRequest(tt.method, "http://server.example/any/path/?EIO=4&transport=polling", nil)
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
			}
			w := httptest.NewRecorder()
			if tt.inFront != "" {
				w.Header().Set("Access-Control-Allow-Origin", tt.inFront)
			}
			s.ServeHTTP(w, r)
			if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != tt.status || got != tt.allowed {
				t.Errorf("status %d, Access-Control-Allow-Origin %q", w.Code, got)
			}
		})
	}
	for _, tt := range []struct {
		opts   *engineio.Options
		origin string
		ok     bool
	}{
		{nil, "", true}, {nil, "http://memory", true}, {nil, page, false},
		{checked, page, true}, {checked, "http://memory", false},
	} {
		ts := serve(t, newServer(tt.opts))
		h := http.Header{}
		if tt.origin != "" {
			h.Set("Origin", tt.origin)
		}
		if _, err := ts.TryConnect("/", servertest.Header(h)); (err == nil) != tt.ok {
			t.Errorf("WebSocket from %q, options %v: %v", tt.origin, tt.opts != nil, err)
		}
	}
}

func TestTransports(t *testing.T) {
	for _, tt := range []struct {
		list     []transport.Transport
		upgrades string
	}{
		{nil, `"upgrades":["websocket"]`},
		{[]transport.Transport{polling.Default, websocket.Default}, `"upgrades":["websocket"]`},
		{[]transport.Transport{websocket.Default, polling.Default}, `"upgrades":[]`},
		{[]transport.Transport{polling.Default}, `"upgrades":[]`},
	} {
		s := newServer(&engineio.Options{Transports: tt.list, PingInterval: 7e9})
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "/socket.io/?EIO=3&transport=polling&b64=1", nil))
		if body := w.Body.String(); !strings.Contains(body, tt.upgrades) || !strings.Contains(body, `"pingInterval":7000,"pingTimeout":60000`) {
			t.Error(body)
		}
		s.Close()
	}
	if _, err := polling.Default.Accept(nil, nil); !errors.Is(err, transport.ErrNotSupported) {
		t.Error(err)
	}
	if _, err := websocket.Default.Dial(nil, nil); !errors.Is(err, transport.ErrNotSupported) {
		t.Error(err)
	}
}

// Serve returns io.EOF after Close, whichever comes first, and nobody is let in any more.
func TestClose(t *testing.T) {
	s := newServer(nil)
	gone := make(chan string, 1)
	s.OnDisconnect("/", func(_ socketio.Conn, reason string) { gone <- reason })
	ts := servertest.Serve(t, s)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c := ts.Connect("/")
	if s.Count() != 1 {
		t.Error(s.Count())
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-served; err != io.EOF {
		t.Error(err)
	}
	if err := s.Serve(); err != io.EOF {
		t.Error(err)
	}
	if reason := <-gone; reason != "client namespace disconnect" {
		t.Error(reason)
	}
	c.WaitClosed()

	unused := newServer(nil)
	unused.Close()
	w := httptest.NewRecorder()
	unused.ServeHTTP(w, httptest.NewRequest("GET", "/socket.io/?EIO=4&transport=polling", nil))
	if w.Code != http.StatusServiceUnavailable || unused.BroadcastToNamespace("/", "e") || unused.RoomLen("/", "a") != -1 {
		t.Error(w.Code)
	}
}

// Both APIs work on one server.
func TestNative(t *testing.T) {
	s := newServer(nil)
	s.OnEvent("/", "old", func(c socketio.Conn, text string) string { return "old " + text })
	ns := s.Native().Of("/")
	server.OnAck(ns, "new", func(_ context.Context, sock *server.Socket, text string) (string, error) {
		return "new " + text, sock.Join("new")
	})
	c := serve(t, s).Connect("/")
	if a, b := answer[string](t, c, "old", "x"), answer[string](t, c, "new", "x"); a != "old x" || b != "new x" {
		t.Error(a, b)
	}
	if s.RoomLen("/", "new") != 1 {
		t.Error(s.Rooms("/"))
	}
	s.OnEvent("/later", "e", func(socketio.Conn) string { return "late" })
	if got := answer[string](t, serve(t, s).Connect("/later"), "e"); got != "late" {
		t.Error(got)
	}
}
