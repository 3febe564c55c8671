package engine

import "sync"

// Fanout gathers sessions that a broadcast appended to, and hands them to the
// server's flushers, so that the sender does not wait for the writes. The zero
// Fanout is ready; reuse it after Commit. All sessions are of one server.
type Fanout struct {
	server *Server
	shards *shards // nil while there are none
	n      int
}

// shards are sessions by their flusher. They are pooled.
type shards [][]*Session

// inline is up to how many sessions Commit flushes by itself.
const inline = 2

// Add takes a session whose Append returned true.
func (f *Fanout) Add(s *Session) {
	if f.server != s.server {
		f.Commit()
		f.server = s.server
	}
	if f.shards == nil {
		f.shards = f.server.shards.Get().(*shards)
	}
	of := &(*f.shards)[s.shard]
	*of = append(*of, s)
	f.n++
}

// Commit has all that were added flushed.
func (f *Fanout) Commit() {
	if f.shards == nil {
		return
	}
	for i, sessions := range *f.shards {
		switch {
		case len(sessions) == 0:
			continue
		case f.n <= inline:
			for _, s := range sessions {
				s.Flush()
			}
		default:
			f.server.flushers[i].add(sessions)
		}
		clear(sessions)
		(*f.shards)[i] = sessions[:0]
	}
	if f.n <= maxKept {
		f.server.shards.Put(f.shards)
	}
	f.shards, f.n = nil, 0
}

// maxKept is the length up to which lists of sessions are kept for the next broadcast.
const maxKept = 1 << 16

// flusher flushes the sessions of one shard. Its goroutine lives while there
// are any. A session is in it once at most, so what later broadcasts append to
// it meanwhile leaves with the same write.
type flusher struct {
	server  *Server
	mu      sync.Mutex
	waiting []*Session
	spare   []*Session
	running bool
	_       [24]byte // keeps two flushers off one cache line
}

func (f *flusher) add(sessions []*Session) {
	f.mu.Lock()
	f.waiting = append(f.waiting, sessions...)
	start := !f.running
	f.running = true
	f.mu.Unlock()
	if start {
		f.server.tasks.run(f.run)
	}
}

func (f *flusher) run() {
	for {
		f.mu.Lock()
		batch := f.waiting
		if len(batch) == 0 {
			f.running = false
			f.mu.Unlock()
			return
		}
		f.waiting, f.spare = f.spare[:0], nil
		f.mu.Unlock()

		for _, s := range batch {
			s.Flush()
		}
		clear(batch)
		f.mu.Lock()
		if cap(batch) <= maxKept {
			f.spare = batch[:0]
		}
		f.mu.Unlock()
	}
}
