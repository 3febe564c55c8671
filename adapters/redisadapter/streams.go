package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// StreamsDriver is the Driver of nodes that are joined by Redis streams, as
// by @socket.io/redis-streams-adapter 0.3. Its adapters are Logs: with recovery on clients
// go on where they were, on any node, also when theirs was killed.
type StreamsDriver struct {
	rdb                                  redis.UniversalClient
	cfg                                  StreamsConfig
	node                                 string  // its id, new with every process
	asks                                 *Driver // for requests
	lineages                             lineages
	stats                                counters
	read, unlogged, gaps, forks, dropped atomic.Int64

	mu       sync.Mutex
	streams  map[string]*stream // by name, while namespaces are open
	sessions *sessionStore

	spacesMu sync.RWMutex // taken last
	spaces   map[string]*streamAdapter
}

var (
	_ adapters.Driver = (*StreamsDriver)(nil)
	_ adapters.Health = (*StreamsDriver)(nil)
)

var errTooLarge = errors.New("redisadapter: the message is larger than MaxMessage")

// Streams returns the driver for streams. rdb, a *redis.Client (also of a
// Sentinel) or a *redis.ClusterClient, stays the caller's, to be closed after the server.
func Streams(rdb redis.UniversalClient, cfg StreamsConfig) *StreamsDriver {
	cfg = cfg.withDefaults()
	return &StreamsDriver{
		rdb: rdb, cfg: cfg, node: newNodeID(), lineages: lineages{rdb: rdb},
		asks: newDriver(rdb, cfg.Config, cfg.Sharded, streamsProtocol{}),
	}
}

// Open connects a namespace. The first one connects the node; that fails if Redis doesn't
// answer within 5 s.
func (d *StreamsDriver) Open(namespace string, local adapters.Local) (adapters.Adapter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.space(namespace) != nil {
		return nil, fmt.Errorf("redisadapter: namespace %q is open already", namespace)
	}
	if d.streams == nil {
		if err := d.begin(); err != nil {
			return nil, err
		}
	}
	a, err := d.open(namespace, local)
	if err != nil && len(d.all()) == 0 {
		d.end()
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// open opens a namespace. d.mu is held.
func (d *StreamsDriver) open(namespace string, local adapters.Local) (*streamAdapter, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), d.cfg.RequestTimeout, errNoAnswer)
	defer cancel()
	l, err := d.asks.newLine(namespace, local)
	if err != nil {
		return nil, err
	}
	name, _ := d.cfg.streamOf(namespace)
	a := &streamAdapter{d: d, line: l, namespace: namespace, uid: l.uid, local: local, stream: d.streams[name]}
	a.listen()
	a.stream.join(a)
	if err := d.asks.join(ctx, l); err != nil {
		_ = l.Close(ctx)
		a.stream.leave(a)
		d.unregister(a)
		return nil, err
	}
	return a, nil
}

// begin connects the node. d.mu is held.
func (d *StreamsDriver) begin() error {
	if err := d.cfg.validate(); err != nil {
		return err
	}
	d.streams = map[string]*stream{}
	d.sessions = newSessionStore(d)
	for _, name := range d.cfg.names() {
		s := newStream(d, name)
		if err := s.begin(context.Background()); err != nil {
			d.end()
			return err
		}
		d.streams[name] = s
	}
	d.sessions.begin(d.streams)
	return nil
}

// names returns the streams to read: where official servers and emitters may write.
func (c *StreamsConfig) names() []string {
	if c.Streams == 1 {
		return []string{c.Stream}
	}
	list := []string{c.number(0)}
	for i := 1; i < c.Streams; i++ {
		list = append(list, c.number(i), c.number(-i))
	}
	return list
}

// end disconnects the node. d.mu is held.
func (d *StreamsDriver) end() {
	for _, s := range d.streams {
		s.end()
	}
	d.sessions.end()
	d.streams = nil
}

// space returns a namespace that is open here, or nil.
func (d *StreamsDriver) space(namespace string) *streamAdapter {
	d.spacesMu.RLock()
	defer d.spacesMu.RUnlock()
	return d.spaces[namespace]
}

func (d *StreamsDriver) register(a *streamAdapter) {
	d.spacesMu.Lock()
	defer d.spacesMu.Unlock()
	if d.spaces == nil {
		d.spaces = map[string]*streamAdapter{}
	}
	d.spaces[a.namespace] = a
}

// unregister forgets a, and returns how many are left.
func (d *StreamsDriver) unregister(a *streamAdapter) (left int, was bool) {
	d.spacesMu.Lock()
	defer d.spacesMu.Unlock()
	if was = d.spaces[a.namespace] == a; was {
		delete(d.spaces, a.namespace)
	}
	return len(d.spaces), was
}

func (d *StreamsDriver) all() []*streamAdapter {
	d.spacesMu.RLock()
	defer d.spacesMu.RUnlock()
	list := make([]*streamAdapter, 0, len(d.spaces))
	for _, a := range d.spaces {
		list = append(list, a)
	}
	return list
}

// close disconnects the node after its last namespace.
func (d *StreamsDriver) close(a *streamAdapter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if left, was := d.unregister(a); was && left == 0 {
		d.end()
	}
}

// Healthy returns nil while Redis answers this node, and what it writes comes
// back to it.
func (d *StreamsDriver) Healthy() error {
	d.mu.Lock()
	streams := make([]*stream, 0, len(d.streams))
	for _, s := range d.streams {
		streams = append(streams, s)
	}
	d.mu.Unlock()
	slices.SortFunc(streams, func(a, b *stream) int { return strings.Compare(a.name, b.name) })
	for _, s := range streams {
		if err := s.healthy(); err != nil {
			return err
		}
	}
	return d.asks.Healthy()
}

func (s *stream) healthy() error {
	if silent := time.Since(time.Unix(0, s.heard.Load())); silent > readBlock+readMargin {
		return fmt.Errorf("redisadapter: the stream %q could not be read for %v", s.name, silent.Round(time.Second))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.mine {
		if o.op != nil {
			if late := time.Since(o.due); late > 0 {
				return fmt.Errorf("redisadapter: what was written to the stream %q has not come back for %v", s.name, (late + s.d.cfg.Patience).Round(time.Second))
			}
			break
		}
	}
	return nil
}
