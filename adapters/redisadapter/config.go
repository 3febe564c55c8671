package redisadapter

import (
	"cmp"
	"log/slog"
	"os"
	"strconv"
	"time"
)

// Mode says which rooms have a channel of their own in the sharded adapter. It
// must be the same on all nodes.
type Mode string

// The modes, named as the official subscriptionMode.
const (
	Static         Mode = "static"          // none: every node gets everything
	Dynamic        Mode = "dynamic"         // public rooms; the default
	DynamicPrivate Mode = "dynamic-private" // also the rooms of single sockets
)

// Config configures a Driver. The zero Config is ready to use, and meets
// official servers with their default options.
type Config struct {
	// Prefix is the start of all channel names: "key" of the official classic
	// adapter, "channelPrefix" of the others. If empty, "socket.io" is used.
	Prefix string

	// RequestTimeout is how long answers of other nodes are waited for when the
	// context has no deadline. If zero, 5 s is used.
	RequestTimeout time.Duration

	// SpecificResponses sends answers to the asking node alone instead of all
	// (publishOnSpecificResponseChannel). Only PubSub uses it; nodes may differ.
	SpecificResponses bool

	// Mode is that of ShardedPubSub. If empty, Dynamic is used.
	Mode Mode

	// MaxMessage is the size in bytes up to which messages are sent and taken.
	// If zero, 10 MB is used.
	MaxMessage int

	// MaxQueue is how many bytes may wait for Redis to take them. Publish fails
	// beyond that. If zero, 64 MiB is used.
	MaxQueue int

	// Heartbeat is the time between two signs of life. Other Go nodes take a node
	// for dead after three that are missing; a node that doesn't hear its own for
	// as long, and for a second at least, connects anew. If zero, 1 s is used.
	Heartbeat time.Duration

	// Node is this node's name in the errors and logs of others.
	// If empty, it is the host's name and the process id.
	Node string

	// AllowMixed starts a node also where that is known to crash official
	// servers that use the same Redis and Prefix with another adapter.
	AllowMixed bool

	// Logger is told what goes wrong. If nil, slog.Default() is used.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "socket.io")
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 5*time.Second)
	c.Mode = cmp.Or(c.Mode, Dynamic)
	c.MaxMessage = cmp.Or(c.MaxMessage, 10_000_000)
	c.MaxQueue = cmp.Or(c.MaxQueue, 64<<20)
	c.Heartbeat = cmp.Or(c.Heartbeat, time.Second)
	if c.Node == "" {
		host, _ := os.Hostname()
		c.Node = host + ":" + strconv.Itoa(os.Getpid())
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
