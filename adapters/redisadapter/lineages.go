package redisadapter

import (
	"context"
	"maps"
	"sync"

	"github.com/redis/go-redis/v9"
)

// lineages are the replication ids of the primaries, as they were told last. A server has another one after
// each failover and each restart: then it may lack the last of what had been written.
type lineages struct {
	rdb redis.UniversalClient

	mu    sync.Mutex
	ids   map[string]string // by the server's address; none: not known
	noted bool              // see note
}

// of returns the lineage of the server that has a key; empty if it isn't known.
func (l *lineages) of(ctx context.Context, key string) string {
	server, err := serverOf(ctx, l.rdb, key)
	if err != nil {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids[server.Options().Addr]
}

// note notes that a key was found on a server of another lineage: there was a failover, or
// the key is on its way to another master.
func (l *lineages) note() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noted = true
}

// ask asks all servers, and reports whether keys may be on one of another lineage than before.
func (l *lineages) ask(ctx context.Context) (changed bool) {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	var mu sync.Mutex
	now := map[string]string{}
	one := func(ctx context.Context, server *redis.Client) error {
		info, err := server.Info(ctx, "replication").Result()
		if err != nil {
			return nil // the others are asked all the same
		}
		if id, replica := replication(info); !replica && id != "" {
			mu.Lock()
			defer mu.Unlock()
			now[server.Options().Addr] = id
		}
		return nil
	}
	switch c := l.rdb.(type) {
	case *redis.Client:
		_ = one(ctx, c)
	case *redis.ClusterClient:
		_ = c.ForEachMaster(ctx, one)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	changed = l.noted || !maps.Equal(now, l.ids)
	l.ids, l.noted = now, false
	return changed
}
