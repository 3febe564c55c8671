package redisadapter_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// patient nodes wait for Redis as long as a busy machine may need.
var patient = redisadapter.StreamsConfig{Patience: 20 * time.Second}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("didn't happen: ", what)
		}
	}
}

// crash makes a node one that Redis and clients hear nothing of any more.
func (n *streamNode) crash() { n.link.Cut() }

// everything sends n events through each node while disturb runs, and checks that
// a client of each node gets all of them, once and in order.
func everything(t *testing.T, nodes []*streamNode, n int, disturb func()) {
	t.Helper()
	var all sync.WaitGroup
	for _, nd := range nodes {
		c := nd.Connect("/")
		all.Go(func() {
			next := make([]int, len(nodes))
			for range n * len(nodes) {
				var g, i int
				if err := c.Expect("n").Args.DecodeAll(&g, &i); err != nil {
					t.Error(err)
					return
				}
				if i != next[g] {
					t.Errorf("event %d of node %d came, expected %d", i, g, next[g])
					return
				}
				next[g]++
			}
		})
	}
	for g, nd := range nodes {
		all.Go(func() {
			for i := range n {
				if err := nd.ns.Emit(t.Context(), "n", g, i); err != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	disturb()
	all.Wait()
}

// TestStreamsLinkCut: connections to Redis break while events are on their way.
// Nothing is lost or comes twice, whoever's connection it was.
func TestStreamsLinkCut(t *testing.T) {
	r := redistest.Start(t)
	a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
	everything(t, []*streamNode{a, b}, 300, func() {
		for i := range 12 {
			n := []*streamNode{a, b}[i%2]
			if i%3 == 0 {
				n.link.Cut()
				time.Sleep(50 * time.Millisecond)
				n.link.Mend()
			} else {
				n.link.Break()
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	for _, n := range []*streamNode{a, b} {
		if st := n.driver.StreamStats(); st.Gaps+st.Unlogged != 0 {
			t.Errorf("%+v", st)
		}
	}
}

// TestStreamsRedisRestart: Redis is killed and comes back with what it had promised to keep.
func TestStreamsRedisRestart(t *testing.T) {
	r := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
	everything(t, []*streamNode{a, b}, 200, func() {
		for range 2 {
			time.Sleep(100 * time.Millisecond)
			r.Kill()
			r.Restart()
		}
	})
	if st := a.driver.StreamStats(); st.Gaps+st.Unlogged != 0 {
		t.Errorf("%+v", st)
	}
}

// TestStreamsFrozenRedis: Redis stops for a while with commands in its buffers; our
// connections time out meanwhile. What it does with them later isn't done again.
func TestStreamsFrozenRedis(t *testing.T) {
	r := redistest.Start(t)
	a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
	everything(t, []*streamNode{a, b}, 50, func() {
		time.Sleep(30 * time.Millisecond)
		r.Freeze()
		time.Sleep(3500 * time.Millisecond) // longer than a write may take
		r.Thaw()
	})
	if st := a.driver.StreamStats(); st.Gaps+st.Unlogged != 0 {
		t.Errorf("%+v", st)
	}
}

// TestStreamsUnlogged: what doesn't get its place in the stream in time is delivered
// here without one, and not again when it has it. Who received it that way can't
// be recovered until something with an offset came.
func TestStreamsUnlogged(t *testing.T) {
	r := redistest.Start(t)
	cfg := redisadapter.StreamsConfig{Patience: 200 * time.Millisecond}
	a, b := newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, patient)
	ctx := t.Context()
	c, d, far := a.Connect("/"), a.Connect("/"), b.Connect("/")
	a.link.Cut()
	a.ns.Emit(ctx, "n", 1)
	for _, c := range []*servertest.Client{c, d} {
		if n, offset := take(c); n != 1 || offset != "unlogged" {
			t.Fatalf("%d, %q", n, offset)
		}
	}
	c.Close()
	e := back(b, c, "unlogged")
	if stateOf(t, e).Recovered || b.io.Stats().Namespaces.Fresh["unlogged"] != 1 {
		t.Error("recovered by what isn't an offset")
	}
	a.link.Mend()
	if n, offset := take(far); n != 1 || offset == "unlogged" {
		t.Fatalf("elsewhere: %d, %q", n, offset)
	}
	// It has come back, and isn't delivered again; from now on there are offsets.
	eventually(t, "the event comes back", func() bool { return a.driver.StreamStats().Waiting == 0 })
	b.ns.Emit(ctx, "n", 2)
	n, offset := take(d)
	if n != 2 || offset == "unlogged" {
		t.Fatalf("%d, %q", n, offset)
	}
	d.Close()
	b.ns.Emit(ctx, "n", 3)
	f := back(b, d, offset)
	if n, _ := take(f); n != 3 || !stateOf(t, f).Recovered {
		t.Errorf("%d, %+v", n, b.io.Stats().Namespaces.Fresh)
	}
}

// TestStreamsTrimmedPastReader: a node that was away for longer than the stream lasts
// notices, and its clients get fresh sessions.
func TestStreamsTrimmedPastReader(t *testing.T) {
	r := redistest.Start(t)
	cfg := patient
	cfg.MaxLen = 100
	a, b := newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, cfg)
	ctx := t.Context()
	c := a.Connect("/")
	b.ns.Emit(ctx, "n", 0)
	_, offset := take(c)
	a.link.Cut()
	for i := range 500 {
		b.ns.Emit(ctx, "n", i)
	}
	eventually(t, "all is written", func() bool { return b.driver.StreamStats().Waiting == 0 })
	a.link.Mend()
	<-c.Done()
	d := back(a, c, offset)
	if stateOf(t, d).Recovered {
		t.Error("recovered over a gap")
	}
	if st := a.driver.StreamStats(); st.Gaps != 1 {
		t.Errorf("%+v", st)
	}
	if st := a.io.Stats().Namespaces; st.CutOff != 1 {
		t.Errorf("%d were cut off", st.CutOff)
	}
	// The node is well again.
	b.ns.Emit(ctx, "n", 1000)
	for {
		if n, _ := take(d); n == 1000 {
			break
		}
	}
}

// TestStreamsDataLost: Redis loses everything; nobody goes on as if nothing had happened.
func TestStreamsDataLost(t *testing.T) {
	r := redistest.Start(t)
	a := newStreamNode(t, r.Addr, patient)
	c := a.Connect("/")
	a.ns.Emit(t.Context(), "n", 0)
	_, offset := take(c)
	if err := r.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	a.link.Break() // or the reader waits a little longer before it looks
	<-c.Done()
	d := back(a, c, offset)
	if stateOf(t, d).Recovered {
		t.Error("recovered from nothing")
	}
	a.ns.Emit(t.Context(), "n", 1)
	if n, _ := take(d); n != 1 {
		t.Error(n)
	}
}

// TestStreamsNodeDies: a node is gone without a word; its clients go on elsewhere, with the rooms that they
// were in last.
func TestStreamsNodeDies(t *testing.T) {
	r := redistest.Start(t)
	a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
	ctx := t.Context()
	c := a.Connect("/")
	c.Call("join", "r1")
	c.Call("join", "r2")
	c.Call("leave", "r1")
	b.ns.To("r2").Emit(ctx, "n", 1)
	_, offset := take(c)
	eventually(t, "the data is saved", func() bool { return a.driver.StreamStats().Unsaved == 0 })
	time.Sleep(100 * time.Millisecond)
	a.crash()
	b.ns.To("r1").Emit(ctx, "n", -1)
	b.ns.To("r2").Emit(ctx, "n", 2)
	d := back(b, c, offset)
	b.ns.To("r2").Emit(ctx, "n", 3)
	for want := 2; want <= 3; want++ {
		if n, _ := take(d); n != want {
			t.Errorf("%d came, expected %d", n, want)
		}
	}
	got := stateOf(t, d)
	slices.Sort(got.Rooms)
	if want := []string{d.ID(), "r2"}; !got.Recovered || !slices.Equal(got.Rooms, sorted(want)) || got.Room != "r2" {
		t.Errorf("%+v", got)
	}
	// What the old node does when it is back has no effect, and it learns where its client is.
	s := a.ns.Socket(c.ID())
	a.link.Mend()
	<-s.Context().Done()
	d.Close()
	e := back(a, d, "")
	if !stateOf(t, e).Recovered {
		t.Errorf("%+v", a.io.Stats().Namespaces.Fresh)
	}
}

func sorted(list []string) []string { slices.Sort(list); return list }

// TestStreamsIdleClient: a client that was sent nothing for long goes on, although
// what it was sent last isn't in the stream any more; also when its node died.
func TestStreamsIdleClient(t *testing.T) {
	r := redistest.Start(t)
	cfg := patient
	cfg.MaxLen = 200
	for _, dies := range []bool{false, true} {
		t.Run(fmt.Sprint("dies=", dies), func(t *testing.T) {
			a, b := newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, cfg)
			ctx := t.Context()
			c, never, watch := a.Connect("/"), a.Connect("/"), a.Connect("/")
			c.Call("join", "r")
			b.ns.To("r").Emit(ctx, "n", 1)
			_, offset := take(c)
			for i := range 1000 {
				b.ns.To("other").Emit(ctx, "n", i)
				if i%40 == 39 {
					b.ns.To(watch.ID()).Emit(ctx, "n", 0)
					take(watch) // a has read all of it, and none was trimmed before
				}
			}
			time.Sleep(50 * time.Millisecond) // the node's key is written
			if dies {
				a.crash()
			} else {
				c.Close()
				never.Close()
			}
			b.ns.To("r").Emit(ctx, "n", 2)
			d := back(b, c, offset)
			if n, _ := take(d); n != 2 {
				t.Error(n)
			}
			if got := stateOf(t, d); !got.Recovered {
				t.Errorf("not recovered: %v", b.io.Stats().Namespaces.Fresh)
			}
			if e := back(b, never, ""); !stateOf(t, e).Recovered {
				t.Errorf("who was never sent anything was not recovered: %v", b.io.Stats().Namespaces.Fresh)
			}
		})
	}
}

// TestStreamsNodeSession: sessions that an official server has saved are continued,
// if what the client names is in the stream.
func TestStreamsNodeSession(t *testing.T) {
	r := redistest.Start(t)
	rdb := r.Client()
	a := newStreamNode(t, r.Addr, patient)
	ctx := t.Context()
	a.ns.Emit(ctx, "n", 0) // somebody's offset
	watch := a.Connect("/")
	a.ns.Emit(ctx, "n", 1)
	n, offset := take(watch)
	for n != 1 {
		n, offset = take(watch)
	}
	save := func(pid string) {
		b, err := msgpack.Marshal(map[string]any{
			"sid": "DuM3Y02Pwpj113NMAAAC", "pid": pid, "rooms": []string{"DuM3Y02Pwpj113NMAAAC", "room1"},
			"data": map[string]any{"room": "bob", "bin": []byte{1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		rdb.Set(ctx, "sio:session:"+pid, base64.StdEncoding.EncodeToString(b), time.Minute)
	}
	a.ns.To("room1").Emit(ctx, "n", 2)
	a.ns.To("room2").Emit(ctx, "n", 3)
	save("zd4Lm8_gkRcJXDSIAAAD")
	c := a.Connect("/", servertest.Auth(map[string]string{"pid": "zd4Lm8_gkRcJXDSIAAAD", "offset": offset}))
	if n, _ := take(c); n != 2 {
		t.Error(n)
	}
	if got := stateOf(t, c); !got.Recovered || !slices.Contains(got.Rooms, "room1") || got.Room != "bob" || c.ID() != "DuM3Y02Pwpj113NMAAAC" {
		t.Errorf("%+v", got)
	}
	save("zd4Lm8_gkRcJXDSIAAAE")
	if d := a.Connect("/", servertest.Auth(map[string]string{"pid": "zd4Lm8_gkRcJXDSIAAAE"})); stateOf(t, d).Recovered {
		t.Error("recovered without an offset")
	}
}

// TestStreamsOrder: what one goroutine sends arrives in that order, whichever way it
// takes, although Redis is far away.
func TestStreamsOrder(t *testing.T) {
	r := redistest.Start(t)
	a := newStreamNode(t, r.Addr, patient)
	server.On(a.ns, "go", func(ctx context.Context, s *server.Socket, n int) error {
		for i := range n {
			switch i % 4 {
			case 0:
				a.ns.Emit(ctx, "n", i)
			case 1:
				s.Emit(ctx, "n", i)
			case 2:
				a.ns.Local().Emit(ctx, "n", i)
			case 3:
				s.EmitAck(func(*server.Answer, error) {}, "n", i)
			}
		}
		s.Leave(s.ID())
		a.ns.Emit(ctx, "n", n)
		s.Disconnect(false)
		return nil
	})
	c := a.Connect("/")
	a.link.Slow(5 * time.Millisecond)
	c.Emit("go", 40)
	for i := range 41 {
		var n int
		if c.Expect("n").Decode(&n); n != i {
			t.Fatalf("event %d came, expected %d", n, i)
		}
	}
	c.WaitClosed()
}

// TestStreamsCommands: a broadcast costs one write, however many members there are.
func TestStreamsCommands(t *testing.T) {
	r := redistest.Start(t)
	a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
	for range 20 {
		a.Connect("/")
		b.Connect("/")
	}
	c := a.Connect("/")
	rdb := r.Client()
	calls := func(name string) (n int) {
		info, err := rdb.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(info) {
			if head, rest, ok := strings.Cut(line, ":calls="); ok && (name == "" || head == name) {
				k, _, _ := strings.Cut(rest, ",")
				i, _ := strconv.Atoi(k)
				n += i
			}
		}
		return n
	}
	before := calls("cmdstat_xadd")
	for i := range 50 {
		a.ns.Emit(t.Context(), "n", i)
		take(c)
	}
	if n := calls("cmdstat_xadd") - before; n != 50 {
		t.Errorf("%d writes for 50 broadcasts", n)
	}
}

// TestStreamsUnsavedChange: Redis is away for so long that a room is joined, or left, without
// having been saved, and the node dies before it can be. Its client was told of the change, and came
// back elsewhere to a session without it, as if nothing was missing.
func TestStreamsUnsavedChange(t *testing.T) {
	r := redistest.Start(t)
	for _, change := range []string{"join", "leave", "data"} {
		t.Run(change, func(t *testing.T) {
			a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
			c := a.Connect("/")
			if change == "leave" {
				c.Call("join", "r")
			}
			b.ns.Emit(t.Context(), "n", 1)
			_, offset := take(c)
			a.link.Cut()
			if change == "data" {
				a.ns.Socket(c.ID()).Set("room", "r")
			} else {
				c.Emit(change, "r") // whatever the client hears of it is behind this:
			}
			var mark string
			c.Expect("unlogged").Decode(&mark)
			a.crash()
			if d := back(b, c, mark); stateOf(t, d).Recovered {
				t.Error("recovered to a state that is behind what its client knows")
			}
			// What makes this necessary: the state that is left would do.
			if d := back(b, c, offset); !stateOf(t, d).Recovered {
				t.Error("there is no old state to come back to")
			}
			if st := a.io.Stats().Namespaces; st.Overdue != 1 {
				t.Errorf("%d overdue", st.Overdue)
			}
		})
	}
}

// TestStreamsBeforeJoin: what this node had sent to a room just before a socket joined it was still on its way to Redis. The
// socket didn't get it, but its saved state began before it: recovered elsewhere, it did.
func TestStreamsBeforeJoin(t *testing.T) {
	r := redistest.Start(t)
	a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
	c := a.Connect("/")
	a.link.Slow(50 * time.Millisecond)
	a.ns.To("r").Emit(t.Context(), "n", 1)
	c.Call("join", "r")
	a.crash()
	d := back(b, c, "")
	b.ns.To("r").Emit(t.Context(), "n", 2)
	if n, _ := take(d); n != 2 || !stateOf(t, d).Recovered {
		t.Errorf("%d came", n)
	}
}

// TestStreamsSavedLate: a change that was saved late: from then on the client has offsets again.
func TestStreamsSavedLate(t *testing.T) {
	r := redistest.Start(t)
	a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
	c := a.Connect("/")
	a.link.Cut()
	c.Emit("join", "r")
	c.Expect("unlogged")
	a.link.Mend()
	eventually(t, "the state is saved", func() bool { return a.driver.StreamStats().Unsaved == 0 })
	b.ns.To("r").Emit(t.Context(), "n", 1)
	e := c.Next()
	for e.Name == "unlogged" { // the data, too, was saved late
		e = c.Next()
	}
	var n int
	var offset string
	if e.Decode(&n, &offset); n != 1 || offset == "unlogged" {
		t.Fatal(n, offset)
	}
	a.crash()
	b.ns.To("r").Emit(t.Context(), "n", 2)
	d := back(b, c, offset)
	if n, _ := take(d); n != 2 || !stateOf(t, d).Recovered {
		t.Errorf("%d, %v", n, b.io.Stats().Namespaces.Fresh)
	}
}
