package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/internal/skew"
)

// cluster is a Redis, nodes that reach it through links that can be cut, and their clients.
type cluster struct {
	redis  *deployment
	toxics *toxics             // nil: there are none
	links  [][]*redistest.Link // by node, to each server
	via    []map[string]string // by node: what it connects to instead of a server's address
	cfg    nodeConfig
	limit  time.Duration // for a client to get in

	mu     sync.Mutex
	nodes  []*process // nil: being killed
	fresh  map[string]int64
	cutOff int64
	gaps   int64
	wrote  []int // by sender: number of the next event, about

	clients []*client
	run     sync.WaitGroup
	stop    context.CancelFunc
}

func newCluster(n int, cfg nodeConfig, kind string, redisArgs ...string) (*cluster, error) {
	d, err := deploy(kind, redisArgs...)
	if err != nil {
		return nil, err
	}
	cl := &cluster{redis: d, cfg: cfg, limit: patience, nodes: make([]*process, n), wrote: make([]int, n), fresh: map[string]int64{}}
	if cl.toxics, err = startToxics(); err != nil {
		cl.close()
		return nil, err
	}
	for i := range n {
		err := cl.connect(i)
		if err == nil {
			err = cl.start(i)
		}
		if err != nil {
			cl.close()
			return nil, err
		}
	}
	return cl, nil
}

// connect makes a node's links to all servers.
func (cl *cluster) connect(i int) error {
	cl.via = append(cl.via, map[string]string{})
	cl.links = append(cl.links, nil)
	for _, s := range cl.redis.servers {
		l, err := redistest.OpenLink(s.Addr)
		if err != nil {
			return err
		}
		cl.links[i] = append(cl.links[i], l)
		cl.via[i][s.Addr] = l.Addr
		if cl.toxics != nil {
			if cl.via[i][s.Addr], err = cl.toxics.link(linkName(i, s), l.Addr); err != nil {
				return err
			}
		}
	}
	return nil
}

func linkName(i int, s *redistest.Server) string { return fmt.Sprint(i, " ", s.Addr) }

// link does something with all links of a node.
func (cl *cluster) link(i int, f func(*redistest.Link)) {
	for _, l := range cl.links[i] {
		f(l)
	}
}

// poison does harm to all links of a node for a while.
func (cl *cluster) poison(i int, x toxic, wait time.Duration) error {
	for _, s := range cl.redis.servers {
		if err := cl.toxics.add(linkName(i, s), x); err != nil {
			return err
		}
	}
	time.Sleep(wait)
	for _, s := range cl.redis.servers {
		if err := cl.toxics.remove(linkName(i, s), x); err != nil {
			return err
		}
	}
	return nil
}

func (cl *cluster) start(i int) error {
	cfg := cl.cfg
	cfg.Redis, cfg.Number, cfg.First = cl.redis.target(), i, cl.wrote[i]
	cfg.Redis.Via = cl.via[i]
	cl.wrote[i] += 1_000_000 // so that numbers of a next life are new
	p, err := startNode(cfg)
	if err != nil {
		return err
	}
	cl.mu.Lock()
	cl.nodes[i] = p
	cl.mu.Unlock()
	return nil
}

// kill ends a node with SIGKILL, and keeps what it said of itself.
func (cl *cluster) kill(i int) {
	cl.mu.Lock()
	p := cl.nodes[i]
	cl.nodes[i] = nil
	cl.mu.Unlock()
	if p != nil {
		p.kill()
		cl.count(p)
	}
}

func (cl *cluster) count(p *process) {
	r := p.report()
	cl.mu.Lock()
	defer cl.mu.Unlock()
	for why, n := range r.Fresh {
		cl.fresh[why] += n
	}
	cl.cutOff += r.CutOff
	cl.gaps += r.Streams.Gaps
}

func (cl *cluster) addrs() []string {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	var list []string
	for _, p := range cl.nodes {
		if p != nil {
			list = append(list, p.addr)
		}
	}
	return list
}

// join starts clients, and waits until they are in their rooms.
func (cl *cluster) join(n int, j jitter) error {
	ctx, stop := context.WithCancel(context.Background())
	cl.stop = stop
	for i := range n {
		c := &client{room: i % max(cl.cfg.Groups, 1), nodes: cl.addrs, limit: cl.limit, jitter: j}
		cl.clients = append(cl.clients, c)
		cl.run.Go(func() { c.run(ctx) })
		if i%100 == 99 {
			time.Sleep(100 * time.Millisecond)
		}
	}
	return cl.wait(60*time.Second, func(c *client) bool { return c.backAt.Load() > 0 })
}

// wait waits until all clients are as asked.
func (cl *cluster) wait(limit time.Duration, is func(*client) bool) error {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		missing := 0
		for _, c := range cl.clients {
			if !is(c) {
				missing++
			}
		}
		if missing == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d clients are missing", missing, len(cl.clients))
		}
	}
}

// settle has the nodes send nothing more, gives clients the time to come back and get the rest, and
// returns what was found.
func (cl *cluster) settle() (*verdict, error) {
	cl.mu.Lock()
	for _, p := range cl.nodes {
		if p != nil {
			p.quiet()
		}
	}
	cl.mu.Unlock()
	for _, c := range cl.clients {
		c.rest.Store(true)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	count := func() (n int) {
		for _, c := range cl.clients {
			c.mu.Lock()
			n += len(c.got)
			c.mu.Unlock()
		}
		return n
	}
	time.Sleep(time.Second)
	if err := cl.wait(60*time.Second, func(c *client) bool { return c.there.Load() }); err != nil {
		return nil, err
	}
	for last, still := -1, 0; still < 3; { // until nothing more comes
		time.Sleep(500 * time.Millisecond)
		if n := count(); n == last {
			still++
		} else {
			last, still = n, 0
		}
	}
	stream, err := follow(ctx, cl.redis.target())
	if err != nil {
		return nil, err
	}
	v := check(stream, cl.clients)
	cl.mu.Lock()
	nodes := append([]*process(nil), cl.nodes...)
	cl.mu.Unlock()
	time.Sleep(1100 * time.Millisecond) // their last reports
	for _, p := range nodes {
		if p != nil {
			cl.count(p)
		}
	}
	return v, nil
}

func (cl *cluster) reasons() map[string]int64 {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return maps.Clone(cl.fresh)
}

func (cl *cluster) close() {
	if cl.stop != nil {
		cl.stop()
	}
	cl.run.Wait()
	var all sync.WaitGroup
	for _, p := range cl.nodes {
		if p != nil {
			all.Go(p.stop)
		}
	}
	all.Wait()
	cl.toxics.end()
	for i := range cl.links {
		cl.link(i, (*redistest.Link).Close)
	}
	cl.redis.end()
}

// redisServer is a redis-server of our own.
type redisServer struct {
	addr  string
	dir   string
	args  []string
	cmd   *exec.Cmd
	clock *skew.Clock   // nil: it can't be set
	fast  time.Duration // by how much the clock is
}

func startRedis(args ...string) (*redisServer, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	dir, err := os.MkdirTemp("", "roomcast-chaos")
	if err != nil {
		return nil, err
	}
	r := &redisServer{addr: addr, dir: dir, args: args}
	return r, r.start()
}

func (r *redisServer) start() (err error) {
	_, port, _ := net.SplitHostPort(r.addr)
	r.cmd, r.clock, err = startSkewed(func() *exec.Cmd {
		cmd := exec.Command("redis-server", append([]string{"--bind", "127.0.0.1", "--port", port, "--dir", r.dir, "--save", "", "--appendonly", "no"}, r.args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd
	})
	if err != nil {
		return err
	}
	if r.clock != nil {
		if err := r.clock.Set(r.fast); err != nil {
			return err
		}
	}
	c := redis.NewClient(&redis.Options{Addr: r.addr, DisableIdentity: true, MaxRetries: -1})
	defer c.Close()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c.Ping(context.Background()).Err() == nil {
			return nil
		}
	}
	return errors.New("redis-server at port " + strconv.Quote(port) + " doesn't answer")
}

// startSkewed starts a command whose clock can be set, or if that isn't possible here, as it is.
func startSkewed(command func() *exec.Cmd) (*exec.Cmd, *skew.Clock, error) {
	cmd := command()
	clock, err := skew.Start(cmd)
	if errors.Is(err, skew.ErrUnsupported) {
		cmd = command()
		err = cmd.Start()
	}
	return cmd, clock, err
}

func (r *redisServer) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	if r.clock != nil {
		_ = r.clock.Close()
		r.clock = nil
	}
}

// setClock sets the clock, also for its next life.
func (r *redisServer) setClock(fast time.Duration) error {
	r.fast = fast
	return r.clock.Set(fast)
}

func (r *redisServer) flushScripts() error {
	c := redis.NewClient(&redis.Options{Addr: r.addr, DisableIdentity: true})
	defer c.Close()
	if err := c.ScriptFlush(context.Background()).Err(); err != nil {
		return err
	}
	return c.FunctionFlush(context.Background()).Err()
}

func (r *redisServer) signal(s syscall.Signal) { _ = r.cmd.Process.Signal(s) }

func (r *redisServer) end() {
	r.kill()
	_ = os.RemoveAll(r.dir)
}
