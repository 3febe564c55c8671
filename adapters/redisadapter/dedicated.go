package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// dedicated is a connection of its own to the server that has a key, for one
// goroutine. Nothing is tried twice on it: what to do when the outcome of a
// command is unknown is for its user to know.
type dedicated struct {
	*redis.Client
	made    atomic.Bool
	name    atomic.Pointer[string] // of the connection, as Redis has it: "id address"
	history atomic.Pointer[string] // replication id of the server; empty: it isn't told
}

// lineage is the server's replication id: another one after a failover or a restart, when it may have lost the
// last of what the one before had taken.
func (d *dedicated) lineage() string {
	if h := d.history.Load(); h != nil {
		return *h
	}
	return ""
}

var errBroken = errors.New("redisadapter: the connection to Redis broke")

var errReplica = errors.New("redisadapter: this Redis is a replica: what it has may be set back, and it takes nothing")

// replication reads what INFO says of the server's part: role:master, master_replid:8c1f…
func replication(info string) (history string, replica bool) {
	for line := range strings.Lines(info) {
		switch k, v, _ := strings.Cut(strings.TrimSpace(line), ":"); k {
		case "role":
			replica = v == "slave"
		case "master_replid":
			history = v
		}
	}
	return history, replica
}

// identity is how CLIENT INFO begins: id=7 addr=127.0.0.1:51234 …
func identity(info string) string {
	var id, addr string
	for _, field := range strings.Fields(info) {
		switch k, v, _ := strings.Cut(field, "="); k {
		case "id":
			id = v
		case "addr":
			addr = v
		}
	}
	return id + " " + addr
}

// dedicate returns a dedicated connection, which is made with the first command.
func dedicate(ctx context.Context, rdb redis.UniversalClient, key string) (*dedicated, error) {
	base, err := serverOf(ctx, rdb, key)
	if err != nil {
		return nil, err
	}
	d := &dedicated{}
	opt := *base.Options()
	opt.MaxRetries, opt.DialerRetries = -1, 1
	opt.PoolSize, opt.MinIdleConns, opt.MaxIdleConns = 1, 0, 0
	opt.PipelinePoolSize = -1 // pipelines would try to get a connection of their own, each time
	opt.ConnMaxIdleTime, opt.ConnMaxLifetime = -1, -1
	opt.DialTimeout = 2 * time.Second
	opt.ReadTimeout, opt.WriteTimeout = -1, -1 // contexts bound them
	opt.ContextTimeoutEnabled = true
	opt.PushNotificationProcessor = nil // it is the other client's own
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	hook := opt.OnConnect
	opt.OnConnect = func(ctx context.Context, cn *redis.Conn) error {
		if d.made.Swap(true) { // the client has found the first one dead, between two commands
			return errBroken
		}
		if hook != nil {
			if err := hook(ctx, cn); err != nil {
				return err
			}
		}
		info, err := cn.Do(ctx, "CLIENT", "INFO").Text()
		if err != nil && !isReply(err) {
			return err
		}
		name := identity(info)
		d.name.Store(&name)
		info, err = cn.Info(ctx, "replication").Result()
		if err != nil && !isReply(err) {
			return err
		}
		history, replica := replication(info)
		d.history.Store(&history)
		if replica {
			return errReplica
		}
		return nil
	}
	d.Client = redis.NewClient(&opt)
	return d, nil
}

// serverOf returns the client of the server that has a key.
func serverOf(ctx context.Context, rdb redis.UniversalClient, key string) (*redis.Client, error) {
	switch c := rdb.(type) {
	case *redis.Client:
		return c, nil
	case *redis.ClusterClient:
		master, err := c.MasterForKey(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("redisadapter: find the master of %q: %w", key, err)
		}
		return master, nil
	}
	return nil, fmt.Errorf("redisadapter: %T isn't supported: use a Client or a ClusterClient", rdb)
}

// moved has a cluster's client look anew where keys are, if that is what err is about.
func moved(ctx context.Context, rdb redis.UniversalClient, err error) {
	if c, ok := rdb.(*redis.ClusterClient); ok && err != nil {
		c.ReloadState(ctx)
	}
}

// isReply reports whether err is an answer of Redis, so that the command is
// known not to have been carried out.
func isReply(err error) bool {
	var e redis.Error
	return errors.As(err, &e)
}

// pause waits before another attempt, or reports false as soon as ctx ends. The
// first attempts follow soon: what waits for Redis has a second.
func pause(ctx context.Context, attempt int) bool {
	sleep(ctx, min(20*time.Millisecond<<min(attempt, 6), time.Second))
	return ctx.Err() == nil
}
