package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/cluster"
	"github.com/roomcast/roomcast/cluster/redisstore"
	"github.com/roomcast/roomcast/server"
)

// peers joins a server to others, without sticky sessions.
type peers struct {
	rdb      *redis.Client
	node     *cluster.Node
	listener net.Listener
	served   chan error
}

// join joins the node, and sets what cfg needs for it.
func join(c config, cfg *server.Config) (*peers, error) {
	options, err := redis.ParseURL(c.Redis)
	if err != nil {
		return nil, err
	}
	options.DisableIdentity, options.ContextTimeoutEnabled = true, true
	ps := &peers{rdb: redis.NewClient(options), served: make(chan error, 1)}
	if ps.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	ps.node, err = cluster.Join(context.Background(), cluster.Config{
		Store: redisstore.New(ps.rdb, ""), Name: c.Node, Advertise: ps.listener.Addr().String(),
	})
	if err != nil {
		return nil, err
	}
	cfg.Driver = driver(c.Adapter, ps.rdb)
	cfg.Engine.NewID, cfg.Engine.Stranger = ps.node.NewID, ps.node.Forward
	return ps, nil
}

func driver(adapter string, rdb *redis.Client) adapters.Driver {
	switch adapter {
	case "classic":
		return redisadapter.PubSub(rdb, redisadapter.Config{})
	case "sharded":
		return redisadapter.ShardedPubSub(rdb, redisadapter.Config{})
	}
	return redisadapter.Streams(rdb, redisadapter.StreamsConfig{})
}

func (ps *peers) serve(sio *server.Server) { ps.served <- ps.node.Serve(ps.listener, sio) }

// leave ends what join began. The server must be shut down.
func (ps *peers) leave(ctx context.Context) error {
	err := ps.node.Close(ctx)
	if e := <-ps.served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, ps.rdb.Close())
}
