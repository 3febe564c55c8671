package engine

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// Config configures a Server. The zero value of a field is its default, and a
// negative number switches the limit or time off.
type Config struct {
	// Handler hears of new sessions. Without one they stay silent.
	Handler Handler

	// Path is the start of the paths that are served, such as "/socket.io/".
	// Other requests are answered with 404. If empty, every path is served:
	// the host has routed already.
	Path string

	// PingInterval is the time between pings, 25 s by default; PingTimeout is
	// how long the server waits for the pong, 20 s by default.
	PingInterval, PingTimeout time.Duration

	// UpgradeTimeout is how long a client has to complete an upgrade, and a
	// WebTransport client to send its first packet: 10 s by default.
	UpgradeTimeout time.Duration

	// MaxPayload is the size in bytes up to which a POST body or a message is
	// taken, 1,000,000 by default.
	MaxPayload int

	// Transports that are enabled, of "polling", "websocket" and "webtransport".
	// By default polling, and the others if they have an Upgrader.
	Transports []string

	// NoUpgrades keeps the server from offering upgrades to clients.
	NoUpgrades bool

	// WebSocket and WebTransport make connections of requests: wsconn.Upgrader
	// and wtconn.Upgrader. Without one the transport is off.
	WebSocket, WebTransport Upgrader

	// EIO3 admits clients of Engine.IO revision 3 (Socket.IO v2).
	EIO3 bool

	// JSONP admits polling by script elements, which no Origin check protects.
	JSONP bool

	// Origins are the origins of pages, beside the server's own, that may
	// connect: "https://example.com", "/https://[a-z]+\.example\.com/" (a
	// regular expression for the whole origin, between slashes), or "*" for
	// all. It holds for every transport, and CORS answers follow it.
	Origins []string
	CORS    CORS

	// CheckOrigin, if set, decides about every request in place of Origins; so
	// CORS answers are the host's affair.
	CheckOrigin func(*http.Request) bool

	// AllowRequest may refuse a handshake: its error goes to the client, with
	// status 403 and code 4.
	AllowRequest func(*http.Request) error

	// NewID makes session ids. By default they are 15 random bytes in base64url.
	NewID func(*http.Request) (string, error)

	// Stranger is handed requests that name a session which this server hasn't,
	// after their origin was checked, and reports whether it has answered. If
	// not, the client is told that its session is unknown. Package cluster
	// passes such requests on to the node that has the session.
	Stranger func(w http.ResponseWriter, r *http.Request, id string) bool

	// InitialPacket is a text message that is sent right behind the open packet.
	InitialPacket string

	// Cookie is set by the handshake of a polling client, with the session id as value.
	Cookie *Cookie

	// CompressThreshold is the size in bytes from which responses to a GET are
	// compressed if the client accepts it: 1024 by default.
	CompressThreshold int

	// OnHeaders may add headers to every successful response and to every 101;
	// OnInitialHeaders is called before it for the first one of a session.
	OnHeaders, OnInitialHeaders func(http.Header, *http.Request)

	// OnConnectionError hears of every request that is refused.
	OnConnectionError func(*ConnectionError)

	// Logger is slog.Default() by default.
	Logger *slog.Logger

	// MaxQueuedPackets (8192) and MaxQueuedBytes (4 MiB, and 4 × MaxPayload at
	// least) bound the send queue of a session; who exceeds them is closed.
	MaxQueuedPackets, MaxQueuedBytes int

	// MaxPacketsPerPayload is how many packets a POST may bring, 1000 by default.
	MaxPacketsPerPayload int

	// ControlRate is how many pings, unasked pongs and other packets without a message a
	// client may send per second over time, 5 by default; two seconds' worth may come
	// at once. Who sends more is closed. It is at least twice the rate of the pings
	// that PingInterval asks of clients of revision 3.
	ControlRate int

	// BodyTimeout is how long a POST body may take to arrive, and WriteTimeout
	// a response to be taken: 10 s each by default.
	BodyTimeout, WriteTimeout time.Duration

	// MaxSessions bounds the sessions of this server, MaxSessionsPerIP those of
	// one address (http.Request.RemoteAddr). Both are off by default.
	MaxSessions, MaxSessionsPerIP int

	// HandshakeRate is how many handshakes per second are admitted over time,
	// 500 by default; two seconds' worth may come at once.
	HandshakeRate int
}

// CORS are the answers to requests from other origins. They are given only if
// Config.Origins lists any.
type CORS struct {
	Credentials    bool          // lets pages send cookies; not with the origin "*"
	Methods        []string      // GET, HEAD, PUT, PATCH, POST and DELETE by default
	Headers        []string      // by default what the preflight asks for
	ExposedHeaders []string      // those of answers that pages may read; none by default
	MaxAge         time.Duration // for which a preflight holds; left to the browser by default
}

// Cookie describes the cookie of polling handshakes.
type Cookie struct {
	Name     string        // "io" by default
	Path     string        // "/" by default; "-" leaves it out
	Domain   string        // left out by default
	MaxAge   time.Duration // a session cookie by default
	Script   bool          // lets scripts read it (no HttpOnly)
	Secure   bool          // for https only
	SameSite http.SameSite // Lax by default; http.SameSiteDefaultMode leaves it out
}

// withDefaults returns cfg with every default filled in. Numbers that are
// switched off become 0 or huge, as their users need it.
func (cfg Config) withDefaults() Config {
	cfg.PingInterval = or(cfg.PingInterval, 25*time.Second)
	cfg.PingTimeout = or(cfg.PingTimeout, 20*time.Second)
	cfg.UpgradeTimeout = or(cfg.UpgradeTimeout, 10*time.Second)
	if cfg.UpgradeTimeout == 0 {
		cfg.UpgradeTimeout = never
	}
	cfg.MaxPayload = limit(cfg.MaxPayload, 1_000_000)
	cfg.CompressThreshold = limit(cfg.CompressThreshold, 1024)
	cfg.MaxQueuedPackets = limit(cfg.MaxQueuedPackets, 8192)
	if cfg.MaxQueuedBytes >= 0 {
		cfg.MaxQueuedBytes = max(cmp.Or(cfg.MaxQueuedBytes, 4<<20), 4*min(cfg.MaxPayload, noLimit/4))
	}
	cfg.MaxQueuedBytes = limit(cfg.MaxQueuedBytes, 0)
	cfg.MaxPacketsPerPayload = limit(cfg.MaxPacketsPerPayload, 1000)
	cfg.BodyTimeout = or(cfg.BodyTimeout, 10*time.Second)
	cfg.WriteTimeout = or(cfg.WriteTimeout, 10*time.Second)
	cfg.MaxSessions = limit(cfg.MaxSessions, noLimit)
	cfg.MaxSessionsPerIP = limit(cfg.MaxSessionsPerIP, noLimit)
	if cfg.ControlRate = or(cfg.ControlRate, 5); cfg.ControlRate > 0 && cfg.PingInterval > 0 {
		cfg.ControlRate = max(cfg.ControlRate, int(2*time.Second/cfg.PingInterval))
	}
	cfg.HandshakeRate = or(cfg.HandshakeRate, 500)
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if cfg.Transports == nil {
		cfg.Transports = []string{"polling", "websocket", "webtransport"}
	}
	cfg.Transports = slices.DeleteFunc(slices.Clone(cfg.Transports), func(t string) bool {
		return t == "websocket" && cfg.WebSocket == nil || t == "webtransport" && cfg.WebTransport == nil
	})
	if cfg.Cookie != nil {
		c := *cfg.Cookie
		cfg.Cookie = &c
	}
	return cfg
}

// Validate reports the first setting that cannot be used.
func (cfg Config) Validate() error {
	for _, t := range cfg.Transports {
		if t != "polling" && t != "websocket" && t != "webtransport" {
			return fmt.Errorf("engine: unknown transport %q: use polling, websocket or webtransport", t)
		}
	}
	if _, err := newOrigins(cfg.Origins); err != nil {
		return err
	}
	if cfg.CORS.Credentials && slices.Contains(cfg.Origins, "*") {
		return fmt.Errorf(`engine: CORS.Credentials with the origin "*" would let every site act for a user: list the origins`)
	}
	if c := cfg.Cookie; c != nil {
		if err := c.cookie("id").Valid(); err != nil {
			return fmt.Errorf("engine: cookie: %w", err)
		}
	}
	return nil
}

// never is a time that nothing reaches.
const never = 1 << 62

// noLimit is a limit that nothing reaches; it fits into 32 bits.
const noLimit = 1<<31 - 1

// or is v, the default for zero, or 0 if v is negative.
func or[T ~int | ~int64](v, def T) T { return max(cmp.Or(v, def), 0) }

// limit is v, the default for zero, or no limit if v is negative.
func limit(v, def int) int {
	if v = cmp.Or(v, def); v < 0 {
		return noLimit
	}
	return min(v, noLimit)
}
