package queues

import (
	"sync"
	"time"
)

// limiter bounds how much each of many does (GCRA: each has a time that moves on with what it does, and
// may be ahead of the clock by a burst).
type limiter struct {
	mu   sync.Mutex
	at   map[string]time.Time
	next time.Time // when to forget those that are behind the clock
}

// allow reports whether name may do n more now, at a rate per second, and if not, when.
func (l *limiter) allow(name string, n int, rate float64, burst int, now time.Time) (wait time.Duration, ok bool) {
	interval := time.Duration(float64(time.Second) / rate)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = map[string]time.Time{}
	}
	if now.After(l.next) {
		l.next = now.Add(time.Minute)
		for name, at := range l.at {
			if at.Before(now) {
				delete(l.at, name)
			}
		}
	}
	at := l.at[name]
	if at.Before(now) {
		at = now
	}
	at = at.Add(time.Duration(n) * interval)
	if wait = at.Sub(now) - time.Duration(max(burst, n))*interval; wait > 0 {
		return wait, false
	}
	l.at[name] = at
	return 0, true
}
