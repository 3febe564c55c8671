package redisadapter

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// subscriber keeps one connection in subscribed state: it connects anew when
// that breaks or goes deaf, and subscribes to everything again.
type subscriber struct {
	addr    string // of the master that it is for, if sharded
	name    string // for logs
	home    func(ctx context.Context, attempt int) (*redis.Client, error)
	sharded bool
	bus     *bus
	life    context.Context
	stop    context.CancelFunc

	placed int // how many topics the bus has placed here; its mu guards it

	waits atomic.Int64 // since when the reader waits for the network, in Unix nanoseconds; far off: it doesn't

	mu       sync.Mutex
	conn     *conn
	channels map[string]*subscription
	patterns map[string]*subscription
	sent     []command // whose answers are to come, in order
	probe    probe
	lost     error // why there is no connection
}

// command is what was asked of Redis.
type command struct {
	unsubscribe, pattern bool
	names                []string
	subs                 []*subscription // that it is for, as names; nil: none any more
}

func newSubscriber(b *bus, addr, name string, home func(context.Context, int) (*redis.Client, error)) *subscriber {
	s := &subscriber{
		addr: addr, name: name, home: home, sharded: b.sharded, bus: b, lost: errConnecting,
		channels: map[string]*subscription{}, patterns: map[string]*subscription{},
	}
	s.life, s.stop = context.WithCancel(b.life)
	return s
}

var errConnecting = fmt.Errorf("redisadapter: not connected yet")

// run keeps the connection until stop is called, or the bus ends.
func (s *subscriber) run() {
	ctx := s.life
	for attempt := 0; ctx.Err() == nil; attempt++ {
		began := time.Now()
		err := s.session(ctx, attempt)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 10*s.bus.cfg.Heartbeat {
			attempt = 0
		}
		s.bus.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "redisadapter: the connection that listens to Redis is lost: messages of other nodes may be missed until it is back",
			slog.String("subscriber", s.name), slog.Int("attempt", attempt), slog.Any("error", err))
		s.mu.Lock()
		s.lost = err
		s.mu.Unlock()
		s.bus.stats.reconnects.Add(1)
		s.bus.broken(s, attempt)
		sleep(ctx, backoff(attempt))
	}
}

// backoff is how long to wait before another attempt: 50 ms, doubled up to 3 s,
// of which up to the half is left to chance so that nodes don't come all at once.
func backoff(attempt int) time.Duration {
	d := min(50*time.Millisecond<<min(attempt, 10), 3*time.Second)
	return d/2 + rand.N(d/2)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// session makes a connection and reads from it until it breaks.
func (s *subscriber) session(ctx context.Context, attempt int) error {
	dialing, cancel := context.WithTimeout(ctx, s.bus.cfg.RequestTimeout)
	defer cancel()
	client, err := s.home(dialing, attempt)
	if err != nil {
		return err
	}
	c, err := dial(dialing, client, s.bus.cfg.MaxMessage, &s.waits)
	if err != nil {
		return err
	}
	defer c.close()
	stop := context.AfterFunc(ctx, c.close)
	defer stop()
	if err := s.attach(c); err != nil {
		s.detach()
		return err
	}
	err = s.read(c)
	s.detach()
	return err
}

// attach makes c the connection and subscribes to everything on it.
func (s *subscriber) attach(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.lost, s.sent = c, nil, nil
	s.probe.reset()
	if err := s.command(false, false, slices.Collect(maps.Keys(s.channels))); err != nil {
		return err
	}
	return s.command(false, true, slices.Collect(maps.Keys(s.patterns)))
}

// detach forgets the connection and what was confirmed on it.
func (s *subscriber) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = nil
	for _, list := range []map[string]*subscription{s.channels, s.patterns} {
		for _, sub := range list {
			if sub.err = nil; sub.isReady() {
				sub.ready = make(chan struct{})
			}
		}
	}
}

// chunk is how many channels one command names.
const chunk = 500

// command sends subscriptions, or their end. A cluster takes one shard channel
// a command, unless they share a slot. s.mu is held.
func (s *subscriber) command(unsubscribe, pattern bool, names []string) error {
	if s.conn == nil || len(names) == 0 {
		return nil
	}
	size := chunk
	if s.sharded {
		size = 1
	}
	var commands [][]string
	for list := range slices.Chunk(names, size) {
		commands = append(commands, append([]string{s.verb(unsubscribe, pattern)}, list...))
		subs := make([]*subscription, len(list))
		for i, name := range list {
			subs[i] = s.list(pattern)[name]
		}
		s.sent = append(s.sent, command{unsubscribe, pattern, list, subs})
	}
	return s.conn.send(commands...)
}

func (s *subscriber) verb(unsubscribe, pattern bool) string {
	verb := "SUBSCRIBE"
	if unsubscribe {
		verb = "UNSUBSCRIBE"
	}
	switch {
	case s.sharded:
		return "S" + verb
	case pattern:
		return "P" + verb
	}
	return verb
}

func (s *subscriber) list(pattern bool) map[string]*subscription {
	if pattern {
		return s.patterns
	}
	return s.channels
}

// add subscribes to topics, now or as soon as there is a connection.
func (s *subscriber) add(topics ...*topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names [2][]string // of channels, of patterns
	for _, t := range topics {
		list := s.list(t.pattern)
		sub := list[t.name]
		if sub == nil {
			sub = &subscription{ready: make(chan struct{})}
			list[t.name] = sub
			i := 0
			if t.pattern {
				i = 1
			}
			names[i] = append(names[i], t.name)
		}
		// A message may be handled just now: the list that it walks stays as it is.
		if !slices.Contains(sub.topics, t) {
			sub.topics = append(slices.Clip(sub.topics), t)
		}
	}
	s.tell(false, names)
}

// remove ends subscriptions.
func (s *subscriber) remove(topics ...*topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names [2][]string
	for _, t := range topics {
		list := s.list(t.pattern)
		sub := list[t.name]
		if sub == nil || !slices.Contains(sub.topics, t) {
			continue
		}
		sub.topics = slices.DeleteFunc(slices.Clone(sub.topics), func(o *topic) bool { return o == t })
		if len(sub.topics) > 0 {
			continue
		}
		delete(list, t.name)
		i := 0
		if t.pattern {
			i = 1
		}
		names[i] = append(names[i], t.name)
	}
	s.tell(true, names)
}

func (s *subscriber) tell(unsubscribe bool, names [2][]string) {
	for i, list := range names {
		if s.command(unsubscribe, i == 1, list) != nil {
			s.conn.close()
			return
		}
	}
}

// readiness returns what is closed while a topic is subscribed to, or what Redis
// said instead.
func (s *subscriber) readiness(t *topic) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.list(t.pattern)[t.name]; sub != nil {
		return sub.ready, sub.err
	}
	return nil, nil
}

// away returns why the connection is lost: nil also for the first one, while it is being made.
func (s *subscriber) away() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil || s.lost == errConnecting {
		return nil
	}
	return s.lost
}

// takeAll forgets all topics but the probe, which are to be subscribed to elsewhere.
func (s *subscriber) takeAll() []*topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*topic
	for name, sub := range s.channels {
		if s.probe.topic == nil || name != s.probe.topic.name {
			all = append(all, sub.topics...)
			delete(s.channels, name)
		}
	}
	return all
}

// disconnect has the connection made anew.
func (s *subscriber) disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		s.conn.close()
	}
}

// read handles what arrives. What came in one reply from the network is handled
// before anything is flushed, so that its events leave together.
func (s *subscriber) read(c *conn) error {
	var p push
	var dirty []flusher
	flush := func() {
		for i, f := range dirty {
			f.Flush()
			dirty[i] = nil
		}
		dirty = dirty[:0]
	}
	defer flush()
	for {
		if err := c.read(&p); err != nil {
			return err
		}
		switch p.kind {
		case "message", "pmessage":
			topics := s.message(&p)
			if p.payload == nil && topics != nil {
				s.bus.reject(string(p.channel), errLong)
				continue
			}
			for _, t := range topics {
				if f := t.handle(string(p.channel), p.payload); f != nil && !slices.Contains(dirty, f) {
					dirty = append(dirty, f)
				}
			}
		case "subscribe", "unsubscribe":
			s.confirmed(p.kind == "unsubscribe", string(p.channel))
		case "error":
			if err := s.refused(string(p.channel)); err != nil {
				return err
			}
		}
		if len(dirty) > 0 && (!c.more() || len(dirty) >= 64) {
			flush()
		}
	}
}

func (s *subscriber) message(p *push) []*topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.channels[string(p.channel)]
	if p.kind == "pmessage" {
		sub = s.patterns[string(p.pattern)]
	}
	if sub == nil {
		return nil
	}
	return sub.topics
}

// confirmed takes note of an answer. A shard channel whose subscription ends
// without our asking has moved to another node of the cluster.
func (s *subscriber) confirmed(unsubscribe bool, name string) {
	s.mu.Lock()
	cmd, ours := s.answered(unsubscribe, name)
	sub := s.list(ours && cmd.pattern)[name]
	var moved []*topic
	switch {
	case sub == nil:
	case unsubscribe && !ours:
		moved = sub.topics
		delete(s.channels, name)
	case !unsubscribe && ours && cmd.subs[0] != sub: // of an earlier time: its end is on the way to Redis
	case !unsubscribe && !sub.isReady():
		close(sub.ready)
	}
	probe := sub != nil && !unsubscribe && slices.Contains(sub.topics, s.probe.topic)
	s.mu.Unlock()
	if len(moved) > 0 {
		s.bus.moved(moved...)
	}
	if probe {
		s.bus.beatNow()
	}
}

// answered reports whether an answer is to the oldest command, and returns that as it was.
func (s *subscriber) answered(unsubscribe bool, name string) (command, bool) {
	if len(s.sent) == 0 || s.sent[0].unsubscribe != unsubscribe || s.sent[0].names[0] != name {
		return command{}, false
	}
	cmd := s.sent[0]
	s.sent[0].subs = cmd.subs[1:]
	if s.sent[0].names = cmd.names[1:]; len(cmd.names) == 1 {
		s.sent = s.sent[1:]
	}
	return cmd, true
}

// refused takes note of an error, which is the answer to the oldest command.
func (s *subscriber) refused(text string) error {
	s.mu.Lock()
	if len(s.sent) == 0 {
		s.mu.Unlock()
		return fmt.Errorf("redisadapter: Redis says %q", text)
	}
	cmd := s.sent[0]
	s.sent = s.sent[1:]
	var moved []*topic
	if list := s.list(cmd.pattern); !cmd.unsubscribe {
		for _, name := range cmd.names {
			switch sub := list[name]; {
			case sub == nil:
			case s.sharded && elsewhere(text):
				moved = append(moved, sub.topics...)
				delete(list, name)
			default:
				sub.err = fmt.Errorf("redisadapter: Redis refuses the subscription to %q: %s", name, text)
			}
		}
	}
	s.mu.Unlock()
	if len(moved) > 0 {
		s.bus.moved(moved...)
	} else if !cmd.unsubscribe {
		s.bus.cfg.Logger.Error("redisadapter: a subscription was refused", "channels", cmd.names, "error", text)
	}
	return nil
}

// hasProbe reports whether the subscriber has a channel to hear itself on.
func (s *subscriber) hasProbe() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probe.topic != nil && s.channels[s.probe.topic.name] != nil
}

// setProbe makes t the channel to hear itself on.
func (s *subscriber) setProbe(t *topic, payload func(seq int64) []byte) {
	s.mu.Lock()
	s.probe.topic, s.probe.payload = t, payload
	s.mu.Unlock()
	s.add(t)
}
