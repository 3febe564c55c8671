package redisadapter

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// Driver is an adapters.Driver, and an adapters.Health. It connects when its
// first namespace is opened, and stops when its last one is closed.
type Driver struct {
	rdb redis.UniversalClient
	cfg Config
}

var (
	_ adapters.Driver = (*Driver)(nil)
	_ adapters.Health = (*Driver)(nil)
)

// PubSub returns the driver that speaks the official classic protocol, over
// PUBLISH and SUBSCRIBE. rdb stays the caller's, to be closed after the server.
func PubSub(rdb redis.UniversalClient, cfg Config) *Driver {
	return &Driver{rdb: rdb, cfg: cfg.withDefaults()}
}

// ShardedPubSub returns the driver that speaks the official sharded protocol,
// over SPUBLISH and SSUBSCRIBE. It needs Redis 7.
func ShardedPubSub(rdb redis.UniversalClient, cfg Config) *Driver {
	return &Driver{rdb: rdb, cfg: cfg.withDefaults()}
}

// Open connects a namespace.
func (d *Driver) Open(namespace string, local adapters.Local) (adapters.Adapter, error) {
	return nil, errors.New("redisadapter: being built")
}

// Close ends all namespaces and connections.
func (d *Driver) Close(ctx context.Context) error { return nil }

// Healthy returns nil while this node hears itself through Redis.
func (d *Driver) Healthy() error { return nil }

// Stats are figures of a Driver since its start.
type Stats struct {
	Published       int64 // messages given to Redis
	PublishFailed   int64 // messages that Redis didn't take, or that didn't fit into the queue
	Received        int64 // messages of other nodes
	Rejected        int64 // messages of others that could not be read
	Reconnects      int64 // of subscribers
	Deaf            int64 // times that a subscriber didn't hear its own probes
	Requests        int64 // to other nodes
	RequestTimeouts int64 // requests that ended without all answers
	MissingNodes    int64 // answers that didn't come, in all of them
	Queued          int64 // bytes that wait to be published, now
	Nodes           int   // other Go nodes that are alive, now
}

// Stats returns the figures as of now.
func (d *Driver) Stats() Stats { return Stats{} }
