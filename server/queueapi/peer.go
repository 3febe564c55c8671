package queueapi

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server"
)

// peer is a socket that has consumers or inboxes open.
type peer struct {
	api *API
	s   *server.Socket

	stuck     atomic.Int32 // outboxes that wait for room in the send queue
	redrives  atomic.Bool  // one is under way that takes its time
	mu        sync.Mutex
	consumers map[uint64]*consumer
	inboxes   map[string]*inbox
	opening   int  // consumers and inboxes that are being opened
	waiting   bool // somebody waits for room in the send queue
	gone      bool
}

// peer returns the socket's peer, and makes one that ends with the socket.
func (a *API) peer(s *server.Socket) *peer {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[s]
	if p == nil {
		p = &peer{api: a, s: s, consumers: map[uint64]*consumer{}, inboxes: map[string]*inbox{}}
		a.peers[s] = p
		// Not by OnDisconnect, which waits for the socket's handlers.
		context.AfterFunc(s.Context(), p.leave)
	}
	return p
}

// leave closes what the socket has open.
func (p *peer) leave() {
	p.api.mu.Lock()
	delete(p.api.peers, p.s)
	p.api.mu.Unlock()
	p.api.watches.leave(p)
	p.mu.Lock()
	p.gone = true
	consumers, inboxes := p.consumers, p.inboxes
	p.consumers, p.inboxes = nil, nil
	p.mu.Unlock()
	for _, c := range consumers {
		c.close()
	}
	for _, in := range inboxes {
		in.close(context.Background())
	}
}

// reserve takes a place for a consumer or inbox that is being opened; the
// function that it returns gives the place back. has is how many there are.
func (p *peer) reserve(has func() int, limit int, what string) (func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil, queues.ErrGone
	}
	if limit > 0 && has()+p.opening >= limit {
		return nil, queues.Refuse(queues.CodeRateLimited, "too many "+what+" on one connection")
	}
	p.opening++
	return func() {
		p.mu.Lock()
		p.opening--
		p.mu.Unlock()
	}, nil
}

// open reports whether the socket can take more. If not, resume is called when it can.
func (p *peer) open() bool {
	if p.stuck.Load() == 0 && p.s.Session().HasRoom() {
		return true
	}
	p.await()
	return false
}

// await has resume called when there is room.
func (p *peer) await() {
	p.mu.Lock()
	start := !p.waiting && !p.gone
	p.waiting = p.waiting || start
	p.mu.Unlock()
	if start {
		go p.resume()
	}
}

// resume waits for room in the socket's send queue, sends what had none, and has the brokers go on.
func (p *peer) resume() {
	err := p.s.Session().WaitRoom(p.s.Context())
	p.mu.Lock()
	p.waiting = false
	var consumers []*consumer
	var inboxes []*inbox
	for _, c := range p.consumers {
		consumers = append(consumers, c)
	}
	for _, in := range p.inboxes {
		inboxes = append(inboxes, in)
	}
	p.mu.Unlock()
	if err != nil {
		return // the socket goes, and leave follows
	}
	for _, c := range consumers {
		c.out.push()
		c.queue.Resume()
	}
	for _, in := range inboxes {
		in.out.push()
		in.box.Resume()
	}
}
