package redisadapter

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// PubSub returns the driver that speaks the official classic protocol, over
// PUBLISH and SUBSCRIBE. rdb, a *redis.Client or a *redis.ClusterClient, stays
// the caller's, to be closed after the server.
func PubSub(rdb redis.UniversalClient, cfg Config) *Driver {
	return newDriver(rdb, cfg, false, &classicProtocol{lines: map[string][]*classic{}})
}

// classicProtocol has one pattern for the broadcasts of all namespaces, where an
// official server has one for each: every pattern costs Redis time with every
// message that is published.
type classicProtocol struct {
	mu    sync.RWMutex
	lines map[string][]*classic // by namespace
}

func (p *classicProtocol) uid(node, namespace string) string { return classicUID(node, namespace) }

func (p *classicProtocol) channels(cfg *Config, namespace, uid string) (counted, private string) {
	return cfg.Prefix + "-request#" + namespace + "#", cfg.Prefix + "-response#" + namespace + "#" + uid + "#"
}

// check looks for nodes with the streams adapter: they subscribe to the channel
// to which we only publish.
func (p *classicProtocol) check(ctx context.Context, d *Driver, namespace string) error {
	if d.cfg.AllowMixed {
		return nil
	}
	channel := d.cfg.Prefix + "#" + namespace + "#"
	found, err := d.redis.count(ctx, false, channel)
	if err == nil && found[channel] > 0 {
		err = mixedError("classic", "streams", channel, d.cfg.Prefix)
	}
	return err
}

func (p *classicProtocol) start(d *Driver) []*topic {
	prefix := d.cfg.Prefix + "#"
	t := newTopic(escapeGlob(prefix)+"*", func(channel string, payload []byte) flusher {
		return p.broadcast(channel[len(prefix):], payload)
	})
	t.pattern = true
	return []*topic{t}
}

func (p *classicProtocol) open(l *line) adapters.Adapter {
	counted, private := p.channels(&l.d.cfg, l.namespace, l.uid)
	c := &classic{
		line: l, protocol: p, main: l.d.cfg.Prefix + "#" + l.namespace + "#",
		requestChannel: counted, responseChannel: l.d.cfg.Prefix + "-response#" + l.namespace + "#",
	}
	l.topics = []*topic{
		newTopic(counted, c.onRequest), newTopic(c.responseChannel, c.onResponse), newTopic(private, c.onResponse),
	}
	p.mu.Lock()
	p.lines[l.namespace] = append(p.lines[l.namespace], c)
	p.mu.Unlock()
	return c
}

// broadcast takes a broadcast from <namespace>#[<room>#]. Both may hold "#", so
// that there may be several ways to part them: the message says which is right.
func (p *classicProtocol) broadcast(name string, payload []byte) flusher {
	var m *message
	var to flusher
	for i := 0; i < len(name); i++ {
		if name[i] != '#' {
			continue
		}
		p.mu.RLock()
		lines := p.lines[name[:i]]
		p.mu.RUnlock()
		for _, c := range lines {
			room := strings.TrimSuffix(name[i+1:], "#")
			if room != "" && !c.hasRoom(room) {
				continue
			}
			if m == nil {
				var err error
				if m, err = decodeBroadcast(payload); err != nil {
					c.bus.reject(name, err)
					return to
				}
			}
			if m.namespace == c.namespace && m.uid != c.uid {
				if f := c.do(m, nil); f != nil {
					to = f
				}
			}
		}
	}
	return to
}

// classic is the adapter of the classic protocol.
type classic struct {
	*line
	protocol                              *classicProtocol
	main, requestChannel, responseChannel string
}

// Publish queues op for the other nodes.
func (c *classic) Publish(_ context.Context, op *adapters.Op) error {
	return c.send(&message{kind: kindOf(op), uid: c.uid, namespace: c.namespace, op: op}, nil)
}

func (c *classic) send(m *message, done func(error)) error {
	channel, payload := c.requestChannel, []byte(nil)
	var err error
	if m.op.Kind == adapters.Emit {
		channel = classicChannel(c.main, m.op)
		payload, err = encodeBroadcast(m)
	} else {
		payload, err = encodeRequest(m)
	}
	if err != nil {
		return err
	}
	return c.bus.out.add(channel, payload, done)
}

// classicChannel returns where a broadcast is published.
func classicChannel(main string, op *adapters.Op) string {
	if len(op.Target.Rooms) == 1 {
		return main + op.Target.Rooms[0] + "#"
	}
	return main
}

// Request asks all other nodes.
func (c *classic) Request(ctx context.Context, op *adapters.Op) iter.Seq2[adapters.Reply, error] {
	return c.request(ctx, op, c.send)
}

// Close ends the line.
func (c *classic) Close(ctx context.Context) error {
	c.protocol.mu.Lock()
	if list := slices.DeleteFunc(slices.Clone(c.protocol.lines[c.namespace]), func(o *classic) bool { return o == c }); len(list) > 0 {
		c.protocol.lines[c.namespace] = list
	} else {
		delete(c.protocol.lines, c.namespace)
	}
	c.protocol.mu.Unlock()
	return c.line.Close(ctx)
}

func (c *classic) onRequest(channel string, payload []byte) flusher {
	m, err := decodeRequest(payload)
	if err != nil {
		c.bus.reject(channel, err)
		return nil
	}
	if m.uid == c.uid || m.kind == 0 || m.kind == kindBroadcast && m.namespace != c.namespace {
		return nil
	}
	switch {
	case m.kind == kindAllRooms:
		answer := &message{kind: kindAllRooms, uid: c.uid, request: m.request}
		if c.rooms != nil {
			answer.rooms = c.rooms.RoomNames()
		}
		c.respond(m, answer)
		return nil
	case m.old:
		// About one socket: who has it says that it is done.
		if c.hasRoom(m.op.Target.Rooms[0]) {
			defer c.respond(m, &message{kind: kindDone, uid: c.uid, request: m.request})
		}
	}
	return c.do(m, func(answer *message) {
		if m.kind == kindSockets {
			answer.kind = kindSockets
		}
		c.respond(m, answer)
	})
}

// respond answers on the channel that all nodes hear, or on the asking node's
// own. Answers of servers have no choice.
func (c *classic) respond(m, answer *message) {
	b, err := encodeResponse(answer)
	if err != nil {
		c.d.cfg.Logger.Error("redisadapter: an answer can't be sent", "namespace", c.namespace, "error", err)
		return
	}
	channel := c.responseChannel
	if c.d.cfg.SpecificResponses && m.uid != "" && answer.kind != kindServerReply {
		channel += m.uid + "#"
	}
	c.bus.publish(channel, b, nil)
}

func (c *classic) onResponse(channel string, payload []byte) flusher {
	m, err := decodeResponse(payload)
	if err != nil {
		c.bus.reject(channel, err)
		return nil
	}
	c.requests.answer(m)
	return nil
}
