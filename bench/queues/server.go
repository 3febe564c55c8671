package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/internal/gcfloor"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/pebblequeue"
	"github.com/roomcast/roomcast/queues/redisqueue"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/queueapi"
)

// serve is the process of a Roomcast server with a queue "q", in Redis, or in a new folder if addr is
// empty. It prints where it listens, ends with its standard input, and writes a CPU profile if asked to.
func serve(addr, profile string) error {
	gcfloor.Set(gcfloor.Default) // as the program roomcast
	ctx := context.Background()
	var store queues.Store
	if addr != "" {
		rdb := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
		defer rdb.Close()
		s, err := redisqueue.Open(ctx, rdb, redisqueue.Config{})
		if err != nil {
			return err
		}
		store = s
	} else {
		dir, err := os.MkdirTemp("", "bench-queues-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s, err := pebblequeue.Open(dir, pebblequeue.Config{})
		if err != nil {
			return err
		}
		store = s
	}
	defer store.Close()
	anyone := func(context.Context, string, queues.Action, string) error { return nil }
	broker, err := queues.NewBroker(ctx, queues.BrokerConfig{Store: store, Authorize: anyone})
	if err != nil {
		return err
	}
	defer broker.Close(ctx)
	if err := broker.Configure(ctx, "q", queues.Config{MaxLen: -1, MaxBytes: -1}); err != nil {
		return err
	}
	srv, err := server.New(server.Config{Engine: engine.Config{HandshakeRate: -1}})
	if err != nil {
		return err
	}
	queueapi.Open(srv.Of("/"), queueapi.Config{Broker: broker})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(l, srv) }()
	stopProfile, err := startProfile(profile)
	if err != nil {
		return err
	}
	defer stopProfile()
	fmt.Println(l.Addr())
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		failed <- err
	}()
	err = <-failed
	return errors.Join(err, srv.Shutdown(ctx))
}
