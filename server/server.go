// Package server is a realtime server that speaks Socket.IO: browsers and
// other programs connect with the ordinary socket.io client, major versions 2 to 4.
//
//	io, err := server.New(server.Config{})
//	chat := io.Of("/chat")
//	server.On(chat, "say", func(ctx context.Context, s *server.Socket, text string) error {
//		return s.To("lobby").Emit(ctx, "said", text)
//	})
//	http.Handle("/socket.io/", io)
//
// A Server is an http.Handler and mounts under any router.
package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/engine/wsconn"
	"github.com/roomcast/roomcast/namespaces"
	"github.com/roomcast/roomcast/parser"
)

// Config configures a Server. The zero Config is ready to use: clients of
// version 3 and 4, polling and WebSocket, pages of the same origin only.
type Config struct {
	// Path is where the server answers. If empty, "/socket.io" is used. A slash
	// is added behind it: requests for the bare path are not the server's.
	Path string

	// Engine has the options of the connection: heartbeat, transports, origins, limits, clients of version 2.
	// Its upgraders need not be set.
	Engine engine.Config

	// WebSocket has the options of WebSocket connections. Its limits on messages and
	// on pings follow Engine.MaxPayload and ControlRate.
	WebSocket wsconn.Config

	// Parser is the form of packets. If nil, parser.JSON is used, as by clients
	// that don't say otherwise.
	Parser parser.Codec

	// PacketLimits bound what one packet may consist of. The attachments of a
	// packet may have Engine.MaxPayload bytes together, unless set here.
	PacketLimits parser.Limits

	// ConnectTimeout is the time that a client has to join its first namespace.
	// If zero, 10 s is used (officially 45 s). If negative, there is no limit.
	ConnectTimeout time.Duration

	// AckTimeout is how long acks are waited for when a call's context has no
	// deadline. If zero, 30 s is used.
	AckTimeout time.Duration

	// Recovery lets clients continue after a short absence. Nil is off.
	Recovery *Recovery

	// Driver joins this node to others. If nil, the node is alone.
	Driver adapters.Driver

	// CleanupEmpty closes dynamic namespaces when their last socket has left. With Recovery on a node
	// that is alone they stay for as long as clients may come back to what they have missed, unless
	// Limits.Namespaces is reached.
	CleanupEmpty bool

	// OneByOne runs the handlers of all namespaces of a client one at a time, in
	// the order of its packets. By default the namespaces don't wait for each other.
	OneByOne bool

	// HoldEarly has sockets addressed before they have joined: what is sent to
	// one, to its rooms or to the namespace while its middlewares run reaches it
	// right behind the answer to its CONNECT, and nobody if it is refused.
	// OnDisconnect is also told of those that go while they are let in.
	// By default only Socket.Emit reaches such a socket, and at once.
	HoldEarly bool

	// ClientFiles has the JavaScript client's bundles, such as
	// "socket.io.min.js", as in the folder client-dist of the npm package
	// socket.io. They are served under Path. If nil, none are.
	ClientFiles fs.FS

	// Limits bound what one client can make the server hold.
	Limits Limits

	// Logger is told what goes wrong. If nil, slog.Default() is used.
	Logger *slog.Logger
}

// Server is a Socket.IO server.
type Server struct {
	cfg      Config
	prefix   string
	engine   *engine.Server
	registry *namespaces.Registry
	files    *clientFiles
}

// New returns a server. It is ready to serve; Shutdown ends it. The error says
// what is wrong with cfg, or that the driver failed.
func New(cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	s := &Server{cfg: cfg}
	s.prefix = "/" + strings.Trim(cmp.Or(cfg.Path, "/socket.io"), "/") + "/"

	// What comes as one message may be one attachment.
	if cfg.PacketLimits.MaxAttachmentBytes == 0 {
		cfg.PacketLimits.MaxAttachmentBytes = cmp.Or(cfg.Engine.MaxPayload, 1_000_000)
	}
	ec := cfg.Engine
	if ec.Logger == nil {
		ec.Logger = cfg.Logger
	}
	if ec.WebSocket == nil {
		ws := cfg.WebSocket
		ws.MaxMessage = cmp.Or(ws.MaxMessage, ec.MaxPayload)
		ws.ControlRate = cmp.Or(ws.ControlRate, ec.ControlRate)
		ec.WebSocket = wsconn.NewUpgrader(ws)
	}
	if err := ec.Validate(); err != nil {
		return nil, err
	}
	var err error
	s.registry, err = namespaces.NewRegistry(namespaces.Config{
		Codec:          cfg.Parser,
		PacketLimits:   cfg.PacketLimits,
		Driver:         cfg.Driver,
		ConnectTimeout: cfg.ConnectTimeout,
		AckTimeout:     cfg.AckTimeout,
		Recovery:       cfg.Recovery,
		CleanupEmpty:   cfg.CleanupEmpty,
		OneByOne:       cfg.OneByOne,
		HoldEarly:      cfg.HoldEarly,
		Limits:         cfg.Limits,
		Logger:         cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	ec.Handler = s.registry
	s.engine = engine.New(ec)
	if cfg.ClientFiles != nil {
		s.files = newClientFiles(cfg.ClientFiles)
	}
	return s, nil
}

// ServeHTTP answers requests whose path begins with Config.Path and a slash,
// others with 404.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, s.prefix)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if s.files.has(name) {
		if !s.engine.CORS(w, r) {
			s.files.serve(w, r, name)
		}
		return
	}
	s.engine.ServeHTTP(w, r)
}

// Path returns the path prefix under which the server answers, such as "/socket.io/".
func (s *Server) Path() string { return s.prefix }

// Of returns the namespace of that name and creates it if there is none; "" is
// "/", and a missing leading slash is added. It panics if the adapter of a new
// namespace can't be opened: see Open.
func (s *Server) Of(name string) *Namespace {
	ns, err := s.Open(name)
	if err != nil {
		panic(err)
	}
	return ns
}

// Open is Of for who wants the error: the adapter can't be opened, or the server is shut down.
func (s *Server) Open(name string) (*Namespace, error) { return s.registry.Of(name) }

// To returns a broadcast to the members of rooms of the namespace "/".
func (s *Server) To(rooms ...string) Broadcast { return s.Of("/").To(rooms...) }

// OfMatch returns a parent namespace: clients may join any namespace whose
// name matches the pattern. It is made when its first client comes, with the
// handlers that the parent has then.
func (s *Server) OfMatch(pattern *regexp.Regexp) *Namespace {
	return s.registry.OfMatch(pattern.MatchString)
}

// OfFunc is OfMatch with a function that sees what the client sent as auth (nil
// if nothing) and may take its time.
func (s *Server) OfFunc(allow func(ctx context.Context, name string, auth json.RawMessage) bool) *Namespace {
	return s.registry.OfFunc(allow)
}

// OnNamespace registers f to hear of namespaces that are made from now on.
func (s *Server) OnNamespace(f func(*Namespace)) { s.registry.OnNamespace(f) }

// Namespaces returns all namespaces that exist now, sorted by name.
func (s *Server) Namespaces() []*Namespace { return s.registry.Namespaces() }

// Engine returns the Engine.IO server below.
func (s *Server) Engine() *engine.Server { return s.engine }

// Drain refuses new connections from now on and closes those that there are at
// an even pace over the time given, so that clients don't all come to the
// other nodes at once. It returns when none is left or ctx ends. Shutdown should follow.
func (s *Server) Drain(ctx context.Context, over time.Duration) error {
	return s.engine.Drain(ctx, over)
}

// Shutdown ends all connections: sockets disconnect with the reason
// ReasonShutdown, clients see a closed transport and reconnect elsewhere. It
// waits for handlers until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.engine.Refuse()
	err := s.registry.Close(ctx)
	return errors.Join(err, s.engine.Shutdown(ctx))
}

// Stats is what a server has counted.
type Stats struct {
	Engine     *engine.Stats    // live counters
	Namespaces namespaces.Stats // a copy
}

// Stats returns the counters as of now.
func (s *Server) Stats() Stats {
	return Stats{Engine: s.engine.Stats(), Namespaces: s.registry.Stats()}
}
