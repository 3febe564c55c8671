// Command server is a Roomcast node in a cluster, driven by JSON lines on its
// standard input, as tests/cluster/server.mjs is an official one.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/adapters/redisadapter"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/server"
)

type config struct {
	Redis    []int // ports; several: of a Redis Cluster
	Adapter  string
	Mode     redisadapter.Mode
	Prefix   string
	Specific bool
	Streams  int    // how many; 0: one
	Emitter  string // the stream of emitters
	Sharded  bool   // requests of the streams adapter
	Recovery bool
	MaxLen   int64 // of a stream
}

// streams is the configuration of the streams adapter. Prefix tells clusters apart in Redis.
func (c *config) streams(shared redisadapter.Config) redisadapter.StreamsConfig {
	return redisadapter.StreamsConfig{
		Config: shared, Stream: c.Prefix + ":stream", Streams: c.Streams,
		SessionPrefix: c.Prefix + ":session:", Sharded: c.Sharded, MaxLen: c.MaxLen,
		Patience: 20 * time.Second, // however busy the machine is
	}
}

// command is what the test wants.
type command struct {
	ID       int
	Do       string
	NSP      string
	Rooms    []string
	Except   []string
	Names    []string
	Event    string
	Args     []json.RawMessage
	Timeout  int // ms
	Local    bool
	Volatile bool
	Compress *bool
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// node is the server with what its handlers have noted.
type node struct {
	*server.Server
	rdb    redis.UniversalClient
	cfg    redisadapter.Config
	config *config

	mu    sync.Mutex
	noted [][]any
}

func run() error {
	var c config
	if err := json.Unmarshal([]byte(os.Args[1]), &c); err != nil {
		return err
	}
	var addrs []string
	for _, port := range c.Redis {
		addrs = append(addrs, "127.0.0.1:"+strconv.Itoa(port))
	}
	rdb := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: addrs})
	defer rdb.Close()
	cfg := redisadapter.Config{
		Prefix: c.Prefix, Mode: c.Mode, SpecificResponses: c.Specific, RequestTimeout: 2 * time.Second,
		Heartbeat: 500 * time.Millisecond, Node: fmt.Sprintf("go-%d", os.Getpid()),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	var driver adapters.Driver
	switch c.Adapter {
	case "streams":
		driver = redisadapter.Streams(rdb, c.streams(cfg))
	case "sharded":
		driver = redisadapter.ShardedPubSub(rdb, cfg)
	default:
		driver = redisadapter.PubSub(rdb, cfg)
	}
	var recovery *server.Recovery
	if c.Recovery {
		recovery = &server.Recovery{}
	}
	sio, err := server.New(server.Config{Driver: driver, Recovery: recovery, Engine: engine.Config{EIO3: true}})
	if err != nil {
		return err
	}
	n := &node{Server: sio, rdb: rdb, cfg: cfg, config: &c}
	n.setup(sio.Of("/"))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: sio, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = web.Serve(ln) }()
	fmt.Printf("{\"port\":%d}\n", ln.Addr().(*net.TCPAddr).Port)

	var out sync.Mutex
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		var cmd command
		if err := json.Unmarshal(in.Bytes(), &cmd); err != nil {
			return err
		}
		answer := func() {
			value, err := n.do(context.Background(), &cmd)
			reply := map[string]any{"id": cmd.ID, "value": value}
			if err != nil {
				reply["error"] = err.Error()
			}
			b, err := json.Marshal(reply)
			if err != nil {
				log.Fatal(err)
			}
			out.Lock()
			defer out.Unlock()
			fmt.Println(string(b))
		}
		if cmd.Do == "emit" { // in order
			answer()
		} else {
			go answer()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = sio.Shutdown(ctx)
	_ = web.Close()
	if err := in.Err(); err != nil && err != io.EOF {
		return err
	}
	return nil
}

func (n *node) setup(ns *server.Namespace) {
	server.OnAck(ns, "join", func(_ context.Context, s *server.Socket, rooms []string) (bool, error) {
		return true, s.Join(rooms...)
	})
	server.OnAck(ns, "data", func(_ context.Context, s *server.Socket, data map[string]any) (bool, error) {
		for k, v := range data {
			s.Set(k, v)
		}
		return true, nil
	})
	ns.HandleServer("add", func(_ context.Context, e *server.ServerEvent) error {
		var a, b int
		if err := e.Args.DecodeAll(&a, &b); err != nil {
			return err
		}
		return e.Answer(a + b)
	})
	ns.HandleServer("same", func(_ context.Context, e *server.ServerEvent) error {
		var v any
		if err := e.Args.DecodeAll(&v); err != nil {
			return err
		}
		return e.Answer(v)
	})
	ns.HandleServer("note", func(_ context.Context, e *server.ServerEvent) error {
		list := []any{}
		for i := range e.Args.Len() {
			var v any
			if err := e.Args.Decode(i, &v); err != nil {
				return err
			}
			list = append(list, plain(v))
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.noted = append(n.noted, list)
		return nil
	})
}

func (n *node) target(c *command) server.Broadcast {
	b := n.Of(c.NSP).To(c.Rooms...).Except(c.Except...)
	if c.Local {
		b = b.Local()
	}
	if c.Volatile {
		b = b.Volatile()
	}
	return b
}

func (n *node) do(ctx context.Context, c *command) (any, error) {
	b := n.target(c)
	args := revive(c.Args)
	switch c.Do {
	case "open":
		n.setup(n.Of(c.NSP))
		return nil, nil
	case "emit":
		return nil, b.Emit(ctx, c.Event, args...)
	case "call":
		ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Timeout)*time.Millisecond)
		defer cancel()
		list, err := b.Call(ctx, c.Event, args...)
		found := []any{}
		for _, a := range list {
			found = append(found, first(a.Args))
		}
		return answers(found, err), nil
	case "ask": // one client of this node
		s := n.Of(c.NSP).Socket(c.Rooms[0])
		if s == nil {
			return nil, server.ErrDisconnected
		}
		a, err := s.Call(ctx, c.Event, args...)
		if err != nil {
			return nil, err
		}
		return answers([]any{first(a.Args)}, nil), nil
	case "serverCall":
		list, err := n.Of(c.NSP).ServerSideCall(ctx, c.Event, args...)
		found := []any{}
		for _, a := range list {
			found = append(found, first(a))
		}
		return answers(found, err), nil
	case "serverEmit":
		return nil, n.Of(c.NSP).ServerSideEmit(ctx, c.Event, args...)
	case "fetch":
		list, err := b.FetchSockets(ctx)
		found := []any{}
		for _, s := range list {
			found = append(found, map[string]any{"id": s.ID, "rooms": s.Rooms, "data": plain(s.Data), "query": s.Handshake.Query.Get("EIO")})
		}
		return found, err
	case "join":
		return nil, b.Join(ctx, c.Names...)
	case "leave":
		return nil, b.Leave(ctx, c.Names...)
	case "disconnect":
		return nil, b.Disconnect(ctx, true)
	case "nodes":
		return n.Of("/").Nodes(ctx)
	case "noted":
		n.mu.Lock()
		defer n.mu.Unlock()
		list := n.noted
		n.noted = nil
		return append([][]any{}, list...), nil
	case "emitter":
		return nil, n.emitter(ctx, c, args)
	}
	return nil, fmt.Errorf("unknown command %q", c.Do)
}

// emitter sends as a process without sockets would.
func (n *node) emitter(ctx context.Context, c *command, args []any) error {
	var e redisadapter.Emitter
	switch n.config.Adapter {
	case "streams":
		e = redisadapter.NewStreamsEmitter(n.rdb, n.config.Emitter, 10_000, n.cfg)
	case "sharded":
		e = redisadapter.NewShardedEmitter(n.rdb, n.cfg)
	default:
		e = redisadapter.NewEmitter(n.rdb, n.cfg)
	}
	e = e.To(c.Rooms...).Except(c.Except...)
	switch {
	case len(c.Names) > 0:
		return e.Join(ctx, c.Names...)
	case strings.HasPrefix(c.Event, "server:"):
		return e.ServerSideEmit(ctx, strings.TrimPrefix(c.Event, "server:"), args...)
	}
	return e.Emit(ctx, c.Event, args...)
}

func answers(list []any, err error) map[string]any {
	m := map[string]any{"answers": list, "error": nil}
	if err != nil {
		m["error"] = err.Error()
	}
	return m
}

func first(a parser.Args) any {
	var v any
	if err := a.Decode(0, &v); err != nil {
		return err.Error()
	}
	return plain(v)
}

// revive is that of values.mjs. What holds nothing special is sent as it came.
func revive(list []json.RawMessage) []any {
	args := make([]any, len(list))
	for i, raw := range list {
		args[i] = raw
		var v any
		if strings.Contains(string(raw), `"$`) && json.Unmarshal(raw, &v) == nil {
			args[i] = special(v)
		}
	}
	return args
}

func special(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = special(v[i])
		}
	case map[string]any:
		if text, ok := v["$bin"].(string); ok {
			b, _ := base64.StdEncoding.DecodeString(text)
			return b
		}
		if ms, ok := v["$date"].(float64); ok {
			return time.UnixMilli(int64(ms))
		}
		if _, ok := v["$nan"]; ok {
			return math.NaN()
		}
		if _, ok := v["$undefined"]; ok {
			return nil
		}
		for k := range v {
			v[k] = special(v[k])
		}
	}
	return v
}

// plain is that of values.mjs.
func plain(v any) any {
	switch v := v.(type) {
	case []byte:
		return map[string]any{"$bin": base64.StdEncoding.EncodeToString(v)}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = plain(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k := range v {
			m[k] = plain(v[k])
		}
		return m
	}
	return v
}
