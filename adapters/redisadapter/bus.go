package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// bus is this node's connections to Redis for messages: what it is subscribed
// to, and where, and what is to be published. It lives while a namespace is open.
//
// Plain pub/sub has one subscriber, since nodes are counted by their
// connections. Sharded pub/sub has one for each master that has a channel of ours.
type bus struct {
	cfg     Config
	redis   *backend
	sharded bool
	node    string // id of this node
	stats   *counters
	out     *publisher
	peers   *peers

	life  context.Context
	stop  context.CancelFunc
	tasks sync.WaitGroup
	kick  chan struct{} // beat now
	met   atomic.Bool   // Redis was there once

	mu          sync.Mutex
	subscribers map[string]*subscriber // by the master's address; "" if not sharded
	topics      map[*topic]*subscriber // nil: about to be placed
	unplaced    map[*topic]struct{}    // those
	unchecked   []*topic               // whose place is to be checked, see checkPlaces
	astray      map[*topic]string      // where those seemed to belong that weren't there when they were checked last
	unwanted    []place                // what is to be unsubscribed from
	homeless    chan struct{}          // holds one when a topic is to be placed or is unwanted
}

func newBus(cfg Config, r *backend, sharded bool, node string, stats *counters, dead func(id, name string)) *bus {
	b := &bus{
		cfg: cfg, redis: r, sharded: sharded, node: node, stats: stats,
		kick: make(chan struct{}, 1), subscribers: map[string]*subscriber{},
		topics: map[*topic]*subscriber{}, unplaced: map[*topic]struct{}{}, astray: map[*topic]string{}, homeless: make(chan struct{}, 1),
	}
	b.life, b.stop = context.WithCancel(context.Background())
	b.out = newPublisher(b)
	b.peers = newPeers(cfg, node, dead)
	b.tasks.Go(b.out.run)
	b.tasks.Go(b.placeTopics)
	b.tasks.Go(b.beatAll)
	if sharded {
		b.add(newTopic(b.nodesChannel(), func(_ string, payload []byte) flusher {
			b.peers.hear(payload)
			return nil
		}))
		return b
	}
	// Everybody's heartbeats come on the one connection: our own is its probe.
	s := b.subscriber("", b.redis.any)
	s.setProbe(newTopic(b.nodesChannel(), func(_ string, payload []byte) flusher {
		if seq, own := b.peers.hear(payload); own {
			s.heard(seq)
		}
		return nil
	}), b.peers.heartbeat)
	return b
}

// nodesChannel is where Go nodes tell each other that they live. No pattern
// that official adapters subscribe to matches it.
func (b *bus) nodesChannel() string { return b.cfg.Prefix + "-nodes#" }

// subscriber returns the subscriber for a master, and makes it if there is none.
// b.mu is held, or b isn't shared yet.
func (b *bus) subscriber(addr string, home func(context.Context, int) (*redis.Client, error)) *subscriber {
	if s := b.subscribers[addr]; s != nil {
		return s
	}
	name := "pub/sub"
	if b.sharded {
		name = "sharded pub/sub at " + addr
	}
	s := newSubscriber(b, addr, name, home)
	b.subscribers[addr] = s
	b.tasks.Go(s.run)
	return s
}

// add subscribes to topics. It doesn't wait.
func (b *bus) add(topics ...*topic) {
	b.mu.Lock()
	s := b.subscribers[""]
	for _, t := range topics {
		b.put(t, s)
	}
	b.mu.Unlock()
	if s != nil {
		s.add(topics...)
	} else {
		b.wakePlacer()
	}
}

// put notes where a topic is subscribed to; nil: it is to be placed. There may be hundreds of thousands of topics, so none
// of this walks through all of them. b.mu is held.
func (b *bus) put(t *topic, s *subscriber) {
	b.forget(t)
	if b.topics[t] = s; s == nil {
		b.unplaced[t] = struct{}{}
	} else {
		s.placed++
	}
}

// forget is the end of put. b.mu is held.
func (b *bus) forget(t *topic) {
	if s := b.topics[t]; s != nil {
		s.placed--
	}
	delete(b.topics, t)
	delete(b.unplaced, t)
	delete(b.astray, t)
}

func (b *bus) wakePlacer() {
	select {
	case b.homeless <- struct{}{}:
	default:
	}
}

// remove ends subscriptions. It doesn't wait.
func (b *bus) remove(topics ...*topic) {
	b.mu.Lock()
	for _, t := range topics {
		if s := b.topics[t]; s != nil {
			b.unwanted = append(b.unwanted, place{t, s})
		}
		b.forget(t)
	}
	b.mu.Unlock()
	b.wakePlacer()
}

// place is where a topic is subscribed to.
type place struct {
	*topic
	at *subscriber
}

// endUnwanted ends subscriptions that were removed.
func (b *bus) endUnwanted() {
	b.mu.Lock()
	list := b.unwanted
	b.unwanted = nil
	b.mu.Unlock()
	by := map[*subscriber][]*topic{}
	for _, p := range list {
		by[p.at] = append(by[p.at], p.topic)
	}
	for s, topics := range by {
		s.remove(topics...)
	}
}

// moved has topics placed anew: their slots belong to another master.
func (b *bus) moved(topics ...*topic) {
	b.redis.reload(b.life)
	b.mu.Lock()
	for _, t := range topics {
		if _, wanted := b.topics[t]; wanted {
			b.put(t, nil)
		} // else it is a probe, which belongs to its subscriber
	}
	b.mu.Unlock()
	b.wakePlacer()
}

// broken is told when a subscriber has lost its connection. If its master
// can't be reached, its channels may have a new home.
func (b *bus) broken(s *subscriber, attempt int) {
	if b.sharded && attempt > 0 {
		b.moved(s.takeAll()...)
	}
}

// placeTopics gives topics their subscribers, which only sharded pub/sub has
// several of, and ends the subscriptions that aren't wanted any more.
func (b *bus) placeTopics() {
	for {
		select {
		case <-b.life.Done():
			return
		case <-b.homeless:
		}
		b.endUnwanted()
		for attempt := 0; b.life.Err() == nil && !b.placeAll(); attempt++ {
			sleep(b.life, backoff(attempt))
		}
	}
}

// placeAll reports whether every topic has its place.
func (b *bus) placeAll() bool {
	b.mu.Lock()
	list := slices.Collect(maps.Keys(b.unplaced))
	b.mu.Unlock()
	done := true
	by := map[*subscriber][]*topic{}
	for _, t := range list {
		client, err := b.redis.master(b.life, t.name)
		if err != nil {
			done = false
			continue
		}
		b.mu.Lock()
		if _, wanted := b.topics[t]; wanted {
			s := b.masterSubscriber(client)
			b.put(t, s)
			by[s] = append(by[s], t)
		}
		b.mu.Unlock()
	}
	for s, list := range by {
		s.add(list...)
		for _, t := range list {
			if !b.wanted(t) { // any more: it was removed before it was added
				s.remove(t)
			}
		}
	}
	for _, s := range b.all() {
		done = (s.hasProbe() || b.giveProbe(s)) && done
	}
	return done
}

func (b *bus) wanted(t *topic) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.topics[t]
	return ok
}

// masterSubscriber returns the subscriber at a master. b.mu is held.
func (b *bus) masterSubscriber(client *redis.Client) *subscriber {
	return b.subscriber(client.Options().Addr, func(context.Context, int) (*redis.Client, error) { return client, nil })
}

// giveProbe finds a channel that belongs to s's master.
func (b *bus) giveProbe(s *subscriber) bool {
	for i := range 2000 {
		name := fmt.Sprintf("%s-node#%s#%d", b.cfg.Prefix, b.node, i)
		client, err := b.redis.master(b.life, name)
		if err == nil && client.Options().Addr == s.addr {
			s.setProbe(newTopic(name, s.hearProbe), plainProbe)
			return true
		}
	}
	return false // a master without slots, for now
}

// ready waits until topics are subscribed to. Unless it is to be patient, it doesn't wait for
// a server to which the connection is lost.
func (b *bus) ready(ctx context.Context, patient bool, topics ...*topic) error {
	for _, t := range topics {
		for again := time.Millisecond; ; again = min(2*again, 20*time.Millisecond) {
			ready, lost, err := b.readiness(t)
			if err != nil {
				return err
			}
			if lost != nil && !patient {
				return lost
			}
			select {
			case <-ready:
			case <-time.After(again): // it may be placed anew, or refused
				continue
			case <-ctx.Done():
				return fmt.Errorf("redisadapter: subscribe to %q: %w", t.name, context.Cause(ctx))
			}
			break
		}
	}
	return nil
}

// readiness returns what is closed while a topic is subscribed to, why it can't be soon,
// or why it never will be.
func (b *bus) readiness(t *topic) (ready <-chan struct{}, lost, err error) {
	b.mu.Lock()
	s, wanted := b.topics[t]
	b.mu.Unlock()
	switch {
	case !wanted:
		return nil, nil, errClosed
	case s == nil:
		return nil, b.connected(), nil
	}
	ready, err = s.readiness(t)
	return ready, s.away(), err
}

// publish queues a message; done, which may be nil, is told what came of it.
func (b *bus) publish(channel string, payload []byte, done func(error)) {
	if err := b.out.add(channel, payload, done); err != nil && done != nil {
		done(err)
	}
}

// beatAll sends heartbeats and probes until the bus ends.
func (b *bus) beatAll() {
	tick := time.NewTicker(b.cfg.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-b.life.Done():
			return
		case <-tick.C:
		case <-b.kick:
		}
		now := time.Now()
		for _, s := range b.all() {
			s.beat(now)
		}
		if b.sharded {
			b.publish(b.nodesChannel(), b.peers.heartbeat(0), nil)
			b.checkPlaces()
		}
	}
}

// beatNow has a heartbeat sent out of turn.
func (b *bus) beatNow() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

// checkMost is how many places are checked with each heartbeat.
const checkMost = 10_000

// checkPlaces finds channels whose slot has moved though nobody said so, and
// ends subscribers that have nothing to do. It looks twice: while slots move, some nodes of the cluster
// still say what was before, and a channel given up for that would miss messages.
func (b *bus) checkPlaces() {
	if b.redis.cluster == nil {
		return
	}
	b.mu.Lock()
	if len(b.unchecked) == 0 {
		b.unchecked = slices.Collect(maps.Keys(b.topics))
	}
	n := min(len(b.unchecked), checkMost)
	list := b.unchecked[:n]
	if b.unchecked = b.unchecked[n:]; len(b.unchecked) == 0 {
		b.unchecked = nil
	}
	b.mu.Unlock()
	for _, t := range list {
		client, err := b.redis.master(b.life, t.name)
		b.mu.Lock()
		s := b.topics[t]
		gone, doubt := false, false
		if s != nil && err == nil {
			switch addr := client.Options().Addr; addr {
			case s.addr:
				delete(b.astray, t)
			case b.astray[t]:
				gone = true
				b.put(t, nil)
			default:
				doubt = true
				b.astray[t] = addr
			}
		}
		b.mu.Unlock()
		if doubt {
			b.redis.reload(b.life)
		}
		if gone {
			s.remove(t)
			b.wakePlacer()
		}
	}
	b.mu.Lock()
	for addr, s := range b.subscribers {
		if s.placed == 0 {
			delete(b.subscribers, addr)
			s.stop()
		}
	}
	b.mu.Unlock()
}

func (b *bus) all() []*subscriber {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*subscriber, 0, len(b.subscribers))
	for _, s := range b.subscribers {
		list = append(list, s)
	}
	return list
}

// connected returns why a subscriber has lost its connection.
func (b *bus) connected() error {
	for _, s := range b.all() {
		if err := s.away(); err != nil {
			return err
		}
	}
	return nil
}

// healthy returns what is wrong.
func (b *bus) healthy() error {
	now := time.Now()
	var errs []error
	for _, s := range b.all() {
		errs = append(errs, s.healthy(now))
	}
	b.mu.Lock()
	for t := range b.unplaced {
		errs = append(errs, fmt.Errorf("redisadapter: no master for channel %q", t.name))
		break
	}
	b.mu.Unlock()
	return errors.Join(append(errs, b.out.healthy(now))...)
}

func (b *bus) reject(channel string, err error) {
	b.stats.rejected.Add(1)
	b.cfg.Logger.Debug("redisadapter: a message could not be read", "channel", channel, "error", err)
}

// close says goodbye to the other nodes, ends all connections, and waits for
// the goroutines, or until ctx ends.
func (b *bus) close(ctx context.Context) error {
	b.publish(b.nodesChannel(), b.peers.goodbye(), nil)
	b.out.drain(ctx)
	b.stop()
	done := make(chan struct{})
	go func() { b.tasks.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
