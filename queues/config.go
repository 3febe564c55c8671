package queues

import (
	"cmp"
	"math"
	"time"
)

// Overflow says what happens to a message that doesn't fit into a queue or inbox.
type Overflow string

const (
	// RejectNew refuses it with CodeQueueFull.
	RejectNew Overflow = "reject"
	// DropOldest makes room by dropping what is ready, lowest priority and oldest first, never
	// what is leased. If that isn't enough, the message is refused.
	DropOldest Overflow = "drop-oldest"
)

// OnFail says what a failed message with a key does to those behind it.
type OnFail string

const (
	// Block lets them wait until it has been settled: the order holds.
	Block OnFail = "block"
	// Skip lets them pass while it waits for its next attempt.
	Skip OnFail = "skip"
)

// Config is the configuration of a queue. Fields are zero for their default and
// negative for none, unless they say otherwise.
type Config struct {
	// Lease is how long a consumer has a message until it must be renewed. Default 30 s, at least 1 ms.
	Lease time.Duration `json:"lease,omitempty"`
	// MaxFailures is how many failures make a message dead. Default 5. Negative: no number.
	MaxFailures int `json:"maxFailures,omitempty"`
	// MaxAttempts is how many hand-outs, failed or not, make a message dead when the last one
	// ends without being acknowledged. Default 20. Negative: no number.
	MaxAttempts int `json:"maxAttempts,omitempty"`
	// BackoffBase is the delay after the first failure; it doubles with each further one, up to
	// BackoffMax, ± 20 %. Defaults 1 s and 5 min.
	BackoffBase time.Duration `json:"backoffBase,omitempty"`
	BackoffMax  time.Duration `json:"backoffMax,omitempty"`

	// MaxLen and MaxBytes bound what is in the queue in any state but dead. Bytes are those of
	// payloads. Defaults 1,000,000 and 256 MiB.
	MaxLen   int   `json:"maxLen,omitempty"`
	MaxBytes int64 `json:"maxBytes,omitempty"`
	// Overflow is what happens beyond. Default RejectNew.
	Overflow Overflow `json:"overflow,omitempty"`

	// TTL is how long a message may wait, unless it says so itself. Default: forever.
	TTL time.Duration `json:"ttl,omitempty"`
	// DeadLetterExpired makes expired messages dead letters instead of dropping them.
	DeadLetterExpired bool `json:"deadLetterExpired,omitempty"`
	// DeadTTL and DeadMax bound the dead letters; the oldest go first. Defaults 14 days and 100,000.
	DeadTTL time.Duration `json:"deadTTL,omitempty"`
	DeadMax int           `json:"deadMax,omitempty"`

	// OnFail is what a failed message does to others of its key. Default Block.
	OnFail OnFail `json:"onFail,omitempty"`

	// Dedupe is for how long, at least, ids are remembered, and at most twice as long. Default 5 min.
	Dedupe time.Duration `json:"dedupe,omitempty"`
	// DedupeBytes bounds the ids that are remembered, at 64 bytes and their length each. Beyond,
	// messages with ids are refused with CodeQueueFull. Default 64 MiB.
	DedupeBytes int64 `json:"dedupeBytes,omitempty"`

	// Rate is how many messages per second all consumers together get, at most Burst at once.
	// Default: no limit; Burst 1.
	Rate  float64 `json:"rate,omitempty"`
	Burst int     `json:"burst,omitempty"`

	// PublishRate is how many messages per second each principal may publish through one node,
	// at most PublishBurst at once. Default: no limit; PublishBurst one second's.
	PublishRate  float64 `json:"publishRate,omitempty"`
	PublishBurst int     `json:"publishBurst,omitempty"`

	// MaxPayload is the largest payload in bytes. Default 256 KiB.
	MaxPayload int `json:"maxPayload,omitempty"`
	// MaxProcessing is how long a consumer may keep a message by renewal. Default 30 min.
	MaxProcessing time.Duration `json:"maxProcessing,omitempty"`
	// MaxConsumers is how many consumers each principal may have on one node. Default 1000.
	MaxConsumers int `json:"maxConsumers,omitempty"`

	// Durability is when a publish is acknowledged, for stores that leave a choice: memory, replica or
	// fsync. Default: the store's.
	Durability string `json:"durability,omitempty"`
}

// WithDefaults returns c with every field set: zero is left only where it means none. A bound of which there
// is none is a very large number; a time of which there is none is negative. Doing it again changes nothing.
func (c Config) WithDefaults() Config {
	c.Lease = max(cmp.Or(max(c.Lease, 0), 30*time.Second), time.Millisecond)
	c.MaxFailures = limit(c.MaxFailures, 5)
	c.MaxAttempts = limit(c.MaxAttempts, 20)
	c.BackoffBase = period(c.BackoffBase, time.Second)
	c.BackoffMax = max(period(c.BackoffMax, 5*time.Minute), c.BackoffBase)
	c.MaxLen = limit(c.MaxLen, 1_000_000)
	c.MaxBytes = limit(c.MaxBytes, 256<<20)
	c.Overflow = cmp.Or(c.Overflow, RejectNew)
	c.TTL = max(c.TTL, 0)
	c.DeadTTL = span(c.DeadTTL, 14*24*time.Hour)
	c.DeadMax = limit(c.DeadMax, 100_000)
	c.OnFail = cmp.Or(c.OnFail, Block)
	c.Dedupe = period(c.Dedupe, 5*time.Minute)
	c.DedupeBytes = limit(c.DedupeBytes, 64<<20)
	c.Rate = max(c.Rate, 0)
	c.Burst = max(c.Burst, 1)
	c.PublishRate = max(c.PublishRate, 0)
	c.PublishBurst = max(cmp.Or(c.PublishBurst, int(min(math.Ceil(c.PublishRate), 1e6))), 1)
	c.MaxPayload = limit(c.MaxPayload, 256<<10)
	c.MaxProcessing = span(c.MaxProcessing, 30*time.Minute)
	c.MaxConsumers = limit(c.MaxConsumers, 1000)
	return c
}

// most is "no limit": large, but an exact number in Lua and JavaScript. Of times it is forever, which can be added to one.
const (
	most    = 1 << 50
	forever = 100 * 365 * 24 * time.Hour
)

func limit[T int | int64](v, def T) T {
	if v < 0 {
		if no := int64(most); int64(T(no)) == no {
			return T(no)
		}
		return 1 << 30 // where an int has 32 bits
	}
	return cmp.Or(v, def)
}

// span is limit for times.
func span(v, def time.Duration) time.Duration {
	if v < 0 {
		return forever
	}
	return cmp.Or(v, def)
}

// period is limit for times of which there may be none.
func period(v, def time.Duration) time.Duration {
	if v < 0 {
		return -1
	}
	return cmp.Or(v, def)
}

// Validate says what is wrong with c, with CodeBadRequest.
func (c Config) Validate() error {
	switch {
	case c.Overflow != "" && c.Overflow != RejectNew && c.Overflow != DropOldest:
		return Refuse(CodeBadRequest, "overflow must be reject or drop-oldest")
	case c.OnFail != "" && c.OnFail != Block && c.OnFail != Skip:
		return Refuse(CodeBadRequest, "onFail must be block or skip")
	case c.Durability != "" && c.Durability != "memory" && c.Durability != "replica" && c.Durability != "fsync":
		return Refuse(CodeBadRequest, "durability must be memory, replica or fsync")
	case math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) || math.IsNaN(c.PublishRate) || math.IsInf(c.PublishRate, 0):
		return Refuse(CodeBadRequest, "a rate must be a number")
	case c.Lease > 0 && c.Lease < time.Millisecond:
		return Refuse(CodeBadRequest, "lease must be at least a millisecond")
	}
	return nil
}

// Backoff returns the delay before the next attempt of a message that has failed so often
// (from 1). spread is from 0 to 1 and stands for -20 % to +20 %. c is complete.
func (c *Config) Backoff(failures int, spread float64) time.Duration {
	d := max(c.BackoffBase, 0)
	for i := 1; i < failures && d < c.BackoffMax; i++ {
		d *= 2
	}
	d = min(d, c.BackoffMax)
	return d + time.Duration((spread-0.5)*0.4*float64(d))
}
