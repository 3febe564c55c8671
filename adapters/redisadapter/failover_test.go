package redisadapter_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/server/servertest"
)

// pair is a primary and its replica, which nodes reach by links that lead to the
// primary until fail.
type pair struct {
	t                *testing.T
	primary, replica *redistest.Server
	between          *redistest.Link // from the replica to its primary
	nodes            []*streamNode
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, primary: redistest.Start(t)}
	p.between = redistest.NewLink(t, p.primary.Addr)
	p.replica = redistest.StartReplica(t, &redistest.Server{Addr: p.between.Addr})
	return p
}

func (p *pair) node(cfg redisadapter.StreamsConfig) *streamNode {
	n := newStreamNode(p.t, p.primary.Addr, cfg)
	p.nodes = append(p.nodes, n)
	return n
}

// synced waits until the replica has everything.
func (p *pair) synced() {
	p.t.Helper()
	if n, err := p.primary.Admin().Wait(p.t.Context(), 1, 20*time.Second).Result(); n != 1 || err != nil {
		p.t.Fatal("the replica doesn't follow: ", n, err)
	}
}

// fail kills the primary and has the replica take its place. Nodes may die with it.
func (p *pair) fail(dying ...*streamNode) {
	p.t.Helper()
	for _, n := range p.nodes {
		n.link.Cut()
	}
	p.primary.Kill()
	p.replica.Follow(nil)
	for _, n := range p.nodes {
		if n.link.To(p.replica.Addr); !slices.Contains(dying, n) {
			n.link.Mend()
		}
	}
}

// TestStreamsFork: the primary is gone with its last entries. Who was told of them has no
// place in what is left, and gets a fresh session, wherever it comes back; who wasn't goes on.
func TestStreamsFork(t *testing.T) {
	p := newPair(t)
	a, b := p.node(patient), p.node(patient)
	ctx := t.Context()
	c, d := a.Connect("/"), b.Connect("/")
	a.ns.Emit(ctx, "n", 1)
	take(c)
	_, common := take(d)
	p.synced()
	p.between.Hold()
	b.link.Cut()
	a.ns.Emit(ctx, "n", 2)
	_, gone := take(c)
	p.fail()
	<-c.Done()
	for _, n := range p.nodes {
		if stateOf(t, back(n, c, gone)).Recovered {
			t.Error("recovered behind what is lost")
		}
	}
	eventually(t, "the other node is well", func() bool { return b.driver.Healthy() == nil })
	written(t, p.replica, d)
	d.Close()
	e := a.Connect("/")
	b.ns.Emit(ctx, "n", 3)
	if n, _ := take(e); n != 3 {
		t.Errorf("%d came after the failover", n)
	}
	back := back(a, d, common)
	if n, _ := take(back); n != 3 || !stateOf(t, back).Recovered {
		t.Errorf("%d, not recovered over what is common: %v", n, a.io.Stats().Namespaces.Fresh)
	}
	if st := a.driver.StreamStats(); st.Gaps != 1 || st.Forks != 1 {
		t.Errorf("who had read it: %+v", st)
	}
	if st := b.driver.StreamStats(); st.Gaps != 0 {
		t.Errorf("who hadn't: %+v", st)
	}
}

// add writes an event to a stream as an official server does, with an id of our choice.
func add(t *testing.T, s *redistest.Server, id string, n int) {
	t.Helper()
	if err := s.Admin().XAdd(t.Context(), &redis.XAddArgs{Stream: "socket.io", ID: id, Values: []any{
		"uid", "75b7814d6785816e", "nsp", "/", "type", "3",
		"data", fmt.Sprintf(`{"packet":{"type":2,"data":["n",%d]},"opts":{"rooms":[],"except":[],"flags":{}}}`, n),
	}}).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestStreamsForkBehind: the new primary gives ids that are lower than those that were read
// before, since its clock is behind. They are not taken for old ones: neither by the reader nor by
// the namespace, which left out events for new clients until the ids had caught up.
func TestStreamsForkBehind(t *testing.T) {
	p := newPair(t)
	a, b := p.node(patient), p.node(patient)
	c := a.Connect("/")
	p.synced()
	p.between.Hold()
	b.link.Cut()
	later := time.Now().Add(time.Hour).UnixMilli()
	add(t, p.primary, fmt.Sprint(later, "-0"), 1)
	take(c)
	p.fail()
	<-c.Done()
	d := a.Connect("/")
	b.ns.Emit(t.Context(), "n", 2)
	n, offset := take(d)
	if ms, _, _ := strings.Cut(offset, "-"); n != 2 || ms >= strconv.FormatInt(later, 10) {
		t.Errorf("%d with offset %s", n, offset)
	}
	d.Close()
	b.ns.Emit(t.Context(), "n", 3)
	e := back(b, d, offset)
	if n, _ := take(e); n != 3 || !stateOf(t, e).Recovered {
		t.Errorf("%d, not recovered: %v", n, b.io.Stats().Namespaces.Fresh)
	}
}

// TestStreamsForkSameID: what was read last has its id in the new primary's stream, too, but says
// something else there.
func TestStreamsForkSameID(t *testing.T) {
	p := newPair(t)
	a := p.node(patient)
	c := a.Connect("/")
	p.synced()
	p.between.Hold()
	id := fmt.Sprint(time.Now().Add(time.Minute).UnixMilli(), "-0")
	add(t, p.primary, id, 1)
	take(c)
	a.link.Cut()
	p.primary.Kill()
	p.replica.Follow(nil)
	add(t, p.replica, id, 2)
	a.link.To(p.replica.Addr)
	a.link.Mend()
	<-c.Done()
	if st := a.driver.StreamStats(); st.Forks != 1 {
		t.Errorf("%+v", st)
	}
}

// TestStreamsRaise: after a failover a node begins with an id that the former primary can't have
// given, so that no client has an offset that means something else by now.
func TestStreamsRaise(t *testing.T) {
	p := newPair(t)
	a := p.node(patient)
	c := a.Connect("/")
	a.ns.Emit(t.Context(), "n", 1)
	_, before := take(c)
	p.synced()
	p.fail()
	a.ns.Emit(t.Context(), "n", 2)
	n, after := take(c)
	ms := func(offset string) int64 {
		text, _, _ := strings.Cut(offset, "-")
		n, _ := strconv.ParseInt(text, 10, 64)
		return n
	}
	if n != 2 || ms(after) < ms(before)+10_000 {
		t.Errorf("%d had %s after %s", n, after, before)
	}
	if st := a.driver.StreamStats(); st.Gaps != 0 {
		t.Errorf("%+v", st)
	}
}

// TestStreamsReplica: what leads to a replica isn't read: it may be set back under our hands.
func TestStreamsReplica(t *testing.T) {
	p := newPair(t)
	a := p.node(patient)
	c := a.Connect("/")
	p.synced()
	a.link.To(p.replica.Addr)
	a.link.Break()
	before := a.driver.StreamStats().Read
	add(t, p.primary, "*", 1)
	p.synced()
	eventually(t, "connections are refused", func() bool { return a.driver.Stats().Reconnects > 3 })
	if n := a.driver.StreamStats().Read; n != before {
		t.Errorf("%d entries were read from a replica", n-before)
	}
	a.link.To(p.primary.Addr)
	a.link.Break()
	if n, _ := take(c); n != 1 {
		t.Error(n)
	}
}

// TestStreamsSentinel: the primary is killed, and Sentinel has its replica take over.
// Nothing was under way: nobody notices.
func TestStreamsSentinel(t *testing.T) {
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	sentinel := redistest.StartSentinel(t, primary, replica)
	a, b := startStreamNode(t, sentinel.Client(), nil, patient), startStreamNode(t, sentinel.Client(), nil, patient)
	ctx := t.Context()
	c, d := a.Connect("/"), b.Connect("/")
	a.ns.Emit(ctx, "n", 1)
	take(c)
	take(d)
	if n, err := primary.Admin().Wait(ctx, 1, 20*time.Second).Result(); n != 1 {
		t.Fatal(n, err)
	}
	primary.Kill()
	a.ns.Emit(ctx, "n", 2) // waits until there is a primary
	sentinel.WaitPrimary(primary)
	if n, _ := take(c); n != 2 {
		t.Error(n)
	}
	n, offset := take(d)
	if n != 2 {
		t.Error(n)
	}
	written(t, replica, d)
	d.Close()
	a.ns.Emit(ctx, "n", 3)
	if n, _ := take(back(b, d, offset)); n != 3 {
		t.Error(n)
	}
	for _, n := range []*streamNode{a, b} {
		if st := n.driver.StreamStats(); st.Gaps+st.Unlogged != 0 {
			t.Errorf("%+v", st)
		}
		eventually(t, "a node is well", func() bool { return n.driver.Healthy() == nil })
	}
}

// TestClusterFaults: what happens in a Redis Cluster. The tests share one, since it takes seconds to come up.
func TestClusterFaults(t *testing.T) {
	cluster := redistest.StartCluster(t)
	master := cluster.Owner("socket.io")
	replica := cluster.AddReplica(master)
	ctx := t.Context()

	// A slot moves to another master, and back, while events are on their way: the stream's, with all that is in it.
	t.Run("the stream moves", func(t *testing.T) {
		a, b := startStreamNode(t, cluster.Client(), nil, patient), startStreamNode(t, cluster.Client(), nil, patient)
		everything(t, []*streamNode{a, b}, 200, func() {
			for i := range 4 {
				time.Sleep(50 * time.Millisecond)
				cluster.Move("socket.io", cluster.Nodes[i%3])
			}
			cluster.Move("socket.io", master)
		})
		noGaps(t, a, b)
	})

	// A replica takes over from the stream's master, first in good order while events are on their way,
	// and then back, when that one is killed.
	t.Run("the stream's master", func(t *testing.T) {
		a, b := startStreamNode(t, cluster.Client(), nil, patient), startStreamNode(t, cluster.Client(), nil, patient)
		everything(t, []*streamNode{a, b}, 200, func() {
			time.Sleep(50 * time.Millisecond)
			cluster.FailOver(replica)
			master.WaitInfo("role:slave", "master_link_status:up")
		})
		c := a.Connect("/")
		if n, err := replica.Admin().Wait(ctx, 1, 20*time.Second).Result(); n != 1 {
			t.Fatal(n, err)
		}
		replica.Kill()
		cluster.FailOver(master, "TAKEOVER")
		b.ns.Emit(ctx, "n", 7)
		if n, _ := take(c); n != 7 {
			t.Error(n)
		}
		noGaps(t, a, b)
		replica.Restart()
		replica.WaitInfo("role:slave", "master_link_status:up")
	})

	// A session's key moves to another master, where its state doesn't count: it is written again with the next change.
	t.Run("a session moves", func(t *testing.T) {
		a, b := startStreamNode(t, cluster.Client(), nil, patient), startStreamNode(t, cluster.Client(), nil, patient)
		c, away := a.Connect("/"), a.Connect("/")
		s := a.ns.Socket(away.ID())
		away.Close()
		<-s.Context().Done()
		eventually(t, "all is saved", func() bool { return a.driver.StreamStats().Unsaved == 0 })
		for _, c := range []*servertest.Client{c, away} {
			key := "sio:session:" + c.PrivateID()
			to := cluster.Nodes[0]
			if cluster.Owner(key) == to {
				to = cluster.Nodes[1]
			}
			cluster.Move(key, to)
		}
		c.Call("join", "r")
		written(t, cluster.Owner("sio:session:"+c.PrivateID()), c, "r")
		c.Close()
		if got := stateOf(t, back(b, c, "")); !got.Recovered || !slices.Contains(got.Rooms, "r") {
			t.Errorf("%+v, %v", got, b.io.Stats().Namespaces.Fresh)
		}
		fresh(t, b, away, "", "failover")
	})

	// Shard channels follow their slots, and are subscribed to at the replica that takes over.
	t.Run("shard channels", func(t *testing.T) {
		s := newSet(t, variants[2], func(*testing.T) redis.UniversalClient { return cluster.Client() }, "c", 2)
		s.join(0, "r")
		s.join(1, "r")
		s.recovers()
		cluster.Move("c#/#r#", master)
		cluster.WaitOwner(replica, "c#/#r#", master)
		master.Kill()
		cluster.FailOver(replica, "TAKEOVER")
		s.recovers()
		// Under load, everything comes at most once and in order.
		var sending sync.WaitGroup
		stop := make(chan struct{})
		sending.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
					_ = s.nodes[0].Of("/").To("r").Emit(ctx, "n", i)
				}
			}
		})
		for _, to := range cluster.Nodes[:3] {
			if to != master {
				cluster.Move("c#/#r#", to)
				time.Sleep(100 * time.Millisecond)
			}
		}
		close(stop)
		sending.Wait()
		last := -1
		for c := s.clients[1]; c.Pending() > 0; {
			if e := c.Next(); e.Name == "n" {
				var n int
				if e.Decode(&n); n <= last {
					t.Fatalf("%d came after %d", n, last)
				}
				last = n
			}
		}
		if last < 0 {
			t.Error("nothing arrived while slots moved")
		}
		s.recovers()
	})
}

func noGaps(t *testing.T, nodes ...*streamNode) {
	t.Helper()
	for _, n := range nodes {
		if st := n.driver.StreamStats(); st.Gaps+st.Unlogged != 0 {
			t.Errorf("%+v", st)
		}
	}
}

// TestStreamsKilled: Redis ends our connections while events are on their way.
func TestStreamsKilled(t *testing.T) {
	r := redistest.Start(t)
	a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
	everything(t, []*streamNode{a, b}, 200, func() {
		for range 10 {
			for _, kind := range []string{"normal", "pubsub"} {
				if err := r.Admin().Do(t.Context(), "CLIENT", "KILL", "TYPE", kind).Err(); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(30 * time.Millisecond)
		}
	})
	for _, n := range []*streamNode{a, b} {
		if st := n.driver.StreamStats(); st.Gaps+st.Unlogged != 0 || n.driver.Stats().Reconnects == 0 {
			t.Errorf("%+v", st)
		}
	}
}

// TestStreamsOutputBuffer: a node is so far behind that what it asks for exceeds what Redis lets a
// client have. It asks for less until it gets something; asking for the same again would go on for ever.
func TestStreamsOutputBuffer(t *testing.T) {
	r := redistest.Start(t)
	a, b := newStreamNode(t, r.Addr, patient), newStreamNode(t, r.Addr, patient)
	c := b.Connect("/")
	b.link.Cut()
	const events = 600
	text := strings.Repeat("x", 2000)
	for i := range events {
		if err := a.ns.Emit(t.Context(), "n", i, text); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all is written", func() bool { return a.driver.StreamStats().Waiting == 0 })
	if err := r.Admin().ConfigSet(t.Context(), "client-output-buffer-limit", "normal 200000 0 0").Err(); err != nil {
		t.Fatal(err)
	}
	b.link.Mend()
	for i := range events {
		var n int
		if c.Expect("n").Decode(&n); n != i {
			t.Fatalf("event %d came, expected %d", n, i)
		}
	}
	if st := b.driver.StreamStats(); st.Gaps != 0 || b.driver.Stats().Reconnects < 2 {
		t.Errorf("%+v", st)
	}
}

// TestOutputBuffer: a message is more than Redis lets subscribers have: it cuts them off. They subscribe
// again, and it is counted.
func TestOutputBuffer(t *testing.T) {
	for _, v := range variants[:3] {
		t.Run(v.name, func(t *testing.T) {
			srv := redistest.Start(t)
			s := newSet(t, v, func(*testing.T) redis.UniversalClient { return srv.Client() }, "o", 2)
			s.join(0, "r")
			s.join(1, "r")
			s.recovers()
			if err := srv.Admin().ConfigSet(t.Context(), "client-output-buffer-limit", "pubsub 100000 0 0").Err(); err != nil {
				t.Fatal(err)
			}
			if err := s.nodes[0].Of("/").To("r").Emit(t.Context(), "large", strings.Repeat("x", 200_000)); err != nil {
				t.Fatal(err)
			}
			for _, n := range s.nodes {
				until(t, "a reconnect", func() bool { return n.driver.Stats().Reconnects > 0 })
			}
			s.clients[0].Expect("large") // its node didn't need Redis
			s.recovers()
		})
	}
}

// TestSentinel: nodes follow when Sentinel has another primary take over.
func TestSentinel(t *testing.T) {
	primary := redistest.Start(t)
	replica := redistest.StartReplica(t, primary)
	sentinel := redistest.StartSentinel(t, primary, replica)
	var sets []*set
	for i, v := range variants[:3] {
		s := newSet(t, v, func(*testing.T) redis.UniversalClient { return sentinel.Client() }, fmt.Sprint("s", i), 2)
		s.join(0, "r")
		s.join(1, "r")
		s.recovers()
		sets = append(sets, s)
	}
	primary.Kill()
	sentinel.WaitPrimary(primary)
	for _, s := range sets {
		s.recovers()
		for _, n := range s.nodes {
			if n.driver.Stats().Reconnects == 0 {
				t.Errorf("%+v", n.driver.Stats())
			}
		}
	}
}
