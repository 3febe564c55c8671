package redisqueue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/queues"
)

// inboxCount is how many inboxes there are, about. They are in many slots, so no function can count them. There is a number in
// Redis to which each node adds what it has made, and takes off what it has deleted; and whoever has looked at all inboxes, as
// SweepInboxes does, puts things right.
type inboxCount struct {
	mu     sync.Mutex
	n      int64     // the number as it was last seen
	at     time.Time // when
	passed int64     // inboxes by which SweepInboxes has come since it began
}

// countEvery is how often a node looks whether there is room again.
const countEvery = time.Second

func (c *inboxCount) set(n int64) {
	c.mu.Lock()
	c.n, c.at = n, time.Now()
	c.mu.Unlock()
}

// begin begins to count those by which SweepInboxes comes.
func (c *inboxCount) begin() {
	c.mu.Lock()
	c.passed = 0
	c.mu.Unlock()
}

func (c *inboxCount) saw(n int) {
	c.mu.Lock()
	c.passed += int64(n)
	c.mu.Unlock()
}

// fullOfInboxes says whether there are as many inboxes as there may be. Whoever makes one learns how many there are by then, so one
// that has made none for long may make one call's too many.
func (s *store) fullOfInboxes(ctx context.Context, l queues.InboxLimits) bool {
	c := &s.count
	c.mu.Lock()
	n, at := c.n, c.at
	c.mu.Unlock()
	if l.Inboxes <= 0 || n < int64(l.Inboxes) {
		return false
	}
	if time.Since(at) > countEvery {
		now, err := s.rdb.Get(ctx, s.countKey()).Int64()
		if err == nil || errors.Is(err, redis.Nil) {
			c.set(now)
			n = now
		}
	}
	return n >= int64(l.Inboxes)
}

// counted says that inboxes were made or, if n is negative, deleted.
func (s *store) counted(ctx context.Context, n int) {
	if n == 0 {
		return
	}
	if now, err := s.rdb.IncrBy(ctx, s.countKey(), int64(n)).Result(); err == nil {
		s.count.set(now)
	}
}

// recounted says that SweepInboxes has come by all.
func (s *store) recounted(ctx context.Context) {
	s.count.mu.Lock()
	n := s.count.passed
	s.count.mu.Unlock()
	if s.rdb.Set(ctx, s.countKey(), n, 0).Err() == nil {
		s.count.set(n)
	}
}

// devicesArg is what the functions take for how many devices a principal may have; negative, no inbox is made.
func devicesArg(l queues.InboxLimits, full bool) int {
	if full {
		return -1
	}
	return l.Devices
}

// tooMany is why no inbox was made.
func tooMany(full bool) error {
	if full {
		return queues.ErrInboxes
	}
	return queues.ErrDevices
}
