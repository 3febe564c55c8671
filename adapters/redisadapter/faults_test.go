package redisadapter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// recovers checks that messages arrive again, in both directions, and that requests work.
func (s *set) recovers() {
	s.t.Helper()
	for i, n := range s.nodes {
		var last error
		s.t.Cleanup(func() {
			if last != nil {
				s.t.Logf("node %d: %v, %+v", i, last, n.driver.Stats())
			}
		})
		until(s.t, fmt.Sprintf("node %d hears itself", i), func() bool { last = n.driver.Healthy(); return last == nil })
	}
	for i := range s.nodes {
		to := (i + 1) % len(s.nodes)
		until(s.t, "messages arrive again", func() bool {
			_ = s.nodes[i].Of("/").To("r").Emit(s.t.Context(), "again", i)
			time.Sleep(5 * time.Millisecond)
			return s.clients[to].Pending() > 0
		})
		time.Sleep(50 * time.Millisecond)
		for _, c := range s.clients {
			for c.Pending() > 0 {
				c.Next()
			}
		}
	}
	until(s.t, "requests are answered", func() bool {
		list, err := s.nodes[0].Of("/").FetchSockets(s.t.Context())
		return err == nil && len(list) == len(s.clients)
	})
}

// unhealthy waits until a node knows that it is cut off.
func (s *set) unhealthy() {
	s.t.Helper()
	for i, n := range s.nodes {
		until(s.t, fmt.Sprintf("node %d knows that it is cut off", i), func() bool { return n.driver.Healthy() != nil })
	}
}

func TestFaults(t *testing.T) {
	for _, v := range variants[:3] {
		t.Run(v.name, func(t *testing.T) {
			srv := redistest.Start(t)
			s := newSet(t, v, func(*testing.T) redis.UniversalClient { return srv.Client() }, "f", 2)
			s.join(0, "r")
			s.join(1, "r")
			s.recovers()
			admin := srv.Client()

			// Redis ends the connections that listen, as it does when their output is too much.
			before := s.nodes[0].driver.Stats().Reconnects
			if err := admin.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
			until(t, "a reconnect", func() bool { return s.nodes[0].driver.Stats().Reconnects > before })
			s.recovers()

			// A namespace that is opened while Redis is away works when it is back.
			srv.Kill()
			s.unhealthy()
			for _, n := range s.nodes {
				n.setup(n.Of("/late"))
			}
			srv.Restart()
			s.recovers()
			c := s.nodes[1].web.Connect("/late")
			until(t, "a namespace opened meanwhile", func() bool {
				_ = s.nodes[0].Of("/late").Emit(t.Context(), "hi")
				time.Sleep(5 * time.Millisecond)
				return c.Pending() > 0
			})

			// Redis hangs.
			srv.Freeze()
			s.unhealthy()
			if err := s.nodes[0].Of("/").Emit(t.Context(), "local"); err != nil {
				t.Error(err)
			}
			s.clients[0].Expect("local") // without waiting for Redis
			srv.Thaw()
			s.recovers()
		})
	}
}

// muffled is a connection on which nothing arrives while deaf is set, if it was
// used to subscribe: it looks alive.
type muffled struct {
	net.Conn
	deaf       *atomic.Bool
	subscribed atomic.Bool
}

func (c *muffled) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("SUBSCRIBE\r\n")) {
		c.subscribed.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *muffled) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.deaf.Load() || !c.subscribed.Load() {
			return n, err
		}
	}
}

// A connection that brings nothing any more, though it lives, is found by the
// node's own probes.
func TestDeaf(t *testing.T) {
	for _, v := range variants[:3] {
		t.Run(v.name, func(t *testing.T) {
			srv := redistest.Start(t)
			var deaf atomic.Bool
			s := newSet(t, v, func(*testing.T) redis.UniversalClient {
				c := redis.NewClient(&redis.Options{DisableIdentity: true, Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
					raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", srv.Addr)
					return &muffled{Conn: raw, deaf: &deaf}, err
				}})
				t.Cleanup(func() { _ = c.Close() })
				return c
			}, "d", 2)
			s.join(0, "r")
			s.join(1, "r")
			s.recovers()
			deaf.Store(true)
			for _, n := range s.nodes {
				until(t, "a node knows that it is deaf", func() bool { return n.driver.Stats().Deaf > 0 && n.driver.Healthy() != nil })
			}
			deaf.Store(false)
			s.recovers()
		})
	}
}

// A node that hangs is not waited for once its heartbeats are missed, though
// Redis still counts it; the answer names it.
func TestDeadNode(t *testing.T) {
	for _, v := range variants[:3] {
		t.Run(v.name, func(t *testing.T) {
			srv := redistest.Start(t)
			dial := func(*testing.T) redis.UniversalClient { return srv.Client() }
			s := newSet(t, v, dial, "n", 2)
			proxy := redistest.NewProxy(t, srv.Addr)
			s.dial = func(t *testing.T) redis.UniversalClient {
				c := redis.NewClient(&redis.Options{Addr: proxy.Addr, DisableIdentity: true, DialTimeout: 300 * time.Millisecond, ReadTimeout: 300 * time.Millisecond})
				t.Cleanup(func() { _ = c.Close() })
				return c
			}
			s.add()
			here := s.nodes[0].Of("/")
			until(t, "three nodes know each other", func() bool { return s.nodes[0].driver.Stats().Nodes == 2 })
			if n, err := here.Nodes(t.Context()); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			proxy.Freeze()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			// The request that is under way when the node is found dead ends with what came.
			list, err := here.FetchSockets(ctx)
			var missing *adapters.MissingError
			if len(list) != 2 || !errors.As(err, &missing) || len(missing.Nodes) != 1 || missing.Nodes[0] != "node-2" {
				t.Errorf("%d sockets, %v", len(list), err)
			}
			if list, err := here.FetchSockets(ctx); len(list) != 2 || err != nil {
				t.Errorf("%d sockets, %v", len(list), err)
			}
			if n, err := here.Nodes(ctx); n != 2 || err != nil {
				t.Errorf("%d nodes, %v", n, err)
			}
			proxy.Thaw()
			until(t, "the node is back", func() bool {
				n, err := here.Nodes(ctx)
				return err == nil && n == 3 && s.nodes[2].driver.Healthy() == nil
			})
		})
	}
}

// Garbage on every channel is counted, and harms nobody. It found that a node took
// itself for deaf while a large message was arriving.
func TestGarbage(t *testing.T) {
	for _, v := range variants[:3] {
		t.Run(v.name, func(t *testing.T) {
			srv := redistest.Start(t)
			s := newSet(t, v, func(*testing.T) redis.UniversalClient { return srv.Client() }, "g", 2)
			s.join(0, "r")
			s.join(1, "r")
			s.recovers()
			admin := srv.Client()
			before := s.nodes[0].driver.Stats().Rejected
			sent := 0
			for _, channel := range []string{"g#/#", "g#/#r#", "g#", "g#/", "g-request#/#", "g-response#/#", "g-nodes#", "g#/nobody#" + strings.Repeat("x", 1000)} {
				for _, payload := range []string{
					"", "garbage", "{", "[]", "null", "{}", "\x93\xa1u\x80\x80", "\xc1", "\xdd\xff\xff\xff\xff", "\x92\xa1u\x82\xa4type\x02\xa4data\x91\xa1e",
					`{"type":3,"data":{"packet":{"type":2,"data":["disconnect"]},"opts":{}},"uid":"x","nsp":"/"}`, `{"type":5,"requestId":"x"}`,
					`{"type":8,"requestId":"x","clientCount":-1}`, `{"node":5}`, `{"node":"x","every":-1}`, strings.Repeat("[", 50_000), strings.Repeat("x", 11_000_000),
				} {
					if len(payload) > 1_000_000 && channel != "g#/#" {
						continue
					}
					publish := admin.Publish
					if v.mode != "" {
						publish = admin.SPublish
					}
					if err := publish(t.Context(), channel, payload).Err(); err != nil {
						t.Fatal(err)
					}
					sent++
				}
			}
			s.recovers()
			if n := s.nodes[0].driver.Stats(); n.Rejected-before < 10 || n.Reconnects > 0 {
				t.Errorf("of %d messages: %+v", sent, n)
			}
		})
	}
}

// Nodes that would crash others don't start.
func TestMixedRefused(t *testing.T) {
	srv := redistest.Start(t)
	rdb := srv.Client()
	ps := rdb.Subscribe(t.Context(), "mix#/#") // as a node with the streams adapter
	defer ps.Close()
	if _, err := ps.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := redisadapter.Config{Prefix: "mix", Logger: quiet()}
	if _, err := server.New(server.Config{Driver: redisadapter.PubSub(rdb, cfg)}); err == nil || !strings.Contains(err.Error(), "streams adapter") {
		t.Error(err)
	}
	cfg.AllowMixed = true
	newNode(t, redisadapter.PubSub(rdb, cfg))
}

func TestRedisAway(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	cfg := redisadapter.Config{RequestTimeout: 200 * time.Millisecond, Logger: quiet()}
	for _, d := range []*redisadapter.Driver{redisadapter.PubSub(rdb, cfg), redisadapter.ShardedPubSub(rdb, cfg)} {
		if _, err := server.New(server.Config{Driver: d}); err == nil {
			t.Error("started without Redis")
		}
	}
}

// Slots of a cluster move to another master: the channels follow, with the
// probes, and a room's too.
func TestSlotsMove(t *testing.T) {
	cluster := redistest.StartCluster(t)
	v := variants[2]
	s := newSet(t, v, func(*testing.T) redis.UniversalClient { return cluster.Client() }, "m", 2)
	s.join(0, "r")
	s.join(1, "r")
	s.recovers()
	ctx := t.Context()
	rdb, late := cluster.Client(), cluster.Client()
	emitter := redisadapter.NewShardedEmitter(late, s.cfg)
	if err := late.Ping(ctx).Err(); err != nil { // it knows where the slots were
		t.Fatal(err)
	}
	for _, channel := range []string{"m#/#", "m#/#r#", "m-nodes#"} {
		slot := int(rdb.ClusterKeySlot(ctx, channel).Val())
		from, err := rdb.MasterForKey(ctx, channel)
		if err != nil {
			t.Fatal(err)
		}
		var target *redis.Client
		for _, n := range cluster.Nodes {
			if n.Addr != from.Options().Addr {
				target = n.Client()
			}
		}
		id := target.Do(ctx, "CLUSTER", "MYID").Val().(string)
		// As redis-cli does: the new owner first, and nobody is left with the old map, which nodes would believe when they ask.
		told := []*redis.Client{target}
		for _, n := range cluster.Nodes {
			if n.Addr != target.Options().Addr {
				told = append(told, n.Client())
			}
		}
		for _, c := range told {
			if err := c.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", id).Err(); err != nil {
				t.Fatal(err)
			}
		}
		s.recovers()
	}
	if err := emitter.To("r").Emit(ctx, "late"); err != nil {
		t.Error(err)
	}
	for i := range s.clients {
		if got := s.got(i, 1); got != "late" {
			t.Errorf("client %d got %s", i, got)
		}
	}
}

// TestOpenWaitsForNewMaster: a namespace's channels are at a master of the cluster to which this node has no connection
// yet. While that was being made it passed for lost, so that the namespace was opened without being subscribed to,
// and missed what was sent to it at once.
func TestOpenWaitsForNewMaster(t *testing.T) {
	cluster := redistest.StartCluster(t)
	slow := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: cluster.Addrs,
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			time.Sleep(50 * time.Millisecond)
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	})
	t.Cleanup(func() { _ = slow.Close() })
	rdb := cluster.Client()
	master := func(channel string) string {
		c, err := rdb.MasterForKey(t.Context(), channel)
		if err != nil {
			t.Fatal(err)
		}
		return c.Options().Addr
	}
	cfg := redisadapter.Config{Mode: redisadapter.Dynamic, Logger: quiet()}
	for i := 0; cfg.Prefix == "" || master(cfg.Prefix+"#/#") != master(cfg.Prefix+"-nodes#"); i++ {
		cfg.Prefix = fmt.Sprint("p", i) // at least one master has no channel of b's at first
	}
	a := newNode(t, redisadapter.ShardedPubSub(rdb, cfg))
	b := newNode(t, redisadapter.ShardedPubSub(slow, cfg))
	var all sync.WaitGroup
	for i := range 8 {
		name := fmt.Sprint("/", i)
		a.Of(name)
		all.Go(func() {
			b.Of(name)
			c := b.web.Connect(name)
			if err := a.Of(name).Emit(t.Context(), "hi"); err != nil {
				t.Error(err)
			}
			c.Expect("hi")
		})
	}
	all.Wait()
}

// TestJoinedIsReached: a node of the sharded adapter subscribes to a room in the background; what another node sent to it
// right after the join missed its first member.
func TestJoinedIsReached(t *testing.T) {
	r := redistest.Start(t)
	link := redistest.NewLink(t, r.Addr)
	rdb := redis.NewClient(&redis.Options{Addr: link.Addr, DisableIdentity: true})
	t.Cleanup(func() { _ = rdb.Close() })
	cfg := redisadapter.Config{Mode: redisadapter.Dynamic, Logger: quiet()}
	a, b := newNode(t, redisadapter.ShardedPubSub(r.Client(), cfg)), newNode(t, redisadapter.ShardedPubSub(rdb, cfg))
	c, d := b.web.Connect("/"), b.web.Connect("/")
	link.Slow(20 * time.Millisecond)
	for i := range 5 {
		room := fmt.Sprint("room", i)
		for _, c := range []*servertest.Client{c, d} { // the second one finds the room, perhaps not subscribed to yet
			c.Call("join", []string{room})
			if err := a.Of("/").To(room).Emit(t.Context(), "hi", i); err != nil {
				t.Fatal(err)
			}
			c.Expect("hi")
		}
		c.Expect("hi")
	}
	// While Redis is away nobody waits for it.
	link.Cut()
	until(t, "the node notices", func() bool { return b.driver.Healthy() != nil })
	c.Call("join", []string{"alone"})
	if err := b.Of("/").To("alone").Emit(t.Context(), "here"); err != nil {
		t.Fatal(err)
	}
	c.Expect("here")
	link.Mend()
}

// TestSilentSubscriber: who only listens to the channel by whose subscribers nodes are counted is asked, too, and
// never answers. Questions return what came, and that a node without a name is missing.
func TestSilentSubscriber(t *testing.T) {
	srv := redistest.Start(t)
	for _, v := range variants[:2] {
		t.Run(v.name, func(t *testing.T) {
			s := newSet(t, v, func(*testing.T) redis.UniversalClient { return srv.Client() }, "q", 2)
			s.join(0, "r")
			s.join(1, "r")
			var silent *redis.PubSub
			if v.mode == "" {
				silent = srv.Client().Subscribe(t.Context(), "q-request#/#")
			} else {
				silent = srv.Client().SSubscribe(t.Context(), "q#/#")
			}
			defer silent.Close()
			if _, err := silent.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
			for wait := 100 * time.Millisecond; ; wait *= 2 { // until it is long enough for the answers that come
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				list, err := s.nodes[0].Of("/").FetchSockets(ctx)
				cancel()
				var missing *adapters.MissingError
				if len(list) == 2 && errors.As(err, &missing) && missing.Unnamed == 1 && len(missing.Nodes) == 0 {
					break
				}
				if wait > 20*time.Second {
					t.Fatal(len(list), err)
				}
			}
		})
	}
}
