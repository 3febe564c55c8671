package redistest

import (
	"slices"
	"testing"
)

func TestServer(t *testing.T) {
	s := Start(t, "--appendonly", "yes", "--appendfsync", "always")
	c := s.Client()
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	if v, err := s.Client().Get(t.Context(), "k").Result(); v != "v" || err != nil {
		t.Errorf("after a restart: %q, %v", v, err)
	}
}

func TestCluster(t *testing.T) {
	cluster := StartCluster(t)
	c := cluster.Client()
	for _, key := range []string{"a", "b", "c", "d"} { // of different slots
		if err := c.Set(t.Context(), key, key, 0).Err(); err != nil {
			t.Error(err)
		}
	}
	// A replica that takes over has the slot that its master got a moment ago.
	ctx := t.Context()
	was := cluster.Owner("a")
	master := cluster.Nodes[(slices.Index(cluster.Nodes, was)+1)%3]
	replica := cluster.AddReplica(master)
	slot := cluster.do(ctx, replica, "CLUSTER", "KEYSLOT", "a")
	for _, to := range []*Server{master, was, master, was, master} {
		cluster.Move("a", to)
		if id := cluster.do(ctx, to, "CLUSTER", "MYID"); cluster.owner(ctx, replica, slot) != id {
			t.Error("the replica doesn't know of the move to ", to.Addr)
		}
	}
	master.Kill()
	cluster.FailOver(replica, "TAKEOVER")
	if id := cluster.do(ctx, replica, "CLUSTER", "MYID"); cluster.owner(ctx, replica, slot) != id {
		t.Error("the replica doesn't have the slot")
	}
}
