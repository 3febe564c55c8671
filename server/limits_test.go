package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/parser/msgpack"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// backlog is a server whose handler of "n" in / is held up, and with it the
// connection's reader as soon as the mailbox is full. "probe" in /other tells whether it is.
type backlog struct {
	io      *server.Server
	ts      *servertest.Server
	handled []int
	probes  atomic.Int32
	gate    chan struct{}
}

func newBacklog(t *testing.T, limits server.Limits) *backlog {
	b := &backlog{gate: make(chan struct{})}
	b.io, b.ts = serve(t, server.Config{Limits: limits})
	server.On(b.io.Of("/"), "n", func(_ context.Context, _ *server.Socket, n int) error {
		<-b.gate
		b.handled = append(b.handled, n)
		return nil
	})
	server.On(b.io.Of("/other"), "probe", func(context.Context, *server.Socket, any) error {
		b.probes.Add(1)
		return nil
	})
	return b
}

// blocked reports whether a client's connection isn't read.
func (b *backlog) blocked(w *wire) bool {
	before := b.probes.Load()
	w.send(`42/other,["probe"]`)
	synctest.Wait()
	return b.probes.Load() == before
}

// TestBackPressure: while as many events wait as may, the connection isn't read;
// nothing is lost, and the order is kept.
func TestBackPressure(t *testing.T) {
	event := func(n int) []string { return []string{fmt.Sprintf(`42["n",%d]`, n)} }
	// 60 bytes and more, of which the text is a small part.
	binary := func(n int) []string {
		return []string{fmt.Sprintf(`451-["n",%d,{"_placeholder":true,"num":0}]`, n), toBase64(strings.Repeat("x", 60))}
	}
	long := func(n int) []string { return []string{fmt.Sprintf(`42["n",%d,%q]`, n, strings.Repeat("x", 90))} }
	for _, test := range []struct {
		name   string
		limits server.Limits
		event  func(int) []string
		fit    int // how many may wait
	}{
		{"events", server.Limits{WaitingEvents: 3}, event, 3},
		{"one event", server.Limits{WaitingEvents: 1}, event, 1},
		{"bytes", server.Limits{WaitingBytes: 150}, long, 2},
		{"bytes of attachments", server.Limits{WaitingBytes: 150}, binary, 2},
		{"default", server.Limits{}, event, 1024},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBacklog(t, test.limits)
				w := dial(t, b.ts, "websocket")
				w.connect("/", "")
				w.connect("/other", "")
				var want []int
				send := func(n int) {
					want = append(want, n)
					w.send(test.event(n)...)
				}
				send(0)
				synctest.Wait() // it is being handled
				for n := range test.fit {
					if n+3 > test.fit && b.blocked(w) {
						t.Fatalf("not read while %d wait", n)
					}
					send(1 + n)
				}
				if b.blocked(w) {
					t.Fatal("not read while as many wait as may")
				}
				send(1 + test.fit)
				if !b.blocked(w) {
					t.Fatal("still read while one more wants in")
				}
				time.Sleep(2 * time.Minute) // an unread connection isn't timed out
				b.gate <- struct{}{}
				synctest.Wait()
				if b.blocked(w) {
					t.Fatal("not read again")
				}
				close(b.gate)
				synctest.Wait()
				if !slices.Equal(b.handled, want) {
					t.Errorf("handled %v, want %v", b.handled, want)
				}
				w.cut()
			})
		})
	}
}

// TestOverflow: while a handler waits for an ack its client's events may run
// ahead, up to eight times the limit.
func TestOverflow(t *testing.T) {
	for _, extra := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			io, ts := serve(t, server.Config{Limits: server.Limits{WaitingEvents: 2}})
			asked := make(chan error, 1)
			handled := 0
			server.On(io.Of("/"), "ask", func(ctx context.Context, s *server.Socket, _ any) error {
				_, err := s.Call(ctx, "question")
				asked <- err
				return nil
			})
			server.On(io.Of("/"), "n", func(context.Context, *server.Socket, any) error { handled++; return nil })
			c := ts.Connect("/")
			c.Emit("ask")
			q := c.Expect("question")
			for range 16 + extra {
				c.Emit("n")
			}
			synctest.Wait()
			q.Ack()
			err := <-asked
			synctest.Wait()
			rejected := io.Stats().Namespaces.Rejected["events"]
			if extra == 0 && (err != nil || handled != 16 || rejected != 0) {
				t.Errorf("at the limit: %v, %d handled, %d rejected", err, handled, rejected)
			}
			if extra == 1 && (!errors.Is(err, server.ErrDisconnected) || rejected != 1) {
				t.Errorf("above the limit: %v, %d rejected", err, rejected)
			}
			c.Close()
		})
	}
}

// A reader that waited for room in one mailbox had not started the others that
// the same read had filled, so that a handler that waited for theirs waited for ever.
func TestReaderWaitsWithOtherMailboxesStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{Limits: server.Limits{WaitingEvents: 1}})
		told := make(chan struct{}, 2)
		waited := 0
		server.On(io.Of("/"), "wait", func(context.Context, *server.Socket, any) error { <-told; waited++; return nil })
		server.On(io.Of("/other"), "tell", func(context.Context, *server.Socket, any) error {
			told <- struct{}{}
			told <- struct{}{}
			return nil
		})
		w := dial(t, ts, "websocket")
		w.connect("/", "")
		w.connect("/other", "")
		w.send(`42["wait"]`, `42/other,["tell"]`, `42["wait"]`)
		time.Sleep(time.Second)
		synctest.Wait()
		if waited != 2 {
			t.Errorf("%d handlers ran, want 2", waited)
		}
		w.cut()
	})
}

// With a slow handler and an OnAnyOutgoing hook, what broadcasts had sent was kept
// without bound until the hook had seen it.
func TestOutgoingHookIsBounded(t *testing.T) {
	for _, test := range []struct {
		limits server.Limits
		seen   int
	}{
		{server.Limits{WaitingEvents: 4}, 5},  // one is being shown, four wait
		{server.Limits{WaitingBytes: 100}, 5}, // of 32 bytes each
		{server.Limits{WaitingEvents: -1, WaitingBytes: -1}, 50},
	} {
		synctest.Test(t, func(t *testing.T) {
			io, ts := serve(t, server.Config{Limits: test.limits})
			ns := io.Of("/")
			gate := make(chan struct{})
			seen := 0
			ns.OnAnyOutgoing(func(context.Context, *server.Socket, server.Outgoing) {
				<-gate
				seen++
			})
			c := ts.Connect("/")
			for range 50 {
				if err := ns.Emit(t.Context(), "thirty bytes in all", "abcdef"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			close(gate)
			for range 50 { // the client gets them all
				c.Expect("thirty bytes in all")
			}
			synctest.Wait()
			if unseen := io.Stats().Namespaces.Unseen; seen != test.seen || unseen != int64(50-test.seen) {
				t.Errorf("%+v: %d seen, %d unseen; want %d seen", test.limits, seen, unseen, test.seen)
			}
			ns.Emit(t.Context(), "later")
			synctest.Wait()
			if seen != test.seen+1 {
				t.Error("nothing is seen after the hook has caught up")
			}
			c.Close()
		})
	}
}

// Callbacks of acks that had come waited in the mailbox without bound.
func TestAckCallbacksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{Limits: server.Limits{PendingAcks: 2}})
		ns := io.Of("/")
		gate := make(chan struct{})
		server.On(ns, "hold", func(context.Context, *server.Socket, any) error { <-gate; return nil })
		c := ts.Connect("/")
		s := ns.Socket(c.ID())
		called := 0
		emit := func() error { return s.EmitAck(func(*server.Answer, error) { called++ }, "q") }
		c.Emit("hold")
		for range 2 {
			if err := emit(); err != nil {
				t.Fatal(err)
			}
			c.Expect("q").Ack()
		}
		synctest.Wait()
		if err := emit(); !errors.Is(err, server.ErrTooManyAcks) || called != 0 {
			t.Errorf("%v with two callbacks waiting, %d called", err, called)
		}
		close(gate)
		synctest.Wait()
		if err := emit(); err != nil || called != 2 {
			t.Errorf("%v afterwards, %d called", err, called)
		}
		c.Close()
		synctest.Wait()
		if called != 3 {
			t.Errorf("%d callbacks were called, want 3: the last with the disconnect", called)
		}
		if err := emit(); !errors.Is(err, server.ErrDisconnected) {
			t.Error(err)
		}
	})
}

// TestPacketRate: a client that sends more than it may is read more slowly, and loses nothing.
func TestPacketRate(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				io, ts := serve(t, server.Config{
					Limits: server.Limits{PacketsPerSecond: 10},
					Engine: engine.Config{PingInterval: -1}, // nobody answers
				})
				var mu sync.Mutex
				var list []int
				server.On(io.Of("/"), "n", func(_ context.Context, _ *server.Socket, n int) error {
					mu.Lock()
					defer mu.Unlock()
					list = append(list, n)
					return nil
				})
				handled := func() []int {
					synctest.Wait()
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(list)
				}
				w := dial(t, ts, transport)
				w.connect("/", "") // takes one of the first ten
				n := 0
				send := func(count int) {
					var packets []string
					for range count {
						packets = append(packets, fmt.Sprintf(`42["n",%d]`, n))
						n++
					}
					go w.send(packets...)
					synctest.Wait()
				}
				check := func(want int, throttled int64) {
					t.Helper()
					if got, waited := len(handled()), io.Stats().Namespaces.Throttled; got != want || waited != throttled {
						t.Fatalf("%d handled, %d throttled, want %d, %d", got, waited, want, throttled)
					}
				}
				send(9)
				check(9, 0)
				send(1)
				check(9, 1)
				time.Sleep(101 * time.Millisecond)
				check(10, 1)
				send(20)
				time.Sleep(time.Second)
				check(20, 12)
				time.Sleep(time.Minute)
				check(30, 21)
				send(30) // after a rest, a second's worth at once; and the rest of what was left
				if got := len(handled()); got < 40 || got > 50 {
					t.Fatalf("%d handled at once after a rest, want 10 to 20", got-30)
				}
				time.Sleep(3 * time.Second)
				if all := handled(); len(all) != 60 || !slices.IsSorted(all) {
					t.Fatal(all)
				}
				w.cut()
				synctest.Wait()
			})
		})
	}
	// A client that goes while it is held back.
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{Limits: server.Limits{PacketsPerSecond: 1}})
		w := dial(t, ts, "websocket")
		w.connect("/", "")
		w.send(`42["n",1]`, `42["n",2]`)
		synctest.Wait()
		if err := io.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		w.expect("end")
	})
}

// TestSentAttachments: official clients close the connection when a packet has
// more attachments than ten.
func TestSentAttachments(t *testing.T) {
	many := func(n int) []any {
		args := make([]any, n)
		for i := range args {
			args[i] = []byte{byte(i)}
		}
		return args
	}
	for _, test := range []struct {
		name string
		cfg  server.Config
		fit  int // -1: any number
	}{
		{"default", server.Config{}, 10},
		{"recovery", server.Config{Recovery: &server.Recovery{}}, 10},
		{"two", server.Config{PacketLimits: parser.Limits{MaxAttachments: 2}}, 2},
		{"msgpack", server.Config{Parser: msgpack.Codec}, -1},
		{"msgpack, two", server.Config{Parser: msgpack.Codec, PacketLimits: parser.Limits{MaxAttachments: 2}}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			io, ts := serve(t, test.cfg)
			ns := io.Of("/")
			var opts []servertest.Option
			if test.cfg.Parser != nil {
				opts = append(opts, servertest.Codec(test.cfg.Parser))
			}
			acked := make(chan error, 1)
			ns.Handle("ack", func(_ context.Context, e *server.Event) error {
				var n int
				if err := e.Decode(&n); err != nil {
					return err
				}
				err := e.Ack(many(n)...)
				acked <- err
				if err != nil {
					return e.Ack("too many")
				}
				return nil
			})
			c := ts.Connect("/", opts...)
			s := ns.Socket(c.ID())
			ctx := t.Context()
			ways := map[string]func(n int) error{
				"Emit":           func(n int) error { return s.Emit(ctx, "e", many(n)...) },
				"EmitVolatile":   func(n int) error { return s.EmitVolatile(ctx, "volatile", many(n)...) },
				"EmitAck":        func(n int) error { return s.EmitAck(func(*server.Answer, error) {}, "e", many(n)...) },
				"Broadcast.Emit": func(n int) error { return ns.To(s.ID()).Emit(ctx, "e", many(n)...) },
				"Call": func(n int) error {
					ctx, cancel := context.WithCancel(ctx)
					cancel()
					_, err := s.Call(ctx, "e", many(n)...)
					if errors.Is(err, context.Canceled) {
						err = nil // it was sent
					}
					return err
				},
				"Broadcast.Call": func(n int) error {
					ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
					defer cancel()
					_, err := ns.All().Call(ctx, "e", many(n)...)
					if errors.Is(err, server.ErrAckTimeout) {
						err = nil
					}
					return err
				},
				"Ack": func(n int) error { c.Call("ack", n); return <-acked },
			}
			expect := func(way string) {
				if way == "Ack" || way == "EmitVolatile" {
					return // it may have been dropped
				}
				for c.Next().Name != "e" {
				}
			}
			for way, send := range ways {
				fit := test.fit
				if fit < 0 {
					fit = 11
				}
				if err := send(fit); err != nil {
					t.Errorf("%s with %d: %v", way, fit, err)
				}
				expect(way)
				if err := send(fit + 1); test.fit >= 0 && !errors.Is(err, parser.ErrTooManyAttachments) {
					t.Errorf("%s with %d: %v", way, fit+1, err)
				} else if test.fit < 0 {
					expect(way)
				}
			}
		})
	}
}

func TestSentAttachmentsWithoutLimit(t *testing.T) {
	io, ts := serve(t, server.Config{PacketLimits: parser.Limits{MaxAttachments: -1}})
	w := dial(t, ts, "websocket")
	w.connect("/", "")
	if err := io.Of("/").Emit(t.Context(), "e", slices.Repeat([]any{[]byte{1}}, 11)...); err != nil {
		t.Fatal(err)
	}
	if p := w.next(); !strings.HasPrefix(p, `4511-["e",`) {
		t.Error(p)
	}
}

// TestStrictKeys: with PacketLimits.StrictKeys no data gets in that careless
// programs in JavaScript would take for prototypes.
func TestStrictKeys(t *testing.T) {
	for _, strict := range []bool{true, false} {
		io, ts := serve(t, server.Config{PacketLimits: parser.Limits{StrictKeys: strict}})
		ns := io.Of("/")
		seen := 0
		ns.OnAny(func(context.Context, *server.Event) { seen++ })
		server.OnAck(ns, "relay", func(_ context.Context, _ *server.Socket, v any) (any, error) { return v, nil })
		w := dial(t, ts, "websocket")
		const refused = `{"ok":false,"code":"bad_request","message":"objects with the keys __proto__, constructor or prototype are not taken"}`
		w.send(`40{"__proto__":{"admin":true}}`)
		if strict {
			w.expect(`44{"message":"objects with the keys __proto__, constructor or prototype are not taken"}`)
			w.connect("/", "")
		} else if p := w.next(); !strings.HasPrefix(p, `40{"sid"`) {
			t.Fatal(p)
		}
		w.send(`421["relay",{"a":{"constructor":1}}]`, `42["relay",{"prototype":1}]`, `422["relay",{"a":1}]`)
		w.send(`451-3["relay",{"__proto__":{"_placeholder":true,"num":0}}]`, "bAQID")
		if strict { // refusals don't wait for handlers
			got := []string{w.next(), w.next(), w.next()}
			slices.Sort(got)
			if want := []string{"431[" + refused + "]", `432[{"a":1}]`, "433[" + refused + "]"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		} else {
			w.expect(`431[{"a":{"constructor":1}}]`, `432[{"a":1}]`, `461-3[{"__proto__":{"_placeholder":true,"num":0}}]`, "bAQID")
		}
		asked := make(chan error, 1)
		go func() {
			_, err := ns.Sockets()[0].Call(t.Context(), "question")
			asked <- err
		}()
		q := w.next()
		w.send("43" + strings.TrimSuffix(strings.TrimPrefix(q, "42"), `["question"]`) + `[{"__proto__":1}]`)
		var e *server.Error
		if err := <-asked; strict != errors.As(err, &e) || !strict && err != nil {
			t.Errorf("strict %v: the call ends with %v", strict, err)
		}
		want, wantSeen := int64(5), 1
		if !strict {
			want, wantSeen = 0, 4
		}
		if n := io.Stats().Namespaces.Rejected["keys"]; n != want || seen != wantSeen {
			t.Errorf("strict %v: %d rejected, %d seen; want %d, %d", strict, n, seen, want, wantSeen)
		}
		w.cut()
	}
}
