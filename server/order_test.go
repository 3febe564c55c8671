package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// dialRaw opens a WebSocket and reads up to the open packet.
func dialRaw(t *testing.T, ts *servertest.Server) net.Conn {
	t.Helper()
	d := ws.Dialer{NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return ts.Dial(ctx) }}
	conn, br, _, err := d.Dial(t.Context(), "ws://memory/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if br != nil {
		conn = buffered{conn, br}
	}
	readRaw(t, conn)
	return conn
}

type buffered struct {
	net.Conn
	r interface{ Read([]byte) (int, error) }
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

func readRaw(t *testing.T, conn net.Conn) string {
	t.Helper()
	text, err := wsutil.ReadServerText(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeRaw(t *testing.T, conn net.Conn, packets ...string) {
	t.Helper()
	for _, p := range packets {
		if err := wsutil.WriteClientText(conn, []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// An ack that is the last thing of a turn needs no timer to be written: the turn's end
// writes it, unless more has come to do, which may take its time.
func TestAckBeforeASlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{})
		first, second := make(chan bool), make(chan bool)
		server.OnAck(io.Of("/"), "first", func(_ context.Context, _ *server.Socket, s string) (string, error) {
			<-first
			return s, nil
		})
		server.OnAck(io.Of("/"), "second", func(_ context.Context, _ *server.Socket, n int) (int, error) {
			<-second
			return n, nil
		})
		conn := dialRaw(t, ts)
		writeRaw(t, conn, "40")
		readRaw(t, conn)
		writeRaw(t, conn, `421["first","a"]`)
		synctest.Wait()
		writeRaw(t, conn, `422["second",2]`)
		synctest.Wait() // it waits while the first one runs
		close(first)
		if got := readRaw(t, conn); got != `431["a"]` {
			t.Error(got)
		}
		close(second)
		if got := readRaw(t, conn); got != `432[2]` {
			t.Error(got)
		}
	})
}

// Events are used again only where the program can't have kept them.
func TestKeptEvents(t *testing.T) {
	for _, name := range []string{"OnAny", "UseEvent", "Handle"} {
		io, ts := serve(t, server.Config{})
		ns := io.Of("/")
		var kept []*server.Event
		switch name {
		case "OnAny":
			ns.OnAny(func(_ context.Context, e *server.Event) { kept = append(kept, e) })
		case "UseEvent":
			ns.UseEvent(func(_ context.Context, e *server.Event) error { kept = append(kept, e); return nil })
		case "Handle":
			ns.Handle("e", func(_ context.Context, e *server.Event) error { kept = append(kept, e); return e.Ack(0) })
		}
		if name != "Handle" {
			server.OnAck(ns, "e", func(_ context.Context, _ *server.Socket, n int) (int, error) { return n, nil })
		}
		c := ts.Connect("/")
		for i := range 5 {
			answer[int](t, c, "e", i)
		}
		for i, e := range kept {
			var n int
			if err := e.Decode(&n); err != nil || n != i || e.Name != "e" {
				t.Errorf("%s: event %d is %q %d (%v)", name, i, e.Name, n, err)
			}
		}
		if len(kept) != 5 {
			t.Errorf("%s: %d events", name, len(kept))
		}
	}
}

func TestOneByOne(t *testing.T) {
	for _, oneByOne := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			io, ts := serve(t, server.Config{OneByOne: oneByOne})
			var mu sync.Mutex
			var order []string
			release := make(chan struct{})
			for _, name := range []string{"/", "/a"} {
				note := func(what string) {
					mu.Lock()
					defer mu.Unlock()
					order = append(order, name+" "+what)
				}
				io.Of(name).Use(func(context.Context, *server.Socket) error { note("connects"); return nil })
				io.Of(name).OnDisconnect(func(context.Context, *server.Socket, string) { note("disconnects") })
				server.On(io.Of(name), "e", func(_ context.Context, _ *server.Socket, what string) error {
					if note(what); what == "wait" {
						<-release
					}
					return nil
				})
			}
			conn := dialRaw(t, ts)
			writeRaw(t, conn, "40", "40/a,")
			readRaw(t, conn)
			readRaw(t, conn)
			writeRaw(t, conn, `42["e","wait"]`, `42/a,["e","1"]`, `42["e","2"]`, "41")
			synctest.Wait()
			waited := []string{"/ connects", "/a connects", "/ wait"}
			if !oneByOne {
				waited = append(waited, "/a 1")
			}
			mu.Lock()
			if got := slices.Clone(order); oneByOne && !slices.Equal(got, waited) || len(got) != len(waited) {
				t.Errorf("OneByOne %v: %q", oneByOne, got)
			}
			mu.Unlock()
			close(release)
			synctest.Wait()
			all := []string{"/ connects", "/a connects", "/ wait", "/a 1", "/ 2", "/ disconnects"}
			if oneByOne && !slices.Equal(order, all) || len(order) != len(all) {
				t.Errorf("OneByOne %v: %q", oneByOne, order)
			}
			conn.Close()
			if err := io.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHoldEarly(t *testing.T) {
	io, ts := serve(t, server.Config{HoldEarly: true, Limits: server.Limits{WaitingEvents: 8}})
	ns := io.Of("/")
	many := false
	ns.Use(func(ctx context.Context, s *server.Socket) error {
		n := 0
		emit := func(err error) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if err := s.Join("room"); err != nil {
			t.Error(err)
		}
		emit(s.Emit(ctx, "n", 0))
		emit(ns.To("room").Emit(ctx, "n", 1))
		emit(ns.Emit(ctx, "n", 2))
		emit(s.EmitAck(func(*server.Answer, error) {}, "n", 3))
		if s.Handshake().Query.Get("refuse") != "" {
			return errors.New("no")
		}
		for many && n < 10 {
			emit(s.Emit(ctx, "n", n))
		}
		return nil
	})
	conn := dialRaw(t, ts)
	writeRaw(t, conn, "40")
	if got := readRaw(t, conn); got[:6] != `40{"si` {
		t.Fatalf("%s came before the answer to CONNECT", got)
	}
	for _, want := range []string{`42["n",0]`, `42["n",1]`, `42["n",2]`} {
		if got := readRaw(t, conn); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := readRaw(t, conn); got[len(got)-7:] != `["n",3]` {
		t.Error(got)
	}
	conn.Close()

	refused, err := ts.TryConnect("/", servertest.Query(map[string][]string{"refuse": {"1"}}))
	var no *servertest.ConnectError
	if !errors.As(err, &no) || no.Message != "no" || refused.Pending() != 0 {
		t.Errorf("%v, and %d events", err, refused.Pending())
	}

	// More than may wait: the client is closed, as one that doesn't read is.
	many = true
	full, err := ts.TryConnect("/")
	if err == nil {
		<-full.Done()
	}
}

// With HoldEarly a middleware counts as a connect handler: who goes while it
// runs is seen off by OnDisconnect, who is refused is not.
func TestHoldEarlyDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{HoldEarly: true})
		ns := io.Of("/")
		var seen []string
		refuse := false
		release := make(chan struct{})
		ns.Use(func(context.Context, *server.Socket) error {
			<-release
			if refuse {
				return errors.New("no")
			}
			return nil
		})
		ns.OnDisconnect(func(_ context.Context, s *server.Socket, reason string) { seen = append(seen, reason) })
		for _, refuse = range []bool{false, true} {
			conn := dialRaw(t, ts)
			writeRaw(t, conn, "40")
			synctest.Wait()
			conn.Close()
			synctest.Wait()
			release <- struct{}{}
			synctest.Wait()
		}
		if len(seen) != 1 || len(ns.Members("")) != 0 || io.Stats().Namespaces.Sockets != 0 {
			t.Errorf("%q, %+v", seen, io.Stats().Namespaces)
		}
		if err := io.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestMembers(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	a, b := ts.Connect("/"), ts.Connect("/")
	for _, c := range []*servertest.Client{a, b} {
		if err := ns.Socket(c.ID()).Join("room"); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(ns.Members("room")); n != 2 {
		t.Errorf("%d members", n)
	}
	if m := ns.Members(a.ID()); len(m) != 1 || m[0].ID() != a.ID() || len(ns.Members("nobody")) != 0 {
		t.Errorf("%v", m)
	}
}

// What Do is given runs between the handlers, also if it was given by one of them.
func TestDo(t *testing.T) {
	io, ts := serve(t, server.Config{})
	ns := io.Of("/")
	var order []string // of the one goroutine that there is at a time
	server.OnAck(ns, "first", func(_ context.Context, s *server.Socket, _ any) (bool, error) {
		err := s.Do(func(context.Context) { order = append(order, "done") })
		order = append(order, "first")
		return true, err
	})
	server.OnAck(ns, "order", func(context.Context, *server.Socket, any) ([]string, error) { return order, nil })
	c := ts.Connect("/")
	s := ns.Socket(c.ID())
	c.Call("first")
	if got := answer[[]string](t, c, "order"); !slices.Equal(got, []string{"first", "done"}) {
		t.Errorf("%q", got)
	}
	if err := s.Do(func(context.Context) { panic("boom") }); err != nil {
		t.Error(err)
	}
	answer[[]string](t, c, "order")
	if n := io.Stats().Namespaces.Panics; n != 1 {
		t.Errorf("%d panics", n)
	}
	c.Close()
	<-s.Context().Done()
	if err := s.Do(func(context.Context) { t.Error("run for a socket that has gone") }); !errors.Is(err, server.ErrDisconnected) {
		t.Error(err)
	}
}

// A client may ack over another connection than the one on which it was asked. So that it settles nothing else, ids of
// acks begin anywhere on each, where clients in Java can parse them, too.
func TestAckIDsBeginAnywhere(t *testing.T) {
	io, ts := serve(t, server.Config{})
	io.Of("/").OnConnect(func(_ context.Context, s *server.Socket) error {
		for range 2 {
			if err := s.EmitAck(func(*server.Answer, error) {}, "q"); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	seen := map[int64]bool{}
	for range 20 {
		conn := dialRaw(t, ts)
		writeRaw(t, conn, "40")
		readRaw(t, conn)
		var ids [2]int64
		for i := range ids {
			if _, err := fmt.Sscanf(readRaw(t, conn), `42%d["q"]`, &ids[i]); err != nil {
				t.Fatal(err)
			}
			if ids[i] < 0 || ids[i] >= 1<<30 || seen[ids[i]] {
				t.Errorf("id %d, after %v", ids[i], seen)
			}
			seen[ids[i]] = true
		}
		if ids[1] != (ids[0]+1)%(1<<30) {
			t.Errorf("%d after %d", ids[1], ids[0])
		}
	}
}
