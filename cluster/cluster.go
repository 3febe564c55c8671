// Package cluster makes nodes one server behind any load balancer, without
// sticky sessions.
//
// A session lives on one node, but its HTTP requests may arrive at any. Session ids
// carry the node's id, unreadable to others; nodes learn each other's
// addresses by heartbeat in a Store (package redisstore keeps it in Redis); and
// a node that gets a stranger's request hands it on to the owner, over HTTP
// on a listener of its own or, where nodes can't reach each other, through the Store.
//
//	node, err := cluster.Join(ctx, cluster.Config{Store: redisstore.New(rdb, "")})
//	io, err := server.New(server.Config{Engine: engine.Config{NewID: node.NewID, Stranger: node.Forward}})
//	go node.Serve(listener, io) // only other nodes speak with it
//
// It knows HTTP and session ids, and nothing of what is in the requests.
package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a Node. The zero value of an optional field is its default.
type Config struct {
	// Store is where the nodes meet. It is required.
	Store Store

	// Name is the node's name for people, the host's by default. At most 64 bytes.
	Name string

	// Advertise is the address, host:port, at which other nodes reach what
	// Serve serves. Empty: they can't, and hand requests on through the Store,
	// except upgrades, which are refused, so that clients stay on polling.
	Advertise string

	// Secret protects ids and what nodes say to each other. All nodes need the
	// same, of 32 bytes at least. If nil, the Store has it, from whoever came first.
	Secret []byte

	// Sessions tells how many sessions this node has, for others to see. Optional.
	Sessions func() int64

	// MaxForwards is how many requests, held ones and upgraded connections among
	// them, may be handed on at once, and how many be taken from others: 10,000 by default.
	MaxForwards int

	// MaxBody is the size in bytes up to which bodies are handed on, as
	// engine.Config.MaxPayload: 1,000,000 by default.
	MaxBody int

	// BodyTimeout is how long a client's body may take to arrive, WriteTimeout how
	// long a client may take to read: 10 s each by default.
	BodyTimeout, WriteTimeout time.Duration

	// Dial connects to another node. By default a net.Dialer does.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	// Logger is slog.Default() by default.
	Logger *slog.Logger
}

// The times of membership, and of links.
const (
	beatInterval = time.Second           // between a node's heartbeats
	deadAfter    = 3 * time.Second       // without one
	beatTimeout  = 2 * time.Second       // for the store's answer
	beatGap      = 50 * time.Millisecond // between two that are asked for
	dialTimeout  = time.Second           // for a connection to another node, and again for its greeting
	shunTime     = 10 * time.Second      // during which a node that can't be reached isn't dialled again
	linkIdle     = 30 * time.Second      // until an unused connection is closed; far less than idleTimeout
	idleTimeout  = 2 * time.Minute       // the same at the other end
	maxIdle      = 256                   // unused connections to one node
)

func (cfg Config) withDefaults() Config {
	if cfg.Name == "" {
		cfg.Name, _ = os.Hostname()
	}
	cfg.MaxForwards = cmp.Or(cfg.MaxForwards, 10_000)
	cfg.MaxBody = cmp.Or(cfg.MaxBody, 1_000_000)
	cfg.BodyTimeout = cmp.Or(cfg.BodyTimeout, 10*time.Second)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 10*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	return cfg
}

const minSecret = 32 // bytes

// validate reports what can't be.
func (cfg Config) validate() error {
	switch {
	case cfg.Store == nil:
		return errors.New("cluster: a Store is needed")
	case cfg.Secret != nil && len(cfg.Secret) < minSecret:
		return fmt.Errorf("cluster: the secret has %d bytes; at least %d are needed", len(cfg.Secret), minSecret)
	case len(cfg.Name) > 64:
		return fmt.Errorf("cluster: the node's name %q is longer than 64 bytes", cfg.Name)
	case len(cfg.Advertise) > 255:
		return errors.New("cluster: the advertised address is longer than 255 bytes")
	}
	if cfg.Advertise != "" {
		if _, _, err := net.SplitHostPort(cfg.Advertise); err != nil {
			return fmt.Errorf("cluster: advertise: %w", err)
		}
	}
	return nil
}

// Node is this node's membership of a cluster. Make one with Join and end it
// with Close. Methods may be called from any goroutine.
type Node struct {
	cfg     Config
	log     *slog.Logger
	id      ID
	keys    *keys
	started time.Time
	stats   Stats

	table   table
	beats   beats
	links   links
	relay   relay
	tunnels tunnels
	holds   holds

	forwards atomic.Int64 // under way, from here
	taken    atomic.Int64 // under way, from others

	draining atomic.Bool
	stop     context.CancelFunc
	tasks    sync.WaitGroup

	mu      sync.Mutex
	server  *http.Server // of Serve
	handler http.Handler // of what comes through the store
	closed  bool
}

// Join makes this process a node. It fails if the store can't be reached
// before ctx ends.
func Join(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg.withDefaults(), id: newNodeID(), started: time.Now()}
	n.log = n.cfg.Logger
	secret := n.cfg.Secret
	if secret == nil {
		proposal := make([]byte, minSecret)
		rand.Read(proposal)
		var err error
		if secret, err = n.cfg.Store.Secret(ctx, proposal); err != nil {
			return nil, fmt.Errorf("cluster: read the secret: %w", err)
		}
		if len(secret) < minSecret {
			return nil, fmt.Errorf("cluster: the store's secret has %d bytes; at least %d are needed", len(secret), minSecret)
		}
	}
	n.keys = newKeys(secret)
	n.table.init(n.id)
	n.beats.init()
	n.links.init(n)
	n.relay.init(n)
	n.tunnels.init()
	n.holds.init()
	if err := n.beat(ctx, false); err != nil {
		return nil, fmt.Errorf("cluster: first heartbeat: %w", err)
	}
	running, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.tasks.Go(func() { n.beatLoop(running) })
	n.tasks.Go(func() { n.receive(running) })
	return n, nil
}

// ID is the node's id, new with every start.
func (n *Node) ID() ID { return n.id }

// Name is the node's name for people.
func (n *Node) Name() string { return n.cfg.Name }

// Stats are the node's counters.
func (n *Node) Stats() *Stats { return &n.stats }

// Drain tells the others that this node is going away: they let go of the
// requests that they hold for its clients, who then ask again elsewhere. The
// upgraded connections that pass through this node are closed at an even pace
// over the time given. It returns when none is left or ctx ends. Sessions are not the
// cluster's: engine.Server.Drain closes them, at the same time. Close should follow.
func (n *Node) Drain(ctx context.Context, over time.Duration) error {
	n.draining.Store(true)
	n.beats.kick()
	return n.tunnels.drain(ctx, over)
}

// Close leaves the cluster, at once: what is being handed on breaks off. Others know of it when it
// returns, unless the store didn't answer before ctx ended; then they find out by themselves.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	closed, server := n.closed, n.server
	n.closed = true
	n.mu.Unlock()
	if closed {
		return nil
	}
	n.stop()
	n.links.close()
	n.tunnels.close()
	n.relay.close()
	if server != nil {
		_ = server.Close()
	}
	n.tasks.Wait()
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	if err := n.beat(ctx, true); err != nil {
		return fmt.Errorf("cluster: leave: %w", err)
	}
	return nil
}
