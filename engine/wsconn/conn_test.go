package wsconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/roomcast/roomcast/engine"
)

// both runs a test with either kind of connection.
func both(t *testing.T, f func(t *testing.T, kind string)) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) { f(t, kind) })
	}
}

func msg(s string) engine.Packet { return engine.Packet{Type: engine.Message, Data: []byte(s)} }

// TestEcho has messages of all sizes there and back, several in a write.
func TestEcho(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{MaxMessage: 4 << 20})
		var sink record
		sink.do = func(data []byte, isBinary, owned bool) error { return echo(c, data, isBinary) }
		done := serve(c, &sink)
		for _, n := range []int{1, 125, 126, smallFrame, smallFrame + 1, bufferSize, 65535, 65536, 1 << 20, 3 << 20} {
			payload := strings.Repeat("x", n)
			go client.Write(join(text(payload), bin(payload), text("end"+itoa(n))))
			for _, want := range []ws.Frame{ws.NewTextFrame([]byte(payload)), ws.NewBinaryFrame([]byte(payload)), ws.NewTextFrame([]byte("end" + itoa(n)))} {
				f, err := ws.ReadFrame(client)
				if err != nil {
					t.Fatal(err)
				}
				if f.Header.OpCode != want.Header.OpCode || !bytes.Equal(f.Payload, want.Payload) {
					t.Fatalf("%d bytes came back as %v", n, f.Header)
				}
			}
		}
		client.Close()
		if err := <-done; err != io.EOF {
			t.Error(err)
		}
	})
}

// TestOwned: what is handed over as owned is not written to afterwards.
func TestOwned(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{})
		var kept [][]byte
		var sink record
		sink.do = func(data []byte, isBinary, owned bool) error {
			if owned {
				kept = append(kept, data)
			}
			return nil
		}
		done := serve(c, &sink)
		want := []string{strings.Repeat("a", 100_000), "bc", strings.Repeat("d", 200_000)}
		client.Write(join(text(want[0]), frame(0x01, "b"), frame(0x80, "c"), text("not owned"), text(want[2]), closing(1000, "")))
		if err := <-done; err != io.EOF {
			t.Fatal(err)
		}
		if len(kept) != len(want) {
			t.Fatalf("%d owned messages", len(kept))
		}
		for i := range want {
			if string(kept[i]) != want[i] {
				t.Errorf("message %d has changed", i)
			}
		}
	})
}

// TestPeerGone: however a peer goes, Serve returns io.EOF, as officially.
func TestPeerGone(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		for name, leave := range map[string]func(*net.TCPConn){
			"close frame":             func(c *net.TCPConn) { c.Write(closing(1001, "")) },
			"FIN":                     func(c *net.TCPConn) { c.Close() },
			"message and FIN at once": func(c *net.TCPConn) { c.Write(text("x")); c.Close() },
			"half frame and FIN":      func(c *net.TCPConn) { c.Write(text("xyz")[:7]); c.Close() },
			"reset":                   func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
			"message and reset":       func(c *net.TCPConn) { c.Write(text("x")); c.SetLinger(0); c.Close() },
			"half of a large frame":   func(c *net.TCPConn) { c.Write(text(strings.Repeat("x", 100_000))[:50_000]); c.Close() },
		} {
			c, client := pair(t, kind, Config{})
			leave(client) // all of it is there when reading begins
			if err := <-serve(c, &record{}); err != io.EOF {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestCloseIdle: the peer gets an empty close frame and the end.
func TestCloseIdle(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{})
		begun := make(chan bool)
		sink := &record{do: func([]byte, bool, bool) error { close(begun); return nil }}
		done := serve(c, sink)
		client.Write(text("x"))
		<-begun
		c.Close()
		c.Close()
		client.Write(text("late"))
		if f, err := ws.ReadFrame(client); err != nil || f.Header.OpCode != ws.OpClose || len(f.Payload) != 0 {
			t.Fatalf("frame %v, error %v", f, err)
		}
		client.Write(closing(1000, ""))
		client.CloseWrite()
		if rest := readAll(t, client); len(rest) > 0 {
			t.Errorf("%q after the close frame", rest)
		}
		if err := <-done; err != ErrClosed {
			t.Error(err)
		}
		if sink.String() != "x" {
			t.Errorf("got %q", sink)
		}
		if _, err := c.Write([]*engine.Batch{engine.NewBatch(false, msg("y"))}); err != ErrClosed {
			t.Errorf("Write: %v", err)
		}
	})
}

// TestShared fills the kernel's buffers with a batch that many share: what is left of it comes, too.
func TestShared(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{})
		payload := strings.Repeat("0123456789abcdef", 512)
		b := engine.NewBatch(true, msg(payload))
		n, done := 0, true
		for done && (kind == "raw" || n == 0) {
			var err error
			if done, err = c.Write([]*engine.Batch{b}); err != nil {
				t.Fatal(err)
			}
			n++
		}
		drained := make(chan error, 1)
		go func() { drained <- c.Drain() }()
		for i := range n {
			if f, err := ws.ReadFrame(client); err != nil || string(f.Payload) != "4"+payload {
				t.Fatalf("frame %d of %d has %d bytes, error %v", i, n, len(f.Payload), err)
			}
		}
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
		if err := send(c, msg("end")); err != nil {
			t.Fatal(err)
		}
		if f, err := ws.ReadFrame(client); err != nil || string(f.Payload) != "4end" {
			t.Errorf("got %q, %v", f.Payload, err)
		}
	})
}

// TestCloseBeforeServe: Serve releases also what was closed before, and does
// not ask to be called again.
func TestCloseBeforeServe(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{})
		c.Close()
		client.Write(text("x"))
		var sink record
		done := make(chan error)
		go func() { done <- c.Serve(&sink) }()
		if got := frames(readUntilClosed(t, client)); got != "close" {
			t.Errorf("sent %q", got)
		}
		if err := <-done; err != ErrClosed || sink.String() != "" {
			t.Errorf("got %q, error %v", &sink, err)
		}
	})
}

// TestRenew: a connection asks for a fresh goroutine when it seems to rest:
// after the first read, and after what is as short as a heartbeat. Nothing is
// lost in between.
func TestRenew(t *testing.T) {
	c, client := pair(t, "raw", Config{})
	got := make(chan string)
	sink := &record{do: func(data []byte, _, _ bool) error { got <- string(data); return nil }}
	renewed := make(chan error)
	call := func() { go func() { renewed <- c.Serve(sink) }() }
	write := func(b []byte, want string) {
		t.Helper()
		client.Write(b)
		if s := <-got; s != want {
			t.Errorf("got %q, want %q", s, want)
		}
	}
	// A heartbeat that comes right behind a message may be read together with it, and
	// is no rest then: the next is.
	rest := func() {
		t.Helper()
		for {
			write(text("3"), "3")
			select {
			case err := <-renewed:
				if err != engine.ErrRenew {
					t.Fatal(err)
				}
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	call()
	write(text("40"), "40") // the first
	if err := <-renewed; err != engine.ErrRenew {
		t.Fatal(err)
	}
	for range 3 {
		half := text("a message cut in two")
		client.Write(half[:8]) // of a frame: not at rest
		call()
		write(half[8:], "a message cut in two")
		write(text("a longer message"), "a longer message")
		rest()
	}
	client.Close()
	call()
	if err := <-renewed; err != io.EOF {
		t.Error(err)
	}
}

// readUntilClosed reads what comes, then ends the client's side, too.
func readUntilClosed(t *testing.T, client *net.TCPConn) []byte {
	t.Helper()
	var b bytes.Buffer
	f, err := ws.ReadFrame(io.TeeReader(client, &b))
	if err != nil || f.Header.OpCode != ws.OpClose {
		t.Fatalf("frame %v, error %v", f, err)
	}
	client.CloseWrite()
	b.Write(readAll(t, client))
	return b.Bytes()
}

// TestCloseWhileSinkBlocks: a sink that doesn't return doesn't delay the end
// that the peer sees.
func TestCloseWhileSinkBlocks(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{})
		in, out := make(chan bool), make(chan bool)
		done := serve(c, &record{do: func([]byte, bool, bool) error {
			close(in)
			<-out
			return nil
		}})
		client.Write(text("x"))
		<-in
		c.Close()
		readAll(t, client)
		close(out)
		client.Close()
		if err := <-done; err != ErrClosed {
			t.Error(err)
		}
	})
}

// TestCloseFromSink: closing in a sink ends reading, with the rest dropped.
func TestCloseFromSink(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{})
		sink := &record{do: func([]byte, bool, bool) error { return c.Close() }}
		done := serve(c, sink)
		client.Write(join(text("a"), text("b")))
		if got := frames(readUntilClosed(t, client)); got != "close" {
			t.Errorf("sent %q", got)
		}
		if err := <-done; err != ErrClosed || sink.String() != "a" {
			t.Errorf("got %q, error %v", sink, err)
		}
	})
}

// TestSinkError: Serve ends with the sink's error.
func TestSinkError(t *testing.T) {
	bad := errors.New("bad")
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{})
		sink := &record{do: func([]byte, bool, bool) error { return bad }}
		done := serve(c, sink)
		client.Write(join(text("a"), text("b")))
		if got := frames(readUntilClosed(t, client)); got != "close" {
			t.Errorf("sent %q", got)
		}
		if err := <-done; err != bad || sink.String() != "a" {
			t.Errorf("got %q, error %v", sink, err)
		}
	})
}

// TestSinkPanic: a panic is the caller's, but the connection is released.
func TestSinkPanic(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{})
		paniced := make(chan any)
		go func() {
			defer func() { paniced <- recover() }()
			c.Serve(&record{do: func([]byte, bool, bool) error { panic("boom") }})
		}()
		client.Write(text("a"))
		if v := <-paniced; v != "boom" {
			t.Errorf("recovered %v", v)
		}
		readAll(t, client)
	})
}

// fill writes to c until the kernel takes no more, and returns how much.
func fill(t *testing.T, c *Conn) {
	t.Helper()
	b := engine.NewBatch(true, msg(strings.Repeat("x", 64<<10)))
	for range 10_000 {
		done, err := c.Write([]*engine.Batch{b})
		if err != nil {
			t.Fatal(err)
		}
		if !done {
			return
		}
	}
	t.Fatal("640 MB were taken from a client that reads nothing")
}

// TestDrainDeadline: a peer that doesn't read makes Drain fail in time.
func TestDrainDeadline(t *testing.T) {
	c, client := pair(t, "raw", Config{WriteTimeout: 20 * time.Millisecond})
	done := serve(c, &record{})
	fill(t, c)
	if err := c.Drain(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Drain: %v", err)
	}
	if _, err := c.Write([]*engine.Batch{engine.NewBatch(false, msg("x"))}); err != errBroken {
		t.Errorf("Write after that: %v", err)
	}
	c.Close()
	if err := <-done; err != ErrClosed {
		t.Error(err)
	}
	client.Close()
}

// TestDrainDeadlineInMemory is the same where all writing blocks, with the
// default deadline.
func TestDrainDeadlineInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, client := net.Pipe()
		cfg := Config{}.withDefaults()
		c, _ := newConn(nc, &cfg, engine.WebSocket, false, nil)
		done := serve(c, &record{})
		start := time.Now()
		if err := send(c, msg("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Drain: %v", err)
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("Drain failed after %v", d)
		}
		c.Close()
		if err := <-done; err != ErrClosed {
			t.Error(err)
		}
		client.Close()
	})
}

// TestCloseDeadline: a peer that never answers a close frame, nor reads it, is
// left after a bounded time.
func TestCloseDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nc, client := net.Pipe()
		cfg := Config{}.withDefaults()
		c, _ := newConn(nc, &cfg, engine.WebSocket, false, nil)
		done := serve(c, &record{})
		synctest.Wait()
		start := time.Now()
		c.Close()
		if err := <-done; err != ErrClosed {
			t.Error(err)
		}
		if d := time.Since(start); d > 2*linger {
			t.Errorf("Serve returned %v after Close", d)
		}
		client.Close()
	})
}

// TestCloseWhileDraining: a Drain that blocks is woken.
func TestCloseWhileDraining(t *testing.T) {
	c, client := pair(t, "raw", Config{WriteTimeout: -1})
	done := serve(c, &record{})
	drained := make(chan error)
	go func() {
		// The kernel may still take what fills it now, and a Drain or two end well.
		for {
			if err := send(c, msg(strings.Repeat("x", 1<<20))); err != nil {
				drained <- err
				return
			}
		}
	}()
	for blocked := 0; blocked < 100; time.Sleep(time.Millisecond) { // until one has the turn for good
		if blocked++; c.turn.TryLock() {
			c.turn.Unlock()
			blocked = 0
		}
	}
	c.Close()
	if err := <-drained; err != ErrClosed {
		t.Errorf("Drain: %v", err)
	}
	if err := <-done; err != ErrClosed {
		t.Error(err)
	}
	client.Close()
}

// TestPeerGoneWhileDraining: so it is when the peer leaves.
func TestPeerGoneWhileDraining(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		c, client := pair(t, kind, Config{WriteTimeout: -1})
		done := serve(c, &record{})
		drained := make(chan error)
		go func() {
			var err error
			for err == nil {
				err = send(c, msg(strings.Repeat("x", 1<<20)))
			}
			drained <- err
		}()
		io.CopyN(io.Discard, client, 4<<20)
		client.Close()
		if err := <-drained; err == nil {
			t.Error("Drain returned without an error")
		}
		if err := <-done; err != io.EOF {
			t.Error(err)
		}
	})
}

// TestPongWhileDraining: a pong doesn't get into a frame that is half written,
// and leaves when that is complete.
func TestPongWhileDraining(t *testing.T) {
	c, client := pair(t, "raw", Config{})
	handled := make(chan bool)
	done := serve(c, &record{do: func([]byte, bool, bool) error { handled <- true; return nil }})
	fill(t, c)
	client.Write(join(ping("p"), text("x")))
	<-handled
	go c.Drain()
	pongs := 0
	for {
		f, err := ws.ReadFrame(client)
		if err != nil {
			t.Fatal(err)
		}
		if f.Header.OpCode == ws.OpPong {
			pongs++
			break
		}
		if f.Header.OpCode != ws.OpText || len(f.Payload) != 64<<10+1 {
			t.Fatalf("frame %v", f.Header)
		}
	}
	client.Write(closing(1000, ""))
	if err := <-done; err != io.EOF || pongs != 1 {
		t.Errorf("%d pongs, error %v", pongs, err)
	}
}

// TestPingFloodUnread: a peer that pings and never reads takes no memory.
func TestPingFloodUnread(t *testing.T) {
	c, client := pair(t, "raw", Config{ControlRate: -1})
	done := serve(c, &record{})
	fill(t, c)
	flood := bytes.Repeat(ping(strings.Repeat("x", 125)), 1000)
	for range 50 {
		if _, err := client.Write(flood); err != nil {
			t.Fatal(err)
		}
	}
	c.control.mu.Lock()
	if n := len(c.control.buf); n > maxControl {
		t.Errorf("%d bytes of pongs wait", n)
	}
	c.control.mu.Unlock()
	client.Close()
	if err := <-done; err != io.EOF {
		t.Error(err)
	}
}

// TestConcurrent has writes, pings, messages and Close at the same time, for
// the race detector. Whole frames must arrive, whatever comes.
func TestConcurrent(t *testing.T) {
	both(t, func(t *testing.T, kind string) {
		for range 20 {
			c, client := pair(t, kind, Config{ControlRate: -1})
			done := serve(c, &record{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for send(c, msg(strings.Repeat("x", 1000)), msg("y")) == nil {
				}
			})
			wg.Go(func() {
				for range 50 {
					if _, err := client.Write(join(ping("p"), text("m"))); err != nil {
						return
					}
				}
				c.Close()
			})
			wg.Go(func() {
				for {
					f, err := ws.ReadFrame(client)
					if err != nil {
						break
					}
					n := len(f.Payload)
					switch f.Header.OpCode {
					case ws.OpText:
						if n != 1001 && n != 2 {
							t.Errorf("frame %v", f.Header)
						}
					case ws.OpPong:
						if string(f.Payload) != "p" {
							t.Errorf("pong %q", f.Payload)
						}
					case ws.OpClose:
						client.CloseWrite()
					default:
						t.Errorf("frame %v", f.Header)
					}
				}
				client.Close()
			})
			if err := <-done; err != ErrClosed && err != io.EOF {
				t.Error(err)
			}
			wg.Wait()
		}
	})
}
