package web

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo stands for the realtime server: it tells what reached it.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "path": r.URL.Path, "remote": r.RemoteAddr, "scheme": r.URL.Scheme,
	})
})

func do(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func TestMountTakesEveryMethodAndNeverRedirects(t *testing.T) {
	r := gin.New() // as a program of the user's has it, with Gin's defaults
	Mount(r, "/socket.io/", echo)
	for _, path := range []string{"/socket.io", "/socket.io/", "/socket.io/socket.io.js"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "PUT", "CONNECT"} {
			w := do(r, method, path+"?EIO=4")
			if w.Code != 200 || !strings.Contains(w.Body.String(), `"method":"`+method+`","path":"`+path+`"`) {
				t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
			}
		}
	}
	if w := do(r, "GET", "/socket.iox"); w.Code != 404 {
		t.Errorf("/socket.iox: %d", w.Code)
	}
}

var testPage = page{
	"/":              newFile("index.html", []byte("<!doctype html>")),
	"/assets/a-1.js": newFile("assets/a-1.js", []byte("1")),
	"/favicon.svg":   newFile("favicon.svg", []byte("<svg/>")),
}

func public(ready *Readiness) http.Handler {
	return NewPublic(Public{IO: echo, Path: "/socket.io", Page: testPage, Ready: ready, Logger: slog.New(slog.DiscardHandler)})
}

// TestFailuresAreToldSeldom: a client can't flood the log with requests that are answered with 500.
func TestFailuresAreToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		h := NewPublic(Public{
			IO:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }),
			Path:   "/socket.io",
			Ready:  new(Readiness),
			Logger: slog.New(slog.NewTextHandler(&out, nil)),
		})
		flood := func(want, untold string) {
			for range 100 {
				if w := do(h, "PUT", "/socket.io/"); w.Code != 500 {
					t.Fatalf("status %d", w.Code)
				}
			}
			if n := strings.Count(out.String(), "a request failed"); n != 1 || !strings.Contains(out.String(), untold) {
				t.Errorf("%s: %d lines:\n%s", want, n, out.String())
			}
			out.Reset()
		}
		flood("at first", "untold=0")
		time.Sleep(time.Second)
		flood("a second later", "untold=99")
	})
}

func TestPublicRoutes(t *testing.T) {
	h := public(new(Readiness))
	for _, tt := range []struct {
		method, path string
		code         int
		mime, cache  string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"HEAD", "/", 200, "text/html; charset=utf-8", "no-cache"},
		{"POST", "/", 405, "text/plain; charset=utf-8", ""},
		{"GET", "/assets/a-1.js", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"GET", "/favicon.svg", 200, "image/svg+xml", "no-cache"},
		{"GET", "/nothing", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/assets/", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/assets/../x", 404, "text/plain; charset=utf-8", ""},
		{"GET", "/livez", 200, "text/plain; charset=utf-8", "no-store"},
		{"HEAD", "/livez", 200, "text/plain; charset=utf-8", "no-store"},
		{"GET", "/readyz", 200, "application/json", "no-store"},
		{"GET", "/metrics", 404, "text/plain; charset=utf-8", ""},      // internal
		{"GET", "/debug/pprof/", 404, "text/plain; charset=utf-8", ""}, // internal
	} {
		w := do(h, tt.method, tt.path)
		header := w.Result().Header
		if w.Code != tt.code || header.Get("Content-Type") != tt.mime || header.Get("Cache-Control") != tt.cache {
			t.Errorf("%s %s: %d %q %q", tt.method, tt.path, w.Code, header.Get("Content-Type"), header.Get("Cache-Control"))
		}
		if header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: no nosniff", tt.method, tt.path)
		}
	}
}

func TestPageHeaders(t *testing.T) {
	w := do(public(new(Readiness)), "GET", "/")
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'",
		"X-Frame-Options":         "DENY",
		"Referrer-Policy":         "no-referrer",
		"Content-Length":          "15",
	} {
		if got := w.Header().Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s is %q", name, got)
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("the policy is %q", csp)
	}

	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("If-None-Match", w.Header().Get("ETag"))
	again := httptest.NewRecorder()
	public(new(Readiness)).ServeHTTP(again, r)
	if again.Code != 304 || again.Body.Len() > 0 {
		t.Errorf("an unchanged page is answered with %d", again.Code)
	}
}

func TestNewPage(t *testing.T) {
	p, err := newPage(fstest.MapFS{
		"index.html": {Data: []byte("x")}, "assets/a.js": {Data: []byte("y")}, ".hidden": {Data: []byte("z")},
	})
	if err != nil || len(p) != 2 || !p["/assets/a.js"].immutable || p["/"].immutable {
		t.Errorf("got %v, %v", p, err)
	}
	if w := do(Page(), "GET", "/"); w.Code != 200 || !strings.Contains(w.Body.String(), "<html") {
		t.Errorf("the embedded page is answered with %d %.100s", w.Code, w.Body)
	}
	if !bytes.Contains(unbuilt, []byte("scripts/build")) {
		t.Error("the page for unbuilt pages doesn't say how to build it")
	}
}

func TestReadiness(t *testing.T) {
	var ready Readiness
	h := public(&ready)
	if w := do(h, "GET", "/readyz"); w.Code != 200 || w.Body.String() != "{\"ready\":true}\n" {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
	ready.Hold("redis", "can't be reached")
	ready.Hold("stopping", "the server is going away")
	const both = `{"ready":false,"reasons":{"redis":"can't be reached","stopping":"the server is going away"}}` + "\n"
	if w := do(h, "GET", "/readyz"); w.Code != 503 || w.Body.String() != both {
		t.Errorf("held twice: %d %s", w.Code, w.Body)
	}
	ready.Release("redis")
	if w := do(h, "GET", "/readyz"); w.Code != 503 {
		t.Errorf("held once: %d", w.Code)
	}
	if w := do(h, "GET", "/livez"); w.Code != 200 {
		t.Errorf("who isn't ready is alive: %d", w.Code)
	}
	ready.Release("stopping")
	if w := do(h, "GET", "/readyz"); w.Code != 200 {
		t.Errorf("released: %d", w.Code)
	}
}

func TestPanicsEndTheirRequestOnly(t *testing.T) {
	var log bytes.Buffer
	r := router(slog.New(slog.NewTextHandler(&log, nil)))
	r.GET("/panic", func(*gin.Context) { panic("ouch\nlevel=ERROR msg=forged") })
	r.GET("/late", func(c *gin.Context) { c.String(200, "x"); panic("late") })
	r.GET("/busy", func(c *gin.Context) { c.Status(503) })
	r.GET("/bad", func(c *gin.Context) { c.Status(502) })
	if w := do(r, "GET", "/panic"); w.Code != 500 {
		t.Errorf("panic: %d", w.Code)
	}
	if !strings.Contains(log.String(), "ouch") || strings.Contains(log.String(), "\nlevel=ERROR msg=forged") {
		t.Errorf("logged %q", log.String())
	}
	if w := do(r, "GET", "/late"); w.Code != 200 {
		t.Errorf("panic after an answer: %d", w.Code)
	}
	log.Reset()
	do(r, "GET", "/busy")
	if log.Len() > 0 {
		t.Errorf("503 is logged: %s", log.String())
	}
	do(r, "GET", "/bad")
	if !strings.Contains(log.String(), "status=502") {
		t.Errorf("502 is not logged: %s", log.String())
	}
}

func TestListenSaysWhatToDo(t *testing.T) {
	l, err := Listen("127.0.0.1:0", "listen")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct{ addr, want string }{
		{l.Addr().String(), "choose another address with --listen"},
		{"192.0.2.1:0", "isn't an address of this machine"},
	} {
		second, err := Listen(tt.addr, "listen")
		if err == nil {
			second.Close()
			t.Errorf("%s could be listened on", tt.addr)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.addr, err)
		}
	}
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
