package main

import (
	"io"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/engine/wsconn"
	"github.com/roomcast/roomcast/engine/wtconn"
	"github.com/roomcast/roomcast/internal/auth"
	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/web"
)

var discard = slog.New(slog.DiscardHandler)

// newLogger returns the logger that the settings ask for.
func newLogger(c *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Log.Level)) // checked by config
	options := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// prepared is what is read from files before anything starts.
type prepared struct {
	verifier *auth.Verifier          // nil without keys
	cert     *web.Certificate        // nil without TLS
	redis    *redis.UniversalOptions // nil without Redis
	secret   []byte                  // of the cluster; nil if Redis has it
}

// prepare reads the files that the settings name.
func prepare(c *config.Config, log *slog.Logger) (prepared, error) {
	var p prepared
	var err error
	if len(c.Auth.Keys) > 0 {
		if p.verifier, err = auth.New(c.Auth); err != nil {
			return p, err
		}
	}
	if c.TLS.Cert != "" {
		if p.cert, err = web.LoadCertificate(c.TLS.Cert, c.TLS.Key, log); err != nil {
			return p, err
		}
	}
	if c.Redis != "" {
		if p.redis, err = redisOptions(c); err != nil {
			return p, err
		}
		if p.secret, err = clusterSecret(c); err != nil {
			return p, err
		}
	}
	return p, nil
}

// newIO returns the realtime server that the settings describe. wt, ps and q may be nil.
func newIO(c *config.Config, p prepared, wt *wtconn.Server, ps *peers, q *hostQueues, log *slog.Logger) (*server.Server, error) {
	l := &c.Limits
	cfg := server.Config{
		Path:   c.Path,
		Logger: log,
		Engine: engine.Config{
			PingInterval:         c.PingInterval.Std(),
			PingTimeout:          c.PingTimeout.Std(),
			UpgradeTimeout:       c.UpgradeTimeout.Std(),
			MaxPayload:           int(l.MaxPayload),
			Transports:           append([]string(nil), c.Transports...),
			EIO3:                 c.EIO3,
			JSONP:                c.JSONP,
			Origins:              c.Origins,
			MaxQueuedPackets:     int(l.QueuePackets),
			MaxQueuedBytes:       int(l.QueueBytes),
			MaxPacketsPerPayload: int(l.PacketsPerPayload),
			BodyTimeout:          l.BodyTimeout.Std(),
			WriteTimeout:         l.WriteTimeout.Std(),
			MaxSessions:          int(l.Sessions),
			MaxSessionsPerIP:     int(l.SessionsPerIP),
			HandshakeRate:        int(l.HandshakesPerSecond),
			ControlRate:          int(l.ControlPerSecond),
		},
		WebSocket: wsconn.Config{
			MaxFragments: int(l.Fragments),
			WriteTimeout: l.WriteTimeout.Std(),
			Deflate:      c.PerMessageDeflate,
		},
		PacketLimits: parser.Limits{
			MaxAttachments:     int(l.Attachments),
			MaxAttachmentBytes: int(l.AttachmentBytes),
			MaxDepth:           int(l.Depth),
			MaxEventName:       int(l.EventName),
			MaxNamespace:       int(l.NamespaceName),
			StrictKeys:         l.StrictKeys,
		},
		ConnectTimeout: c.ConnectTimeout.Std(),
		ClientFiles:    web.ClientFiles(),
		CleanupEmpty:   true, // names of patterns are the clients' choice
		Limits: server.Limits{
			NamespacesPerClient: int(l.NamespacesPerClient),
			Namespaces:          int(l.Namespaces),
			RoomsPerSocket:      int(l.RoomsPerSocket),
			PendingAcks:         int(l.PendingAcks),
			WaitingEvents:       int(l.WaitingEvents),
			WaitingBytes:        int(l.WaitingBytes),
			AttachmentTime:      l.AttachmentTime.Std(),
			PacketsPerSecond:    int(l.PacketsPerSecond),
		},
	}
	if !c.Compression {
		cfg.Engine.CompressThreshold = -1
	}
	if c.Cookie != "" {
		cfg.Engine.Cookie = &engine.Cookie{Name: c.Cookie, Secure: c.TLS.Cert != ""}
	}
	if wt != nil {
		cfg.Engine.WebTransport = wt
		cfg.Engine.Transports = append(cfg.Engine.Transports, "webtransport")
	}
	if c.Recovery > 0 {
		cfg.Recovery = &server.Recovery{
			MaxDisconnection: c.Recovery.Std(),
			MaxEvents:        int(l.RecoveryEvents),
			MaxBytes:         int(l.RecoveryBytes),
		}
	}
	node := ""
	if ps != nil {
		cfg.Driver = ps.driver
		cfg.Engine.NewID, cfg.Engine.Stranger = ps.node.NewID, ps.node.Forward
		node = ps.node.Name()
		if c.Adapter != "streams" {
			cfg.Recovery = nil // the others have no log
		}
	}
	io, err := server.New(cfg)
	if err != nil {
		return nil, err
	}
	o := opener{io: io, cfg: c, verifier: p.verifier, node: node, queues: q, log: log}
	return io, o.all()
}
