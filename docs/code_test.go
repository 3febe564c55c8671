package docs_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/adapters/redisadapter"
	socketio "github.com/roomcast/roomcast/compat/googollee"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/engine/wsconn"
	"github.com/roomcast/roomcast/engine/wtconn"
	"github.com/roomcast/roomcast/parser/msgpack"
	"github.com/roomcast/roomcast/server"
)

// The code that the guides show, so that the compiler sees it: TestCode finds
// each piece of theirs here. Nothing calls these functions.

type Message struct{ Room, Text string }

func use(...any) {}

func mixed(s *socketio.Server) {
	ns := s.Native().Of("/chat")
	server.On(ns, "say", func(ctx context.Context, c *server.Socket, m Message) error {
		return c.To(m.Room).Emit(ctx, "said", m.Text)
	})
}

func made(rdb redis.UniversalClient, certificate *tls.Config) {
	{
		io, err := server.New(server.Config{Engine: engine.Config{EIO3: true}})
		use(io, err)
	}
	io, err := server.New(server.Config{})
	http.Handle("/socket.io/", io)
	router := gin.New()
	router.Any("/socket.io/*any", gin.WrapH(io))
	driver := redisadapter.PubSub(rdb, redisadapter.Config{})
	driver = redisadapter.PubSub(rdb, redisadapter.Config{})
	driver = redisadapter.ShardedPubSub(rdb, redisadapter.Config{})
	use(server.Config{Driver: driver}, err)
	streams := redisadapter.Streams(rdb, redisadapter.StreamsConfig{MaxLen: 10_000})
	use(server.Config{Driver: streams}, err)
	wt := wtconn.NewServer(wtconn.Config{TLS: certificate})
	use(engine.Config{WebTransport: wt})
	go wt.ListenAndServe(":443", io)
	err = http.ListenAndServe(":3000", io)
	use(err)
}

func wired(io *server.Server, data any, onServer func(context.Context, *server.ServerEvent) error, onNamespace func(*server.Namespace)) error {
	ns := io.Of("/chat")
	ns = io.OfMatch(regexp.MustCompile("^/org-[0-9]+$"))
	ns = io.OfFunc(func(ctx context.Context, name string, auth json.RawMessage) bool { return true })
	ns.HandleServer("ping", onServer)
	io.OnNamespace(onNamespace)
	return &server.Error{Message: "no", Data: data}
}

func answered(e *server.ServerEvent, v any) error {
	return e.Answer(v)
}

// handled has handlers with the names of the guide for googollee's users.
func handled(ns *server.Namespace) {
	var x, y int
	ns.Use(func(ctx context.Context, c *server.Socket) error { return nil })
	ns.OnConnect(func(ctx context.Context, c *server.Socket) error { return nil })
	ns.OnDisconnect(func(ctx context.Context, c *server.Socket, reason string) {})
	ns.OnError(func(ctx context.Context, c *server.Socket, err error) {})
	server.On(ns, "say", func(ctx context.Context, c *server.Socket, m Message) error { return nil })
	server.OnAck(ns, "sum", func(ctx context.Context, c *server.Socket, v []int) (int, error) { return len(v), nil })
	ns.Handle("move", func(ctx context.Context, e *server.Event) error { return e.Decode(&x, &y) })
	ns.Use(func(ctx context.Context, c *server.Socket) error {
		c.Set("user", c.Handshake().Query.Get("user"))
		return nil
	})
}

// handledToo has those of the guide for Node's.
func handledToo(ns *server.Namespace, onAny func(context.Context, *server.Event),
	onOutgoing func(context.Context, *server.Socket, server.Outgoing), onGone func(context.Context, *server.Socket, string),
	onError func(context.Context, *server.Socket, error), onUpgrade func(context.Context, *server.Socket), onRoom func(server.RoomChange)) {
	ns.Use(func(ctx context.Context, socket *server.Socket) error { return nil })
	ns.OnConnect(func(ctx context.Context, socket *server.Socket) error { return nil })
	server.On(ns, "say", func(ctx context.Context, socket *server.Socket, m Message) error { return nil })
	server.OnAck(ns, "sum", func(ctx context.Context, socket *server.Socket, v []int) (int, error) { return len(v), nil })
	ns.OnAny(onAny)
	ns.OnAnyOutgoing(onOutgoing)
	ns.UseEvent(func(ctx context.Context, e *server.Event) error { return nil })
	ns.OnDisconnecting(onGone)
	ns.OnDisconnect(onGone)
	ns.OnError(onError)
	ns.OnUpgrade(onUpgrade)
	ns.OnRoom(onRoom)
}

func sent(ctx context.Context, io *server.Server, ns *server.Namespace, c *server.Socket, id string, v any, b []byte) (err error) {
	err = c.Emit(ctx, "said", v)
	{
		answer, err := c.Call(ctx, "ask", v)
		err = answer.Decode(&v)
		use(answer, err)
	}
	err = c.Join("lobby")
	c.Leave("lobby")
	c.Leave(c.Rooms()...)
	c.Set("user", v)
	{
		user := server.Value[string](c, "user")
		use(user)
	}
	use(c.ID(), c.Rooms(), c.Namespace().Name())
	use(c.Handshake().URL, c.Handshake().Headers, c.Handshake().Address)
	use(c.Session().Request().Host, base64.StdEncoding.EncodeToString(b))
	err = ns.To(id).Join(ctx, "lobby")
	err = ns.To(id).Leave(ctx, "lobby")
	socket := ns.Socket(id)
	socket.Leave(socket.Rooms()...)
	c.Disconnect(true)
	err = ns.To("lobby").Emit(ctx, "said", v)
	err = c.To("lobby").Emit(ctx, "said", v)
	err = ns.Emit(ctx, "said", v)
	{
		sockets, err := ns.To("lobby").FetchSockets(ctx)
		use(sockets, err, ns.Count("lobby"), ns.Rooms())
	}
	for _, c := range ns.Members("lobby") {
		c.Leave("lobby")
	}
	err = ns.To("lobby").Leave(ctx, "lobby")
	use(io.Stats().Namespaces.Clients)
	err = io.Drain(ctx, 10*time.Second)
	err = io.Shutdown(ctx)
	return err
}

func sentToo(ctx context.Context, ns *server.Namespace, socket *server.Socket, remote server.RemoteSocket, id string, v any, callback func(*server.Answer, error)) (err error) {
	err = socket.Emit(ctx, "said", v)
	{
		answer, err := socket.Call(ctx, "ask", v)
		err = answer.Decode(&v)
		use(answer, err)
	}
	err = socket.EmitAck(callback, "ask", v)
	use(server.Config{AckTimeout: time.Hour})
	err = socket.Emit(ctx, "message", v)
	use(remote.ID, remote.Rooms, remote.Data)
	err = remote.Emit(ctx, "said", v)
	err = remote.Disconnect(ctx, false)
	err = socket.EmitVolatile(ctx, "moved", v)
	err = socket.Broadcast().Emit(ctx, "said", v)
	err = socket.To("lobby").Emit(ctx, "said", v)
	err = ns.To("a", "b").Except("c").Emit(ctx, "said", v)
	err = ns.Local().Emit(ctx, "said", v)
	{
		target := ns.To("lobby").Volatile().Compress(false)
		use(target)
	}
	{
		answers, err := ns.To("lobby").Call(ctx, "ask", v)
		use(answers, err)
	}
	err = socket.Join("lobby")
	socket.Leave("lobby")
	use(socket.Rooms(), socket.ID(), socket.Namespace().Name())
	socket.Set("user", v)
	{
		user := server.Value[string](socket, "user")
		use(user)
	}
	var auth struct{ Token string }
	err = socket.Handshake().DecodeAuth(&auth)
	use(socket.Handshake().Headers, socket.Handshake().Query, socket.Recovered(), socket.Transport())
	use(socket.Handshake().Address, socket.Handshake().URL, socket.Handshake().Time, socket.Connected(), socket.Context())
	socket.Disconnect(true)
	socket = ns.Socket(id)
	use(ns.Members("lobby"))
	err = ns.To("a").Join(ctx, "b")
	err = ns.To("a").Leave(ctx, "b")
	err = ns.To("a").Disconnect(ctx, true)
	err = ns.ServerSideEmit(ctx, "ping", v)
	{
		answers, err := ns.ServerSideCall(ctx, "ping", v)
		use(answers, err)
	}
	return err
}

func settings(driver adapters.Driver, check func(*http.Request) bool, allow func(*http.Request) error, newID func(*http.Request) (string, error),
	addHeaders func(http.Header, *http.Request), onRefused func(*engine.ConnectionError)) {
	use(
		engine.Config{PingInterval: 20 * time.Second, PingTimeout: time.Minute},
		engine.Config{Origins: []string{"https://app.example"}},
		engine.Config{CheckOrigin: check},
		engine.Config{AllowRequest: allow},
		engine.Config{NewID: newID},
		engine.Config{OnHeaders: addHeaders},
		engine.Config{OnHeaders: addHeaders, OnInitialHeaders: addHeaders, OnConnectionError: onRefused},
		engine.Config{Transports: []string{"polling", "websocket"}},
		server.Config{Path: "/socket.io"},
		engine.Config{EIO3: true},
		engine.Config{PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second, UpgradeTimeout: 10 * time.Second},
		engine.Config{MaxPayload: 1_000_000},
		engine.Config{Transports: []string{"polling", "websocket"}, NoUpgrades: true},
		engine.Config{Origins: []string{"https://app.example"}, CORS: engine.CORS{Credentials: true}},
		engine.Config{Cookie: &engine.Cookie{Name: "io"}},
		engine.Config{CompressThreshold: 1024},
		server.Config{WebSocket: wsconn.Config{Deflate: true}},
		server.Config{ConnectTimeout: 45 * time.Second},
		server.Config{Recovery: &server.Recovery{}},
		server.Config{Parser: msgpack.Codec},
		server.Config{ClientFiles: os.DirFS("client-dist")},
		server.Config{CleanupEmpty: true},
		server.Config{Driver: driver},
		redisadapter.Config{Prefix: "socket.io"},
		redisadapter.Config{RequestTimeout: 5 * time.Second},
		redisadapter.Config{SpecificResponses: true},
		redisadapter.Config{Mode: redisadapter.Dynamic},
		redisadapter.StreamsConfig{Config: redisadapter.Config{Prefix: "socket.io"}},
		redisadapter.StreamsConfig{Stream: "socket.io", Streams: 1, SessionPrefix: "sio:session:"},
		redisadapter.StreamsConfig{Sharded: true},
	)
}

var _ = []any{mixed, made, wired, answered, handled, handledToo, sent, sentToo, settings}
