package namespaces

import (
	"runtime"
	"sync"
	"time"
)

// workers run mailboxes. A goroutine that has run one is kept for the next, since its stack
// has grown to what handlers need; those that aren't needed end soon.
type workers struct {
	mu      sync.Mutex
	idle    []chan *Socket // of workers that wait, the latest last
	unused  int            // how many have waited since the last sweep
	sweeper *time.Timer
	stopped bool
}

// keepWorkers is how long a worker waits for another mailbox, at least.
const keepWorkers = 100 * time.Millisecond

// run has somebody run the socket's mailbox.
func (w *workers) run(s *Socket) {
	w.mu.Lock()
	n := len(w.idle)
	if n == 0 {
		w.mu.Unlock()
		go w.work(s)
		return
	}
	c := w.idle[n-1]
	w.idle = w.idle[:n-1]
	w.unused = min(w.unused, n-1)
	w.mu.Unlock()
	c <- s
}

func (w *workers) work(s *Socket) {
	c := make(chan *Socket, 1)
	for s != nil {
		s.mail().run(s)
		if !w.wait(c) {
			return
		}
		s = <-c
	}
}

// wait puts a worker among those that wait, unless there are enough.
func (w *workers) wait(c chan *Socket) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || len(w.idle) >= 32*runtime.GOMAXPROCS(0) {
		return false
	}
	w.idle = append(w.idle, c)
	if w.sweeper == nil {
		w.unused = len(w.idle)
		w.sweeper = time.AfterFunc(keepWorkers, w.sweep)
	}
	return true
}

// stop ends the workers that wait; those that work end when they are done.
func (w *workers) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	for _, c := range w.idle {
		close(c)
	}
	w.idle, w.unused = nil, 0
	if w.sweeper != nil {
		w.sweeper.Stop()
		w.sweeper = nil
	}
}

// sweep ends the workers that nobody has needed for a while.
func (w *workers) sweep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	for _, c := range w.idle[:w.unused] {
		close(c)
	}
	n := copy(w.idle, w.idle[w.unused:])
	clear(w.idle[n:])
	w.idle = w.idle[:n]
	w.unused = n
	w.sweeper = nil
	if n > 0 {
		w.sweeper = time.AfterFunc(keepWorkers, w.sweep)
	}
}
