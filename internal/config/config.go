// Package config holds the settings of the roomcast program and reads them
// from a YAML file, the environment and flags.
//
// A setting has one path, such as "shutdown.window", and its other names follow
// from it: the key window under shutdown in the file, ROOMCAST_SHUTDOWN_WINDOW in
// the environment, --shutdown-window on the command line. Flags win over the
// environment, that over the file, that over the defaults. Whatever isn't a
// setting is refused.
package config

import "time"

// Config is every setting. The help tags are the comments that "roomcast config
// default" prints, the help of the flags, and the table in docs/configuration.md.
// A setting with the tag off may be switched off with the word off.
type Config struct {
	Listen         string `koanf:"listen" help:"Address of the public listener. Port 0 takes any free port. With demo: 127.0.0.1:3000."`
	InternalListen string `koanf:"internal_listen" off:"true" help:"Address of /metrics, /debug/pprof and probes; keep it private. Port 0 takes any free port. With demo: 127.0.0.1:0."`
	Path           string `koanf:"path" help:"Path that Socket.IO clients use."`
	Demo           bool   `koanf:"demo" help:"Open the namespaces / and /board to everybody, for the page. Listens on loopback unless listen says otherwise."`
	Page           bool   `koanf:"page" help:"Serve the page."`

	Log struct {
		Format string `koanf:"format" help:"text or json."`
		Level  string `koanf:"level" help:"debug, info, warn or error."`
	} `koanf:"log" help:"Log lines go to standard error."`

	TLS struct {
		Cert string `koanf:"cert" help:"PEM file with the certificate chain. Empty: no TLS, as behind a proxy."`
		Key  string `koanf:"key" help:"PEM file with the private key."`
	} `koanf:"tls" help:"TLS of the public listener."`

	WebTransport bool `koanf:"webtransport" help:"Offer WebTransport (HTTP/3 on the same port, UDP). Needs tls."`

	Origins        []string `koanf:"origins" help:"Origins that browsers may connect from, such as https://app.example.org, besides the server's own. \"*\" is every origin."`
	TrustedProxies []string `koanf:"trusted_proxies" help:"Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as 10.0.0.0/8."`

	Transports        []string `koanf:"transports" help:"Any of polling and websocket."`
	EIO3              bool     `koanf:"eio3" help:"Admit clients of Engine.IO 3 (Socket.IO 2)."`
	JSONP             bool     `koanf:"jsonp" help:"Admit JSONP polling, for browsers without CORS."`
	Compression       bool     `koanf:"compression" help:"Compress polling answers of 1 KiB and more."`
	PerMessageDeflate bool     `koanf:"per_message_deflate" help:"Compress WebSocket messages. Costs memory for every connection."`
	Cookie            string   `koanf:"cookie" help:"Name of a cookie with the session id, for sticky load balancers. Empty: none."`

	Redis                     string   `koanf:"redis" help:"Redis that joins this node to others: redis://host:6379/0 (rediss:// for TLS), redis+cluster://host,host, or redis+sentinel://host,host/master. Empty: the node is alone."`
	RedisUsername             string   `koanf:"redis_username" help:"User of Redis."`
	RedisPassword             string   `koanf:"redis_password" help:"Password of Redis; better in a file."`
	RedisPasswordFile         string   `koanf:"redis_password_file" help:"File with the password; a newline at its end doesn't count."`
	RedisSentinelUsername     string   `koanf:"redis_sentinel_username" help:"User of the Sentinels, if they ask for one."`
	RedisSentinelPasswordFile string   `koanf:"redis_sentinel_password_file" help:"File with their password."`
	RedisCA                   string   `koanf:"redis_ca" help:"PEM file with the authorities that Redis's certificate is checked with. Empty: the system's."`
	RedisCert                 string   `koanf:"redis_cert" help:"PEM file with this client's certificate, if Redis wants one."`
	RedisKey                  string   `koanf:"redis_key" help:"PEM file with its key."`
	RedisPrefix               string   `koanf:"redis_prefix" help:"Start of all names in Redis. The same on all nodes, and the official default, so that Node servers meet this one."`
	RedisWait                 Duration `koanf:"redis_wait" off:"true" help:"Time that the start waits for Redis before it fails."`

	Adapter        string   `koanf:"adapter" help:"How nodes tell each other what to send: streams, classic or sharded. The same on all nodes; docs/scaling.md has what each promises."`
	AdapterTimeout Duration `koanf:"adapter_timeout" help:"Time that answers of other nodes are waited for."`
	AdapterMixed   bool     `koanf:"adapter_mixed" help:"Start also where another adapter uses the same Redis and prefix, which is known to crash official Node servers."`
	Streams        struct {
		MaxLen Count `koanf:"max_len" help:"About how many entries a stream keeps: messages per second times the seconds that a node or client may be away. The same on all nodes."`
		Count  Count `koanf:"count" help:"Streams that the namespaces are spread over. The same on all nodes."`
	} `koanf:"streams" help:"The adapter streams."`
	Sharded struct {
		Mode string `koanf:"mode" help:"Rooms that have a channel of their own: static, dynamic or dynamic-private. The same on all nodes."`
	} `koanf:"sharded" help:"The adapter sharded."`

	NodeName          string `koanf:"node_name" help:"Name of this node for people. Empty: the host's."`
	ClusterListen     string `koanf:"cluster_listen" off:"true" help:"Address at which other nodes hand on requests of sessions that are here; keep it private. Empty: any free port of the address by which this node reaches Redis. off: they use Redis, and connections that begin with polling stay there."`
	Advertise         string `koanf:"advertise" help:"host:port at which other nodes reach cluster_listen. Empty: the address itself."`
	ClusterSecret     string `koanf:"cluster_secret" help:"Secret of at least 32 bytes that the nodes share; better in a file. Empty: Redis keeps one."`
	ClusterSecretFile string `koanf:"cluster_secret_file" help:"File with the secret; a newline at its end doesn't count."`

	PingInterval   Duration `koanf:"ping_interval" help:"Time between pings to a client."`
	PingTimeout    Duration `koanf:"ping_timeout" help:"Time that a client has to answer a ping."`
	UpgradeTimeout Duration `koanf:"upgrade_timeout" help:"Time that an upgrade to another transport may take."`
	ConnectTimeout Duration `koanf:"connect_timeout" help:"Time that a client has to join a namespace after it connected."`
	Recovery       Duration `koanf:"recovery" off:"true" help:"Time during which a client that lost its connection gets back its id, rooms and missed packets."`

	Limits Limits `koanf:"limits" help:"What goes beyond a limit is refused, counted and logged. off: no limit."`

	Shutdown struct {
		Delay  Duration `koanf:"delay" off:"true" help:"Time between \"not ready\" and refusing handshakes, so that balancers notice. With demo: off."`
		Window Duration `koanf:"window" off:"true" help:"Time over which connections are closed, at an even pace. With demo: 1s."`
		Grace  Duration `koanf:"grace" help:"Time after the window until what is left is cut. The supervisor's own limit must exceed the sum of the three by 5s."`
	} `koanf:"shutdown" help:"What happens at SIGTERM and SIGINT. A second signal ends the program at once."`

	Auth Auth `koanf:"auth" help:"JSON Web Tokens that clients send as auth.token. Their sub is the user; exp is required, and the socket is closed then."`

	Data                string   `koanf:"data" help:"Folder in which this node keeps queues and inboxes, made if need be. Empty: none, see queue_store."`
	QueueStore          string   `koanf:"queue_store" help:"Where queues and inboxes are: embedded (in data), redis, or memory (gone with the program). Empty: embedded if data is set, redis if redis is, with demo memory, else there are none."`
	QueueTimeout        Duration `koanf:"queue_timeout" help:"Time that a call of the store may take."`
	QueueDurability     string   `koanf:"queue_durability" help:"In Redis, when a publish is acknowledged, for inboxes and for queues that don't say: memory, replica or fsync."`
	QueueConfirmTimeout Duration `koanf:"queue_confirm_timeout" help:"Time that a replica, or the disk of Redis, is waited for with replica and fsync."`
	QueueMemory         Count    `koanf:"queue_memory" help:"Percent of the maxmemory of Redis beyond which nothing more is stored."`
	QueueMemTable       Size     `koanf:"queue_memtable" help:"Bytes that the embedded store gathers in memory, besides its log on disk, until they are sorted into a file. At most a 64th of the disk."`
	QueueReserve        Size     `koanf:"queue_reserve" off:"true" help:"Bytes of the disk that stay free, with the embedded store: with less, nothing more is stored until there is room. At most a 16th of the disk."`
	QueueCache          Size     `koanf:"queue_cache" help:"Bytes of messages that the embedded store keeps in memory to be handed out without reading."`

	APIToken     string `koanf:"api_token" help:"Token of at least 32 bytes for the JSON API of the internal listener; better in a file."`
	APITokenFile string `koanf:"api_token_file" help:"File with the token. Empty: with data, the file api-token there, made if need be; else the API is off."`

	Queues  []Queue `koanf:"queues" help:"Work queues. With demo: demo, open to everybody."`
	Inboxes Inboxes `koanf:"inboxes" help:"Inboxes: every user has one, under the user's name."`

	Namespaces []Namespace `koanf:"namespaces" help:"Which namespaces exist, and what clients may do there. With demo: / and /board, open to everybody."`
}

// Limits bounds what clients may ask for.
type Limits struct {
	MaxPayload          Size     `koanf:"max_payload" help:"Largest message or polling body."`
	PacketsPerPayload   Count    `koanf:"packets_per_payload" off:"true" help:"Packets in one polling body."`
	BodyTimeout         Duration `koanf:"body_timeout" off:"true" help:"Time that a polling body may take to arrive."`
	WriteTimeout        Duration `koanf:"write_timeout" off:"true" help:"Time that a client may take to read what it is sent."`
	QueuePackets        Count    `koanf:"queue_packets" off:"true" help:"Packets that wait for one client; a client that reads too slowly is closed."`
	QueueBytes          Size     `koanf:"queue_bytes" off:"true" help:"The same in bytes; at least 4 times max_payload."`
	Fragments           Count    `koanf:"fragments" off:"true" help:"Frames that a WebSocket message may come in."`
	Sessions            Count    `koanf:"sessions" off:"true" help:"Clients on this node."`
	SessionsPerIP       Count    `koanf:"sessions_per_ip" off:"true" help:"Clients of one address. With trusted_proxies: 100; without, clients behind a balancer may all share one address."`
	HandshakesPerSecond Count    `koanf:"handshakes_per_second" off:"true" help:"New clients per second on this node."`
	PacketsPerSecond    Count    `koanf:"packets_per_second" off:"true" help:"Events, acks and the like that one client may send per second, over time; it is read more slowly then."`
	ControlPerSecond    Count    `koanf:"control_per_second" off:"true" help:"The same for pings and pongs that the server did not ask for; who sends more is closed."`
	Attachments         Count    `koanf:"attachments" off:"true" help:"Binary values in one packet, to or from a client. Official clients take 10."`
	AttachmentBytes     Size     `koanf:"attachment_bytes" off:"true" help:"Bytes of one packet's binary values together."`
	AttachmentTime      Duration `koanf:"attachment_time" help:"Time that they may take to arrive."`
	Depth               Count    `koanf:"depth" off:"true" help:"Arrays and objects within each other."`
	EventName           Size     `koanf:"event_name" off:"true" help:"Bytes of an event's name."`
	NamespaceName       Size     `koanf:"namespace_name" off:"true" help:"Bytes of a namespace's name."`
	StrictKeys          bool     `koanf:"strict_keys" help:"Refuse data with the keys __proto__, constructor or prototype, which may do harm in programs in JavaScript."`
	NamespacesPerClient Count    `koanf:"namespaces_per_client" off:"true" help:"Namespaces that one client may be in."`
	Namespaces          Count    `koanf:"namespaces" off:"true" help:"Namespaces on this node that exist by a pattern."`
	RoomsPerSocket      Count    `koanf:"rooms_per_socket" off:"true" help:"Rooms of one socket, its own among them. max_rooms of a namespace is the limit for what clients join by themselves."`
	PendingAcks         Count    `koanf:"pending_acks" off:"true" help:"Acks that the server waits for from one socket."`
	WaitingEvents       Count    `koanf:"waiting_events" off:"true" help:"Events of one socket that wait for their handler before its connection isn't read any more."`
	WaitingBytes        Size     `koanf:"waiting_bytes" off:"true" help:"The same in bytes."`
	Forwards            Count    `koanf:"forwards" help:"Requests that are handed on to other nodes at once, held ones and upgraded connections among them; and as many from others."`
	Consumers           Count    `koanf:"consumers" off:"true" help:"Consumers of queues that one client may have."`
	Inboxes             Count    `koanf:"inboxes" off:"true" help:"Inboxes that one client may have open."`
	Publishing          Count    `koanf:"publishing" off:"true" help:"Messages of this node's producers that wait for the store; more is refused."`
	PublishingBytes     Size     `koanf:"publishing_bytes" off:"true" help:"The same in bytes."`
	Queues              Count    `koanf:"queues" off:"true" help:"Queues, beyond which clients that may admin them by a pattern can't make more."`
	RecoveryEvents      Count    `koanf:"recovery_events" help:"Events that each namespace keeps for recovery."`
	RecoveryBytes       Size     `koanf:"recovery_bytes" help:"The same in bytes."`
}

// Auth says which tokens are believed.
type Auth struct {
	Keys     []Key    `koanf:"keys" help:"Keys that verify tokens. At most 16."`
	Issuer   string   `koanf:"issuer" help:"Required iss of tokens. Empty: any."`
	Audience string   `koanf:"audience" help:"Required aud of tokens. Empty: any."`
	Leeway   Duration `koanf:"leeway" off:"true" help:"How far the clocks of issuer and server may differ."`
	MaxToken Size     `koanf:"max_token" help:"Longest token."`
	Roles    string   `koanf:"roles" help:"Claim with the roles of a user: a list, or text with blanks between. A dot leads into an object, as in realm_access.roles. Empty: there are no roles."`
}

// Key is one key for tokens: a secret (HS256) or a public key in a PEM file.
type Key struct {
	ID            string   `koanf:"id" yaml:"id,omitempty" help:"The kid that tokens name. Empty: tokens needn't name one."`
	Secret        string   `koanf:"secret" yaml:"secret,omitempty" help:"Secret of at least 32 bytes."`
	SecretFile    string   `koanf:"secret_file" yaml:"secret_file,omitempty" help:"File with the secret; a newline at its end doesn't count."`
	PublicKeyFile string   `koanf:"public_key_file" yaml:"public_key_file,omitempty" help:"PEM file with an RSA, ECDSA or Ed25519 public key."`
	Algorithms    []string `koanf:"algorithms" yaml:"algorithms,omitempty" help:"Algorithms of tokens signed with it. Default: HS256, RS256, ES256 (384, 512 by curve) or EdDSA."`
}

// Namespace is one namespace, or all whose names match a pattern.
type Namespace struct {
	Name     string `koanf:"name" yaml:"name,omitempty" help:"Its name, such as /chat."`
	Pattern  string `koanf:"pattern" yaml:"pattern,omitempty" help:"Instead of name: a regular expression that the whole name must match."`
	Auth     string `koanf:"auth" yaml:"auth,omitempty" help:"required (the default), optional or none."`
	Join     Access `koanf:"join" yaml:"join,omitempty" help:"Rooms that clients may join: deny (the default), allow, or patterns such as [lobby, game-*, \"user:{user}\"]."`
	Send     Access `koanf:"send" yaml:"send,omitempty" help:"Rooms that members may send to; likewise."`
	MaxRooms Count  `koanf:"max_rooms" yaml:"max_rooms,omitempty" help:"Rooms that one socket may be in. Default: 100."`
	Queues   bool   `koanf:"queues" yaml:"queues,omitempty" help:"Whether clients may use queues and inboxes here, as far as those allow it."`
}

// Default returns the settings that hold when nothing else is said.
func Default() Config {
	var c Config
	c.Listen = ":8080"
	c.InternalListen = "127.0.0.1:9090"
	c.Path = "/socket.io"
	c.Page = true
	c.Log.Format = "text"
	c.Log.Level = "info"
	c.Transports = []string{"polling", "websocket"}
	c.EIO3 = true
	c.Compression = true
	c.RedisPrefix = "socket.io"
	c.RedisWait = Duration(15 * time.Second)
	c.Adapter = "streams"
	c.AdapterTimeout = Duration(5 * time.Second)
	c.Streams.MaxLen = 100_000
	c.Streams.Count = 1
	c.Sharded.Mode = "dynamic"
	c.PingInterval = Duration(25 * time.Second)
	c.PingTimeout = Duration(20 * time.Second)
	c.UpgradeTimeout = Duration(10 * time.Second)
	c.ConnectTimeout = Duration(10 * time.Second)
	c.Recovery = Duration(2 * time.Minute)
	c.Limits = Limits{
		MaxPayload:          1_000_000,
		PacketsPerPayload:   1_000,
		BodyTimeout:         Duration(10 * time.Second),
		WriteTimeout:        Duration(10 * time.Second),
		QueuePackets:        8_192,
		QueueBytes:          4 << 20,
		Fragments:           1_024,
		Sessions:            -1,
		SessionsPerIP:       -1,
		HandshakesPerSecond: 500,
		PacketsPerSecond:    1_000,
		ControlPerSecond:    5,
		Attachments:         10,
		AttachmentBytes:     1_000_000,
		AttachmentTime:      Duration(10 * time.Second),
		Depth:               64,
		EventName:           128,
		NamespaceName:       255,
		NamespacesPerClient: 16,
		Namespaces:          10_000,
		RoomsPerSocket:      1_000,
		PendingAcks:         1_000,
		WaitingEvents:       1_024,
		WaitingBytes:        4 << 20,
		Forwards:            10_000,
		Consumers:           16,
		Inboxes:             4,
		Publishing:          1 << 16,
		Queues:              10_000,
		PublishingBytes:     64 << 20,
		RecoveryEvents:      100_000,
		RecoveryBytes:       16 << 20,
	}
	c.Inboxes = Inboxes{
		Topics: Access{All: true}, MaxLen: 10_000, MaxBytes: 16 << 20, TTL: Duration(30 * 24 * time.Hour), Overflow: "drop-oldest",
		MaxPayload: 256 << 10, MaxTopics: 1000, MaxDevices: 100, Max: 1_000_000, NewPerHour: 1000, SendRate: 100, SendBurst: 1000,
		Idle: Duration(30 * 24 * time.Hour),
	}
	c.QueueTimeout = Duration(10 * time.Second)
	c.QueueDurability = "memory"
	c.QueueConfirmTimeout = Duration(time.Second)
	c.QueueMemory = 90
	c.QueueMemTable = 32 << 20
	c.QueueReserve = 128 << 20
	c.QueueCache = 32 << 20
	c.Shutdown.Delay = Duration(3 * time.Second)
	c.Shutdown.Window = Duration(15 * time.Second)
	c.Shutdown.Grace = Duration(5 * time.Second)
	c.Auth.Leeway = Duration(30 * time.Second)
	c.Auth.MaxToken = 8 << 10
	return c
}

// demo changes the defaults to those of --demo.
func (c *Config) demo() {
	c.Listen = "127.0.0.1:3000"
	c.InternalListen = "127.0.0.1:0"
	c.Shutdown.Delay = -1
	c.Shutdown.Window = Duration(time.Second)
	open := Access{All: true}
	c.Namespaces = []Namespace{
		{Name: "/", Auth: "none", Join: open, Send: open, Queues: true},
		{Name: "/board", Auth: "none", Join: open, Send: open},
	}
	c.Queues = []Queue{{Name: "demo", Publish: everybody, Consume: everybody, Inspect: everybody, Admin: everybody, Lease: Duration(10 * time.Second)}}
	c.Inboxes.Send = everybody
}
