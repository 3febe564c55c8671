package redistest

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Cluster is a running Redis Cluster of three masters, without replicas at first.
type Cluster struct {
	Addrs []string
	Nodes []*Server
	t     TB
}

// StartCluster starts a cluster, of servers with what args say, and waits until it is up.
func StartCluster(t TB, args ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	for range 3 {
		c.add(args)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	const slots = 16384
	clients := make([]*redis.Client, len(c.Nodes))
	for i, s := range c.Nodes {
		clients[i] = s.Client()
		first, last := i*slots/3, (i+1)*slots/3-1
		if err := clients[i].ClusterAddSlotsRange(ctx, first, last).Err(); err != nil {
			t.Fatal(err)
		}
		if err := clients[i].Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range c.Nodes[1:] {
		c.meet(ctx, s)
	}
	c.wait(ctx)
	return c
}

// add starts a server that isn't in the cluster yet.
func (c *Cluster) add(args []string) *Server {
	s := Start(c.t, append(args[:len(args):len(args)], "--cluster-enabled", "yes", "--cluster-node-timeout", "15000", "--cluster-port", strconv.Itoa(freePort(c.t)))...)
	c.Nodes = append(c.Nodes, s)
	c.Addrs = append(c.Addrs, s.Addr)
	return s
}

func (c *Cluster) meet(ctx context.Context, s *Server) {
	host, port, _ := net.SplitHostPort(s.Addr)
	bus := s.args[len(s.args)-1]
	c.do(ctx, c.Nodes[0], "CLUSTER", "MEET", host, port, bus)
}

// wait waits until all servers know each other.
func (c *Cluster) wait(ctx context.Context) {
	known := fmt.Sprintf("cluster_known_nodes:%d\r", len(c.Nodes))
	for _, s := range c.Nodes {
		client := s.Client()
		for {
			info, err := client.ClusterInfo(ctx).Result()
			if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, known) {
				break
			}
			if ctx.Err() != nil {
				c.t.Fatalf("the cluster doesn't come up: %s %v", info, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// do has a server do something, which must succeed.
func (c *Cluster) do(ctx context.Context, s *Server, args ...any) any {
	c.t.Helper()
	v, err := s.Admin().Do(ctx, args...).Result()
	if err != nil {
		c.t.Fatalf("%v at %s: %v", args, s.Addr, err)
	}
	return v
}

// AddReplica adds a replica of a master, with what args say.
func (c *Cluster) AddReplica(of *Server, args ...string) *Server {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s := c.add(args)
	c.meet(ctx, s)
	c.wait(ctx)
	c.do(ctx, s, "CLUSTER", "REPLICATE", c.do(ctx, of, "CLUSTER", "MYID"))
	s.WaitInfo("role:slave", "master_link_status:up")
	me, _ := c.do(ctx, s, "CLUSTER", "MYID").(string)
	for _, other := range c.Nodes { // who hasn't heard of it refuses to vote for it
		for known := false; !known; time.Sleep(20 * time.Millisecond) {
			text, _ := c.do(ctx, other, "CLUSTER", "NODES").(string)
			for line := range strings.Lines(text) {
				known = known || strings.HasPrefix(line, me) && strings.Contains(line, "slave")
			}
		}
	}
	return s
}

// Owner returns the server that has a key's slot now.
func (c *Cluster) Owner(key string) *Server {
	c.t.Helper()
	ctx := context.Background()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs})
	defer client.Close()
	master, err := client.MasterForKey(ctx, key)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range c.Nodes {
		if s.Addr == master.Options().Addr {
			return s
		}
	}
	c.t.Fatal("no server has the slot of ", key)
	return nil
}

// FailOver has a replica take its master's place, as CLUSTER FAILOVER with what how says.
func (c *Cluster) FailOver(to *Server, how ...any) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		c.do(ctx, to, append([]any{"CLUSTER", "FAILOVER"}, how...)...)
		for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if info, err := to.Admin().Info(ctx, "replication").Result(); err == nil && strings.Contains(info, "role:master") {
				return
			}
		} // others have not agreed within the time that it has
	}
	c.t.Fatalf("%s doesn't take over", to.Addr)
}

// Move moves the slot of a key to another master, with all that is in it, as redis-cli does.
func (c *Cluster) Move(key string, to *Server) {
	c.t.Helper()
	if c.Owner(key) == to {
		return
	}
	m := c.StartMove(key, to)
	for m.Step(100) {
	}
	m.End()
}

// Move is a slot on its way from one server to another.
type Move struct {
	c              *Cluster
	from, to       *Server
	slot, src, dst any
}

// StartMove begins to move the slot of a key to a server that hasn't got it.
func (c *Cluster) StartMove(key string, to *Server) *Move {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	m := &Move{c: c, from: c.Owner(key), to: to}
	m.slot = c.do(ctx, m.from, "CLUSTER", "KEYSLOT", key)
	m.src, m.dst = c.do(ctx, m.from, "CLUSTER", "MYID"), c.do(ctx, to, "CLUSTER", "MYID")
	c.do(ctx, to, "CLUSTER", "SETSLOT", m.slot, "IMPORTING", m.src)
	c.do(ctx, m.from, "CLUSTER", "SETSLOT", m.slot, "MIGRATING", m.dst)
	return m
}

// Step moves up to n keys, and reports whether there were any.
func (m *Move) Step(n int) bool {
	m.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	keys, _ := m.c.do(ctx, m.from, "CLUSTER", "GETKEYSINSLOT", m.slot, n).([]any)
	if len(keys) == 0 {
		return false
	}
	host, port, _ := net.SplitHostPort(m.to.Addr)
	m.c.do(ctx, m.from, append([]any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}, keys...)...)
	return true
}

// End gives the slot, which is empty where it was, to the other server.
func (m *Move) End() {
	m.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	m.c.do(ctx, m.to, "CLUSTER", "SETSLOT", m.slot, "NODE", m.dst)
	m.c.do(ctx, m.from, "CLUSTER", "SETSLOT", m.slot, "NODE", m.dst)
	for _, s := range m.c.Nodes { // a replica that hasn't heard of the move wouldn't take over the slot
		for s.running() && m.c.owner(ctx, s, m.slot) != m.dst {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// owner returns the id of the server that has a slot, as another server knows it.
func (c *Cluster) owner(ctx context.Context, says *Server, slot any) any {
	ranges, _ := c.do(ctx, says, "CLUSTER", "SLOTS").([]any)
	for _, r := range ranges {
		// [first, last, [host, port, id, ...], replicas...]
		r := r.([]any)
		if n := slot.(int64); r[0].(int64) <= n && n <= r[1].(int64) {
			return r[2].([]any)[2]
		}
	}
	return nil
}

// WaitOwner waits until a server, such as a replica, knows that another one has the slot of a key: a replica that takes
// over takes the slots of which it has heard.
func (c *Cluster) WaitOwner(at *Server, key string, owner *Server) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	slot := int(c.do(ctx, at, "CLUSTER", "KEYSLOT", key).(int64))
	for ; ; time.Sleep(10 * time.Millisecond) {
		ranges, err := at.Admin().ClusterSlots(ctx).Result()
		for _, r := range ranges {
			if r.Start <= slot && slot <= r.End && len(r.Nodes) > 0 && r.Nodes[0].Addr == owner.Addr {
				return
			}
		}
		if ctx.Err() != nil {
			c.t.Fatalf("%s doesn't know who has %q: %v %v", at.Addr, key, ranges, err)
		}
	}
}

// Client returns a client of the cluster that is closed with the test.
func (c *Cluster) Client() *redis.ClusterClient {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs})
	c.t.Cleanup(func() { _ = client.Close() })
	return client
}
