package redisadapter

import (
	"context"
	"iter"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// ShardedPubSub returns the driver that speaks the official sharded protocol,
// over SPUBLISH and SSUBSCRIBE. It needs Redis 7. rdb is as for PubSub.
func ShardedPubSub(rdb redis.UniversalClient, cfg Config) *Driver {
	return newDriver(rdb, cfg, true, shardedProtocol{})
}

type shardedProtocol struct{}

func (shardedProtocol) uid(node, namespace string) string { return uidOf(node, namespace) }

func (shardedProtocol) channels(cfg *Config, namespace, uid string) (counted, private string) {
	counted = cfg.Prefix + "#" + namespace + "#"
	return counted, counted + uid + "#"
}

// check finds nothing to refuse: shard channels are apart from all others.
func (shardedProtocol) check(context.Context, *Driver, string) error { return nil }

func (shardedProtocol) start(*Driver) []*topic { return nil }

func (p shardedProtocol) open(l *line) adapters.Adapter {
	counted, private := p.channels(&l.d.cfg, l.namespace, l.uid)
	s := &sharded{line: l, main: counted, own: map[string]*topic{}}
	l.topics = []*topic{newTopic(counted, s.onMessage), newTopic(private, s.onResponse)}
	return s
}

// sharded is the adapter of the sharded protocol.
type sharded struct {
	*line
	main string

	mu  sync.Mutex
	own map[string]*topic // of rooms that have a channel of their own
}

// Publish queues op for the other nodes.
func (s *sharded) Publish(_ context.Context, op *adapters.Op) error {
	return s.send(&message{kind: kindOf(op), uid: s.uid, namespace: s.namespace, op: op}, nil)
}

func (s *sharded) send(m *message, done func(error)) error {
	b, err := encodeCluster(m, false)
	if err != nil {
		return err
	}
	return s.bus.out.add(shardedChannel(s.main, s.namespace, s.d.cfg.Mode, m.op), b, done)
}

// shardedChannel returns where an operation is published: an event to one room
// on the room's channel, if the mode gives it one.
func shardedChannel(main, namespace string, mode Mode, op *adapters.Op) string {
	if op.Kind == adapters.Emit && len(op.Target.Rooms) == 1 {
		if room := op.Target.Rooms[0]; mode == DynamicPrivate || mode == Dynamic && !isPrivate(room, namespace) {
			return main + room + "#"
		}
	}
	return main
}

// looksPrivate reports whether official servers take a room for that of a
// single socket: by its length, as JavaScript counts.
func looksPrivate(room string) bool {
	if len(room) < 20 || len(room) > 60 {
		return false
	}
	n := 0
	for _, r := range room {
		n += utf16.RuneLen(r)
	}
	return n == 20
}

// isPrivate reports whether a room is not published on a channel of its own in
// the dynamic mode. The ids of clients of version 2 in other namespaces than "/" are
// longer, so that official servers take them for rooms, but don't subscribe to
// them either. Everybody hears the main channel.
func isPrivate(room, namespace string) bool {
	if id, ok := strings.CutPrefix(room, namespace+"#"); ok && namespace != "/" {
		room = id
	}
	return looksPrivate(room)
}

// Request asks all other nodes.
func (s *sharded) Request(ctx context.Context, op *adapters.Op) iter.Seq2[adapters.Reply, error] {
	return s.request(ctx, op, s.send)
}

// RoomChanged subscribes to the channel of a room that is there, and no longer
// to that of a room that is gone.
func (s *sharded) RoomChanged(room string) {
	if s.d.cfg.Mode == Static || s.d.cfg.Mode == Dynamic && looksPrivate(room) || s.rooms == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.own[room]
	there := s.rooms.HasRoom(room) && !s.closed.Load()
	switch {
	case there && t == nil:
		t = newTopic(s.main+room+"#", s.onMessage)
		s.own[room] = t
		s.bus.add(t)
	case !there && t != nil:
		delete(s.own, room)
		s.bus.remove(t)
	}
}

// RoomsReady waits until rooms that have a channel of their own are subscribed to.
func (s *sharded) RoomsReady(ctx context.Context, rooms []string) {
	var topics []*topic
	s.mu.Lock()
	for _, room := range rooms {
		if t := s.own[room]; t != nil {
			topics = append(topics, t)
		}
	}
	s.mu.Unlock()
	_ = s.bus.ready(ctx, false, topics...)
}

// Close ends the line.
func (s *sharded) Close(ctx context.Context) error {
	s.mu.Lock()
	for _, t := range s.own {
		s.bus.remove(t)
	}
	clear(s.own)
	s.mu.Unlock()
	return s.line.Close(ctx)
}

func (s *sharded) onMessage(channel string, payload []byte) flusher {
	m, err := decodeCluster(payload)
	if err != nil {
		s.bus.reject(channel, err)
		return nil
	}
	if m.uid == s.uid || m.namespace != s.namespace || m.op == nil {
		return nil
	}
	return s.do(m, func(answer *message) { s.respond(m.uid, answer) })
}

func (s *sharded) respond(uid string, answer *message) {
	b, err := encodeCluster(answer, false)
	if err != nil {
		s.d.cfg.Logger.Error("redisadapter: an answer can't be sent", "namespace", s.namespace, "error", err)
		return
	}
	s.bus.publish(s.main+uid+"#", b, nil)
}

func (s *sharded) onResponse(channel string, payload []byte) flusher {
	m, err := decodeCluster(payload)
	if err != nil {
		s.bus.reject(channel, err)
		return nil
	}
	if m.kind.isReply() {
		s.requests.answer(m)
	}
	return nil
}
