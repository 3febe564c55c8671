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
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.place(name, now).Add(times(n, rate))
	if wait = at.Sub(now) - times(max(burst, n), rate); wait > 0 {
		return wait, false
	}
	l.at[name] = at
	return 0, true
}

// take is allow for as many of n as may be had: it returns how many, and if that is less, when there is one more.
func (l *limiter) take(name string, n int, rate float64, burst int, now time.Time) (had int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.place(name, now)
	for had < n && at.Add(times(had+1, rate)).Sub(now) <= times(burst, rate) {
		had++
	}
	at = at.Add(times(had, rate))
	if had < n {
		wait = at.Add(times(1, rate)).Sub(now) - times(burst, rate)
	}
	l.at[name] = at
	return had, wait
}

// give takes one of what was had back.
func (l *limiter) give(name string, rate float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.at[name]; ok {
		l.at[name] = at.Add(-times(1, rate))
	}
}

// times is how long n take at a rate: n times the same, so that sums of parts are those of the whole.
func times(n int, rate float64) time.Duration {
	const long = 100 * 366 * 24 * time.Hour
	interval := time.Duration(min(float64(time.Second)/rate, float64(long)))
	if interval > 0 && time.Duration(n) > long/interval {
		return long
	}
	return time.Duration(n) * interval
}

// place returns the time of name. The limiter is locked.
func (l *limiter) place(name string, now time.Time) time.Time {
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
	if at := l.at[name]; at.After(now) {
		return at
	}
	return now
}
