package queueapi

import (
	"runtime"
	"sync"

	"github.com/roomcast/roomcast/server"
)

// acker answers requests. What the store has done in one go is answered together:
// each session's answers leave with one write, and the store doesn't wait for it.
type acker struct {
	mu      sync.Mutex
	waiting []answer
	running bool
}

type answer struct {
	e *server.Event
	v any
}

// add answers e with v, soon.
func (a *acker) add(e *server.Event, v any) {
	if !e.WantsAck() {
		return
	}
	a.mu.Lock()
	a.waiting = append(a.waiting, answer{e, v})
	start := !a.running
	a.running = true
	a.mu.Unlock()
	if start {
		go a.run()
	}
}

// run lives while there is something to answer.
func (a *acker) run() {
	for {
		runtime.Gosched() // who has more answers adds them first
		a.mu.Lock()
		batch := a.waiting
		a.waiting = nil
		a.running = len(batch) > 0
		a.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, w := range batch {
			w.e.Socket.Session().Cork()
		}
		for _, w := range batch {
			_ = w.e.Ack(w.v) // it fails if the client has gone
		}
		for _, w := range batch {
			w.e.Socket.Session().Uncork()
		}
	}
}
