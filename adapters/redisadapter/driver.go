package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// Driver is an adapters.Driver, and an adapters.Health. It connects when its
// first namespace is opened, and stops when its last one is closed.
//
// Publish doesn't wait for Redis: what can't be published is counted, logged
// and shown by Healthy. A message is sent once; what is sent while Redis is away is lost
// for other nodes.
type Driver struct {
	rdb     redis.UniversalClient
	cfg     Config
	sharded bool // pub/sub
	protocol
	stats     counters
	answering atomic.Int64 // goroutines that answer other nodes

	mu     sync.Mutex
	node   string // id, new with each start
	redis  *backend
	bus    *bus // nil while no namespace is open
	lines  map[*line]struct{}
	closed bool
}

// protocol is what the drivers differ in.
type protocol interface {
	// check refuses to join nodes that this protocol would harm.
	check(ctx context.Context, d *Driver, namespace string) error
	// start returns what is subscribed to for all namespaces together.
	start(d *Driver) []*topic
	// open makes an adapter of l, and sets its uid and topics.
	open(l *line) adapters.Adapter
	// uid returns the uid of a node's adapter for a namespace.
	uid(node, namespace string) string
	// channels returns the one whose subscribers are the nodes with a namespace,
	// and the one on which an adapter is answered.
	channels(cfg *Config, namespace, uid string) (counted, private string)
}

var (
	_ adapters.Driver = (*Driver)(nil)
	_ adapters.Health = (*Driver)(nil)
)

func newDriver(rdb redis.UniversalClient, cfg Config, sharded bool, p protocol) *Driver {
	return &Driver{rdb: rdb, cfg: cfg.withDefaults(), sharded: sharded, protocol: p, lines: map[*line]struct{}{}}
}

// Open connects a namespace. The first one fails if Redis can't be reached
// within RequestTimeout, or if other nodes would be harmed (see Config.AllowMixed).
func (d *Driver) Open(namespace string, local adapters.Local) (adapters.Adapter, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), d.cfg.RequestTimeout, errNoAnswer)
	defer cancel()
	l, err := d.newLine(namespace, local)
	if err != nil {
		return nil, err
	}
	a := d.open(l)
	if err := d.join(ctx, l); err != nil {
		_ = l.Close(ctx)
		return nil, err
	}
	return a, nil
}

var errNoAnswer = errors.New("redisadapter: Redis doesn't answer in time")

// newLine makes a namespace's line, and starts the bus for the first one.
func (d *Driver) newLine(namespace string, local adapters.Local) (*line, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if d.bus == nil {
		backend, err := newBackend(d.rdb)
		if err != nil {
			return nil, err
		}
		d.node = newNodeID()
		d.redis = backend
		d.bus = newBus(d.cfg, backend, d.sharded, d.node, &d.stats, d.peerDied)
		d.bus.add(d.start(d)...)
	}
	l := &line{d: d, bus: d.bus, node: d.node, namespace: namespace, local: local, requests: requests{stats: &d.stats}}
	l.rooms, _ = local.(adapters.Rooms)
	l.gather, _ = local.(adapters.Gatherer)
	l.life, l.stop = context.WithCancel(context.Background())
	l.uid = d.uid(d.node, namespace)
	d.lines[l] = struct{}{}
	return l, nil
}

// join subscribes to what the line listens to. If Redis is away though it was
// there before, the namespace is opened nevertheless, and joined when Redis is back.
func (d *Driver) join(ctx context.Context, l *line) error {
	first := !l.bus.met.Load()
	away := l.bus.connected()
	if first || away == nil {
		// Redis may go at any moment, before the connection that listens has noticed.
		if away = d.check(ctx, d, l.namespace); away != nil && (first || errors.Is(away, errMixed)) {
			return away
		}
	}
	l.bus.add(l.topics...)
	// Its channels may be at servers that are there, though others aren't.
	if err := l.bus.ready(ctx, first, l.topics...); err != nil {
		if first || errors.Is(err, errClosed) {
			return err
		}
		away = err
	}
	if away != nil {
		d.cfg.Logger.Warn("redisadapter: a namespace is opened while Redis is away", "namespace", l.namespace, "error", away)
		return nil
	}
	l.bus.met.Store(true)
	return nil
}

// leave ends a line, and the bus with the last one.
func (d *Driver) leave(ctx context.Context, l *line) error {
	d.mu.Lock()
	_, open := d.lines[l]
	delete(d.lines, l)
	last := open && len(d.lines) == 0
	bus, redis := d.bus, d.redis
	if last {
		d.bus, d.redis = nil, nil
	}
	d.mu.Unlock()
	if !open {
		return nil
	}
	if !last {
		l.bus.remove(l.topics...)
		return nil
	}
	err := bus.close(ctx)
	redis.close()
	return err
}

// Close ends all namespaces and connections. The driver can't be used again.
func (d *Driver) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	var errs []error
	for _, l := range d.all() {
		errs = append(errs, l.Close(ctx))
	}
	return errors.Join(errs...)
}

func (d *Driver) all() []*line {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]*line, 0, len(d.lines))
	for l := range d.lines {
		list = append(list, l)
	}
	return list
}

// Healthy returns nil while this node hears itself through Redis.
func (d *Driver) Healthy() error {
	d.mu.Lock()
	bus := d.bus
	d.mu.Unlock()
	if bus == nil {
		return errors.New("redisadapter: not open")
	}
	return bus.healthy()
}

// Stats returns the figures as of now.
func (d *Driver) Stats() Stats {
	s := d.stats.stats()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bus != nil {
		s.Nodes = d.bus.peers.alive()
	}
	return s
}

// peerDied ends the waiting for a node.
func (d *Driver) peerDied(id, name string) {
	for _, l := range d.all() {
		l.requests.drop(d.uid(id, l.namespace), name)
	}
}

var errMixed = errors.New("redisadapter: two adapters on one Redis")

// mixedError says that other nodes use another adapter.
func mixedError(ours, theirs, channel, prefix string) error {
	return fmt.Errorf("%w: nodes with the %s adapter listen to %q: with the same Redis and the prefix %q, official servers with the classic adapter crash on what nodes with the streams adapter say. "+
		"Use the same adapter (this node: %s) on all nodes, or another prefix; AllowMixed starts the node nevertheless", errMixed, theirs, channel, prefix, ours)
}
