package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// RedisTarget is what the setting redis names.
type RedisTarget struct {
	Addrs    []string // host:port
	Cluster  bool     // Redis Cluster
	Master   string   // the name that Sentinels know; Addrs are theirs
	Username string
	Password string
	DB       int
	TLS      bool
}

// String returns the target without user and password.
func (t RedisTarget) String() string {
	s := strings.Join(t.Addrs, ",")
	if t.Master != "" {
		s += "/" + t.Master
	}
	return s
}

// ParseRedis parses a URL of Redis. The error doesn't repeat it, since it may have a password.
func ParseRedis(text string) (t RedisTarget, err error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return t, errors.New("isn't a URL such as redis://host:6379")
	}
	kind, topology, _ := strings.Cut(scheme, "+")
	if kind != "redis" && kind != "rediss" || !slices.Contains([]string{"", "cluster", "sentinel"}, topology) || strings.HasSuffix(scheme, "+") {
		return t, errors.New("the scheme must be redis or rediss, or with +cluster or +sentinel behind it")
	}
	t.TLS = kind == "rediss"
	if strings.ContainsAny(rest, "?#") {
		return t, errors.New("parameters aren't taken; there are settings for them")
	}
	hosts, path, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(hosts, '@'); i >= 0 {
		user, password, _ := strings.Cut(hosts[:i], ":")
		hosts = hosts[i+1:]
		var err1, err2 error
		t.Username, err1 = url.PathUnescape(user)
		t.Password, err2 = url.PathUnescape(password)
		if err1 != nil || err2 != nil {
			return t, errors.New("user or password are malformed; write special characters as %XX")
		}
	}
	port := "6379"
	if topology == "sentinel" {
		port = "26379"
		var ok bool
		if t.Master, path, ok = strings.Cut(path, "/"); t.Master == "" || ok && path == "" {
			return t, errors.New("a sentinel URL ends with the master's name: redis+sentinel://host,host/name")
		}
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr, err := redisAddr(host, port)
		if err != nil {
			return t, err
		}
		t.Addrs = append(t.Addrs, addr)
	}
	t.Cluster = topology == "cluster" || topology == "" && len(t.Addrs) > 1
	if path != "" {
		if t.DB, err = strconv.Atoi(path); err != nil || t.DB < 0 {
			return t, errors.New("the database must be a number, as in redis://host/0")
		}
		if t.Cluster && t.DB != 0 {
			return t, errors.New("a cluster has the database 0 only")
		}
	}
	return t, nil
}

func redisAddr(host, port string) (string, error) {
	addr := host
	if _, _, err := net.SplitHostPort(host); err != nil {
		addr = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	h, p, err := net.SplitHostPort(addr)
	if n, perr := strconv.ParseUint(p, 10, 16); err != nil || h == "" || perr != nil || n == 0 {
		return "", errors.New("a host is malformed; write host or host:port, with commas between several")
	}
	return addr, nil
}

func (c *Config) validateCluster(bad func(string, ...any)) {
	if c.Redis != "" {
		t, err := ParseRedis(c.Redis)
		if err != nil {
			bad("redis: %w", err)
		}
		if t.Username != "" && c.RedisUsername != "" {
			bad("redis_username: the URL has a user, too")
		}
		passwords := 0
		for _, s := range []string{t.Password, c.RedisPassword, c.RedisPasswordFile} {
			if s != "" {
				passwords++
			}
		}
		if passwords > 1 {
			bad("redis_password: set it in one place: the URL, redis_password or redis_password_file")
		}
		if !t.TLS && (c.RedisCA != "" || c.RedisCert != "" || c.RedisKey != "") {
			bad("redis_ca, redis_cert, redis_key: need a URL with rediss://")
		}
		if t.Master == "" && (c.RedisSentinelUsername != "" || c.RedisSentinelPasswordFile != "") {
			bad("redis_sentinel_username, redis_sentinel_password_file: need a URL with redis+sentinel://")
		}
	}
	if (c.RedisCert == "") != (c.RedisKey == "") {
		bad("redis_cert: set both redis_cert and redis_key, or neither")
	}
	if c.RedisPrefix == "" || len(c.RedisPrefix) > 64 {
		bad("redis_prefix: must have 1 to 64 bytes")
	}
	oneOf(bad, "adapter", c.Adapter, "streams", "classic", "sharded")
	if n := c.Streams.MaxLen; n > 0 && n < 16 {
		bad("streams.max_len: must be 16 at least")
	}
	oneOf(bad, "sharded.mode", c.Sharded.Mode, "static", "dynamic", "dynamic-private")
	if c.ClusterListen != "" && c.ClusterListen != off {
		if err := checkAddr(c.ClusterListen); err != nil {
			bad("cluster_listen: %w", err)
		} else if !strings.HasSuffix(c.ClusterListen, ":0") && (c.ClusterListen == c.Listen || c.ClusterListen == c.InternalListen) {
			bad("cluster_listen: %s is another listener's address, too", c.ClusterListen)
		}
	}
	if c.Advertise != "" {
		host, port, err := net.SplitHostPort(c.Advertise)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || perr != nil || n == 0 || len(c.Advertise) > 255 {
			bad("advertise: %q isn't an address such as 10.0.0.7:7000", c.Advertise)
		} else if ip := net.ParseIP(host); ip.IsUnspecified() {
			bad("advertise: nobody reaches %s", host)
		}
		if c.ClusterListen == off {
			bad("advertise: cluster_listen is off")
		}
	}
	if len(c.NodeName) > 64 {
		bad("node_name: is longer than 64 bytes")
	}
	if c.ClusterSecret != "" && c.ClusterSecretFile != "" {
		bad("cluster_secret: set it, or cluster_secret_file")
	}
	if c.ClusterSecret != "" && len(c.ClusterSecret) < minSecret {
		bad("cluster_secret: has %d bytes; at least %d are needed (openssl rand -hex 32)", len(c.ClusterSecret), minSecret)
	}
}

// clusterWarnings says what has no effect, or an unexpected one.
func (c *Config) clusterWarnings(warn func(string, ...any)) {
	if c.Redis == "" {
		if c.Adapter != Default().Adapter {
			warn("adapter: has no effect without redis")
		}
		if c.Advertise != "" || c.ClusterListen != "" && c.ClusterListen != off {
			warn("cluster_listen: has no effect without redis, nor has advertise")
		}
		return
	}
	if t, err := ParseRedis(c.Redis); err == nil && t.Password != "" {
		warn("redis: the URL has a password, which others may see in the list of processes; use redis_password_file")
	}
	if c.Recovery > 0 && c.Adapter != "streams" {
		warn("recovery: needs the adapter streams where there are several nodes; clients that come back get fresh sessions")
	}
	if c.ClusterListen == off {
		warn("cluster_listen: is off, so every request that a balancer sends to another node goes through Redis; keep clients on their node by a cookie")
	}
}

// ReadSecret reads a secret from a file. A newline at its end doesn't count.
func ReadSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
