package redisadapter

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/adapters"
)

// line is what the adapters of all protocols have in common: one namespace on
// this node.
type line struct {
	d         *Driver
	bus       *bus
	node      string // this node's id
	namespace string
	uid       string
	local     adapters.Local
	rooms     adapters.Rooms    // nil if local isn't
	gather    adapters.Gatherer // nil if local isn't
	requests  requests
	topics    []*topic

	life   context.Context // of answers to other nodes
	stop   context.CancelFunc
	closed atomic.Bool
}

// hasRoom reports whether somebody here may be in the room.
func (l *line) hasRoom(room string) bool { return l.rooms == nil || l.rooms.HasRoom(room) }

// Close ends the line. A call of Local that has begun may still be under way
// when it returns: it may be the one that closes.
func (l *line) Close(ctx context.Context) error {
	if l.closed.Swap(true) {
		return nil
	}
	l.stop()
	l.requests.close()
	return l.d.leave(ctx, l)
}

// Nodes returns how many nodes have this namespace open.
func (l *line) Nodes(ctx context.Context) (int, error) {
	ctx, cancel := l.deadline(ctx)
	defer cancel()
	c, err := l.census(ctx)
	return c.others + 1, err
}

// deadline bounds ctx by RequestTimeout if it has no deadline.
func (l *line) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, l.d.cfg.RequestTimeout)
}

// census finds out who has this namespace open. Redis counts connections, as
// it does for official servers: so those of nodes that are dead by their
// heartbeats are taken off, and those that are counted twice.
func (l *line) census(ctx context.Context) (census, error) {
	counted, own := l.d.channels(&l.d.cfg, l.namespace, l.uid)
	names := []string{counted, own}
	type candidate struct {
		uid, name, channel string
		alive              bool
	}
	var known []candidate
	l.bus.peers.each(func(id, name string, alive bool) {
		uid := l.d.uid(id, l.namespace)
		_, channel := l.d.channels(&l.d.cfg, l.namespace, uid)
		known = append(known, candidate{uid, name, channel, alive})
		names = append(names, channel)
	})
	counts, err := l.bus.redis.count(ctx, l.d.sharded, names...)
	if err != nil {
		return census{}, err
	}
	c := census{others: counts[counted] - counts[own], named: map[string]string{}, gone: map[string]struct{}{}}
	for _, p := range known {
		n := counts[p.channel]
		if n > 0 && p.alive {
			c.others -= n - 1
			c.named[p.uid] = p.name
		} else {
			c.others -= n
			c.gone[p.uid] = struct{}{}
		}
	}
	c.others = max(c.others, len(c.named))
	return c, nil
}

// request asks all other nodes. send publishes the question.
func (l *line) request(ctx context.Context, op *adapters.Op, send func(m *message, done func(error)) error) iter.Seq2[adapters.Reply, error] {
	return func(yield func(adapters.Reply, error) bool) {
		ctx, cancel := l.deadline(ctx)
		defer cancel()
		if op.Kind == adapters.Ask {
			timed := *op
			until, _ := ctx.Deadline()
			timed.Timeout = max(time.Until(until), time.Millisecond)
			op = &timed
		}
		m := &message{kind: kindOf(op), uid: l.uid, namespace: l.namespace, request: newRequestID(), op: op}
		p, err := l.requests.begin(op.Kind, m.request)
		if err != nil {
			yield(adapters.Reply{Clients: -1}, err)
			return
		}
		defer l.requests.end(p)
		err = send(m, func(err error) {
			if err != nil {
				p.change(func() { p.failed = err })
			}
		})
		var c census
		if err == nil {
			c, err = l.census(ctx)
		}
		if err != nil {
			yield(adapters.Reply{Clients: -1}, err)
			return
		}
		p.expect(c)
		l.bus.peers.each(func(id, name string, alive bool) { // who has died meanwhile
			if !alive {
				p.change(func() { p.drop(l.d.uid(id, l.namespace), name) })
			}
		})
		l.requests.collect(ctx, p, yield)
	}
}

// maxAnswering bounds how many questions of other nodes are being answered.
const maxAnswering = 10_000

// do does what another node wants, and answers through respond if it asks.
func (l *line) do(m *message, respond func(m *message)) flusher {
	if l.closed.Load() {
		return nil
	}
	l.d.stats.received.Add(1)
	op := m.op
	switch op.Kind {
	case adapters.Emit:
		if l.gather != nil {
			l.gather.Gather(op)
			return l.gather
		}
		l.local.Apply(op)
	case adapters.Ask, adapters.Fetch, adapters.ServerAsk:
		if l.d.answering.Add(1) > maxAnswering {
			l.d.answering.Add(-1)
			l.bus.reject(l.namespace, errTooManyRequests)
			return nil
		}
		l.answer(m, respond)
	default:
		l.local.Apply(op)
	}
	return nil
}

// answer answers a question. A broadcast that asks for acks takes its place
// among the other broadcasts: it is sent before answer returns, and the acks
// are waited for elsewhere, as are all other answers.
func (l *line) answer(m *message, respond func(m *message)) {
	timeout := l.d.cfg.RequestTimeout
	if m.op.Timeout > 0 {
		timeout = m.op.Timeout
	}
	ctx, cancel := context.WithTimeout(l.life, timeout)
	next, stop := iter.Pull(l.local.Answer(ctx, m.op))
	var first adapters.Reply
	begun, ok := m.op.Kind == adapters.Ask, false
	if begun {
		first, ok = next()
	}
	l.bus.tasks.Go(func() {
		defer l.d.answering.Add(-1)
		defer cancel()
		defer stop()
		if !begun {
			first, ok = next()
		}
		if !ok && m.op.Kind == adapters.ServerAsk && l.isGo(m.uid) {
			respond(&message{kind: kindServerReply, uid: l.uid, namespace: l.namespace, request: m.request, nothing: true})
		}
		for r := first; ok; r, ok = next() {
			respond(&message{kind: replyKind(m.op, r), uid: l.uid, namespace: l.namespace, request: m.request, reply: r})
		}
	})
}

// isGo reports whether the adapter with that uid is a Go node's.
func (l *line) isGo(uid string) bool {
	found := false
	l.bus.peers.each(func(id, _ string, _ bool) { found = found || l.d.uid(id, l.namespace) == uid })
	return found
}
