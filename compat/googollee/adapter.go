package socketio

import (
	"cmp"
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters/redisadapter"
)

// RedisAdapterOptions say where Redis is.
type RedisAdapterOptions struct {
	Host, Port string // used if there is no Addr
	Addr       string // "127.0.0.1:6379" by default
	Prefix     string // of the channels' names, "socket.io" by default
	Network    string // "tcp" by default, or "unix"
	Password   string
	DB         int
}

var errStarted = errors.New("googollee: Adapter must be called before the server is used")

// Adapter joins this node to others through Redis. It must be called before the
// server is used, and fails if Redis doesn't answer. Messages are those of
// @socket.io/redis-adapter: nodes that run googollee itself don't understand them.
func (s *Server) Adapter(opts *RedisAdapterOptions) (bool, error) {
	if s.core.Load() != nil {
		return false, errStarted
	}
	var o RedisAdapterOptions
	if opts != nil {
		o = *opts
	}
	if o.Addr == "" && (o.Host != "" || o.Port != "") {
		o.Addr = net.JoinHostPort(cmp.Or(o.Host, "127.0.0.1"), cmp.Or(o.Port, "6379"))
	}
	rdb := redis.NewClient(&redis.Options{
		Network:  cmp.Or(o.Network, "tcp"),
		Addr:     cmp.Or(o.Addr, "127.0.0.1:6379"),
		Password: o.Password,
		DB:       o.DB,
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := rdb.Ping(ctx).Err()
	if err == nil {
		err = s.join(rdb, o.Prefix)
	}
	if err != nil {
		rdb.Close()
	}
	return err == nil, err
}

func (s *Server) join(rdb *redis.Client, prefix string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core.Load() != nil || s.closed || s.rdb != nil {
		return errStarted
	}
	s.rdb = rdb
	s.cfg.Driver = redisadapter.PubSub(rdb, redisadapter.Config{Prefix: prefix, Logger: s.cfg.Logger})
	return nil
}

// joined reports whether there may be other nodes.
func (s *Server) joined() bool { return s.cfg.Driver != nil }
