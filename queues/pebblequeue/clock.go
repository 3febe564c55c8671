package pebblequeue

import "time"

// drift is by how much the store's clock may run faster or slower to follow the computer's: 2 %. That is
// less than what a node lets go of leases early (queues.Broker).
const drift = 50

// newClock returns a clock that begins at wall's time, goes on with passed, and follows wall when that is set to
// another time, but slowly. It is called by one goroutine at a time.
func newClock(wall func() time.Time, passed func() time.Duration) func() time.Time {
	now, last := wall(), passed()
	return func() time.Time {
		p := passed()
		step := p - last
		last = p
		now = now.Add(step)
		off := wall().Sub(now)
		now = now.Add(min(max(off, -step/drift), step/drift))
		return now
	}
}

// systemClock returns the clock of this computer, as a store uses it.
func systemClock() func() time.Time {
	start := time.Now()
	return newClock(func() time.Time { return time.Now().Round(0) }, func() time.Duration { return time.Since(start) })
}
