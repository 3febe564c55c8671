package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long a test waits for what must happen before it fails.
const patience = 30 * time.Second

// program is the binary under test, built by TestMain.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "roomcast")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "roomcast")
	build := exec.Command("go", "build", "-o", program, "-ldflags", "-X main.version=v1.2.3", ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// environ is the test's own environment without settings of the program.
func environ(more ...string) []string {
	var list []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ROOMCAST_") && !strings.HasPrefix(v, "NOTIFY_SOCKET=") {
			list = append(list, v)
		}
	}
	return append(list, more...)
}

// process is a running "roomcast serve".
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	public   string // URL of the public listener
	internal string // URL of the internal one
	exited   chan struct{}

	mu  sync.Mutex
	log []map[string]any
}

// serve starts the program on free ports and returns when it listens.
func serveProcess(t *testing.T, args ...string) *process {
	t.Helper()
	args = append([]string{"serve", "--listen=127.0.0.1:0", "--internal-listen=127.0.0.1:0", "--log-format=json"}, args...)
	p := &process{t: t, cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Env = environ()
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				line = map[string]any{"msg": lines.Text()}
			}
			p.mu.Lock()
			p.log = append(p.log, line)
			p.mu.Unlock()
			if line["msg"] == "listening" {
				url := fmt.Sprintf("http://%s", line["address"])
				if line["listener"] == "public" {
					p.public = url
					close(listening)
				} else {
					p.internal = url
				}
			}
		}
		_ = p.cmd.Wait()
		close(p.exited)
	})
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		reader.Wait()
	})
	select {
	case <-listening:
	case <-p.exited:
		t.Fatalf("it ended: %v", p.log)
	case <-time.After(patience):
		t.Fatal("it does not listen")
	}
	return p
}

func (p *process) signal() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
}

// exit returns the exit code, once there is one.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatal("it does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// logged reports whether a log line contains text.
func (p *process) logged(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(fmt.Sprint(p.log), text)
}

// get returns status and body; 0 if nobody answers.
func get(url string) (int, string) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// client is a polling client.
type client struct {
	t   *testing.T
	url string
}

func connect(t *testing.T, p *process, connectPacket string) *client {
	t.Helper()
	base := p.public + "/socket.io/?EIO=4&transport=polling"
	code, b := get(base)
	var open struct{ SID string }
	if code != 200 || json.Unmarshal([]byte(strings.TrimPrefix(b, "0")), &open) != nil {
		t.Fatalf("handshake: %d %s", code, b)
	}
	c := &client{t, base + "&sid=" + open.SID}
	c.post(connectPacket)
	return c
}

func (c *client) post(packet string) {
	c.t.Helper()
	resp, err := http.Post(c.url, "text/plain", strings.NewReader(packet))
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		c.t.Fatalf("POST %s: %s", packet, resp.Status)
	}
}

func (c *client) poll() string {
	c.t.Helper()
	code, b := get(c.url)
	if code != 200 {
		c.t.Fatalf("poll: %d %s", code, b)
	}
	return b
}

func TestDemo(t *testing.T) {
	p := serveProcess(t, "--demo", "--shutdown-window=off", "--shutdown-grace=1ms")
	for url, want := range map[string]string{
		p.public + "/":                                   "<html",
		p.public + "/livez":                              "ok",
		p.public + "/readyz":                             `{"ready":true}`,
		p.internal + "/readyz":                           `{"ready":true}`,
		p.internal + "/metrics":                          `roomcast_build_info{version="v1.2.3"} 1`,
		p.internal + "/debug/pprof/":                     "goroutine",
		p.public + "/socket.io/?EIO=4&transport=polling": `0{"sid":`,
	} {
		if code, b := get(url); code != 200 || !strings.Contains(b, want) {
			t.Errorf("%s: %d %.200s", url, code, b)
		}
	}
	for _, nsp := range []string{"", "/board,"} {
		c := connect(t, p, "40"+nsp+`{"name":"Ada"}`)
		if got := c.poll(); !strings.HasPrefix(got, "40"+nsp+`{"sid":`) {
			t.Errorf("%q: %s", nsp, got)
		}
		c.post("42" + nsp + `1["join",{"room":"lobby"}]`)
		if got := c.poll(); !strings.HasPrefix(got, "43"+nsp+`1[{"ok":true,"room":"lobby","members":[`) {
			t.Errorf("%q: %s", nsp, got)
		}
	}
	p.signal()
	if code := p.exit(); code != exitOK {
		t.Errorf("ended with %d: %v", code, p.log)
	}
}

func TestPlainServeAdmitsNobody(t *testing.T) {
	p := serveProcess(t, "--shutdown-delay=off", "--shutdown-window=off", "--shutdown-grace=1ms")
	for _, nsp := range []string{"", "/board,"} {
		c := connect(t, p, "40"+nsp)
		if got, want := c.poll(), "44"+nsp+`{"message":"Invalid namespace"}`; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if !p.logged("list the namespaces that exist") {
		t.Error("the log doesn't say what to do")
	}
	p.signal()
	if code := p.exit(); code != exitOK {
		t.Errorf("ended with %d", code)
	}
}

func TestStopsGracefully(t *testing.T) {
	p := serveProcess(t, "--demo", "--shutdown-delay=1ms", "--shutdown-window=50ms")
	c := connect(t, p, "40")
	c.poll()
	p.signal()
	if got := c.poll(); got != "41\x1e1" && got != "1" {
		t.Errorf("the client was told %q instead of a close packet", got)
	}
	if code := p.exit(); code != exitOK || !p.logged("stopped") {
		t.Errorf("ended with %d: %v", code, p.log)
	}
}

func TestNotReadyBeforeHandshakesAreRefused(t *testing.T) {
	p := serveProcess(t, "--demo", "--shutdown-delay=1h")
	p.signal()
	for {
		code, b := get(p.public + "/readyz")
		if code == 503 && strings.Contains(b, "going away") {
			break
		}
		if code != 200 {
			t.Fatalf("readyz: %d %s", code, b)
		}
	}
	c := connect(t, p, "40") // a balancer needs a moment to notice
	c.poll()
	p.signal()
	if code := p.exit(); code != exitFailed || !p.logged("a second signal") {
		t.Errorf("after a second signal it ended with %d: %v", code, p.log)
	}
}

func TestHandshakesAreRefusedWhileDraining(t *testing.T) {
	p := serveProcess(t, "--demo", "--shutdown-delay=off", "--shutdown-window=1h")
	c := connect(t, p, "40")
	c.poll()
	p.signal()
	for {
		code, b := get(p.public + "/socket.io/?EIO=4&transport=polling")
		if code == 503 {
			break
		}
		if code != 200 {
			t.Fatalf("handshake: %d %s", code, b)
		}
	}
	c.post(`420["time"]`) // who is connected is served on
	if got := c.poll(); !strings.HasPrefix(got, `430[{"ok":true`) {
		t.Errorf("got %s", got)
	}
	p.signal()
	if code := p.exit(); code != exitFailed {
		t.Errorf("ended with %d", code)
	}
}

// TestStopsWhileItWaitsForRedis: a signal must not wait for the start to fail.
func TestStopsWhileItWaitsForRedis(t *testing.T) {
	cmd := exec.Command(program, "serve", "--demo", "--listen=127.0.0.1:0", "--redis=redis://127.0.0.1:1", "--redis-wait=1h")
	cmd.Env = environ()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), "waiting for Redis") {
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// command runs the program to its end.
func runProgram(t *testing.T, env []string, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = environ(env...)
	b, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(b)
}

func TestMistakes(t *testing.T) {
	p := serveProcess(t, "--demo")
	taken := strings.TrimPrefix(p.public, "http://")
	file := filepath.Join(t.TempDir(), "roomcast.yaml")
	if err := os.WriteFile(file, []byte("lsten: :1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		env  []string
		args []string
		code int
		want string
	}{
		{nil, []string{"serve", "--demo", "--listen=" + taken}, exitFailed, "choose another address with --listen"},
		{nil, []string{"serve", "--demo", "--listen=127.0.0.1:0", "--internal-listen=" + taken}, exitFailed, "with --internal-listen"},
		{nil, []string{"serve", "--demo", "--redis=redis://:hush@127.0.0.1:1", "--redis-wait=off"}, exitFailed, "127.0.0.1:1 doesn't answer"},
		{nil, []string{"serve", "--redis=http://:hush@127.0.0.1"}, exitUsage, "redis: the scheme must be"},
		{[]string{"ROOMCAST_REDIS=redis://h", "ROOMCAST_REDIS_PASSWORD_FILE=/none"}, []string{"config", "check"}, exitUsage, "no such file"},
		{[]string{"ROOMCAST_REDIS=redis://h", "ROOMCAST_CLUSTER_SECRET_FILE=/dev/null"}, []string{"config", "check"}, exitUsage, "at least 32"},
		{nil, []string{"serve", "--lsten=:1"}, exitUsage, "unknown flag: --lsten"},
		{nil, []string{"serve", "--ping-interval=5"}, exitUsage, "write a number with a unit"},
		{nil, []string{"serve", "now"}, exitUsage, "unknown command"},
		{nil, []string{"frobnicate"}, exitUsage, "unknown command"},
		{nil, []string{"serve", "--config=" + file}, exitUsage, "did you mean listen?"},
		{nil, []string{"serve", "--config=/none.yaml"}, exitUsage, "doesn't exist"},
		{nil, []string{"config", "check", file}, exitUsage, "did you mean listen?"},
		{[]string{"ROOMCAST_CONFIG=" + file}, []string{"config", "check"}, exitUsage, "did you mean listen?"},
		{[]string{"ROOMCAST_CONFIG=" + file}, []string{"serve"}, exitUsage, "did you mean listen?"},
		{[]string{"ROOMCAST_LISTN=:1"}, []string{"serve"}, exitUsage, "did you mean ROOMCAST_LISTEN?"},
		{[]string{"ROOMCAST_TLS_CERT=/none", "ROOMCAST_TLS_KEY=/none"}, []string{"config", "check"}, exitUsage, "no such file"},
		{[]string{"ROOMCAST_AUTH_KEYS=[{public_key_file: /none}]"}, []string{"config", "check"}, exitUsage, "no such file"},
	} {
		code, out := runProgram(t, tt.env, tt.args...)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q %q: %d %s", tt.env, tt.args, code, out)
		}
		if strings.Contains(out, "hush") {
			t.Errorf("the password is shown: %s", out)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	code, text := runProgram(t, nil, "config", "default")
	if code != exitOK {
		t.Fatalf("config default: %d", code)
	}
	file := filepath.Join(t.TempDir(), "roomcast.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := runProgram(t, nil, "config", "check", file)
	if code != exitOK || !strings.HasSuffix(out, "\nok\n") || !strings.Contains(out, "warning: namespaces") {
		t.Errorf("config check: %d %s", code, out)
	}
	if code, out := runProgram(t, nil, "version"); code != exitOK || out != "roomcast v1.2.3\n" {
		t.Errorf("version: %d %s", code, out)
	}
}

func TestNamespacesOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "roomcast.yaml")
	const text = `
auth: {keys: [{secret: 0123456789abcdef0123456789abcdef}]}
namespaces:
  - {name: /open, auth: none, join: [lobby]}
  - {name: /closed}
  - {pattern: "/tenant-[a-z]+", auth: none}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serveProcess(t, "--config="+file)
	for packet, want := range map[string]string{
		"40":           `44{"message":"Invalid namespace"}`,
		"40/open,":     `40/open,{"sid":`,
		"40/closed,":   `44/closed,{"message":"a token is needed`,
		"40/tenant-a,": `40/tenant-a,{"sid":`,
		"40/tenant-1,": `44/tenant-1,{"message":"Invalid namespace"}`,
		"40/other,":    `44/other,{"message":"Invalid namespace"}`,
	} {
		if got := connect(t, p, packet).poll(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", packet, got, want)
		}
	}
	c := connect(t, p, "40/open,")
	c.poll()
	c.post(`42/open,1["join",{"room":"secret"}]`)
	if got := c.poll(); !strings.HasPrefix(got, `43/open,1[{"ok":false,"code":"forbidden"`) {
		t.Errorf("got %s", got)
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	for _, args := range [][]string{nil, {"serve"}, {"queue"}, {"queue", "publish"}, {"config"}, {"config", "check"}, {"config", "default"}, {"version"}} {
		var out, errs bytes.Buffer
		if code := run(append(args, "--help"), &out, &errs); code != exitOK || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%q: %d %s %s", args, code, &out, &errs)
		}
	}
}
