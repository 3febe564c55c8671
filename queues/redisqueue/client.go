package redisqueue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// client is a connection pool of the store's own to each Redis server.
type client struct {
	redis.UniversalClient
	cluster *redis.ClusterClient // nil: it isn't one
}

// newClient makes a client with the options of rdb, except that it doesn't send
// anything twice by itself and that contexts end what waits.
func newClient(rdb redis.UniversalClient) (*client, error) {
	switch c := rdb.(type) {
	case *redis.Client:
		o := *c.Options()
		o.MaxRetries = -1
		o.ContextTimeoutEnabled = true
		o.DisableIdentity = true
		o.PushNotificationProcessor = nil // it is rdb's own
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		return &client{UniversalClient: redis.NewClient(&o)}, nil
	case *redis.ClusterClient:
		o := *c.Options()
		o.MaxRetries = -1
		o.ContextTimeoutEnabled = true
		o.DisableIdentity = true
		o.PushNotificationProcessor = nil
		o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
		o.ReadOnly, o.RouteByLatency, o.RouteRandomly = false, false, false
		cluster := redis.NewClusterClient(&o)
		return &client{UniversalClient: cluster, cluster: cluster}, nil
	}
	return nil, fmt.Errorf("redisqueue: a %T can't be used", rdb)
}

// servers calls f for each server that takes writes, one after the other.
func (c *client) servers(ctx context.Context, f func(context.Context, *redis.Client) error) error {
	if c.cluster == nil {
		return f(ctx, c.UniversalClient.(*redis.Client))
	}
	var mu sync.Mutex
	return c.cluster.ForEachMaster(ctx, func(ctx context.Context, server *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		return f(ctx, server)
	})
}

// info is what INFO says.
type info map[string]string

func readInfo(ctx context.Context, server redis.Cmdable, sections ...string) (info, error) {
	text, err := server.Info(ctx, sections...).Result()
	if err != nil {
		return nil, err
	}
	in := info{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			in[name] = value
		}
	}
	return in, nil
}

func (in info) number(name string) int64 {
	n, _ := strconv.ParseInt(in[name], 10, 64)
	return n
}

// version returns major and minor version as 702 for 7.2.
func (in info) version() int {
	parts := strings.SplitN(in["redis_version"], ".", 3)
	if len(parts) < 2 {
		return 0
	}
	major, _ := strconv.Atoi(parts[0])
	minor, _ := strconv.Atoi(parts[1])
	return major*100 + minor
}

// canFsync says how a server confirms that something is on its disk.
type canFsync int

const (
	never   canFsync = iota
	always           // whatever it answers is there
	waitAOF          // when asked
)

// examine returns an error if a server can't keep queues, and how it can fsync.
func examine(ctx context.Context, server *redis.Client) (canFsync, error) {
	in, err := readInfo(ctx, server, "server", "memory", "persistence", "cluster")
	if err != nil {
		return never, fmt.Errorf("redisqueue: %s: %w", server.Options().Addr, err)
	}
	fail := func(format string, args ...any) (canFsync, error) {
		return never, fmt.Errorf("redisqueue: %s: %s", server.Options().Addr, fmt.Sprintf(format, args...))
	}
	if in.version() < 700 {
		return fail("Redis %s is too old: 7.0 is needed", in["redis_version"])
	}
	if policy := in["maxmemory_policy"]; policy != "noeviction" && policy != "" {
		return fail("maxmemory-policy is %s: Redis would delete messages when its memory is full; set maxmemory-policy noeviction", policy)
	}
	if in["aof_enabled"] != "1" {
		return never, nil
	}
	if in.unwritten() {
		rewrite(ctx, server)
	}
	if in.version() >= 702 {
		return waitAOF, nil
	}
	policy, err := server.ConfigGet(ctx, "appendfsync").Result()
	if err == nil && policy["appendfsync"] == "always" {
		return always, nil
	}
	return never, nil
}

// unwritten reports whether a server has a log that it hasn't written anew since it was started.
//
// That matters after a power cut. What is left of a transaction, such as what a function wrote, at the end of the log Redis
// doesn't apply, but if it ends within a command Redis leaves those before it in the log: after the next
// restart they are done, with what follows, and half of a function has happened (as of Redis 7.0.15, and later). A log that is
// written anew doesn't have them.
func (in info) unwritten() bool {
	return in["aof_enabled"] == "1" && in["aof_last_rewrite_time_sec"] == "-1" && in["aof_rewrite_in_progress"] == "0" && in["aof_rewrite_scheduled"] == "0"
}

func rewrite(ctx context.Context, server *redis.Client) {
	server.BgRewriteAOF(ctx) // where that isn't allowed, it is for whoever runs the server to see to it
}

// memory keeps an eye on how full the servers are, and on their logs.
type memory struct {
	share float64
	log   *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	looking bool
	full    map[string]bool // servers by address
	wait    sync.WaitGroup
	closed  bool
}

// memoryEvery is for how long what was seen of the memory holds.
const memoryEvery = time.Second

// refuses says whether the server of a key has too little memory left. It looks again from
// time to time, beside what is going on.
func (m *memory) refuses(ctx context.Context, c *client, key string) bool {
	m.mu.Lock()
	if m.due() {
		m.looking = true
		m.wait.Go(func() { m.look(c) })
	}
	full := m.full
	m.mu.Unlock()
	if len(full) == 0 {
		return false
	}
	if c.cluster == nil {
		return true
	}
	server, err := c.cluster.MasterForKey(ctx, key)
	return err == nil && full[server.Options().Addr]
}

// due reports whether it is time to look again. Under mu.
func (m *memory) due() bool { return !m.looking && !m.closed && time.Since(m.looked) > memoryEvery }

// anyFull says whether any server has too little memory left.
func (m *memory) anyFull(c *client) bool {
	m.mu.Lock()
	due := m.due()
	if due {
		m.looking = true
		m.wait.Add(1)
	}
	m.mu.Unlock()
	if due {
		m.look(c)
		m.wait.Done()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.full) > 0
}

// look asks the servers. Whoever calls it has set looking.
func (m *memory) look(c *client) {
	ctx, cancel := context.WithTimeout(context.Background(), memoryEvery)
	defer cancel()
	full := map[string]bool{}
	err := c.servers(ctx, func(ctx context.Context, server *redis.Client) error {
		in, err := readInfo(ctx, server, "memory", "persistence")
		if err == nil && in.unwritten() {
			rewrite(ctx, server)
		}
		if most := in.number("maxmemory"); err == nil && most > 0 && float64(in.number("used_memory")) > m.share*float64(most) {
			full[server.Options().Addr] = true
		}
		return err
	})
	m.mu.Lock()
	m.looking, m.looked = false, time.Now()
	was := m.full
	if err == nil {
		m.full = full
	}
	m.mu.Unlock()
	switch {
	case err != nil:
	case len(full) > 0 && len(was) == 0:
		m.log.Error("queues: the memory of Redis is nearly full: nothing more is stored until there is room", "servers", slices.Sorted(maps.Keys(full)))
	case len(full) == 0 && len(was) > 0:
		m.log.Info("queues: the memory of Redis has room again")
	}
}

// close waits for a look that is under way.
func (m *memory) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.wait.Wait()
}

// broken says whether err is of a connection that was there and broke, so that nobody
// knows what became of the command.
func broken(err error) bool {
	if err == nil || isReply(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var timeout interface{ Timeout() bool }
	return !(errors.As(err, &timeout) && timeout.Timeout()) && !dialing(err)
}

func isReply(err error) bool {
	var e redis.Error
	return errors.As(err, &e)
}
