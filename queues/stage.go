package queues

import (
	"runtime"
	"sync"
)

// stage gathers work while earlier work is done, and does what has gathered together. Its goroutine
// lives only while there is work.
type stage[T any] struct {
	do  func([]T) // one at a time
	max int       // items at once

	mu      sync.Mutex
	pending []T
	spare   []T
	running bool
	idle    *sync.Cond
}

func newStage[T any](max int, do func([]T)) *stage[T] {
	s := &stage[T]{do: do, max: max}
	s.idle = sync.NewCond(&s.mu)
	return s
}

func (s *stage[T]) add(items ...T) {
	if len(items) == 0 {
		return
	}
	s.mu.Lock()
	s.pending = append(s.pending, items...)
	start := !s.running
	s.running = true
	s.mu.Unlock()
	if start {
		go s.run()
	}
}

func (s *stage[T]) run() {
	for {
		runtime.Gosched() // who is about to add something does so first
		s.mu.Lock()
		batch := s.pending
		if len(batch) == 0 {
			s.running = false
			s.idle.Broadcast()
			s.mu.Unlock()
			return
		}
		s.pending = s.spare[:0]
		s.spare = nil
		s.mu.Unlock()
		for part := batch; len(part) > 0; {
			n := min(len(part), s.max)
			s.do(part[:n])
			part = part[n:]
		}
		clear(batch)
		if cap(batch) <= 4096 {
			s.mu.Lock()
			s.spare = batch[:0]
			s.mu.Unlock()
		}
	}
}

// wait returns when there is no work.
func (s *stage[T]) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.running {
		s.idle.Wait()
	}
}

// group sorts work by queue or inbox, in the order of the first of each.
func group[T any, C any](items []T, name func(T) string, make func(string) *C, add func(*C, T)) []*C {
	if len(items) == 0 {
		return nil
	}
	var calls []*C
	last, lastName := (*C)(nil), ""
	var index map[string]*C
	for _, it := range items {
		n := name(it)
		if last == nil || n != lastName {
			c := index[n]
			if c == nil {
				c = make(n)
				calls = append(calls, c)
				if index == nil {
					index = map[string]*C{}
				}
				index[n] = c
			}
			last, lastName = c, n
		}
		add(last, it)
	}
	return calls
}
