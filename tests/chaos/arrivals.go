package main

import (
	"sync"
	"time"
)

// arrivals tells when all that was sent to inboxes has arrived.
type arrivals struct {
	mu      sync.Mutex
	missing map[[2]string]bool // inbox and id
	came    map[[2]string]bool
	last    time.Time // when something came
}

func newArrivals() *arrivals {
	return &arrivals{missing: map[[2]string]bool{}, came: map[[2]string]bool{}, last: time.Now()}
}

// sent says that an entry was stored.
func (a *arrivals) sent(inbox, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := [2]string{inbox, id}; !a.came[e] {
		a.missing[e] = true
	}
}

// arrived says that an entry has come.
func (a *arrivals) arrived(inbox, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := [2]string{inbox, id}
	a.came[e] = true
	delete(a.missing, e)
	a.last = time.Now()
}

// wait waits until everything is there, or, since some may be lost and told to be, nothing has come for a while.
func (a *arrivals) wait(quiet time.Duration) {
	for {
		a.mu.Lock()
		done := len(a.missing) == 0 || time.Since(a.last) > quiet
		a.mu.Unlock()
		if done {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
