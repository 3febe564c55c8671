package redisadapter

import (
	"context"
	"iter"

	"github.com/roomcast/roomcast/adapters"
)

// Requests and their answers don't go through the stream but by pub/sub, always
// as MessagePack. What is asked goes to all nodes, answers to the one that asked.

// streamsProtocol is that part of the streams protocol.
type streamsProtocol struct{}

func (streamsProtocol) uid(node, namespace string) string { return uidOf(node, namespace) }

func (streamsProtocol) channels(cfg *Config, namespace, uid string) (counted, private string) {
	return shardedProtocol{}.channels(cfg, namespace, uid)
}

// check looks for servers with the classic adapter: official ones end when they
// read what we ask.
func (p streamsProtocol) check(ctx context.Context, d *Driver, namespace string) error {
	if d.cfg.AllowMixed || d.sharded {
		return nil
	}
	channel := d.cfg.Prefix + "-request#" + namespace + "#"
	found, err := d.redis.count(ctx, false, channel)
	if err == nil && found[channel] > 0 {
		err = mixedError("streams", "classic", channel, d.cfg.Prefix)
	}
	return err
}

func (streamsProtocol) start(*Driver) []*topic { return nil }

// open isn't used: a StreamsDriver makes its adapters by itself.
func (streamsProtocol) open(*line) adapters.Adapter { return nil }

// listen sets what the namespace listens to.
func (a *streamAdapter) listen() {
	public, private := a.line.d.channels(&a.line.d.cfg, a.namespace, a.uid)
	a.public = public
	a.line.topics = []*topic{newTopic(public, a.onRequest), newTopic(private, a.onAnswer)}
}

// Request asks all other nodes.
func (a *streamAdapter) Request(ctx context.Context, op *adapters.Op) iter.Seq2[adapters.Reply, error] {
	return a.line.request(ctx, op, func(m *message, done func(error)) error {
		b, err := encodeCluster(m, true)
		if err != nil {
			return err
		}
		return a.line.bus.out.add(a.public, b, done)
	})
}

// Nodes returns how many nodes have this namespace open.
func (a *streamAdapter) Nodes(ctx context.Context) (int, error) { return a.line.Nodes(ctx) }

func (a *streamAdapter) onRequest(channel string, payload []byte) flusher {
	m, err := decodeCluster(payload)
	if err != nil {
		a.line.bus.reject(channel, err)
		return nil
	}
	if m.uid == a.uid || m.namespace != a.namespace || m.op == nil {
		return nil
	}
	return a.line.do(m, func(answer *message) { a.respond(m.uid, answer) })
}

func (a *streamAdapter) respond(uid string, answer *message) {
	b, err := encodeCluster(answer, true)
	if err != nil {
		a.d.cfg.Logger.Error("redisadapter: an answer can't be sent", "namespace", a.namespace, "error", err)
		return
	}
	a.line.bus.publish(a.public+uid+"#", b, nil)
}

func (a *streamAdapter) onAnswer(channel string, payload []byte) flusher {
	m, err := decodeCluster(payload)
	if err != nil {
		a.line.bus.reject(channel, err)
		return nil
	}
	// Official servers look at both, so ours have to be right, too.
	if m.kind.isReply() && m.uid != a.uid && m.namespace == a.namespace {
		a.line.requests.answer(m)
	}
	return nil
}
