package queueapi

import (
	"context"
	"sync"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// watches tells sockets that watch queues what was dropped there to make room, by whichever node: while there are any
// it looks at the queues' counters once a second.
type watches struct {
	api *API

	mu     sync.Mutex
	queues map[string]*watch
	timer  *time.Timer // set while there are any
}

// watch is a queue that is watched.
type watch struct {
	peers   map[*peer]bool
	dropped uint64 // as far as told
}

// What watching costs at most: how often it looks, and at how many queues for one socket.
const (
	watchEvery = time.Second
	maxWatched = 100
)

// watch answers queue:admin {op: "watch" | "unwatch", queue}.
func (c *call) watch(queue string, on bool) error {
	if err := c.client.Allowed(c.ctx, queues.Admin, queue); err != nil {
		return err
	}
	p, w := c.api.peer(c.s), &c.api.watches
	if !on {
		w.remove(p, queue)
		return nil
	}
	st, err := c.api.broker.Stats(c.ctx, queue)
	if err != nil {
		return err
	}
	return w.add(p, queue, st.Dropped)
}

func (w *watches) add(p *peer, queue string, dropped uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, q := range w.queues {
		if q.peers[p] {
			n++
		}
	}
	q := w.queues[queue]
	switch {
	case q != nil && q.peers[p]:
		return nil
	case n >= maxWatched:
		return queues.Refuse(queues.CodeRateLimited, "too many queues are watched on one connection")
	case p.s.Context().Err() != nil:
		return queues.ErrGone // and leave was called, or will be
	case q == nil:
		q = &watch{peers: map[*peer]bool{}, dropped: dropped}
		if w.queues == nil {
			w.queues = map[string]*watch{}
		}
		w.queues[queue] = q
	}
	q.peers[p] = true
	if w.timer == nil {
		w.timer = time.AfterFunc(watchEvery, w.look)
	}
	return nil
}

func (w *watches) remove(p *peer, queue string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q := w.queues[queue]; q != nil {
		delete(q.peers, p)
	}
	w.tidy()
}

// leave ends all watching of a socket that goes.
func (w *watches) leave(p *peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, q := range w.queues {
		delete(q.peers, p)
	}
	w.tidy()
}

// tidy forgets queues that nobody watches any more. The watches are locked.
func (w *watches) tidy() {
	for name, q := range w.queues {
		if len(q.peers) == 0 {
			delete(w.queues, name)
		}
	}
	if len(w.queues) == 0 && w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// look tells what was dropped since it looked last.
func (w *watches) look() {
	w.mu.Lock()
	names := make([]string, 0, len(w.queues))
	for name := range w.queues {
		names = append(names, name)
	}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	for _, name := range names {
		st, err := w.api.broker.Stats(ctx, name)
		if err != nil {
			continue // another time
		}
		for _, n := range w.news(name, st.Dropped) {
			n.tell(ctx)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Reset(watchEvery)
	}
}

// notice is what a socket is to be told.
type notice struct {
	peer  *peer
	queue string
	n     uint64
}

// news notes a queue's counter, and returns whom to tell of what.
func (w *watches) news(queue string, dropped uint64) (list []notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.queues[queue]
	if q == nil {
		return nil
	}
	if dropped > q.dropped {
		for p := range q.peers {
			list = append(list, notice{p, queue, dropped - q.dropped})
		}
	}
	q.dropped = dropped // it is less if the queue, or its store, is a new one
	return list
}

// tell tells a socket, if it still may know.
func (n notice) tell(ctx context.Context) {
	a, s := n.peer.api, n.peer.s
	ctx = context.WithValue(ctx, socketKey{}, s)
	if a.broker.As(a.cfg.Principal(s)).Allowed(ctx, queues.Admin, n.queue) != nil {
		a.watches.remove(n.peer, n.queue)
		return
	}
	_ = s.Emit(s.Context(), "queue:dropped", map[string]any{"queue": n.queue, "n": n.n})
}
