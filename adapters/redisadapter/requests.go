package redisadapter

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/roomcast/roomcast/adapters"
)

// requests are the questions of one namespace to other nodes that wait for answers.
type requests struct {
	stats *counters

	mu     sync.Mutex
	open   map[string]*pending // by id
	closed error
}

// maxRequests bounds how many questions of a namespace wait at a time.
const maxRequests = 10_000

var (
	errTooManyRequests = errors.New("redisadapter: too many requests are waiting for answers")
	errClosed          = errors.New("redisadapter: closed")
)

// pending is one question. It is answered once by each node; to Ask a node
// answers with the number of clients that it asks, and then with their acks.
type pending struct {
	id   string
	kind adapters.Kind
	wake chan struct{} // holds one when something has changed

	mu       sync.Mutex
	counted  bool                // others is known
	others   int                 // nodes that have to answer
	named    map[string]string   // those of them that have a name, by uid
	gone     map[string]struct{} // uids of nodes that aren't among others, though they may have answered
	answered map[string]struct{} // uids
	answers  int                 // of nodes, with uid or without
	waiting  map[string]int      // Ask: acks that nodes owe, by uid; below 0: came before the number of clients
	acks     int                 // the sum of it
	dead     []string            // names of nodes that died before they had answered
	lost     int                 // acks that dead nodes owed
	replies  []adapters.Reply    // not yet yielded
	failed   error
}

// census is who has a namespace open, beside ourselves.
type census struct {
	others int
	named  map[string]string   // names by uid of those that are known to live; they are among others
	gone   map[string]struct{} // uids of those that have died, left, or closed the namespace; they aren't
}

func (rs *requests) begin(kind adapters.Kind, id string) (*pending, error) {
	p := &pending{id: id, kind: kind, wake: make(chan struct{}, 1), answered: map[string]struct{}{}, waiting: map[string]int{}}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	switch {
	case rs.closed != nil:
		return nil, rs.closed
	case len(rs.open) >= maxRequests:
		return nil, errTooManyRequests
	case rs.open == nil:
		rs.open = map[string]*pending{}
	}
	rs.open[id] = p
	rs.stats.requests.Add(1)
	return p, nil
}

func (rs *requests) end(p *pending) {
	rs.mu.Lock()
	delete(rs.open, p.id)
	rs.mu.Unlock()
}

// close ends all questions.
func (rs *requests) close() {
	rs.mu.Lock()
	rs.closed = errClosed
	all := rs.all()
	rs.mu.Unlock()
	for _, p := range all {
		p.change(func() { p.failed = errClosed })
	}
}

func (rs *requests) all() []*pending {
	list := make([]*pending, 0, len(rs.open))
	for _, p := range rs.open {
		list = append(list, p)
	}
	return list
}

// mine reports whether we asked the question ourselves.
func (rs *requests) mine(id string) bool { return rs.find(id) != nil }

func (rs *requests) find(id string) *pending {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.open[id]
}

// answer takes an answer of another node. Answers that nobody waits for any
// more are usual: they were late.
func (rs *requests) answer(m *message) {
	p := rs.find(m.request)
	if p == nil {
		return
	}
	p.change(func() { p.take(m) })
}

// drop takes note that a node has died, which is not to be waited for.
func (rs *requests) drop(uid, name string) {
	rs.mu.Lock()
	all := rs.all()
	rs.mu.Unlock()
	for _, p := range all {
		p.change(func() { p.drop(uid, name) })
	}
}

func (p *pending) change(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// expect says who has to answer.
func (p *pending) expect(c census) {
	p.change(func() {
		p.counted, p.others, p.named, p.gone = true, c.others, c.named, c.gone
		for uid := range c.gone {
			if _, ok := p.answered[uid]; ok {
				p.others++ // it was there when it was asked
			}
		}
	})
}

func (p *pending) take(m *message) {
	m.reply.Node = m.uid
	if name := p.named[m.uid]; name != "" {
		m.reply.Node = name
	}
	switch {
	case p.kind == adapters.Ask && m.kind == kindAck:
		// In a Redis Cluster official servers publish each message through any of its nodes: acks may be faster
		// than the number of clients. Afterwards there are no more acks than clients.
		_, counted := p.answered[m.uid]
		if p.waiting[m.uid] <= 0 && (counted || p.counted && p.answers >= p.others) {
			return
		}
		if p.waiting[m.uid]--; p.waiting[m.uid] >= 0 {
			p.acks--
		}
	case p.kind == adapters.Ask && m.kind == kindClients,
		p.kind == adapters.Fetch && m.kind == kindFetchReply,
		p.kind == adapters.ServerAsk && m.kind == kindServerReply:
		if m.uid != "" { // official servers of the classic protocol don't say who they are
			if _, twice := p.answered[m.uid]; twice {
				return
			}
			p.answered[m.uid] = struct{}{}
		}
		p.answers++
		if _, ok := p.gone[m.uid]; ok {
			p.others++
		}
		if m.kind == kindClients {
			before := max(p.waiting[m.uid], 0)
			p.waiting[m.uid] += m.reply.Clients
			p.acks += max(p.waiting[m.uid], 0) - before
		}
		if m.nothing {
			return
		}
	default:
		return
	}
	p.replies = append(p.replies, m.reply)
}

func (p *pending) drop(uid, name string) {
	if _, known := p.named[uid]; !known {
		return
	}
	delete(p.named, uid)
	if _, ok := p.answered[uid]; !ok {
		p.others--
		p.dead = append(p.dead, name)
	}
	p.lost += max(p.waiting[uid], 0)
	p.acks -= max(p.waiting[uid], 0)
	delete(p.waiting, uid)
}

// next returns the replies that have come, and whether they are all.
func (p *pending) next() (replies []adapters.Reply, done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	replies, p.replies = p.replies, nil
	return replies, p.counted && p.answers >= p.others && p.acks <= 0, p.failed
}

// missing returns who has not answered, or nil.
func (p *pending) missing() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &adapters.MissingError{Nodes: slices.Clone(p.dead), Acks: max(p.acks, 0) + p.lost}
	unnamed := max(p.others-p.answers, 0)
	for uid, name := range p.named {
		if _, ok := p.answered[uid]; !ok && unnamed > 0 {
			e.Nodes = append(e.Nodes, name)
			unnamed--
		}
	}
	slices.Sort(e.Nodes)
	e.Unnamed = unnamed
	if len(e.Nodes)+e.Unnamed+e.Acks == 0 {
		return nil
	}
	return e
}

// collect yields the replies to p until all are there or ctx ends, and then what
// is missing.
func (rs *requests) collect(ctx context.Context, p *pending, yield func(adapters.Reply, error) bool) {
	for over := false; ; {
		replies, done, err := p.next()
		for _, r := range replies {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(adapters.Reply{Clients: -1}, err)
			return
		}
		if done || over {
			break
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			over = true
		}
	}
	if err := p.missing(); err != nil {
		rs.stats.requestTimeouts.Add(1)
		var m *adapters.MissingError
		if errors.As(err, &m) {
			rs.stats.missingNodes.Add(int64(len(m.Nodes) + m.Unnamed))
		}
		yield(adapters.Reply{Clients: -1}, err)
	} else if p.uncounted() {
		yield(adapters.Reply{Clients: -1}, context.Cause(ctx))
	}
}

// uncounted reports whether it is still unknown who has to answer.
func (p *pending) uncounted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.counted
}
