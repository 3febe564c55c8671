package redisadapter

import (
	"math"
	"testing"
	"time"
)

// TestDeafOrSlow: a node that isn't given the CPU took itself for deaf, connected anew, and so
// lost what Redis had sent it.
func TestDeafOrSlow(t *testing.T) {
	const every = 100 * time.Millisecond
	start := time.Unix(1_000_000, 0)
	handling := time.Unix(0, math.MaxInt64)
	for _, c := range []struct {
		name  string
		pause time.Duration // between beats
		waits time.Time     // since when the reader waits
		deaf  time.Duration // after which the node is deaf; 0: it isn't in two seconds
	}{
		{"deaf", every, start, 1100 * time.Millisecond},
		{"the reader handles a message", every, handling, 0},
		{"something has just arrived", every, start.Add(1900 * time.Millisecond), 0},
		{"no CPU", 3 * every, start, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := probe{beat: start}
			deaf := time.Duration(0)
			for at := time.Duration(0); at <= 2*time.Second && deaf == 0; at += c.pause {
				now := start.Add(at)
				if p.late(now, c.waits, every) {
					deaf = at
				}
				p.seq++
				p.took(p.seq, now)
			}
			if deaf != c.deaf {
				t.Errorf("deaf after %s, expected %s", deaf, c.deaf)
			}
		})
	}
}
