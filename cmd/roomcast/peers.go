package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/cluster"
	"github.com/roomcast/roomcast/cluster/redisstore"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/web"
)

// redisOptions turns the settings into a client's, and reads the files that they name.
func redisOptions(c *config.Config) (*redis.UniversalOptions, error) {
	t, err := config.ParseRedis(c.Redis)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	o := &redis.UniversalOptions{
		Addrs: t.Addrs, DB: t.DB, MasterName: t.Master, IsClusterMode: t.Cluster,
		Username: t.Username + c.RedisUsername, Password: t.Password + c.RedisPassword, // one of each is set
		SentinelUsername:      c.RedisSentinelUsername,
		ContextTimeoutEnabled: true,
		DisableIdentity:       true,
	}
	for path, secret := range map[string]*string{c.RedisPasswordFile: &o.Password, c.RedisSentinelPasswordFile: &o.SentinelPassword} {
		if path != "" {
			if *secret, err = config.ReadSecret(path); err != nil {
				return nil, err
			}
		}
	}
	if !t.TLS {
		return o, nil
	}
	o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.RedisCA != "" {
		pem, err := os.ReadFile(c.RedisCA)
		if err != nil {
			return nil, fmt.Errorf("redis_ca: %w", err)
		}
		o.TLSConfig.RootCAs = x509.NewCertPool()
		if !o.TLSConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("redis_ca: %s has no certificate", c.RedisCA)
		}
	}
	if c.RedisCert != "" {
		pair, err := tls.LoadX509KeyPair(c.RedisCert, c.RedisKey)
		if err != nil {
			return nil, fmt.Errorf("redis_cert: %w", err)
		}
		o.TLSConfig.Certificates = []tls.Certificate{pair}
	}
	return o, nil
}

// clusterSecret is the settings' secret, nil if there is none.
func clusterSecret(c *config.Config) ([]byte, error) {
	secret := c.ClusterSecret
	if c.ClusterSecretFile != "" {
		var err error
		if secret, err = config.ReadSecret(c.ClusterSecretFile); err != nil {
			return nil, err
		}
		if len(secret) < 32 {
			return nil, fmt.Errorf("cluster_secret_file: %s has %d bytes; at least 32 are needed", c.ClusterSecretFile, len(secret))
		}
	}
	if secret == "" {
		return nil, nil
	}
	return []byte(secret), nil
}

// driver is an adapter of Redis.
type driver interface {
	adapters.Driver
	adapters.Health
	Stats() redisadapter.Stats
	Close(context.Context) error
}

// peers joins this node to others.
type peers struct {
	target   string // Redis, for people
	rdb      redis.UniversalClient
	driver   driver
	node     *cluster.Node
	listener net.Listener // for the other nodes; nil if off
	stats    atomic.Pointer[engine.Stats]
}

// sessions is how many this node has.
func (ps *peers) sessions() int64 {
	if st := ps.stats.Load(); st != nil {
		return st.Sessions()
	}
	return 0
}

// redisLog is what go-redis says of its connections, which its commands' errors tell as well.
type redisLog struct{ *slog.Logger }

func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.DebugContext(ctx, "go-redis: "+fmt.Sprintf(format, v...))
}

// join connects to Redis and to the other nodes.
func join(ctx context.Context, c *config.Config, p prepared, log *slog.Logger) (_ *peers, err error) {
	t, err := config.ParseRedis(c.Redis)
	if err != nil {
		return nil, err
	}
	redis.SetLogger(redisLog{log})
	ps := &peers{target: t.String(), rdb: redis.NewUniversalClient(p.redis)}
	defer func() {
		if err != nil {
			ps.close(context.Background())
		}
	}()
	if err := ps.wait(ctx, c.RedisWait.Std(), log); err != nil {
		return nil, err
	}
	advertise := ""
	if c.ClusterListen != "off" {
		if advertise, err = ps.listen(ctx, c, t.Addrs); err != nil {
			return nil, err
		}
	}
	if ps.driver, err = newDriver(ps.rdb, c, log); err != nil {
		return nil, err
	}
	ps.node, err = cluster.Join(ctx, cluster.Config{
		Store:        redisstore.New(ps.rdb, "roomcast:"+c.RedisPrefix+":cluster"),
		Name:         c.NodeName,
		Advertise:    advertise,
		Secret:       p.secret,
		Sessions:     ps.sessions,
		MaxForwards:  int(c.Limits.Forwards),
		MaxBody:      int(c.Limits.MaxPayload),
		BodyTimeout:  c.Limits.BodyTimeout.Std(),
		WriteTimeout: c.Limits.WriteTimeout.Std(),
		Logger:       log,
	})
	if err != nil {
		return nil, err
	}
	log.Info("joined the cluster", "node", ps.node.Name(), "id", ps.node.ID().String(), "nodes", len(ps.node.Members()),
		"redis", ps.target, "adapter", c.Adapter, "advertise", advertise)
	return ps, nil
}

// newDriver returns the adapter that the settings name.
func newDriver(rdb redis.UniversalClient, c *config.Config, log *slog.Logger) (driver, error) {
	cfg := redisadapter.Config{
		Prefix:         c.RedisPrefix,
		RequestTimeout: c.AdapterTimeout.Std(),
		Mode:           redisadapter.Mode(c.Sharded.Mode),
		Node:           c.NodeName,
		AllowMixed:     c.AdapterMixed,
		Logger:         log,
	}
	switch c.Adapter {
	case "classic":
		return redisadapter.PubSub(rdb, cfg), nil
	case "sharded":
		return redisadapter.ShardedPubSub(rdb, cfg), nil
	}
	return redisadapter.Streams(rdb, redisadapter.StreamsConfig{
		Config:  cfg,
		Stream:  c.RedisPrefix,
		MaxLen:  int64(c.Streams.MaxLen),
		Streams: int(c.Streams.Count),
	}), nil
}

// redisRetry is the time between two attempts to reach Redis at the start.
const redisRetry = 500 * time.Millisecond

// wait waits until Redis answers. What waiting doesn't mend is an error at once.
func (ps *peers) wait(ctx context.Context, limit time.Duration, log *slog.Logger) error {
	begin := time.Now()
	for first := true; ; first = false {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := ps.rdb.Ping(limited).Err()
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case refused(err):
			return fmt.Errorf("redis: %s doesn't let us in: %w; see redis_username and redis_password_file", ps.target, err)
		case time.Since(begin) >= limit:
			return fmt.Errorf("redis: %s doesn't answer: %w; is it running, and is --redis right?", ps.target, err)
		case first:
			log.Warn("waiting for Redis", "redis", ps.target, "limit", limit, "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(redisRetry):
		}
	}
}

// refused tells whether Redis has answered, and doesn't want us.
func refused(err error) bool {
	for _, word := range []string{"WRONGPASS", "NOAUTH", "NOPERM", "ERR AUTH", "ERR invalid password"} {
		if strings.HasPrefix(err.Error(), word) {
			return true
		}
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	return errors.As(err, &unknown) || errors.As(err, &invalid) || errors.As(err, &host)
}

// listen opens the listener for other nodes and returns the address at which they reach it.
func (ps *peers) listen(ctx context.Context, c *config.Config, redis []string) (advertise string, err error) {
	addr := c.ClusterListen
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	if addr == "" || host == "" || ip.IsUnspecified() {
		own, err := ownAddress(ctx, redis)
		if err != nil {
			return "", fmt.Errorf("cluster_listen: which address this machine has can't be found out: %w; set cluster_listen", err)
		}
		if host = own; addr == "" {
			addr = net.JoinHostPort(own, "0")
		}
	}
	if ps.listener, err = web.Listen(addr, "cluster-listen"); err != nil {
		return "", err
	}
	if c.Advertise != "" {
		return c.Advertise, nil
	}
	_, port, err := net.SplitHostPort(ps.listener.Addr().String())
	return net.JoinHostPort(host, port), err
}

// ownAddress is the address by which this machine reaches one of the given.
func ownAddress(ctx context.Context, addrs []string) (host string, err error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	for _, addr := range addrs {
		var conn net.Conn
		if conn, err = d.DialContext(ctx, "tcp", addr); err == nil {
			defer conn.Close()
			host, _, err = net.SplitHostPort(conn.LocalAddr().String())
			return host, err
		}
	}
	return "", err
}

// serve answers other nodes until close.
func (ps *peers) serve(io *server.Server) error {
	if ps.listener == nil {
		ps.node.Handle(io)
		return nil
	}
	return ps.node.Serve(ps.listener, io)
}

// The times of watch.
const (
	watchEvery = time.Second
	redisLate  = 4 * time.Second // without an answer
)

// What watch holds readiness by.
const (
	notReadyRedis   = "redis"
	notReadyAdapter = "adapter"
)

// watch makes the node not ready while it can't reach Redis, or doesn't hear the
// others, until ctx ends.
func (ps *peers) watch(ctx context.Context, ready *web.Readiness, log *slog.Logger) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	held := make(map[string]bool)
	say := func(name, reason string, err error) {
		switch {
		case err != nil && !held[name]:
			ready.Hold(name, reason)
			log.Warn("not ready: "+reason, "error", err)
		case err == nil && held[name]:
			ready.Release(name)
			log.Info("ready again", "reason", name)
		}
		held[name] = err != nil
	}
	for {
		var away error
		if time.Since(ps.node.Heard()) > redisLate {
			away = fmt.Errorf("no answer since %s", ps.node.Heard().Format(time.RFC3339))
		}
		say(notReadyRedis, "Redis doesn't answer", away)
		say(notReadyAdapter, "this node doesn't hear the others", ps.driver.Healthy())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// redis is the connection to Redis; nil if there is none.
func (ps *peers) redis() redis.UniversalClient {
	if ps == nil {
		return nil
	}
	return ps.rdb
}

// close leaves the cluster. The realtime server must be shut down.
func (ps *peers) close(ctx context.Context) {
	if ps.node != nil {
		_ = ps.node.Close(ctx)
	}
	if ps.listener != nil {
		_ = ps.listener.Close()
	}
	if ps.driver != nil {
		_ = ps.driver.Close(ctx)
	}
	_ = ps.rdb.Close()
}
