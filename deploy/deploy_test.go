// Package deploy has no code: its tests check that the examples in this folder
// say what the program understands.
package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/web"
)

// load reads settings as the program would.
func load(t *testing.T, file string, environ, args []string) *config.Config {
	t.Helper()
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.StringVar(&file, "config", file, "")
	config.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Source{File: file, Environ: environ, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leaveTime is what a node takes to stop, at most: what the settings say, 5 s
// for handlers, 2 s for Redis to hear of it.
func leaveTime(c *config.Config) time.Duration {
	s := &c.Shutdown
	return max(s.Delay.Std(), 0) + max(s.Window.Std(), 0) + s.Grace.Std() + 7*time.Second
}

func enough(t *testing.T, what string, limit time.Duration, c *config.Config) {
	t.Helper()
	if need := leaveTime(c); limit <= need {
		t.Errorf("%s is %s, and a node may take %s to stop", what, limit, need)
	}
}

// documents reads a YAML file.
func documents(t *testing.T, name string) (list []map[string]any) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for dec := yaml.NewDecoder(f); ; {
		var doc map[string]any
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list = append(list, doc)
	}
}

// at walks into maps by their keys and lists by their numbers.
func at[T any](t *testing.T, v any, path ...any) (found T) {
	t.Helper()
	whole := v
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				t.Fatalf("%v: there is no %v", path, p)
			}
			v = l[p]
		}
	}
	found, ok := v.(T)
	if !ok {
		t.Fatalf("%v is %T %v, in %v", path, v, v, whole)
	}
	return found
}

func texts(list []any) (out []string) {
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

func TestCompose(t *testing.T) {
	doc := documents(t, "compose.yaml")[0]
	services := at[map[string]any](t, doc, "services")
	nginx := at[string](t, services, "nginx", "volumes", 0)
	conf, _, _ := strings.Cut(nginx, ":")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	subnet := at[string](t, doc, "networks", "default", "ipam", "config", 0, "subnet")
	within := func(config, address string) bool {
		p, err := netip.ParsePrefix(at[string](t, doc, "networks", "default", "ipam", "config", 0, config))
		a, err2 := netip.ParseAddr(address)
		return err == nil && err2 == nil && p.Contains(a)
	}
	taken := map[string]bool{}
	for _, name := range []string{"node1", "node2", "node3"} {
		service := at[map[string]any](t, services, name)
		var environ []string
		for k, v := range at[map[string]any](t, service, "environment") {
			environ = append(environ, fmt.Sprintf("%s=%v", k, v))
		}
		command := texts(at[[]any](t, service, "command"))
		if command[0] != "serve" {
			t.Errorf("%s runs %q", name, command)
		}
		c := load(t, "", environ, command[1:])
		grace, err := time.ParseDuration(at[string](t, service, "stop_grace_period"))
		if err != nil {
			t.Fatal(err)
		}
		enough(t, "stop_grace_period", grace, c)
		if c.NodeName != name || !slices.Contains(c.TrustedProxies, subnet) || !c.Demo {
			t.Errorf("%s: %q trusts %q", name, c.NodeName, c.TrustedProxies)
		}
		if want := "server " + name + c.Listen + " "; !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s doesn't have %q", conf, want)
		}
		// A bug: nginx keeps the addresses that it has found when it started, and a rolling restart led it nowhere.
		address := at[string](t, service, "networks", "default", "ipv4_address")
		if !within("subnet", address) || within("ip_range", address) || taken[address] {
			t.Errorf("%s has the address %s", name, address)
		}
		taken[address] = true
		target, err := config.ParseRedis(c.Redis)
		if host, _, _ := strings.Cut(target.Addrs[0], ":"); err != nil || services[host] == nil {
			t.Errorf("%s uses the Redis %s, %v", name, c.Redis, err)
		}
	}
	if _, err := os.Stat(filepath.Join(at[string](t, services, "node1", "build"), "Dockerfile")); err != nil {
		t.Error(err)
	}
}

func TestKubernetes(t *testing.T) {
	objects := make(map[string]map[string]any)
	for _, name := range []string{"kubernetes/roomcast.yaml", "kubernetes/redis.yaml"} {
		for _, doc := range documents(t, name) {
			objects[at[string](t, doc, "kind")+" "+at[string](t, doc, "metadata", "name")] = doc
			if at[string](t, doc, "apiVersion") == "" {
				t.Error("no version")
			}
		}
	}
	file := filepath.Join(t.TempDir(), "roomcast.yaml")
	if err := os.WriteFile(file, []byte(at[string](t, objects["ConfigMap roomcast"], "data", "roomcast.yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	deployment := objects["Deployment roomcast"]
	pod := at[map[string]any](t, deployment, "spec", "template", "spec")
	container := at[map[string]any](t, pod, "containers", 0)
	args := texts(at[[]any](t, container, "args"))
	if args[0] != "serve" || !slices.Contains(args, "--config="+at[string](t, container, "volumeMounts", 0, "mountPath")+"/roomcast.yaml") {
		t.Errorf("it runs %q", args)
	}
	// Kubernetes adds variables for its services; ours must not get in their way.
	environ := []string{"ROOMCAST_PORT=tcp://10.0.0.1:80", "ROOMCAST_SERVICE_HOST=10.0.0.1", "ROOMCAST_SERVICE_PORT_HTTP=80"}
	for _, v := range at[[]any](t, container, "env") {
		name := at[string](t, v, "name")
		value, _ := v.(map[string]any)["value"].(string)
		if value == "" {
			value = strings.Repeat("v", 32)
		}
		environ = append(environ, name+"="+strings.ReplaceAll(value, "$(POD_IP)", "10.1.2.3"))
	}
	flags := slices.DeleteFunc(args[1:], func(a string) bool { return strings.HasPrefix(a, "--config=") })
	c := load(t, file, environ, flags)
	enough(t, "terminationGracePeriodSeconds", time.Duration(at[int](t, pod, "terminationGracePeriodSeconds"))*time.Second, c)
	if c.Advertise != "10.1.2.3"+c.ClusterListen {
		t.Errorf("it listens on %s and advertises %s", c.ClusterListen, c.Advertise)
	}

	ports := map[string]int{}
	for _, p := range at[[]any](t, container, "ports") {
		ports[at[string](t, p, "name")] = at[int](t, p, "containerPort")
	}
	for name, addr := range map[string]string{"public": c.Listen, "internal": c.InternalListen, "tcp-cluster": c.ClusterListen} {
		if addr != fmt.Sprintf(":%d", ports[name]) {
			t.Errorf("the port %s is %d, the listener %s", name, ports[name], addr)
		}
	}
	ready := web.NewPublic(web.Public{IO: http.NotFoundHandler(), Path: c.Path, Ready: new(web.Readiness)})
	for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		path := at[string](t, container, probe, "httpGet", "path")
		w := httptest.NewRecorder()
		ready.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || ports[at[string](t, container, probe, "httpGet", "port")] != ports["public"] {
			t.Errorf("%s asks for %s: %d", probe, path, w.Code)
		}
	}
	if p := at[string](t, objects["Service roomcast"], "spec", "ports", 0, "targetPort"); p != "public" {
		t.Errorf("the service leads to %s", p)
	}
	labels := fmt.Sprint(at[map[string]any](t, deployment, "spec", "template", "metadata", "labels"))
	for name, selector := range map[string]map[string]any{
		"Deployment":          at[map[string]any](t, deployment, "spec", "selector", "matchLabels"),
		"Service":             at[map[string]any](t, objects["Service roomcast"], "spec", "selector"),
		"PodDisruptionBudget": at[map[string]any](t, objects["PodDisruptionBudget roomcast"], "spec", "selector", "matchLabels"),
		"NetworkPolicy":       at[map[string]any](t, objects["NetworkPolicy roomcast"], "spec", "podSelector", "matchLabels"),
	} {
		if fmt.Sprint(selector) != labels {
			t.Errorf("%s selects %v, the pods are %s", name, selector, labels)
		}
	}
	target, err := config.ParseRedis(c.Redis)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(target.Addrs[0], ":")
	redis := objects["Service "+host]
	if redis == nil || fmt.Sprint(at[int](t, redis, "spec", "ports", 0, "port")) != port {
		t.Errorf("there is no Redis at %s", target)
	}
}

// unit reads a unit file: key -> values.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string][]string)
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' || line[0] == '[' && strings.HasSuffix(line, "]") {
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok || !regexp.MustCompile(`^[A-Z][A-Za-z]+$`).MatchString(k) {
			t.Fatalf("%s:%d: %q", name, i+1, line)
		}
		values[k] = append(values[k], v)
	}
	return values
}

func TestSystemd(t *testing.T) {
	u := unit(t, "systemd/roomcast.service")
	file := "/etc/roomcast/roomcast.yaml"
	if want := "/usr/local/bin/roomcast config check " + file; u["ExecStartPre"][0] != want {
		t.Errorf("it checks with %q, want %q", u["ExecStartPre"][0], want)
	}
	if want := "/usr/local/bin/roomcast serve --config=" + file; u["ExecStart"][0] != want {
		t.Errorf("it runs %q, want %q", u["ExecStart"][0], want)
	}
	c := load(t, "systemd/roomcast.yaml", u["Environment"], nil)
	for _, path := range []string{c.RedisPasswordFile, c.ClusterSecretFile} {
		name := strings.TrimPrefix(path, "%d/")
		if !slices.ContainsFunc(u["LoadCredential"], func(v string) bool { return strings.HasPrefix(v, name+":/") }) {
			t.Errorf("there is no credential %q", name)
		}
	}
	stop, err := time.ParseDuration(u["TimeoutStopSec"][0] + "s")
	if err != nil {
		t.Fatal(err)
	}
	enough(t, "TimeoutStopSec", stop, c)
	if u["Type"][0] != "notify" || u["LimitNOFILE"] == nil {
		t.Errorf("%v, %v", u["Type"], u["LimitNOFILE"])
	}
	if path, err := exec.LookPath("systemd-analyze"); err == nil {
		out, _ := exec.Command(path, "verify", "--man=no", "systemd/roomcast.service").CombinedOutput()
		for line := range strings.SplitSeq(string(out), "\n") {
			if strings.Contains(line, "roomcast.service") && !strings.Contains(line, "is not executable") {
				t.Error(line)
			}
		}
	}
}

// TestTraefik: few machines have it, so what can be checked is that it is
// like the others. Where it is, the end-to-end tests run it.
func TestTraefik(t *testing.T) {
	static := documents(t, "traefik/traefik.yaml")[0]
	if at[string](t, static, "providers", "file", "filename") != "/etc/traefik/roomcast.yaml" {
		t.Error("another file")
	}
	for _, name := range []string{"traefik/roomcast.yaml", "traefik/sticky.yaml"} {
		doc := documents(t, name)[0]
		router := at[map[string]any](t, doc, "http", "routers", "roomcast")
		if entry := at[string](t, router, "entryPoints", 0); at[map[string]any](t, static, "entryPoints")[entry] == nil {
			t.Errorf("%s: no entry point %s", name, entry)
		}
		at[map[string]any](t, doc, "http", "middlewares", at[string](t, router, "middlewares", 0))
		lb := at[map[string]any](t, doc, "http", "services", at[string](t, router, "service"), "loadBalancer")
		if at[string](t, lb, "healthCheck", "path") != "/readyz" || len(at[[]any](t, lb, "servers")) != 3 {
			t.Errorf("%s: %v", name, lb)
		}
		if _, sticky := lb["sticky"]; sticky != strings.Contains(name, "sticky") {
			t.Errorf("%s: %v", name, lb)
		}
	}
}

// TestBalancers has the balancers that are here check their configurations.
func TestBalancers(t *testing.T) {
	dir := t.TempDir()
	local := strings.NewReplacer("node1:8080", "127.0.0.1:1", "node2:8080", "127.0.0.1:2", "node3:8080", "127.0.0.1:3")
	for _, tt := range []struct {
		program string
		files   []string
		args    func(file string) []string
	}{
		{"nginx", []string{"nginx/nginx.conf", "nginx/sticky.conf"}, func(f string) []string {
			return []string{"-t", "-q", "-p", dir, "-c", f, "-e", "stderr", "-g", "pid " + dir + "/pid;"}
		}},
		{"haproxy", []string{"haproxy/haproxy.cfg", "haproxy/sticky.cfg"}, func(f string) []string { return []string{"-c", "-q", "-f", f} }},
		{"caddy", []string{"caddy/Caddyfile", "caddy/sticky.Caddyfile"}, func(f string) []string {
			return []string{"validate", "--adapter", "caddyfile", "--config", f}
		}},
	} {
		t.Run(tt.program, func(t *testing.T) {
			path, err := exec.LookPath(tt.program)
			if err != nil {
				path, err = exec.LookPath("/usr/sbin/" + tt.program)
			}
			for _, name := range tt.files {
				text, ferr := os.ReadFile(name)
				if ferr != nil {
					t.Fatal(ferr)
				}
				for i := 1; i <= 3; i++ {
					if !bytes.Contains(text, fmt.Appendf(nil, "node%d:8080", i)) {
						t.Errorf("%s has no node%d", name, i)
					}
				}
				if err != nil {
					continue
				}
				file := filepath.Join(dir, filepath.Base(name))
				if err := os.WriteFile(file, []byte(local.Replace(string(text))), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command(path, tt.args(file)...)
				cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
			}
			if err != nil {
				t.Skipf("no %s here", tt.program)
			}
		})
	}
}
