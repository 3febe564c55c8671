// Command goserver is Roomcast with the application of the benchmark, the same
// as in ../node/server.mjs. It prints one line of JSON with its addresses when
// it listens, and ends with its standard input. With REDIS_ADDR it is a node
// of a cluster.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/internal/gcfloor"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/server"
)

// object is the argument of the event "object".
type object struct {
	ID   int    `json:"id"`
	Room string `json:"room"`
	User struct {
		Name  string `json:"name"`
		Admin bool   `json:"admin"`
	} `json:"user"`
	Tags []string `json:"tags"`
	Text string   `json:"text"`
	At   int64    `json:"at"`
}

// cast is the argument of the event "cast".
type cast struct {
	Room string `json:"room"`
	Data string `json:"data"`
}

func main() {
	log.SetFlags(0)
	slog.SetLogLoggerLevel(slog.LevelWarn)
	gcfloor.Set(gcfloor.Default) // as the program roomcast
	if err := run(); err != nil {
		log.Fatal("goserver: ", err)
	}
}

func run() error {
	ms, _ := strconv.Atoi(os.Getenv("PING_INTERVAL_MS")) // 0: the default
	payload, _ := strconv.Atoi(os.Getenv("MAX_PAYLOAD")) // 0: the default
	srv, err := server.New(server.Config{
		Engine: engine.Config{
			PingInterval:  time.Duration(ms) * time.Millisecond,
			MaxPayload:    payload,
			HandshakeRate: -1, // the official server has no such limit
		},
		PacketLimits: parser.Limits{MaxAttachmentBytes: payload},
		Driver:       driver(os.Getenv("REDIS_ADDR"), os.Getenv("ADAPTER")),
	})
	if err != nil {
		return err
	}
	ns := srv.Of("/")
	server.OnAck(ns, "echo", echo[string])
	server.OnAck(ns, "object", echo[object])
	server.OnAck(ns, "raw", echo[json.RawMessage])
	server.OnAck(ns, "binary", echo[[]byte])
	server.OnAck(ns, "join", func(_ context.Context, s *server.Socket, room string) (bool, error) {
		return true, s.Join(room)
	})
	server.On(ns, "cast", func(ctx context.Context, _ *server.Socket, c cast) error {
		return ns.To(c.Room).Emit(ctx, "cast", c.Data)
	})

	public, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	private, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- http.Serve(public, srv) }()
	go func() { failed <- http.Serve(private, &side{srv: srv, ns: ns}) }()
	fmt.Printf(`{"addr":%q,"side":%q,"version":%q}`+"\n", public.Addr(), private.Addr(), runtime.Version())

	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		failed <- err
	}()
	return <-failed
}

// driver joins the nodes on a Redis server. Without one it is nil.
func driver(addr, adapter string) adapters.Driver {
	if addr == "" {
		return nil
	}
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	if adapter == "streams" {
		return redisadapter.Streams(rdb, redisadapter.StreamsConfig{})
	}
	return redisadapter.PubSub(rdb, redisadapter.Config{})
}

func echo[T any](_ context.Context, _ *server.Socket, v T) (T, error) { return v, nil }

// stats counts what there is.
func stats(srv *server.Server, ns *server.Namespace) map[string]any {
	st := srv.Stats().Engine
	nodes, _ := ns.Nodes(context.Background()) // 0: it can't tell
	return map[string]any{
		"sockets":    len(ns.Sockets()),
		"sessions":   st.WebSocket.Load() + st.Polling.Load(),
		"goroutines": runtime.NumGoroutine(),
		"nodes":      nodes,
	}
}

// collect gives back all memory that isn't used. Pools need two collections.
func collect() {
	for range 2 {
		debug.FreeOSMemory()
	}
}
