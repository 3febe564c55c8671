package namespaces

import (
	"context"
	"sync"
	"time"
)

// lifetime is what a socket's context needs, made only when asked for.
type lifetime struct {
	mu    sync.Mutex
	ended bool
	done  chan struct{}
	after map[*func()]struct{}
}

// end may be called more than once: a client may go while it is being refused.
func (l *lifetime) end() {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return
	}
	l.ended = true
	if l.done != nil {
		close(l.done)
	}
	after := l.after
	l.after = nil
	l.mu.Unlock()
	for f := range after {
		go (*f)()
	}
}

var endedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// socketContext is the context that a socket is.
type socketContext Socket

func (c *socketContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *socketContext) Value(key any) any           { return nil }
func (c *socketContext) String() string              { return "socket " + c.id }

func (c *socketContext) Done() <-chan struct{} {
	l := &c.life
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended && l.done == nil {
		return endedChan
	}
	if l.done == nil {
		l.done = make(chan struct{})
	}
	return l.done
}

func (c *socketContext) Err() error {
	l := &c.life
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return context.Canceled
	}
	return nil
}

// AfterFunc spares contexts derived from this one a goroutine each.
func (c *socketContext) AfterFunc(f func()) (stop func() bool) {
	l := &c.life
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		go f()
		return func() bool { return false }
	}
	if l.after == nil {
		l.after = map[*func()]struct{}{}
	}
	l.after[&f] = struct{}{}
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		_, was := l.after[&f]
		delete(l.after, &f)
		return was
	}
}
