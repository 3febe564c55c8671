package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// StartReplica starts a replica of a server, and waits until it has all that its primary has.
func StartReplica(t TB, of *Server, args ...string) *Server {
	t.Helper()
	binary(t)
	s := &Server{Addr: freeAddr(t), t: t, dir: t.TempDir(), args: args, primary: of}
	t.Cleanup(s.Kill)
	s.Restart()
	s.WaitInfo("role:slave", "master_link_status:up")
	return s
}

// Admin returns a client for single commands, which is closed with the test.
func (s *Server) Admin() *redis.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.admin == nil {
		s.admin = redis.NewClient(&redis.Options{Addr: s.Addr, DisableIdentity: true, PoolSize: 2, ReadTimeout: 10 * time.Second})
		s.t.Cleanup(func() { _ = s.admin.Close() })
	}
	return s.admin
}

// Follow makes the server a replica of another one, or of none if that is nil. If it isn't running, it
// is one when it runs again.
func (s *Server) Follow(primary *Server) {
	s.t.Helper()
	s.mu.Lock()
	s.primary = primary
	running := s.cmd != nil
	s.mu.Unlock()
	if !running {
		return
	}
	host, port := "NO", "ONE"
	if primary != nil {
		host, port, _ = net.SplitHostPort(primary.Addr)
	}
	if err := s.Admin().Do(context.Background(), "REPLICAOF", host, port).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// WaitInfo waits until INFO replication has all these lines.
func (s *Server) WaitInfo(lines ...string) {
	s.t.Helper()
	var info string
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if info, err = s.Admin().Info(context.Background(), "replication").Result(); err != nil {
			continue
		}
		missing := false
		for _, line := range lines {
			missing = missing || !strings.Contains(info, line+"\r\n")
		}
		if !missing {
			return
		}
	}
	s.t.Fatalf("%s is not %v: %s %v", s.Addr, lines, info, err)
}

// Sentinel is a running Redis Sentinel that watches a primary and its replicas, and
// has a replica take its place half a second after it has gone.
type Sentinel struct {
	*Server
	Master string // name of what it watches
	nodes  []*Server
}

// StartSentinel starts a Sentinel for a primary and its replicas.
func StartSentinel(t TB, primary *Server, replicas ...*Server) *Sentinel {
	t.Helper()
	binary(t)
	s := &Sentinel{Server: &Server{Addr: freeAddr(t), t: t, dir: t.TempDir(), sentinel: true}, Master: "main"}
	s.nodes = append([]*Server{primary}, replicas...)
	host, port, _ := net.SplitHostPort(s.Addr)
	of, at, _ := net.SplitHostPort(primary.Addr)
	conf := fmt.Sprintf("bind %s\nport %s\ndir %q\nlogfile %q\nprotected-mode no\n"+
		"sentinel monitor %[5]s %s %s 1\nsentinel down-after-milliseconds %[5]s 500\nsentinel failover-timeout %[5]s 4000\n",
		host, port, s.dir, s.dir+"/redis.log", s.Master, of, at)
	if err := os.WriteFile(s.dir+"/sentinel.conf", []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	s.Restart()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		known, _ := s.Admin().Do(context.Background(), "SENTINEL", "REPLICAS", s.Master).Slice()
		if len(known) == len(replicas) {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("the Sentinel knows %d of %d replicas", len(known), len(replicas))
		}
	}
}

// Client returns a client that asks the Sentinel where the primary is. It is closed with the test.
func (s *Sentinel) Client() *redis.Client {
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.Master, SentinelAddrs: []string{s.Addr}, DisableIdentity: true})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Primary returns the server that is the primary now.
func (s *Sentinel) Primary() *Server {
	s.t.Helper()
	at, err := s.Admin().Do(context.Background(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", s.Master).StringSlice()
	if err != nil || len(at) != 2 {
		s.t.Fatal("no primary: ", at, err)
	}
	for _, n := range s.nodes {
		if n.Addr == net.JoinHostPort(at[0], at[1]) {
			return n
		}
	}
	s.t.Fatal("a primary that isn't known: ", at)
	return nil
}

// Settle waits until the primary is well, its replicas follow it, and no failover is under way.
func (s *Sentinel) Settle() {
	s.t.Helper()
	var flags string
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		state, err := s.Admin().Do(context.Background(), "SENTINEL", "MASTER", s.Master).Result()
		switch m := state.(type) {
		case map[any]any:
			flags, _ = m["flags"].(string)
		default:
			s.t.Fatalf("SENTINEL MASTER says %v, %v", state, err)
		}
		if flags != "master" {
			continue
		}
		p := s.Primary()
		well := true
		for _, n := range s.nodes {
			info, _ := n.Admin().Info(context.Background(), "replication").Result()
			well = well && (n == p && strings.Contains(info, "role:master") || strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up"))
		}
		if well {
			return
		}
	}
	s.t.Fatal("the Sentinel doesn't come to rest: ", flags)
}

// WaitPrimary waits until another server than was is the primary.
func (s *Sentinel) WaitPrimary(was *Server) *Server {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if p := s.Primary(); p != was {
			p.WaitInfo("role:master")
			return p
		}
	}
	s.t.Fatal("there was no failover")
	return nil
}
