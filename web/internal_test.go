package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/internal/testcert"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// newIO returns a server, and what stops it.
func newIO(t *testing.T, cfg server.Config) (io *server.Server, stop func()) {
	t.Helper()
	io, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return io, func() {
		if err := io.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestMetrics(t *testing.T) {
	io, stop := newIO(t, server.Config{})
	defer stop()
	registry := Metrics(io.Stats, "v1.2.3")
	var ready Readiness
	h := NewInternal(Internal{Metrics: registry, Ready: &ready, Logger: slog.New(slog.DiscardHandler)})

	servertest.Serve(t, NewPublic(Public{IO: io, Path: "/socket.io", Ready: &ready})).Connect("/")
	if _, err := servertest.Serve(t, io).TryConnect("/none"); err == nil {
		t.Error("joined a namespace that doesn't exist")
	}
	w := do(h, "GET", "/metrics")
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, want := range []string{
		`roomcast_build_info{version="v1.2.3"} 1`,
		`roomcast_sockets 1`,
		`roomcast_joins_total 1`,
		`roomcast_joins_refused_total 1`,
		`roomcast_rejected_total{reason="origin"} 0`,
		`roomcast_sessions_closed_total{reason="transport close"}`,
		`go_goroutines`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// Clients choose names of events, rooms and namespaces; if they became labels
// they would fill the memory of who collects them.
func TestMetricsDoNotGrowWithInput(t *testing.T) {
	io, stop := newIO(t, server.Config{Engine: engine.Config{HandshakeRate: -1}})
	defer stop()
	registry := Metrics(io.Stats, "")
	series := func() int {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "roomcast_") {
				n += len(f.GetMetric())
			}
		}
		return n
	}
	before := series()
	s := servertest.Serve(t, io)
	c := s.Connect("/")
	for i := range 100 {
		c.Emit("event" + strings.Repeat("x", i))
	}
	for i := range 10 {
		_, _ = s.TryConnect("/name" + strings.Repeat("x", i))
	}
	if after := series(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
}

func TestInternalRoutes(t *testing.T) {
	io, stop := newIO(t, server.Config{})
	defer stop()
	var ready Readiness
	h := NewInternal(Internal{Metrics: Metrics(io.Stats, ""), Ready: &ready})
	for path, code := range map[string]int{
		"/metrics": 200, "/livez": 200, "/readyz": 200,
		"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/cmdline": 200, "/debug/pprof/nothing": 404,
		"/": 404, "/socket.io/": 404,
	} {
		if w := do(h, "GET", path); w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		}
	}
}

func TestChangedCertificateIsTakenUp(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := testcert.Write(t, dir, testcert.New(t, "first"))
	var log bytes.Buffer
	c, err := LoadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	name := func() string { return c.current().Leaf.Subject.CommonName }
	testcert.Write(t, dir, testcert.New(t, "second"))
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(certFile, later, later); err != nil {
		t.Fatal(err)
	}
	if got := name(); got != "first" {
		t.Errorf("within the minute: %s", got)
	}
	c.checked = time.Time{}
	if got := name(); got != "second" {
		t.Errorf("after the change: %s; logged %s", got, log.String())
	}
	if err := os.WriteFile(certFile, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.checked = time.Time{}
	if got := name(); got != "second" || !strings.Contains(log.String(), "the earlier one stays") {
		t.Errorf("after a bad change: %s; logged %s", got, log.String())
	}
}

// Polling may come over HTTP/2; WebSocket handshakes come over HTTP/1.1, since
// nothing else is offered to them.
func TestTLS(t *testing.T) {
	certFile, keyFile := testcert.Write(t, t.TempDir(), testcert.New(t, "test"))
	c, err := LoadCertificate(certFile, keyFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Listen("127.0.0.1:0", "listen")
	if err != nil {
		t.Fatal(err)
	}
	var ready Readiness
	io, stop := newIO(t, server.Config{})
	defer stop()
	s := NewServer(NewPublic(Public{IO: io, Path: "/socket.io", Ready: &ready}), nil)
	s.TLSConfig = c.TLS()
	var done sync.WaitGroup
	done.Go(func() { _ = s.ServeTLS(l, "", "") })
	t.Cleanup(func() {
		_ = s.Close()
		done.Wait()
	})

	pool := x509.NewCertPool()
	pem, _ := os.ReadFile(certFile)
	pool.AppendCertsFromPEM(pem)
	for _, tt := range []struct {
		h2    bool
		major int
	}{{true, 2}, {false, 1}} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: tt.h2}
		resp, err := (&http.Client{Transport: tr}).Get("https://" + l.Addr().String() + "/socket.io/?EIO=4&transport=polling")
		if err != nil {
			t.Fatal(err)
		}
		if b := body(t, resp); resp.ProtoMajor != tt.major || !strings.HasPrefix(b, `0{"sid":`) {
			t.Errorf("HTTP/%d: %s", resp.ProtoMajor, b)
		}
		tr.CloseIdleConnections()
	}

	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	req, _ := http.NewRequest("GET", "https://"+l.Addr().String()+"/socket.io/?EIO=4&transport=websocket", nil)
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("WebSocket over TLS: %s", resp.Status)
	}
	resp.Body.Close()
	tr.CloseIdleConnections()
}
