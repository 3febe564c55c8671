package redisadapter_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// streamNode is a server in a cluster that is joined by streams.
type streamNode struct {
	*servertest.Server
	io     *server.Server
	ns     *server.Namespace
	driver *redisadapter.StreamsDriver
	link   *redistest.Link // to Redis
}

func newStreamNode(t *testing.T, addr string, cfg redisadapter.StreamsConfig) *streamNode {
	t.Helper()
	link := redistest.NewLink(t, addr)
	rdb := redis.NewClient(&redis.Options{Addr: link.Addr, DisableIdentity: true})
	t.Cleanup(func() { _ = rdb.Close() })
	return startStreamNode(t, rdb, link, cfg)
}

func startStreamNode(t *testing.T, rdb redis.UniversalClient, link *redistest.Link, cfg redisadapter.StreamsConfig) *streamNode {
	t.Helper()
	n := &streamNode{link: link, driver: redisadapter.Streams(rdb, cfg)}
	var err error
	n.io, err = server.New(server.Config{
		Driver:       n.driver,
		Recovery:     &server.Recovery{},
		CleanupEmpty: true,
		Engine:       engine.Config{HandshakeRate: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.ns = n.io.Of("/")
	server.OnAck(n.ns, "join", func(_ context.Context, s *server.Socket, room string) (bool, error) {
		s.Set("room", room)
		return true, s.Join(room)
	})
	server.OnAck(n.ns, "leave", func(_ context.Context, s *server.Socket, room string) (bool, error) {
		s.Leave(room)
		return true, nil
	})
	server.OnAck(n.ns, "state", func(_ context.Context, s *server.Socket, _ any) (state, error) {
		return state{s.Recovered(), s.Rooms(), server.Value[string](s, "room")}, nil
	})
	n.Server = servertest.Serve(t, n.io)
	t.Cleanup(func() {
		if link != nil {
			link.Mend()
			link.Release()
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.io.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

type state struct {
	Recovered bool
	Rooms     []string
	Room      string
}

func stateOf(t *testing.T, c *servertest.Client) (s state) {
	t.Helper()
	if err := c.Call("state").Decode(0, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func take(c *servertest.Client) (n int, offset string) {
	c.Expect("n").Decode(&n, &offset)
	return n, offset
}

func back(n *streamNode, c *servertest.Client, offset string) *servertest.Client {
	auth := map[string]any{"pid": c.PrivateID()}
	if offset != "" {
		auth["offset"] = offset
	}
	return n.Connect("/", servertest.Auth(auth))
}

// TestRecoverElsewhere: a client that was away gets what it missed, once and in order, with
// its id, rooms and data, from another node; also when its own node hasn't
// noticed that it went, and when it had got nothing.
func TestRecoverElsewhere(t *testing.T) {
	r := redistest.Start(t)
	cfg := redisadapter.StreamsConfig{Patience: 20 * time.Second} // all get their places, however busy the machine is
	a, b := newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, cfg)
	ctx := t.Context()
	for _, noticed := range []bool{true, false} {
		for _, had := range []int{0, 3} {
			t.Run(fmt.Sprintf("noticed=%v/had=%d", noticed, had), func(t *testing.T) {
				c := a.Connect("/")
				c.Call("join", "r")
				offset := ""
				for i := range had {
					b.ns.To("r").Emit(ctx, "n", i)
					_, offset = take(c)
				}
				s := a.ns.Socket(c.ID())
				if noticed {
					c.Close()
					<-s.Context().Done()
				}
				for i := range 10 {
					a.ns.To("other").Emit(ctx, "n", -1)
					b.ns.To("r").Except("none").Emit(ctx, "n", had+i)
					b.ns.To("r").Volatile().Emit(ctx, "volatile")
				}
				d := back(b, c, offset)
				if got := stateOf(t, d); d.ID() != c.ID() || d.PrivateID() != c.PrivateID() || !got.Recovered || len(got.Rooms) != 2 || got.Room != "r" {
					t.Fatalf("not recovered: id %s, was %s, %+v; %+v", d.ID(), c.ID(), got, b.io.Stats().Namespaces.Fresh)
				}
				<-s.Context().Done() // a has been told
				a.ns.To("r").Emit(ctx, "n", had+10)
				for i := range 11 {
					if n, _ := take(d); n != had+i {
						t.Fatalf("event %d came, expected %d", n, had+i)
					}
				}
				d.Leave()
			})
		}
	}
}

// TestRecoverOnCluster: the same on a Redis Cluster, where sessions and streams are on different servers.
func TestRecoverOnCluster(t *testing.T) {
	r := redistest.StartCluster(t)
	cfg := redisadapter.StreamsConfig{Streams: 2, Patience: 20 * time.Second}
	a, b := startStreamNode(t, r.Client(), nil, cfg), startStreamNode(t, r.Client(), nil, cfg)
	ctx := t.Context()
	for range 5 { // with keys of different slots
		c := a.Connect("/")
		c.Call("join", "r")
		b.ns.To("r").Emit(ctx, "n", 1)
		_, offset := take(c)
		b.ns.To("r").Emit(ctx, "n", 2)
		d := back(b, c, offset)
		for want := 2; want <= 3; want++ {
			if want == 3 { // behind 2, which the client has: they are of different nodes
				a.ns.To("r").Emit(ctx, "n", 3)
			}
			if n, _ := take(d); n != want {
				t.Errorf("%d came, expected %d", n, want)
			}
		}
		if got := stateOf(t, d); !got.Recovered || got.Room != "r" {
			t.Errorf("%+v: %v", got, b.io.Stats().Namespaces.Fresh)
		}
		d.Leave()
	}
}

// TestRecoveredValues: what Socket.Set has kept is the same to Value after a recovery, although
// Redis had its JSON form: structs came back as maps, and integers as floats, which Value took for nothing.
func TestRecoveredValues(t *testing.T) {
	type user struct {
		Name   string `json:"name"`
		Age    int    `json:"age"`
		Avatar []byte `json:"avatar"`
	}
	r := redistest.Start(t)
	cfg := redisadapter.StreamsConfig{Patience: 20 * time.Second}
	a, b := newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, cfg)
	c := a.Connect("/")
	s := a.ns.Socket(c.ID())
	ada := user{"Ada", 36, []byte{0, 255}}
	s.Set("user", ada)
	s.Set("pointer", &ada)
	s.Set("int", 7)
	s.Set("list", []int{1, 2})
	born := time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC)
	s.Set("time", born)
	for range 2 { // the second time from what Value has made of it
		c.Close()
		<-s.Context().Done()
		c = back(b, c, "")
		s = b.ns.Socket(c.ID())
		if !s.Recovered() {
			t.Fatal(b.io.Stats().Namespaces.Fresh)
		}
		if m, ok := s.Get("user").(map[string]any); !ok || m["age"] != 36.0 || !bytes.Equal(m["avatar"].([]byte), ada.Avatar) {
			t.Errorf("%v", s.Get("user"))
		}
		if n := server.Value[bool](s, "int"); n { // it is none
			t.Error(n)
		}
		if u := server.Value[user](s, "user"); !reflect.DeepEqual(u, ada) {
			t.Errorf("%+v", u)
		}
		if _, ok := s.Get("user").(user); !ok {
			t.Errorf("%v", s.Get("user"))
		}
		if u := server.Value[*user](s, "pointer"); u == nil || !reflect.DeepEqual(*u, ada) {
			t.Errorf("%+v", u)
		}
		if n := server.Value[int](s, "int"); n != 7 {
			t.Error(n)
		}
		if l := server.Value[[]int](s, "list"); !slices.Equal(l, []int{1, 2}) {
			t.Error(l)
		}
		if at := server.Value[time.Time](s, "time"); !at.Equal(born) {
			t.Error(at)
		}
		s.Set("int", "text") // what was set here isn't taken for anything else
		if n := server.Value[int](s, "int"); n != 0 {
			t.Error(n)
		}
		s.Set("int", 7)
	}
}

// TestRecoverToCleanedUp: the only client of a dynamic namespace is away; its node has closed the
// namespace meanwhile, but Redis has what it needs to go on.
func TestRecoverToCleanedUp(t *testing.T) {
	r := redistest.Start(t)
	cfg := redisadapter.StreamsConfig{Patience: 20 * time.Second}
	a, b := newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, cfg)
	name := "/room-1"
	a.io.OfMatch(regexp.MustCompile(`^/room-`))
	c := a.Connect(name)
	b.io.Of(name).Emit(t.Context(), "n", 1)
	_, offset := take(c)
	c.Close()
	until(t, "the namespace is closed", func() bool {
		return !slices.ContainsFunc(a.io.Namespaces(), func(ns *server.Namespace) bool { return ns.Name() == name })
	})
	b.io.Of(name).Emit(t.Context(), "n", 2)
	d := a.Connect(name, servertest.Auth(map[string]any{"pid": c.PrivateID(), "offset": offset}))
	if n, _ := take(d); n != 2 || !a.io.Of(name).Socket(d.ID()).Recovered() {
		t.Errorf("%d, %v", n, a.io.Stats().Namespaces.Fresh)
	}
}

// TestStrayEntries: of several streams, official servers write the events of some namespaces to one with a negative number, and
// an emitter may write to any. They are delivered as they come; nobody is recovered over one that was missed,
// also not by a node that has opened the namespace since.
func TestStrayEntries(t *testing.T) {
	r := redistest.Start(t)
	rdb := r.Client()
	cfg := redisadapter.StreamsConfig{Streams: 4, Patience: 20 * time.Second}
	const official, emitted, spared = "/notifications", "/chat", "/admin" // -3 where ours is 3; 3; 0
	a, b := newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, cfg)
	write := func(stream, namespace string, n int) {
		t.Helper()
		data := fmt.Sprintf(`{"packet":{"type":2,"data":["n",%d]},"opts":{"rooms":[],"except":[],"flags":{}}}`, n)
		if err := rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []string{
			"uid", "75b7814d6785816e", "nsp", namespace, "type", "3", "data", data,
		}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		namespace, stream string
		late              bool // the namespace is opened by the other node when all is over
		recovers          bool
	}{
		{spared, "socket.io-0", false, true}, // where it belongs
		{official, "socket.io--3", true, false},
		{emitted, "socket.io-1", false, false},
	} {
		here, there := a.io.Of(test.namespace), b.io
		var witness *servertest.Client
		if !test.late {
			there.Of(test.namespace)
			witness = b.Connect(test.namespace)
		}
		c := a.Connect(test.namespace)
		here.Emit(t.Context(), "n", 1)
		_, offset := take(c)
		write(test.stream, test.namespace, 2)
		var n int
		if c.Expect("n").Args.Decode(0, &n); n != 2 {
			t.Errorf("%s: %d came", test.namespace, n)
		}
		s := here.Socket(c.ID())
		c.Close()
		<-s.Context().Done()
		write(test.stream, test.namespace, 3) // missed
		if witness != nil {
			for range 3 {
				witness.Expect("n")
			}
		}
		there.Of(test.namespace)
		d := b.Connect(test.namespace, servertest.Auth(map[string]any{"pid": c.PrivateID(), "offset": offset}))
		if got := there.Of(test.namespace).Socket(d.ID()).Recovered(); got != test.recovers {
			t.Errorf("%s: recovered: %v", test.namespace, got)
		}
	}
}

// TestTakenBack: a client goes back and forth between nodes so fast that a notice is late
// that a node doesn't have it any more: its session is there again by then, in the same state as
// before, and was ended.
func TestTakenBack(t *testing.T) {
	r := redistest.Start(t)
	cfg := redisadapter.StreamsConfig{Patience: 20 * time.Second}
	a, b := newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, cfg)
	c := a.Connect("/")
	c.Call("join", "r")
	for i := range 10 {
		c = back([]*streamNode{b, a}[i%2], c, "")
	}
	until(t, "the notices", func() bool {
		entries, err := r.Client().XRange(t.Context(), "socket.io", "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range entries {
			if list, ok := e.Values["taken"].(string); ok {
				n += len(strings.Fields(list))
			}
		}
		return n == 10
	})
	b.ns.To("r").Emit(t.Context(), "n") // behind all of them
	c.Expect("n")
	if s := stateOf(t, c); !s.Recovered {
		t.Errorf("%+v", s)
	}
}

// TestRecoverChecker: clients drop and come back at random nodes while all nodes
// broadcast; every client gets everything once and in order.
func TestRecoverChecker(t *testing.T) {
	const clients, senders, events = 9, 6, 100
	r := redistest.Start(t)
	cfg := redisadapter.StreamsConfig{Patience: 20 * time.Second} // all get their places, however busy the machine is
	nodes := []*streamNode{newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, cfg), newStreamNode(t, r.Addr, cfg)}
	ctx := t.Context()
	first := make([]*servertest.Client, clients)
	for i := range first {
		first[i] = nodes[i%3].Connect("/")
		first[i].Call("join", fmt.Sprint("r", i%2))
	}
	var all sync.WaitGroup
	for g := range senders {
		all.Go(func() {
			for i := range events {
				target := nodes[g%3].ns.To("r0", "r1")
				if i%3 == 0 {
					target = nodes[g%3].ns.All()
				}
				if err := target.Emit(ctx, "n", g, i); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for k, c := range first {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(k)))
			var next [senders]int
			offset, drops := "", 0
			for got := 0; got < senders*events; got++ {
				e := c.Expect("n")
				var g, i int
				var at string
				if err := e.Args.DecodeAll(&g, &i, &at); err != nil {
					t.Error(err)
					return
				}
				if i != next[g] {
					t.Errorf("client %d: event %d of sender %d came, expected %d (after %d drops)", k, i, g, next[g], drops)
					return
				}
				next[g]++
				offset = at
				if rnd.IntN(40) == 0 {
					c.Close()
					n := nodes[rnd.IntN(3)]
					d := back(n, c, offset)
					if d.ID() != c.ID() {
						t.Errorf("client %d was not recovered after %s: %v", k, offset, n.io.Stats().Namespaces.Fresh)
						return
					}
					c, drops = d, drops+1
				}
			}
		})
	}
	all.Wait()
}
