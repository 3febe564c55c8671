package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
)

func TestRefusals(t *testing.T) {
	cfg := engine.Config{
		Path: "/engine.io/",
		AllowRequest: func(r *http.Request) error {
			if strings.Contains(r.URL.RawQuery, "deny") {
				return errors.New("Thou shall not pass")
			}
			return nil
		},
		NewID: func(r *http.Request) (string, error) {
			if strings.Contains(r.URL.RawQuery, "noid") {
				return "", errors.New("no id")
			}
			return "id" + r.URL.Query().Get("n"), nil
		},
	}
	for _, tt := range []struct {
		method, query string
		upgrade       bool
		status        int
		code          int
		message       string
		key           string
		value         any
	}{
		{"GET", "EIO=4", false, 400, 0, "Transport unknown", "transport", ""},
		{"GET", "EIO=4&transport=tobi", false, 400, 0, "Transport unknown", "transport", "tobi"},
		{"GET", "EIO=4&transport=constructor", false, 400, 0, "Transport unknown", "transport", "constructor"},
		{"GET", "EIO=4&transport=__proto__", true, 400, 0, "Transport unknown", "transport", "__proto__"},
		{"GET", "EIO=4&transport=webtransport", false, 400, 0, "Transport unknown", "", nil},
		{"GET", "EIO=4&transport=polling&transport=x", false, 400, 0, "Transport unknown", "transport", "x"},
		{"GET", "EIO=4&transport=polling&sid=test", false, 400, 1, "Session ID unknown", "sid", "test"},
		{"GET", "EIO=4&transport=websocket&sid=te%20st", true, 400, 1, "Session ID unknown", "sid", "te st"},
		{"POST", "EIO=4&transport=polling", false, 400, 2, "Bad handshake method", "method", "POST"},
		{"OPTIONS", "EIO=4&transport=polling&sid=", false, 400, 2, "Bad handshake method", "method", "OPTIONS"},
		{"GET", "EIO=4&transport=websocket", false, 400, 3, "Bad request", "name", "TRANSPORT_HANDSHAKE_ERROR"},
		{"GET", "EIO=4&transport=websocket&sid=idp", false, 400, 3, "Bad request", "name", "TRANSPORT_MISMATCH"},
		{"GET", "EIO=3&transport=polling&sid=idp", false, 400, 3, "Bad request", "name", "PROTOCOL_MISMATCH"},
		{"POST", "EIO=3&transport=polling&sid=idp", false, 400, 3, "Bad request", "previousProtocol", 4},
		{"GET", "EIO=3&transport=websocket&sid=idp", true, 400, 3, "Bad request", "protocol", 3},
		{"GET", "EIO=4&transport=polling&noid", false, 400, 3, "Bad request", "name", "ID_GENERATION_ERROR"},
		{"GET", "EIO=4&transport=websocket&noid", true, 400, 3, "Bad request", "error", "no id"},
		{"GET", "EIO=4&transport=polling&n=p", false, 400, 3, "Bad request", "name", "ID_GENERATION_ERROR"}, // taken
		{"GET", "EIO=4&transport=polling&deny", false, 403, 4, "Thou shall not pass", "message", "Thou shall not pass"},
		{"GET", "EIO=4&transport=websocket&deny", true, 400, 4, "Thou shall not pass", "message", "Thou shall not pass"},
		{"GET", "EIO=3&transport=polling&n=3", false, 400, 5, "Unsupported protocol version", "protocol", 3},
		{"GET", "transport=polling&n=3", false, 400, 5, "Unsupported protocol version", "protocol", 3},
		{"GET", "EIO=5&transport=websocket&n=3", true, 400, 5, "Unsupported protocol version", "protocol", 3},
	} {
		run(t, cfg, func(h *host) {
			if sid := h.polling("n=p"); sid != "idp" {
				t.Fatalf("custom id is %q", sid)
			}
			if tt.upgrade {
				ws := h.dial(tt.query)
				if ws.status != tt.status || ws.body != tt.message || ws.header.Get("Content-Type") != "text/html" {
					t.Errorf("%s: got %d %q %v", tt.query, ws.status, ws.body, ws.header)
				}
			} else {
				res := h.do(tt.method, tt.query, "")
				if res.header.Get("Content-Type") != "application/json" {
					t.Errorf("%s: content type %q", tt.query, res.header.Get("Content-Type"))
				}
				h.expect(res, tt.status, fmt.Sprintf(`{"code":%d,"message":%q}`, tt.code, tt.message))
			}
			h.refused(tt.code, tt.key, tt.value)
			if n := h.srv.Stats().Sessions(); n != 1 {
				t.Errorf("%s: %d sessions", tt.query, n)
			}
		})
	}
}

func TestSetup(t *testing.T) {
	t.Run("path", func(t *testing.T) {
		run(t, engine.Config{Path: "/engine.io/"}, func(h *host) {
			for path, status := range map[string]int{"/engine.io/": 200, "/engine.io/foo/bar": 200, "/engine.io": 404, "/": 404} {
				if res := h.do("GET", path+"?EIO=4&transport=polling", ""); res.status != status {
					t.Errorf("%s: %d, want %d", path, res.status, status)
				}
			}
		})
		run(t, engine.Config{Path: "/engine.io"}, func(h *host) {
			if res := h.do("GET", "/engine.io?EIO=4&transport=polling", ""); res.status != 200 {
				t.Errorf("without slash: %d", res.status)
			}
		})
	})
	t.Run("upgrades", func(t *testing.T) {
		for _, tt := range []struct {
			cfg  engine.Config
			want string
		}{
			{engine.Config{}, `"upgrades":["websocket"]`},
			{engine.Config{NoUpgrades: true}, `"upgrades":[]`},
			{engine.Config{Transports: []string{"polling"}}, `"upgrades":[]`},
			{engine.Config{PingInterval: 300 * time.Millisecond, PingTimeout: 123 * time.Millisecond, MaxPayload: 5},
				`"upgrades":["websocket"],"pingInterval":300,"pingTimeout":123,"maxPayload":5}`},
			{engine.Config{PingInterval: -1}, `"pingInterval":2147463647,"pingTimeout":20000`},
		} {
			run(t, tt.cfg, func(h *host) {
				if res := h.do("GET", "EIO=4&transport=polling", ""); !strings.Contains(res.body, tt.want) {
					t.Errorf("got %s, want %s", res, tt.want)
				}
			})
		}
	})
	t.Run("no websocket", func(t *testing.T) {
		run(t, engine.Config{Transports: []string{"polling"}}, func(h *host) {
			ws := h.dial("EIO=4&transport=websocket") // is an ordinary request
			if ws.status != 400 || ws.body != `{"code":0,"message":"Transport unknown"}` {
				t.Errorf("got %d %q", ws.status, ws.body)
			}
		})
	})
	t.Run("upgrade request for polling", func(t *testing.T) {
		run(t, engine.Config{}, func(h *host) {
			ws := h.dial("EIO=4&transport=polling")
			ws.expect("close")
			ws.conn.Close()
		})
	})
	t.Run("bad handshake of WebSocket", func(t *testing.T) {
		run(t, engine.Config{}, func(h *host) {
			res := h.do("GET", "EIO=4&transport=websocket", "", "Connection", "Upgrade", "Upgrade", "websocket") // no key
			if res.status != 400 {
				t.Errorf("got %s", res)
			}
			if n := len(h.errors); n != 0 {
				t.Errorf("%d connection errors", n)
			}
		})
	})
	t.Run("ids", func(t *testing.T) {
		run(t, engine.Config{HandshakeRate: -1}, func(h *host) {
			seen := make(map[string]bool)
			for range 500 {
				sid := h.polling("")
				if seen[sid] || !regexp.MustCompile(`^[A-Za-z0-9_-]{20}$`).MatchString(sid) {
					t.Fatalf("id %q", sid)
				}
				seen[sid] = true
			}
		})
	})
	for _, cfg := range []engine.Config{
		{Transports: []string{"carrier pigeon"}},
		{Origins: []string{"example.com"}},
		{Origins: []string{"https://example.com/"}},
		{Origins: []string{"/(/"}},
		{Origins: []string{"*"}, CORS: engine.CORS{Credentials: true}},
		{Cookie: &engine.Cookie{Name: "a b"}},
	} {
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), "engine: ") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestOrigins(t *testing.T) {
	list := []string{"https://app.example", "HTTPS://Upper.example:8443", `/https://[a-z]+\.trusted\.example/`, "http://xn--bcher-kva.example"}
	for _, tt := range []struct {
		origin string
		own    bool // passes without a list
		listed bool
	}{
		{"", true, true},
		{"http://host", true, true},
		{"https://host", true, true}, // a proxy may end TLS
		{"http://HOST", true, true},
		{"http://host:80", true, true},
		{"https://host:443", true, true},
		{"http://host:443", false, false},
		{"http://host:8080", false, false},
		{"ftp://host", false, false},
		{"http://host.evil.example", false, false},
		{"http://evilhost", false, false},
		{"http://user@host", false, false},
		{"http://host/", false, false},
		{"host", false, false},
		{"null", false, false},
		{"file://", false, false},
		{"https://app.example", false, true},
		{"https://APP.example", false, true},
		{"http://app.example", false, false},
		{"https://app.example:444", false, false},
		{"https://app.example.evil.example", false, false},
		{"https://evilapp.example", false, false},
		{"https://upper.example:8443", false, true},
		{"https://upper.example", false, false},
		{"https://a.trusted.example", false, true},
		{"https://a.trustedxexample", false, false},
		{"https://a.b.trusted.example", false, false},
		{"https://a.trusted.example.evil", false, false},
		{"evil https://a.trusted.example", false, false},
		{"http://xn--bcher-kva.example", false, true},
		{"http://b\xfccher.example", false, false},
	} {
		for i, origins := range [][]string{nil, list, {"*"}} {
			run(t, engine.Config{Origins: origins}, func(h *host) {
				want := []bool{tt.own, tt.listed, true}[i]
				var headers []string
				if tt.origin != "" {
					headers = []string{"Origin", tt.origin}
				}
				status := map[bool]int{true: 200, false: 403}[want]
				if res := h.do("GET", "EIO=4&transport=polling", "", headers...); res.status != status {
					t.Errorf("%q with %v: %s", tt.origin, origins, res)
				}
				ws := h.dial("EIO=4&transport=websocket", headers...)
				if (ws.status == 101) != want || !want && ws.status != 403 {
					t.Errorf("WebSocket from %q with %v: %d", tt.origin, origins, ws.status)
				}
				ws.conn.Close()
				if want != (h.log.Len() == 0) || !want && strings.Count(h.log.String(), "setting=Origins") != 2 {
					t.Errorf("%q with %v logged %q", tt.origin, origins, h.log)
				}
				sid := h.polling("")
				if res := h.do("POST", poll(sid), "4a", headers...); res.status != status {
					t.Errorf("POST from %q with %v: %s", tt.origin, origins, res)
				}
			})
		}
	}
}

func TestSessionIsBoundToOrigin(t *testing.T) {
	run(t, engine.Config{Origins: []string{"https://a.example", "https://b.example"}}, func(h *host) {
		h.do("GET", "EIO=4&transport=polling", "", "Origin", "https://a.example")
		sid := h.upper.s.ID()
		h.expect(h.do("POST", poll(sid), "4a", "Origin", "https://b.example"), 403, `{"code":4,"message":"Session belongs to another origin"}`)
		if ws := h.dial("EIO=4&transport=websocket&sid="+sid, "Origin", "https://b.example"); ws.status != 403 {
			t.Errorf("WebSocket: %d", ws.status)
		}
		h.expect(h.do("POST", poll(sid), "4a", "Origin", "https://a.example"), 200, "ok")
		h.expect(h.do("GET", poll(sid), ""), 200, "4a") // no browser, or the same origin

		sid = h.polling("") // a GET of the same origin names none: the first that does counts
		h.expect(h.do("POST", poll(sid), "4a", "Origin", "http://host"), 200, "ok")
		if res := h.do("POST", poll(sid), "4a", "Origin", "https://a.example"); res.status != 403 {
			t.Errorf("got %s", res)
		}
	})
}

func TestCORS(t *testing.T) {
	check := func(h *host, res *response, want map[string]string) {
		h.Helper()
		for k, v := range want {
			if got := strings.Join(res.header.Values(k), ", "); got != v {
				h.Errorf("%s: %q, want %q", k, got, v)
			}
		}
	}
	cfg := engine.Config{Origins: []string{"https://a.example"}, CORS: engine.CORS{Credentials: true, ExposedHeaders: []string{"X-A", "X-B"}, MaxAge: time.Hour}}
	run(t, cfg, func(h *host) {
		res := h.do("OPTIONS", "EIO=4&transport=polling", "", "Origin", "https://a.example", "Access-Control-Request-Headers", "x-token")
		h.expect(res, 204, "")
		check(h, res, map[string]string{
			"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Allow-Credentials": "true",
			"Access-Control-Allow-Methods": "GET,HEAD,PUT,PATCH,POST,DELETE", "Access-Control-Allow-Headers": "x-token",
			"Access-Control-Max-Age": "3600", "Vary": "Origin, Access-Control-Request-Headers"})
		for _, query := range []string{"EIO=4&transport=polling", "EIO=4&transport=tobi"} { // errors, too
			check(h, h.do("GET", query, "", "Origin", "https://a.example"), map[string]string{
				"Access-Control-Allow-Origin": "https://a.example", "Access-Control-Expose-Headers": "X-A,X-B", "Vary": "Origin"})
		}
		ws := h.dial("EIO=4&transport=websocket", "Origin", "https://a.example")
		if ws.header.Get("Access-Control-Allow-Origin") != "https://a.example" {
			t.Errorf("101: %v", ws.header)
		}
		ws.conn.Close()
		for _, method := range []string{"OPTIONS", "GET"} {
			res = h.do(method, "EIO=4&transport=polling", "", "Origin", "https://b.example")
			if res.status != 403 {
				t.Errorf("%s from a bad origin: %s", method, res)
			}
			check(h, res, map[string]string{"Access-Control-Allow-Origin": ""})
		}
	})
	run(t, engine.Config{Origins: []string{"*"}, CORS: engine.CORS{Methods: []string{"GET", "POST"}, Headers: []string{"x-a", "x-b"}}}, func(h *host) {
		res := h.do("OPTIONS", "EIO=4&transport=polling", "", "Origin", "https://a.example", "Access-Control-Request-Headers", "x-token")
		check(h, res, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET,POST",
			"Access-Control-Allow-Headers": "x-a,x-b", "Vary": ""})
	})
	run(t, engine.Config{}, func(h *host) { // same origin needs none
		check(h, h.do("GET", "EIO=4&transport=polling", "", "Origin", "http://host"), map[string]string{"Access-Control-Allow-Origin": "", "Vary": ""})
	})
}

func TestLimits(t *testing.T) {
	t.Run("rate", func(t *testing.T) {
		run(t, engine.Config{HandshakeRate: 2}, func(h *host) {
			try := func() int { return h.do("GET", "EIO=4&transport=polling", "").status }
			for range 4 {
				if try() != 200 {
					t.Fatal("refused within the burst")
				}
			}
			res := h.do("GET", "EIO=4&transport=polling", "")
			h.expect(res, 503, `{"code":3,"message":"Too many handshakes"}`)
			h.refused(3, "limit", "handshake_rate")
			if res.header.Get("Retry-After") != "1" {
				t.Error("no Retry-After")
			}
			if ws := h.dial("EIO=4&transport=websocket"); ws.status != 503 || ws.header.Get("Retry-After") != "1" {
				t.Errorf("WebSocket: %d", ws.status)
			}
			time.Sleep(500 * time.Millisecond)
			if a, b := try(), try(); a != 200 || b != 503 {
				t.Errorf("half a second later: %d, %d", a, b)
			}
		})
	})
	for _, cfg := range []engine.Config{{MaxSessions: 2}, {MaxSessionsPerIP: 2}} {
		run(t, cfg, func(h *host) {
			h.polling("")
			ws := h.websocket("")
			status := 503
			if cfg.MaxSessionsPerIP > 0 {
				status = 429
			}
			for range 3 {
				if res := h.do("GET", "EIO=4&transport=polling", ""); res.status != status {
					t.Errorf("got %s", res)
				}
			}
			ws.conn.Close()
			synctest.Wait()
			h.polling("")
			if res := h.do("GET", "EIO=4&transport=polling", ""); res.status != status {
				t.Errorf("got %s", res)
			}
		})
	}
	run(t, engine.Config{AllowRequest: func(*http.Request) error { return errors.New("no") }, MaxSessions: 1}, func(h *host) {
		for range 3 { // a handshake that is refused gives its place back
			if res := h.do("GET", "EIO=4&transport=polling", ""); res.status != 403 {
				t.Errorf("got %s", res)
			}
		}
		if ws := h.dial("EIO=4&transport=websocket"); ws.status != 400 {
			t.Errorf("got %d", ws.status)
		}
	})
}

func TestDrain(t *testing.T) {
	run(t, engine.Config{PingInterval: time.Hour}, func(h *host) {
		var all []*socket
		for range 4 {
			all = append(all, h.websocket(""))
		}
		begin := time.Now()
		done := make(chan error, 1)
		go func() { done <- h.srv.Drain(context.Background(), 4*time.Second) }()
		synctest.Wait()
		h.expect(h.do("GET", "EIO=4&transport=polling", ""), 503, `{"code":3,"message":"Server is shutting down"}`)
		for i := range 4 {
			if n := h.srv.Stats().Sessions(); n != int64(4-i) {
				t.Errorf("%d sessions after %v", n, time.Since(begin))
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if err := <-done; err != nil || time.Since(begin) != 4*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		for _, ws := range all {
			ws.expect("close")
			ws.conn.Close()
		}
	})
}

// Shutdown loses what is queued, and leaves nothing behind: run checks that,
// and goleak does.
func TestShutdown(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		h.upper.s.Send(text("lost"))
		held := h.async("GET", poll(h.polling("")), "")
		ws := h.websocket("")
		candidate := h.dial("EIO=4&transport=websocket&sid=" + sid)
		go func() {
			ws.expect("close")
			ws.conn.Close()
			candidate.expect("close")
			candidate.conn.Close()
		}()
		if err := h.srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		h.expect(<-held, 200, "1")
		h.closed("forced close, forced close, forced close")
		if res := h.do("GET", poll(sid), ""); res.status != 400 {
			t.Errorf("got %s", res)
		}
	})
}

func TestStats(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		ws := h.websocket("")
		ws.send("4abc", "4def")
		ws.expect("4abc", "4def")
		candidate := h.dial("EIO=4&transport=websocket&sid=" + sid)
		candidate.send("2probe", "5")
		candidate.expect("3probe")
		h.do("GET", "EIO=4&transport=x", "")
		synctest.Wait()
		st := h.srv.Stats()
		if st.Opened.Load() != 2 || st.Upgraded.Load() != 1 || st.Polling.Load() != 0 || st.WebSocket.Load() != 2 || st.MessagesIn.Load() != 2 || st.PacketsOut.Load() < 3 {
			t.Errorf("stats %+v", st)
		}
		ws.conn.Close()
		candidate.conn.Close()
		synctest.Wait()
		for i, r := range engine.Reasons {
			if n := st.Closed[i].Load(); n != map[engine.Reason]uint64{engine.TransportClose: 2}[r] {
				t.Errorf("%d times %s", n, r)
			}
		}
		st.Rejected(func(reason string, n uint64) {
			if n != map[string]uint64{"transport": 1}[reason] {
				t.Errorf("%d rejected for %s", n, reason)
			}
		})
	})
}

// TestCheckOrigin: a function of the host's decides about every request, and
// CORS headers are left to the host.
func TestCheckOrigin(t *testing.T) {
	cfg := engine.Config{
		Origins: []string{"https://listed.example"},
		CheckOrigin: func(r *http.Request) bool {
			return engine.SameOrigin(r) || r.Header.Get("Origin") == "https://good.example"
		},
	}
	run(t, cfg, func(h *host) {
		for origin, status := range map[string]int{
			"": 200, "http://host": 200, "https://good.example": 200, "https://listed.example": 403,
		} {
			var headers []string
			if origin != "" {
				headers = []string{"Origin", origin}
			}
			res := h.do("GET", "EIO=4&transport=polling", "", headers...)
			if res.status != status || res.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("origin %q: %v, %v", origin, res, res.header)
			}
		}
	})
}
