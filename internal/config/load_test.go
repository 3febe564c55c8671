package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load reads settings from a file's text, environment variables and arguments.
func load(t *testing.T, yaml string, environ, args []string) (*Config, error) {
	t.Helper()
	src := Source{Environ: environ}
	if yaml != "" {
		src.File = filepath.Join(t.TempDir(), "roomcast.yaml")
		if err := os.WriteFile(src.File, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	src.Flags = pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(src.Flags)
	if err := src.Flags.Parse(args); err != nil {
		return nil, err
	}
	return Load(src)
}

func TestPrecedence(t *testing.T) {
	const file = "listen: 127.0.0.1:1\nshutdown:\n  window: 1s\n"
	env := []string{"ROOMCAST_LISTEN=127.0.0.1:2", "ROOMCAST_SHUTDOWN_WINDOW=2s", "OTHER=x"}
	flags := []string{"--listen=127.0.0.1:3", "--shutdown-window", "3s"}
	for _, tt := range []struct {
		name   string
		yaml   string
		env    []string
		args   []string
		listen string
		window time.Duration
	}{
		{"defaults", "", nil, nil, ":8080", 15 * time.Second},
		{"file", file, nil, nil, "127.0.0.1:1", time.Second},
		{"environment over file", file, env, nil, "127.0.0.1:2", 2 * time.Second},
		{"flags over all", file, env, flags, "127.0.0.1:3", 3 * time.Second},
		{"a flag over the file alone", file, nil, flags, "127.0.0.1:3", 3 * time.Second},
		{"demo changes defaults", "", nil, []string{"--demo"}, "127.0.0.1:3000", time.Second},
		{"demo changes nothing that is set", file, []string{"ROOMCAST_DEMO=true"}, nil, "127.0.0.1:1", time.Second},
		{"off", "", nil, []string{"--shutdown-window=off"}, ":8080", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.yaml, tt.env, tt.args)
			if err != nil {
				t.Fatal(err)
			}
			if c.Listen != tt.listen || c.Shutdown.Window.Std() != tt.window {
				t.Errorf("listen %s, window %s; want %s, %s", c.Listen, c.Shutdown.Window, tt.listen, tt.window)
			}
		})
	}
}

func TestDemoOpensTwoNamespaces(t *testing.T) {
	c, err := load(t, "", nil, []string{"--demo"})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Namespaces) != 2 || !c.Namespaces[1].Join.Allows("any", "") || c.Namespaces[1].MaxRooms != 100 {
		t.Errorf("got %+v", c.Namespaces)
	}
	if !Loopback(c.Listen) || !Loopback(c.InternalListen) {
		t.Errorf("listens on %s and %s", c.Listen, c.InternalListen)
	}
	if c, err = load(t, "namespaces: []", nil, []string{"--demo"}); err != nil || len(c.Namespaces) != 0 {
		t.Errorf("an explicit list gave way to demo's: %+v, %v", c.Namespaces, err)
	}
}

func TestEverySourceTakesEveryKind(t *testing.T) {
	const file = `
origins: [https://a.example, https://b.example]
eio3: false
limits: {max_payload: 64KiB, sessions: off}
auth:
  keys: [{secret: 0123456789abcdef0123456789abcdef}]
namespaces:
  - {name: /chat, join: [lobby, game-*], send: allow, max_rooms: 3}
`
	env := []string{
		"ROOMCAST_ORIGINS=https://a.example, https://b.example",
		"ROOMCAST_EIO3=false",
		"ROOMCAST_LIMITS_MAX_PAYLOAD=64KiB",
		"ROOMCAST_LIMITS_SESSIONS=off",
		"ROOMCAST_AUTH_KEYS=[{secret: 0123456789abcdef0123456789abcdef}]",
		"ROOMCAST_NAMESPACES=[{name: /chat, join: [lobby, game-*], send: allow, max_rooms: 3}]",
	}
	var args []string
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		name = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "ROOMCAST_")), "_", "-")
		args = append(args, "--"+name+"="+value)
	}
	fromFile, err := load(t, file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := fromFile.Namespaces[0]; n.MaxRooms != 3 || !n.Join.Allows("game-1", "") || n.Join.Allows("chess", "") ||
		!n.Send.Allows("x", "") || fromFile.Limits.MaxPayload != 65536 || fromFile.EIO3 || n.Auth != "required" {
		t.Errorf("file: %+v", fromFile)
	}
	fromEnv, err := load(t, "", env, nil)
	if err != nil {
		t.Fatal(err)
	}
	fromFlags, err := load(t, "", nil, args)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fromFile, fromEnv) {
		t.Errorf("file and environment differ:\n%+v\n%+v", fromFile, fromEnv)
	}
	if !reflect.DeepEqual(fromFile, fromFlags) {
		t.Errorf("file and flags differ:\n%+v\n%+v", fromFile, fromFlags)
	}
}

func TestListsReplaceDefaults(t *testing.T) {
	c, err := load(t, "transports: [websocket]", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Transports) != 1 || c.Transports[0] != "websocket" {
		t.Errorf("transports are %q", c.Transports)
	}
}

func TestSessionsPerIPNeedsProxiesOrASetting(t *testing.T) {
	for _, tt := range []struct {
		yaml string
		want Count
	}{
		{"listen: :1", -1},
		{"trusted_proxies: [10.0.0.0/8]", 100},
		{"trusted_proxies: [10.0.0.0/8]\nlimits: {sessions_per_ip: off}", -1},
		{"limits: {sessions_per_ip: 7}", 7},
	} {
		c, err := load(t, tt.yaml, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.Limits.SessionsPerIP != tt.want {
			t.Errorf("%s: got %s, want %s", tt.yaml, c.Limits.SessionsPerIP, tt.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		yaml string
		env  []string
		args []string
		want string // part of the error
	}{
		{"unknown key", "path: /a\nlsten: :1", nil, nil, "roomcast.yaml: line 2: unknown key lsten; did you mean listen?"},
		{"unknown key below", "shutdown:\n  windo: 1s", nil, nil, "line 2: unknown key shutdown.windo; did you mean window?"},
		{"unknown key of a list", "namespaces:\n- {name: /a, jion: allow}", nil, nil, "line 2: unknown key namespaces[0].jion; did you mean join?"},
		{"nothing like it", "frobnicate: 1", nil, nil, "unknown key frobnicate"},
		{"unknown variable", "", []string{"ROOMCAST_LISTN=:1"}, nil, "ROOMCAST_LISTN; did you mean ROOMCAST_LISTEN?"},
		{"all findings at once", "lsten: :1\npth: /", nil, nil, "unknown key pth"},
		{"twice", "listen: :1\nlisten: :2", nil, nil, "listen"},
		{"two documents", "listen: :1\n---\nlisten: :2", nil, nil, "more than one YAML document"},
		{"no value", "listen:", nil, nil, "line 1: listen has no value"},
		{"empty section", "shutdown:", nil, nil, "shutdown: expected settings"},
		{"no mapping", "- listen", nil, nil, "expected settings"},
		{"not YAML", "a: [", nil, nil, "roomcast.yaml"},
		{"no unit", "ping_interval: 25", nil, nil, `line 1: ping_interval: "25" is no time span`},
		{"zero", "ping_interval: 0s", nil, nil, "is no time span"},
		{"not off", "ping_interval: off", nil, nil, "ping_interval: can't be off"},
		{"no bool", "eio3: perhaps", nil, nil, "eio3"},
		{"no bool in the environment", "", []string{"ROOMCAST_EIO3=perhaps"}, nil, "ROOMCAST_EIO3"},
		{"no list", "namespaces: /chat", nil, nil, "namespaces: expected a list"},
		{"no list in the environment", "", []string{"ROOMCAST_NAMESPACES=/chat"}, nil, "ROOMCAST_NAMESPACES"},
		{"no duration in a flag", "", nil, []string{"--ping-interval=25"}, "--ping-interval"},
		{"listen", "listen: 8080", nil, nil, `listen: "8080" isn't an address`},
		{"port", "listen: :65536", nil, nil, "the port must be"},
		{"the same address", "listen: :1\ninternal_listen: :1", nil, nil, "internal_listen"},
		{"path", "path: /a/", nil, nil, "path"},
		{"own path", "path: /readyz", nil, nil, "the program's own"},
		{"level", "log: {level: wanr}", nil, nil, `log.level: "wanr" isn't one of debug, info, warn, error; did you mean warn?`},
		{"half of TLS", "tls: {cert: a.pem}", nil, nil, "tls: set both"},
		{"WebTransport without TLS", "webtransport: true", nil, nil, "webtransport: needs tls"},
		{"origin with a path", "origins: [https://a.example/]", nil, nil, "isn't an origin"},
		{"origin null", "origins: [\"null\"]", nil, nil, "isn't an origin"},
		{"proxy", "trusted_proxies: [10.0.0.1/8]", nil, nil, "did you mean 10.0.0.0/8?"},
		{"transport", "transports: [polling, sse]", nil, nil, "transports"},
		{"no transport", "transports: []", nil, nil, "transports: is empty"},
		{"JSONP without polling", "transports: [websocket]\njsonp: true", nil, nil, "jsonp: needs polling"},
		{"cookie", `cookie: "a;b"`, nil, nil, "cookie"},
		{"cookie with a line break", `cookie: "a\r\nSet-Cookie: b"`, nil, nil, "cookie"},
		{"short secret", "auth: {keys: [{secret: short}]}", nil, nil, "at least 32"},
		{"two keys in one", "auth: {keys: [{secret_file: a, public_key_file: b}]}", nil, nil, "set one of"},
		{"no key", "auth: {keys: [{id: a}]}", nil, nil, "set one of"},
		{"same kid", "auth: {keys: [{id: a, secret_file: a}, {id: a, secret_file: b}]}", nil, nil, "used twice"},
		{"auth without keys", "namespaces: [{name: /a}]", nil, nil, "auth is required, but auth.keys is empty"},
		{"no name", "namespaces: [{auth: none}]", nil, nil, "set one of name and pattern"},
		{"name and pattern", "namespaces: [{name: /a, pattern: /b, auth: none}]", nil, nil, "set one of name and pattern"},
		{"namespace twice", "namespaces: [{name: /a, auth: none}, {name: /a, auth: none}]", nil, nil, "twice"},
		{"namespace name", "namespaces: [{name: chat, auth: none}]", nil, nil, "isn't a name such as /chat"},
		{"namespace pattern", "namespaces: [{pattern: \"(\", auth: none}]", nil, nil, "pattern"},
		{"auth word", "namespaces: [{name: /a, auth: maybe}]", nil, nil, "isn't one of required, optional, none"},
		{"access", "namespaces: [{name: /a, auth: none, join: some}]", nil, nil, "isn't deny, allow or a list"},
		{"room pattern", "namespaces: [{name: /a, auth: none, join: [\"{user}-*\"]}]", nil, nil, "reach each other's rooms"},
		{"endless rooms", "namespaces: [{name: /a, auth: none, max_rooms: off}]", nil, nil, "max_rooms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.yaml, tt.env, tt.args)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

// A Service named roomcast puts these into every container beside it; refusing
// them would keep the program from starting on Kubernetes.
func TestKubernetesVariablesAreLeftAlone(t *testing.T) {
	_, err := load(t, "", []string{
		"ROOMCAST_SERVICE_HOST=10.0.0.1", "ROOMCAST_SERVICE_PORT=80", "ROOMCAST_SERVICE_PORT_HTTP=80",
		"ROOMCAST_PORT=tcp://10.0.0.1:80", "ROOMCAST_PORT_80_TCP=tcp://10.0.0.1:80",
		"ROOMCAST_PORT_80_TCP_ADDR=10.0.0.1", "ROOMCAST_PORT_443_UDP_PROTO=udp", "ROOMCAST_CONFIG=/x",
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load(Source{File: filepath.Join(t.TempDir(), "none.yaml")})
	if err == nil || !strings.Contains(err.Error(), "roomcast config default") {
		t.Errorf("got %v", err)
	}
}

func TestEmptyFile(t *testing.T) {
	for _, text := range []string{"\n", "# only a comment\n", "---\n"} {
		if _, err := load(t, text, nil, nil); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Two settings whose paths differ in . and _ alone would share a flag.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]string{"config": "the flag --config"}
	for _, s := range Settings() {
		if other, ok := seen[s.Flag()]; ok {
			t.Errorf("%s and %s share --%s", s.Path, other, s.Flag())
		}
		seen[s.Flag()] = s.Path
		if s.Help == "" {
			t.Errorf("%s has no help", s.Path)
		}
	}
}
