package redisqueue

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// The durability levels.
const (
	Memory  = "memory"  // Redis has it
	Replica = "replica" // a replica has it too
	Fsync   = "fsync"   // it is on Redis' disk
)

// Config configures a store. The zero Config is ready to use.
type Config struct {
	// Prefix begins the names of all keys and channels. If empty, "roomcast:" is used.
	Prefix string

	// Durability is the level of queues that don't choose one, and of inboxes: memory,
	// replica or fsync. If empty, memory is used.
	Durability string

	// ConfirmTimeout is how long a replica, or the disk, is waited for. What isn't
	// confirmed then is answered with queues.ErrNotDurable. If zero, 1 s is used.
	ConfirmTimeout time.Duration

	// MemoryShare is the part of Redis' maxmemory beyond which publishes are refused
	// with queues.ErrQueueFull, from 0 to 1. If zero, 0.9 is used.
	MemoryShare float64

	// Logger is told what goes wrong. If nil, slog.Default() is used.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.Prefix = cmp.Or(c.Prefix, "roomcast:")
	c.Durability = cmp.Or(c.Durability, Memory)
	c.ConfirmTimeout = cmp.Or(c.ConfirmTimeout, time.Second)
	c.MemoryShare = cmp.Or(c.MemoryShare, 0.9)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if strings.ContainsAny(c.Prefix, "{}") {
		return c, fmt.Errorf("redisqueue: prefix %q has a brace", c.Prefix)
	}
	if levels[c.Durability] == 0 {
		return c, fmt.Errorf("redisqueue: durability %q is none of memory, replica and fsync", c.Durability)
	}
	return c, nil
}

// levels are the numbers of durability levels in a queue's configuration, 0 being the store's.
var levels = map[string]int{"": 0, Memory: 1, Replica: 2, Fsync: 3}
