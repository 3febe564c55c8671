package engine

import "sync"

// tasks counts the goroutines of a server, so that Shutdown can wait for them.
// Unlike a sync.WaitGroup it may be waited for while more are started.
type tasks struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0; made by wait
}

// run runs f on a goroutine of its own.
func (t *tasks) run(f func()) {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
	go func() {
		defer t.end()
		f()
	}()
}

func (t *tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// wait returns a channel that is closed as soon as nothing runs.
func (t *tasks) wait() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 {
		idle := make(chan struct{})
		close(idle)
		return idle
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	return t.idle
}
