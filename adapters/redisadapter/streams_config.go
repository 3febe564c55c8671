package redisadapter

import (
	"cmp"
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
)

// StreamsConfig configures a StreamsDriver. The zero StreamsConfig is ready to use, and meets
// official servers with their default options.
type StreamsConfig struct {
	// Config has what all adapters share. Prefix is the official "channelPrefix".
	// Mode and SpecificResponses are not used.
	Config

	// Stream is the name of the stream ("streamName"), or what its names begin with if there are
	// several. If empty, "socket.io" is used.
	Stream string

	// Streams is how many streams the namespaces are spread over ("streamCount").
	// It must be the same on all nodes. If zero, there is one.
	Streams int

	// MaxLen is about how many entries a stream keeps ("maxLen"). A node or a client
	// that is away longer than it takes to write as many has lost its place: clients
	// get fresh sessions. Size it as messages per second × seconds of absence, the
	// same on all nodes, since each trims for all; Redis needs about the size of
	// a message and 100 bytes for each. If zero, 100,000 is used (officially 10,000, which
	// lasts for two minutes at 80 messages per second).
	MaxLen int64

	// SessionPrefix is what keys of saved sessions begin with ("sessionKeyPrefix").
	// If empty, "sio:session:" is used.
	SessionPrefix string

	// Sharded uses sharded pub/sub of Redis 7 for requests ("useShardedPubSub").
	Sharded bool

	// Patience is how long an event waits for its place in the stream before it is
	// delivered on this node without. If zero, 1 s is used.
	Patience time.Duration
}

func (c StreamsConfig) withDefaults() StreamsConfig {
	c.Config = c.Config.withDefaults()
	c.Stream = cmp.Or(c.Stream, "socket.io")
	c.Streams = max(c.Streams, 1)
	c.MaxLen = cmp.Or(c.MaxLen, 100_000)
	c.SessionPrefix = cmp.Or(c.SessionPrefix, "sio:session:")
	c.Patience = cmp.Or(c.Patience, time.Second)
	return c
}

// streamOf returns the stream that a namespace's entries are written to, and the
// other one on which official servers may write them: their remainder keeps the
// sign, and they read none of the streams whose number is negative.
func (c *StreamsConfig) streamOf(namespace string) (name, astray string) {
	if c.Streams == 1 {
		return c.Stream, ""
	}
	n := int(hash(namespace)) % c.Streams // as in JavaScript
	if n >= 0 {
		return c.number(n), ""
	}
	return c.number(-n), c.number(n)
}

func (c *StreamsConfig) number(n int) string { return c.Stream + "-" + strconv.Itoa(n) }

// hash is the official hash of a namespace's name.
func hash(namespace string) int32 {
	var h int32
	for _, c := range utf16.Encode([]rune(namespace)) {
		h = h*31 + int32(c)
	}
	return h
}

func (c *StreamsConfig) validate() error {
	if c.MaxLen < 16 {
		return fmt.Errorf("redisadapter: MaxLen of %d: a stream of at least 16 entries is needed", c.MaxLen)
	}
	return nil
}
