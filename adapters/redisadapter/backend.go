package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// backend is Redis as the program's client sees it: a server (perhaps found by
// Sentinel) or a cluster.
type backend struct {
	single  *redis.Client
	cluster *redis.ClusterClient

	// publish is single without retries: a message that is sent again after an
	// error may arrive twice.
	publish *redis.Client
}

func newBackend(rdb redis.UniversalClient) (*backend, error) {
	switch c := rdb.(type) {
	case *redis.Client:
		opt := *c.Options()
		opt.MaxRetries, opt.MinIdleConns, opt.PoolSize = -1, 0, 2
		opt.PushNotificationProcessor = nil // it is the other client's own
		opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		return &backend{single: c, publish: redis.NewClient(&opt)}, nil
	case *redis.ClusterClient:
		return &backend{cluster: c}, nil
	}
	return nil, fmt.Errorf("redisadapter: %T is neither a *redis.Client nor a *redis.ClusterClient", rdb)
}

func (r *backend) close() {
	if r.publish != nil {
		_ = r.publish.Close()
	}
}

// client returns the program's client.
func (r *backend) client() redis.UniversalClient {
	if r.cluster != nil {
		return r.cluster
	}
	return r.single
}

// any returns a server to subscribe at: in a cluster another one with each attempt.
func (r *backend) any(ctx context.Context, attempt int) (*redis.Client, error) {
	if r.cluster == nil {
		return r.single, nil
	}
	masters, err := r.masters(ctx)
	if err != nil {
		return nil, err
	}
	return masters[attempt%len(masters)], nil
}

func (r *backend) masters(ctx context.Context) ([]*redis.Client, error) {
	var mu sync.Mutex
	var list []*redis.Client
	err := r.cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, c)
		return nil
	})
	if err == nil && len(list) == 0 {
		err = errors.New("redisadapter: the cluster has no masters")
	}
	return list, err
}

// master returns the server that a shard channel belongs to.
func (r *backend) master(ctx context.Context, channel string) (*redis.Client, error) {
	if r.cluster == nil {
		return r.single, nil
	}
	return r.cluster.MasterForKey(ctx, channel)
}

// publisher returns the server to publish at.
func (r *backend) publisher(ctx context.Context, channel string) (*redis.Client, error) {
	if r.cluster == nil {
		return r.publish, nil
	}
	return r.cluster.MasterForKey(ctx, channel)
}

// reload has the cluster's slots looked up again.
func (r *backend) reload(ctx context.Context) {
	if r.cluster != nil {
		r.cluster.ReloadState(ctx)
	}
}

// count returns how many connections are subscribed to each channel, on all
// servers together.
func (r *backend) count(ctx context.Context, sharded bool, channels ...string) (map[string]int, error) {
	sum := make(map[string]int, len(channels))
	var mu sync.Mutex
	asked := 0
	one := func(ctx context.Context, c *redis.Client) error {
		count := c.PubSubNumSub
		if sharded {
			count = c.PubSubShardNumSub
		}
		found, err := count(ctx, channels...).Result()
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		asked++
		for name, n := range found {
			sum[name] += int(n)
		}
		return nil
	}
	var err error
	if r.cluster == nil {
		err = one(ctx, r.single)
	} else {
		err = r.cluster.ForEachShard(ctx, one)
	}
	if asked > 0 {
		err = nil // a server of the cluster is down: nobody is subscribed there
	}
	return sum, err
}
