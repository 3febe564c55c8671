package namespaces

import (
	"context"
	"log/slog"
	"time"
)

// pace is what keeps a client to Limits.PacketsPerSecond: a token bucket that looks
// at the clock only when it is empty, so that a packet within the limit costs a
// decrement. It gets then what has gathered since the last look, a second's worth at
// most. With what is left from before, two seconds' worth may come at once.
type pace struct {
	left int32
	seen int64 // up to when what has gathered was handed out, in nanoseconds of Registry.now
}

// take takes a token. If there is none, it returns how long it is until the next.
func (p *pace) take(now int64, rate int) (wait time.Duration) {
	gathered := min(now-p.seen, int64(time.Second))
	n := int32(gathered * int64(rate) / int64(time.Second))
	if n == 0 {
		return time.Duration(int64(time.Second)/int64(rate) - gathered)
	}
	p.left = n - 1
	p.seen = now - (gathered - int64(n)*int64(time.Second)/int64(rate))
	return 0
}

// maxRate is a limit that nobody reaches.
const maxRate = 1_000_000_000

// minHold is the least for which a client is held back, so that one timer
// serves several packets.
const minHold = 10 * time.Millisecond

// now is the time on the registry's clock, in nanoseconds.
func (reg *Registry) now() int64 { return int64(time.Since(reg.born)) }

// keepPace takes a packet's token, or waits for one: the reader waits, and so the client
// does. It reports false if the client goes meanwhile.
func (c *client) keepPace(rate int) bool {
	if c.pace.left > 0 {
		c.pace.left--
		return true
	}
	wait := c.pace.take(c.reg.now(), rate)
	if wait == 0 {
		return true
	}
	c.reg.stats.throttled.Add(1)
	c.reg.log.LogAttrs(context.Background(), slog.LevelDebug,
		"reading a client more slowly: it sends more than Limits.PacketsPerSecond", slog.Any("session", c.sess))
	c.Handled() // what came before runs meanwhile
	for wait > 0 {
		select {
		case <-time.After(max(wait, minHold)):
		case <-c.sess.Done():
			return false
		}
		wait = c.pace.take(c.reg.now(), rate)
	}
	return true
}
