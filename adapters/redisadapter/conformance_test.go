package redisadapter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// variant is a kind of driver over a kind of Redis: all have to pass the same tests.
type variant struct {
	name   string
	driver func(rdb redis.UniversalClient, cfg redisadapter.Config) driver
	mode   redisadapter.Mode
	total  bool // one connection carries all: what one goroutine emits arrives in order, whatever its target
}

// driver is what all drivers have.
type driver interface {
	adapters.Driver
	adapters.Health
	Stats() redisadapter.Stats
	Close(context.Context) error
}

func classic(rdb redis.UniversalClient, cfg redisadapter.Config) driver {
	return redisadapter.PubSub(rdb, cfg)
}

func sharded(rdb redis.UniversalClient, cfg redisadapter.Config) driver {
	return redisadapter.ShardedPubSub(rdb, cfg)
}

func streams(streams int, sharded bool) func(redis.UniversalClient, redisadapter.Config) driver {
	return func(rdb redis.UniversalClient, cfg redisadapter.Config) driver {
		return redisadapter.Streams(rdb, redisadapter.StreamsConfig{Config: cfg, Stream: cfg.Prefix, Streams: streams, Sharded: sharded})
	}
}

var variants = []variant{
	{"classic", classic, "", true},
	{"sharded static", sharded, redisadapter.Static, true},
	{"sharded dynamic", sharded, redisadapter.Dynamic, false},
	{"sharded dynamic-private", sharded, redisadapter.DynamicPrivate, false},
	{"streams", streams(1, false), "", true},
	{"four streams, sharded requests", streams(4, true), "", true},
}

// TestConformance runs the tests for every variant on a single server and on a cluster.
func TestConformance(t *testing.T) {
	single := redistest.Start(t)
	cluster := redistest.StartCluster(t)
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			conformance(t, v, func(t *testing.T) redis.UniversalClient { return single.Client() }, "one:"+v.name)
		})
		t.Run(v.name+", cluster", func(t *testing.T) {
			conformance(t, v, func(t *testing.T) redis.UniversalClient { return cluster.Client() }, "cl:"+v.name)
		})
	}
}

// node is one server of a cluster.
type node struct {
	*server.Server
	web    *servertest.Server
	driver driver
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newNode starts a server whose clients join rooms and tell about themselves.
func newNode(t *testing.T, driver driver) *node {
	t.Helper()
	io, err := server.New(server.Config{Driver: driver, CleanupEmpty: true, Logger: quiet(), AckTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Server: io, driver: driver}
	n.setup(io.Of("/"))
	n.web = servertest.Serve(t, io)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%+v", driver.Stats())
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := io.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *node) setup(ns *server.Namespace) {
	server.OnAck(ns, "join", func(_ context.Context, s *server.Socket, rooms []string) (bool, error) {
		return true, s.Join(rooms...)
	})
	server.OnAck(ns, "name", func(_ context.Context, s *server.Socket, name string) (bool, error) {
		s.Set("name", name)
		s.Set("bin", []byte(name))
		return true, nil
	})
	ns.HandleServer("add", func(_ context.Context, e *server.ServerEvent) error {
		var a, b int
		if err := e.Args.DecodeAll(&a, &b); err != nil {
			return err
		}
		return e.Answer(a + b)
	})
	ns.HandleServer("silent", func(context.Context, *server.ServerEvent) error { return nil })
}

// set is the nodes of one test, and a client on each.
type set struct {
	t       *testing.T
	v       variant
	nodes   []*node
	clients []*servertest.Client // one for each node
	members map[string][]int     // of rooms, as join has made them
	dial    func(t *testing.T) redis.UniversalClient
	cfg     redisadapter.Config
}

func newSet(t *testing.T, v variant, dial func(*testing.T) redis.UniversalClient, prefix string, n int) *set {
	t.Helper()
	s := &set{t: t, v: v, members: map[string][]int{}, dial: dial, cfg: redisadapter.Config{Prefix: prefix, Mode: v.mode, Heartbeat: 100 * time.Millisecond, Logger: quiet()}}
	for range n {
		s.add()
	}
	for _, n := range s.nodes {
		s.clients = append(s.clients, n.web.Connect("/"))
	}
	return s
}

func (s *set) add() *node {
	s.t.Helper()
	cfg := s.cfg
	cfg.Node = fmt.Sprintf("node-%d", len(s.nodes))
	n := newNode(s.t, s.v.driver(s.dial(s.t), cfg))
	s.nodes = append(s.nodes, n)
	return n
}

// join makes client i join rooms, and waits until the other nodes' messages to
// these rooms arrive: the dynamic modes subscribe in the background.
func (s *set) join(i int, rooms ...string) {
	s.t.Helper()
	s.clients[i].Call("join", rooms)
	from := (i + 1) % len(s.nodes)
	for _, room := range rooms {
		until(s.t, "messages to "+room, func() bool {
			s.emit(from, room, "warm")
			time.Sleep(5 * time.Millisecond)
			return s.clients[i].Pending() > 0
		})
		s.emit(from, room, "warmed") // behind all of them
		s.members[room] = append(s.members[room], i)
		for _, member := range s.members[room] {
			for s.clients[member].Next().Name != "warmed" {
			}
		}
	}
}

func (s *set) emit(from int, room, event string, args ...any) {
	s.t.Helper()
	if err := s.nodes[from].Of("/").To(room).Emit(s.t.Context(), event, args...); err != nil {
		s.t.Error(err)
	}
}

// until waits for something that comes true in the background.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still not: ", what)
		}
	}
}

// got returns the names of the events that client i gets, sorted: n of them, and no more.
func (s *set) got(i, n int) string {
	s.t.Helper()
	var names []string
	for range n {
		names = append(names, s.clients[i].Next().Name)
	}
	time.Sleep(30 * time.Millisecond)
	for s.clients[i].Pending() > 0 {
		names = append(names, s.clients[i].Next().Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func conformance(t *testing.T, v variant, dial func(*testing.T) redis.UniversalClient, prefix string) {
	t.Run("events", func(t *testing.T) { testEvents(t, newSet(t, v, dial, prefix+":e", 3)) })
	t.Run("order", func(t *testing.T) { testOrder(t, newSet(t, v, dial, prefix+":o", 2)) })
	t.Run("calls", func(t *testing.T) { testCalls(t, newSet(t, v, dial, prefix+":c", 3)) })
	t.Run("sockets", func(t *testing.T) { testSockets(t, newSet(t, v, dial, prefix+":s", 2)) })
	t.Run("servers", func(t *testing.T) { testServers(t, newSet(t, v, dial, prefix+":v", 3)) })
	t.Run("namespaces", func(t *testing.T) { testNamespaces(t, newSet(t, v, dial, prefix+":n[a-z]*?\\", 2)) })
}

// testEvents sends events from node 0 to targets of all kinds. Each name says who should get it.
func testEvents(t *testing.T, s *set) {
	s.join(0, "a", "zero")
	s.join(1, "a", "b", "7")
	s.join(2, "b", "12345678901234567890") // a public room that looks like a socket's
	ctx := t.Context()
	all := s.nodes[0].Of("/").All()
	for name, b := range map[string]server.Broadcast{
		"012-all":      all,
		"01-room":      all.To("a"),
		"012-rooms":    all.To("a", "b"),
		"2-except":     all.Except("a"),
		"2-except-too": all.To("b").Except("a"),
		"1-number":     all.To("7"),
		"1-socket":     all.To(s.clients[1].ID()),
		"2-long":       all.To("12345678901234567890"),
		"0-local":      all.Local(),
		"01-but-2":     all.Except(s.clients[2].ID()),
		"nobody":       all.To("nobody"),
	} {
		if err := b.Emit(ctx, name, 1, "x"); err != nil {
			t.Error(name, err)
		}
	}
	want := [][]string{
		{"0-local", "01-but-2", "01-room", "012-all", "012-rooms"},
		{"01-but-2", "01-room", "012-all", "012-rooms", "1-number", "1-socket"},
		{"012-all", "012-rooms", "2-except", "2-except-too", "2-long"},
	}
	for i := range s.clients {
		if got := s.got(i, len(want[i])); got != strings.Join(want[i], " ") {
			t.Errorf("client %d got %s\nwant %s", i, got, strings.Join(want[i], " "))
		}
	}

	// A volatile event may be dropped: it is sent until each has got one.
	until(t, "volatile events", func() bool {
		if err := all.Except("zero").Volatile().Compress(false).Emit(ctx, "12-volatile"); err != nil {
			t.Fatal(err)
		}
		return s.clients[1].Pending() > 0 && s.clients[2].Pending() > 0
	})
	if err := all.Emit(ctx, "behind"); err != nil {
		t.Fatal(err)
	}
	s.clients[0].Expect("behind")
	for _, c := range s.clients[1:] {
		e := c.Expect("12-volatile")
		for e.Name == "12-volatile" {
			e = c.Next()
		}
		if e.Name != "behind" {
			t.Errorf("%q came", e.Name)
		}
	}

	// What is sent arrives as it is.
	value := map[string]any{"z": []any{1.5, nil, true, "é😀"}, "a": []byte{0, 255}, "n": map[string]any{}}
	big := strings.Repeat("x", 200_000)
	if err := all.Emit(ctx, "data", value, []byte{}, big, int64(9007199254740993)); err != nil {
		t.Fatal(err)
	}
	for i := range s.clients {
		var got any
		var bin []byte
		var text string
		var n int64
		s.clients[i].Expect("data").Decode(&got, &bin, &text, &n)
		if !reflect.DeepEqual(got, any(value)) || len(bin) != 0 || text != big || n != 9007199254740993 {
			t.Errorf("client %d: %v %v %d %d", i, got, bin, len(text), n)
		}
	}

	// Joins and leaves of others.
	if err := s.nodes[0].Of("/").To("b").Join(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	if err := s.nodes[0].Of("/").To(s.clients[2].ID()).Leave(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	until(t, "joins and leaves on other nodes", func() bool {
		return s.nodes[1].Of("/").Count("c") == 1 && s.nodes[2].Of("/").Count("c") == 1 && s.nodes[2].Of("/").Count("b") == 0
	})
}

func testOrder(t *testing.T, s *set) {
	s.join(1, "r")
	const n = 400
	for i := range n {
		b := s.nodes[0].Of("/").To("r")
		if s.v.total && i%3 == 0 {
			b = s.nodes[0].Of("/").All()
		}
		if err := b.Emit(t.Context(), "n", i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		var got int
		if s.clients[1].Expect("n").Decode(&got); got != i {
			t.Fatalf("%d came in place of %d", got, i)
		}
	}
}

func testCalls(t *testing.T, s *set) {
	more := s.nodes[1].web.Connect("/")
	all := append(slices.Clone(s.clients), more)
	for i, c := range all {
		go func() {
			e := c.Next()
			var v []byte
			e.Decode(&v)
			e.Ack(append(v, byte(i)), "second")
		}()
	}
	answers, err := s.nodes[0].Of("/").All().Call(t.Context(), "q", []byte{9})
	if err != nil || len(answers) != 4 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	seen := map[byte]bool{}
	for _, a := range answers {
		var v []byte
		if err := a.Decode(&v); err != nil || len(v) != 2 || v[0] != 9 {
			t.Errorf("%v, %v", v, err)
		} else {
			seen[v[1]] = true
		}
	}
	if len(seen) != 4 {
		t.Error(seen)
	}

	// Nobody to ask, on any node.
	if answers, err := s.nodes[0].Of("/").To("nobody").Call(t.Context(), "q"); err != nil || len(answers) != 0 {
		t.Errorf("%d answers, %v", len(answers), err)
	}

	// Answers without arguments, one of this node and one of another, and one client that says nothing.
	go func() { s.clients[0].Next().Ack() }()
	go func() { s.clients[1].Next().Ack() }()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	answers, err = s.nodes[0].Of("/").To(s.clients[0].ID(), s.clients[1].ID(), more.ID()).Call(ctx, "q")
	var missing *adapters.MissingError
	if len(answers) != 2 || answers[0].Args.Len() != 0 || !errors.As(err, &missing) || missing.Acks != 1 {
		t.Errorf("%d answers, %v", len(answers), err)
	}
	more.Next()
}

func testSockets(t *testing.T, s *set) {
	ctx := t.Context()
	s.clients[1].Call("name", "bob")
	s.join(1, "r")
	here := s.nodes[0].Of("/")
	list, err := here.FetchSockets(ctx)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d sockets, %v", len(list), err)
	}
	if list, err = here.To("r").FetchSockets(ctx); err != nil || len(list) != 1 {
		t.Fatalf("%d sockets, %v", len(list), err)
	}
	remote := list[0]
	if remote.ID != s.clients[1].ID() || remote.Data["name"] != "bob" || !slices.Contains(remote.Rooms, "r") || remote.Handshake.Query.Get("EIO") != "4" {
		t.Errorf("%+v", remote)
	}
	if b, ok := remote.Data["bin"].([]byte); !ok || string(b) != "bob" {
		t.Errorf("binary data came as %v", remote.Data["bin"])
	}
	if list, err := here.To("nobody").FetchSockets(ctx); err != nil || len(list) != 0 {
		t.Errorf("%d sockets, %v", len(list), err)
	}
	if err := remote.Join(ctx, "j"); err != nil {
		t.Error(err)
	}
	if err := remote.Leave(ctx, "r"); err != nil {
		t.Error(err)
	}
	there := s.nodes[1].Of("/")
	until(t, "a remote join and leave", func() bool { return there.Count("j") == 1 && there.Count("r") == 0 })
	if err := remote.Emit(ctx, "hi"); err != nil {
		t.Error(err)
	}
	s.clients[1].Expect("hi")
	go func() { s.clients[1].Next().Ack("yes") }()
	a, err := remote.Call(ctx, "sure?")
	var yes string
	if err != nil || a.Decode(&yes) != nil || yes != "yes" {
		t.Error(yes, err)
	}
	if err := remote.Disconnect(ctx, true); err != nil {
		t.Error(err)
	}
	s.clients[1].WaitClosed()
}

func testServers(t *testing.T, s *set) {
	ctx := t.Context()
	here := s.nodes[0].Of("/")
	if n, err := here.Nodes(ctx); n != 3 || err != nil {
		t.Errorf("%d nodes, %v", n, err)
	}
	sum := func(want int) {
		t.Helper()
		answers, err := here.ServerSideCall(ctx, "add", 2, 3)
		if err != nil || len(answers) != want {
			t.Fatalf("%d answers, %v", len(answers), err)
		}
		for _, a := range answers {
			var v int
			if a.Decode(0, &v) != nil || v != 5 {
				t.Error(v)
			}
		}
	}
	sum(2)
	got := make(chan string, 10)
	for i, n := range s.nodes {
		n.Of("/").HandleServer("note", func(_ context.Context, e *server.ServerEvent) error {
			var b []byte
			if err := e.Args.DecodeAll(&b); err != nil {
				t.Error(err)
			}
			got <- fmt.Sprint(i, b)
			return nil
		})
	}
	if err := here.ServerSideEmit(ctx, "note", []byte{1}); err != nil {
		t.Fatal(err)
	}
	list := []string{<-got, <-got}
	if slices.Sort(list); !slices.Equal(list, []string{"1 [1]", "2 [1]"}) {
		t.Error(list)
	}

	// Go nodes say that they have no answer, so that nobody waits for it. They
	// know each other by then.
	until(t, "heartbeats", func() bool {
		return s.nodes[0].driver.Stats().Nodes == 2 && s.nodes[1].driver.Stats().Nodes == 2 && s.nodes[2].driver.Stats().Nodes == 2
	})
	for _, event := range []string{"silent", "unknown"} {
		if answers, err := here.ServerSideCall(ctx, event); err != nil || len(answers) != 0 {
			t.Errorf("%s: %d answers, %v", event, len(answers), err)
		}
	}

	// Nodes come and go.
	s.add()
	sum(3)
	if err := s.nodes[2].Shutdown(ctx); err != nil {
		t.Error(err)
	}
	sum(2)
	if n, err := here.Nodes(ctx); n != 3 || err != nil {
		t.Errorf("%d nodes, %v", n, err)
	}
	for _, n := range s.nodes[:2] {
		if err := n.driver.Healthy(); err != nil {
			t.Error(err)
		}
	}
}

func testNamespaces(t *testing.T, s *set) {
	ctx := t.Context()
	for _, name := range []string{"/chat", `/back\slash`, "/a[b]?*", "/x#y", "/x"} {
		for _, n := range s.nodes {
			n.setup(n.Of(name))
		}
		here, there := s.nodes[0].web.Connect(name), s.nodes[1].web.Connect(name)
		if err := s.nodes[0].Of(name).Emit(ctx, "hi", name); err != nil {
			t.Fatal(err)
		}
		here.Expect("hi")
		there.Expect("hi")
		if list, err := s.nodes[0].Of(name).FetchSockets(ctx); err != nil || len(list) != 2 {
			t.Errorf("%s: %d sockets, %v", name, len(list), err)
		}
		if n := s.clients[0].Pending() + s.clients[1].Pending(); n > 0 {
			t.Errorf("%s: %d events in /", name, n)
		}
	}
	// On one side only.
	alone := s.nodes[0].Of("/alone")
	if n, err := alone.Nodes(ctx); n != 1 || err != nil {
		t.Errorf("%d nodes, %v", n, err)
	}
	if list, err := alone.FetchSockets(ctx); err != nil || len(list) != 0 {
		t.Errorf("%d sockets, %v", len(list), err)
	}
	// Dynamic ones, which end with their last socket.
	for _, n := range s.nodes {
		n.OfMatch(regexp.MustCompile(`^/dyn-\d$`))
	}
	c := s.nodes[1].web.Connect("/dyn-1")
	c2 := s.nodes[0].web.Connect("/dyn-1")
	if err := s.nodes[0].Of("/dyn-1").Emit(ctx, "hi"); err != nil {
		t.Fatal(err)
	}
	c.Expect("hi")
	c.Leave()
	until(t, "one node has closed the namespace", func() bool {
		n, err := s.nodes[0].Of("/dyn-1").Nodes(ctx)
		return err == nil && n == 1
	})
	c = s.nodes[1].web.Connect("/dyn-1")
	if err := s.nodes[0].Of("/dyn-1").Emit(ctx, "again"); err != nil {
		t.Fatal(err)
	}
	c.Expect("again")
	c2.Expect("hi")
	c2.Expect("again")
}
