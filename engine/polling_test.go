package engine_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/internal/memnet"
)

func TestHandshake(t *testing.T) {
	run(t, engine.Config{EIO3: true}, func(h *host) {
		res := h.do("GET", "EIO=4&transport=polling", "")
		want := regexp.MustCompile(`^0\{"sid":"[A-Za-z0-9_-]{20}","upgrades":\["websocket"\],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000\}$`)
		if res.status != 200 || !want.MatchString(res.body) {
			t.Errorf("got %s", res)
		}
		for k, v := range map[string]string{"Content-Type": "text/plain; charset=UTF-8", "Cache-Control": "no-store",
			"Content-Length": fmt.Sprint(len(res.body)), "Set-Cookie": "", "X-Xss-Protection": ""} {
			if res.header.Get(k) != v {
				t.Errorf("%s: %q, want %q", k, res.header.Get(k), v)
			}
		}
		s := h.upper.s
		if s.Protocol() != 4 || s.Transport() != "polling" || s.Request().Host != "host" || s.Request().CrossSite {
			t.Errorf("session: %v %v", s, s.Request())
		}
		if res := h.do("GET", "EIO=3&transport=polling", ""); !regexp.MustCompile(`^118:0\{.*"maxPayload":1000000\}$`).MatchString(res.body) {
			t.Errorf("revision 3: %s", res)
		}
		if h.upper.s.Protocol() != 3 {
			t.Error("not revision 3")
		}
	})
}

func TestRequestIsKept(t *testing.T) {
	run(t, engine.Config{Origins: []string{"https://a.example"}}, func(h *host) {
		h.do("GET", "/engine.io/?EIO=4&transport=polling&foo=bar%20baz", "", "Origin", "https://a.example", "X-Forwarded-For", "1.2.3.4", "User-Agent", "me")
		req := h.upper.s.Request()
		if req.URL != "/engine.io/?EIO=4&transport=polling&foo=bar%20baz" || req.RawQuery != "EIO=4&transport=polling&foo=bar%20baz" ||
			req.Header.Get("x-forwarded-for") != "1.2.3.4" || req.Header.Get("User-Agent") != "me" || !req.CrossSite || req.Secure ||
			!strings.HasPrefix(req.RemoteAddr, "127.0.0.1:") || req.Header.HTTP().Get("Origin") != "https://a.example" || !req.Time.Equal(time.Now()) {
			t.Errorf("got %+v", req)
		}
		ws := h.websocket("a=b")
		req = h.upper.s.Request()
		if req.URL != "/engine.io/?EIO=4&a=b&transport=websocket" || req.Header != "" || req.Host != "host" {
			t.Errorf("got %+v", req)
		}
		ws.conn.Close()
	})
}

func TestMessages(t *testing.T) {
	run(t, engine.Config{EIO3: true}, func(h *host) {
		sid := h.polling("")
		h.expect(h.do("POST", poll(sid), "4hello\x1e4€😀\x1ebAQID"), 200, "ok")
		h.expect(h.do("GET", poll(sid), ""), 200, "4hello\x1e4€😀\x1ebAQID")

		held := h.async("GET", poll(sid), "")
		h.expect(h.do("POST", poll(sid), "4a"), 200, "ok")
		h.expect(<-held, 200, "4a")

		sid = h.polling("EIO=3&b64=1")
		h.expect(h.do("POST", pollV3(sid), "6:4hello4:4€😀8:b4AQIDBA"), 200, "ok")
		h.expect(h.do("GET", pollV3(sid), ""), 200, "6:4hello4:4€😀10:b4AQIDBA==")

		sid = h.polling("EIO=3")
		h.expect(h.do("POST", pollV3(sid), "\x00\x06\xff4hello\x01\x04\xff\x04\x01\x02\x03", "Content-Type", "application/octet-stream"), 200, "ok")
		res := h.do("GET", pollV3(sid), "")
		h.expect(res, 200, "\x00\x06\xff4hello\x01\x04\xff\x04\x01\x02\x03")
		if res.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("content type %q", res.header.Get("Content-Type"))
		}
	})
}

func TestInvalidUTF8IsReplaced(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		h.do("POST", poll(sid), "4a\xffb")
		h.expect(h.do("GET", poll(sid), ""), 200, "4a\uFFFDb")
	})
}

func TestOpenHandlerSendsWithNextPoll(t *testing.T) {
	run(t, engine.Config{InitialPacket: "faster!"}, func(h *host) {
		h.upper.open = func(s *engine.Session) { s.Send(text("hi")) }
		res := h.do("GET", "EIO=4&transport=polling", "")
		if !strings.HasSuffix(res.body, "}\x1e4faster!") {
			t.Errorf("got %s", res)
		}
		h.expect(h.do("GET", poll(h.upper.s.ID()), ""), 200, "4hi")
		ws := h.websocket("")
		ws.expect("4faster!", "4hi")
		ws.conn.Close()
	})
}

func TestPostReply(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		res := h.do("POST", poll(sid), "4a")
		h.expect(res, 200, "ok")
		for k, v := range map[string]string{"Content-Type": "text/html", "Content-Length": "2", "Cache-Control": "no-store"} {
			if res.header.Get(k) != v {
				t.Errorf("%s: %q, want %q", k, res.header.Get(k), v)
			}
		}
		res = h.do("GET", poll(sid), "", "User-Agent", "Mozilla/5.0 (compatible;MSIE 8.0)")
		if res.header.Get("X-XSS-Protection") != "0" {
			t.Error("no X-XSS-Protection for IE 8")
		}
		h.do("POST", poll(sid), "4a")
		if res = h.do("GET", poll(sid), "", "User-Agent", "Trident/7.0; rv:11.0"); res.header.Get("X-XSS-Protection") != "0" {
			t.Error("no X-XSS-Protection for IE 11")
		}
	})
}

func TestBodies(t *testing.T) {
	run(t, engine.Config{MaxPayload: 20000}, func(h *host) {
		sid := h.polling("")
		for _, n := range []int{19998, 19999} { // up to the limit, itself included
			body := "4" + strings.Repeat("a", n)
			h.expect(h.do("POST", poll(sid), body), 200, "ok")
			h.expect(h.do("GET", poll(sid), ""), 200, body)
			res, err := h.try(context.Background(), "POST", poll(sid), io.MultiReader(strings.NewReader(body[:5000]), strings.NewReader(body[5000:]))) // chunked
			if err != nil || res.status != 200 {
				t.Fatalf("chunked: %v, %v", res, err)
			}
			h.expect(h.do("GET", poll(sid), ""), 200, body)
		}
		// Larger: 413, and the session goes on.
		h.expect(h.do("POST", poll(sid), "4"+strings.Repeat("a", 20000)), 413, "")
		res, err := h.try(context.Background(), "POST", poll(sid), io.MultiReader(strings.NewReader("4"+strings.Repeat("a", 20000))))
		if err != nil || res.status != 413 {
			t.Errorf("chunked: %v, %v", res, err)
		}
		h.expect(h.do("POST", poll(sid), "x", "Content-Encoding", "gzip"), 415, "")
		h.expect(h.do("POST", poll(sid), "4b"), 200, "ok")
		h.expect(h.do("GET", poll(sid), ""), 200, "4b")
		h.closed("")
	})
}

func TestSlowBody(t *testing.T) {
	run(t, engine.Config{PingInterval: time.Hour}, func(h *host) {
		sid := h.polling("")
		conn, _ := h.l.Dial(context.Background())
		defer conn.Close()
		fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: host\r\nContent-Length: 100\r\n\r\n4", poll(sid))
		for range 20 {
			time.Sleep(time.Second)
			conn.Write([]byte("a"))
		}
		answer, _ := io.ReadAll(conn)
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 408 ")) {
			t.Errorf("got %q", answer)
		}
		h.closed("transport error: " + engine.ErrDataClosed.Error())
	})
}

// TestSlowRead: a client that doesn't take the answer to its GET in time is counted among the slow ones.
func TestSlowRead(t *testing.T) {
	run(t, engine.Config{PingInterval: time.Hour, WriteTimeout: 5 * time.Second}, func(h *host) {
		sid := h.polling("")
		h.upper.s.Send(engine.NewBatch(false, engine.Packet{Type: engine.Message, Data: make([]byte, 4*memnet.BufferSize)}))
		conn, _ := h.l.Dial(context.Background())
		defer conn.Close()
		fmt.Fprintf(conn, "GET /engine.io/?%s HTTP/1.1\r\nHost: host\r\n\r\n", poll(sid))
		time.Sleep(5*time.Second - 1)
		h.closed("")
		time.Sleep(1)
		h.closed("transport error: " + engine.ErrPollClosed.Error())
		if n := h.rejected("slow_write"); n != 1 {
			t.Errorf("%d slow writes are counted", n)
		}
	})
}

func TestPollRules(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(h *host, sid string) *response // while a GET is held
		status int
		held   string
		closed string
	}{
		{"second GET", func(h *host, sid string) *response { return h.do("GET", poll(sid), "") },
			400, "1", "transport error: " + engine.ErrPollOverlap.Error()},
		{"binary POST", func(h *host, sid string) *response {
			return h.do("POST", poll(sid), "4a", "Content-Type", "application/octet-stream")
		}, 400, "1", "transport error: " + engine.ErrInvalidContent.Error()},
		{"malformed", func(h *host, sid string) *response { return h.do("POST", poll(sid), "abc") },
			200, "1", `parse error: engine: unknown packet type 'a'`},
		{"empty", func(h *host, sid string) *response { return h.do("POST", poll(sid), "") },
			200, "1", `parse error: engine: empty packet`},
		{"ping of revision 4", func(h *host, sid string) *response { return h.do("POST", poll(sid), "2") },
			200, "1", "transport error: " + engine.ErrHeartbeatDirection.Error()},
		{"close", func(h *host, sid string) *response { return h.do("POST", poll(sid), "1\x1e4ignored") },
			200, "6", "transport close"},
		{"server closes", func(h *host, sid string) *response {
			if !h.upper.s.Close() {
				h.Error("Close reports that the session goes on")
			}
			return &response{status: 200}
		}, 200, "1", "forced close"},
		{"server closes now", func(h *host, sid string) *response {
			if !h.upper.s.CloseNow() {
				h.Error("CloseNow reports that the session goes on")
			}
			return &response{status: 200}
		}, 200, "1", "forced close"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, engine.Config{}, func(h *host) {
				h.upper.echo = false
				sid := h.polling("")
				done := h.upper.s.Done()
				held := h.async("GET", poll(sid), "")
				if res := tt.do(h, sid); res.status != tt.status {
					t.Errorf("status %d, want %d", res.status, tt.status)
				}
				h.expect(<-held, 200, tt.held)
				h.closed(tt.closed)
				<-done
				if err := h.upper.s.Err(); err == nil || !strings.HasPrefix(err.Error(), "engine: session closed: ") {
					t.Errorf("Err is %v", err)
				}
				h.expect(h.do("GET", poll(sid), ""), 400, `{"code":1,"message":"Session ID unknown"}`)
				h.refused(1, "sid", sid)
			})
		})
	}
}

func TestRevision3Close(t *testing.T) {
	run(t, engine.Config{EIO3: true}, func(h *host) {
		sid := h.polling("EIO=3")
		held := h.async("GET", pollV3(sid), "")
		h.expect(h.do("POST", pollV3(sid), "1:1"), 200, "ok")
		h.expect(<-held, 200, "1:6")

		sid = h.polling("EIO=3")
		h.upper.s.Close()
		h.expect(h.do("GET", pollV3(sid), ""), 200, "1:61:1")
	})
}

func TestPostOverlap(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		conn, _ := h.l.Dial(context.Background())
		defer conn.Close()
		fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: host\r\nContent-Length: 10\r\n\r\n4a", poll(sid))
		synctest.Wait()
		h.expect(h.do("POST", poll(sid), "4b"), 400, "")
		io.ReadAll(conn) // the first connection is ended
		h.closed("transport error: " + engine.ErrDataOverlap.Error())
	})
}

func TestDroppedRequests(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		ctx, drop := context.WithCancel(context.Background())
		go func() {
			synctest.Wait()
			drop()
		}()
		h.try(ctx, "GET", poll(sid), strings.NewReader(""))
		h.closed("transport error: " + engine.ErrPollClosed.Error())

		sid = h.polling("")
		conn, _ := h.l.Dial(context.Background())
		fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: host\r\nContent-Length: 10\r\n\r\n4a", poll(sid))
		synctest.Wait()
		conn.Close()
		h.closed("transport error: " + engine.ErrDataClosed.Error())
	})
}

func TestConnectionCloseHeader(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		for range 3 {
			h.expect(h.do("POST", poll(sid), "4a", "Connection", "close"), 200, "ok")
			h.expect(h.do("GET", poll(sid), "", "Connection", "close"), 200, "4a")
		}
		h.closed("")
	})
}

func TestGracefulClose(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		s := h.upper.s
		s.Send(text("last words"))
		if s.Close() {
			t.Error("Close reports the end before the queue is empty")
		}
		s.Send(text("too late"))
		h.expect(h.do("POST", poll(sid), "4ignored"), 200, "ok")
		h.closed("")
		h.expect(h.do("GET", poll(sid), ""), 200, "4last words")
		h.expect(h.do("GET", poll(sid), ""), 200, "6\x1e1")
		h.closed("forced close")

		h.polling("")
		h.upper.s.Close()
		time.Sleep(30*time.Second - 1)
		h.closed("")
		time.Sleep(1)
		h.closed("forced close")
	})
}

func TestOtherMethods(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		for _, method := range []string{"PUT", "DELETE", "OPTIONS", "HEAD"} {
			h.expect(h.do(method, poll(sid), ""), 500, "")
		}
		if n := h.rejected("method"); n != 4 {
			t.Errorf("%d are counted", n)
		}
		h.do("POST", poll(sid), "4a")
		h.expect(h.do("GET", poll(sid), ""), 200, "4a")
	})
}

func TestPacketsPerPayload(t *testing.T) {
	run(t, engine.Config{MaxPacketsPerPayload: 3}, func(h *host) {
		sid := h.polling("")
		h.expect(h.do("POST", poll(sid), "4\x1e4\x1e4"), 200, "ok")
		h.closed("")
		h.expect(h.do("POST", poll(sid), "4\x1e4\x1e4\x1e4"), 200, "ok")
		h.closed("parse error: " + engine.ErrTooManyPackets.Error())
	})
}

func TestJSONP(t *testing.T) {
	run(t, engine.Config{JSONP: true, Cookie: &engine.Cookie{}}, func(h *host) {
		res := h.do("GET", "EIO=4&transport=polling&j=0];alert(1)//", "")
		if !strings.HasPrefix(res.body, `___eio[01]("0{\"sid\":\"`) || !strings.HasSuffix(res.body, `");`) {
			t.Errorf("got %s", res)
		}
		for k, v := range map[string]string{"Content-Type": "text/javascript; charset=UTF-8", "X-Content-Type-Options": "nosniff", "Set-Cookie": ""} {
			if res.header.Get(k) != v {
				t.Errorf("%s: %q, want %q", k, res.header.Get(k), v)
			}
		}
		sid := h.upper.s.ID()
		h.expect(h.do("POST", poll(sid), `d=4a%5Cnb`, "Content-Type", "application/x-www-form-urlencoded"), 200, "ok")
		h.expect(h.do("GET", poll(sid), ""), 200, `___eio[01]("4a\nb");`)
		h.expect(h.do("POST", poll(sid), `x=4a`), 200, "ok") // as officially
		h.closed("")
	})
	run(t, engine.Config{}, func(h *host) {
		h.expect(h.do("GET", "EIO=4&transport=polling&j=1", ""), 400, `{"code":3,"message":"JSONP is disabled"}`)
		h.refused(3, "name", "TRANSPORT_HANDSHAKE_ERROR")
	})
}

func TestCompression(t *testing.T) {
	big := strings.Repeat("a", 1024)
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		get := func(b *engine.Batch, accept string) (encoding, body string) {
			h.upper.s.Send(b)
			res := h.do("GET", poll(sid), "", "Accept-Encoding", accept)
			if fmt.Sprint(len(res.body)) != res.header.Get("Content-Length") {
				t.Errorf("Content-Length %s of %d bytes", res.header.Get("Content-Length"), len(res.body))
			}
			var r io.Reader = strings.NewReader(res.body)
			switch encoding = res.header.Get("Content-Encoding"); encoding {
			case "gzip":
				r, _ = gzip.NewReader(r)
			case "deflate":
				r, _ = zlib.NewReader(r)
			}
			b2, err := io.ReadAll(r)
			if err != nil {
				t.Error(err)
			}
			return encoding, string(b2)
		}
		for _, tt := range []struct {
			b      *engine.Batch
			accept string
			want   string
		}{
			{text(big), "gzip, deflate", "gzip"},
			{text(big), "deflate, gzip", "deflate"},
			{text(big), "gzip;q=0.5, deflate;q=0.8", "deflate"},
			{text(big), "gzip;q=0", ""},
			{text(big), "br", ""},
			{text(big), "", ""},
			{text(big[:1022]), "gzip", ""},
			{text(big[:1023]), "gzip", "gzip"},
			{text(big).Uncompressed(), "gzip", ""},
		} {
			encoding, body := get(tt.b, tt.accept)
			if encoding != tt.want || body != "4"+string(tt.b.Packets()[0].Data) {
				t.Errorf("%d bytes with Accept-Encoding %q: encoding %q, %d bytes", tt.b.Size(), tt.accept, encoding, len(body))
			}
		}
	})
	run(t, engine.Config{CompressThreshold: -1}, func(h *host) {
		sid := h.polling("")
		h.upper.s.Send(text(big))
		if res := h.do("GET", poll(sid), "", "Accept-Encoding", "gzip"); res.header.Get("Content-Encoding") != "" {
			t.Error("compressed though that is off")
		}
	})
}

func TestHeaders(t *testing.T) {
	var heard []string
	hook := func(name string) func(http.Header, *http.Request) {
		return func(h http.Header, r *http.Request) {
			heard = append(heard, name)
			h.Set("X-"+name, "yes")
		}
	}
	cfg := engine.Config{OnInitialHeaders: hook("Initial"), OnHeaders: hook("Each")}
	secure := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Middleware", "yes")
			next.ServeHTTP(w, r)
		})
	}
	runUnder(t, cfg, secure, func(h *host) {
		first := h.do("GET", "EIO=4&transport=polling", "")
		sid := h.upper.s.ID()
		post := h.do("POST", poll(sid), "4a")
		get := h.do("GET", poll(sid), "")
		h.do("GET", "EIO=4&transport=foo", "")
		ws := h.dial("EIO=4&transport=websocket")
		ws.read()
		candidate := h.dial("EIO=4&transport=websocket&sid=" + sid)
		if got, want := fmt.Sprint(heard), "[Initial Each Each Each Initial Each Each]"; got != want {
			t.Errorf("hooks: %s, want %s", got, want)
		}
		for _, tt := range []struct {
			h       http.Header
			initial bool
		}{{first.header, true}, {post.header, false}, {get.header, false}, {ws.header, true}, {candidate.header, false}} {
			if len(tt.h["X-Each"]) != 1 || (tt.h.Get("X-Initial") != "") != tt.initial || len(tt.h["X-Middleware"]) != 1 {
				t.Errorf("headers %v", tt.h)
			}
		}
		ws.conn.Close()
		candidate.conn.Close()
	})
}

func TestCookie(t *testing.T) {
	for want, cookie := range map[string]*engine.Cookie{
		"io=%s; Path=/; HttpOnly; SameSite=Lax":                      {},
		"woot=%s; Path=/; HttpOnly; SameSite=Lax":                    {Name: "woot"},
		"io=%s; Path=/custom; HttpOnly; SameSite=Lax":                {Path: "/custom"},
		"io=%s; HttpOnly; SameSite=Lax":                              {Path: "-"},
		"io=%s; Path=/; SameSite=Lax":                                {Script: true},
		"io=%s; Path=/; HttpOnly; SameSite=Strict":                   {SameSite: http.SameSiteStrictMode},
		"io=%s; Path=/; HttpOnly":                                    {SameSite: http.SameSiteDefaultMode},
		"io=%s; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=None": {MaxAge: time.Minute, Secure: true, SameSite: http.SameSiteNoneMode},
		"io=%s; Path=/; Domain=example.com; HttpOnly; SameSite=Lax":  {Domain: "example.com"},
	} {
		run(t, engine.Config{Cookie: cookie}, func(h *host) {
			res := h.do("GET", "EIO=4&transport=polling", "")
			if got := res.header.Get("Set-Cookie"); got != fmt.Sprintf(want, h.upper.s.ID()) {
				t.Errorf("got %q, want %q", got, want)
			}
			if res := h.do("POST", poll(h.upper.s.ID()), "4a"); res.header.Get("Set-Cookie") != "" {
				t.Error("a cookie with a later response")
			}
			ws := h.dial("EIO=4&transport=websocket")
			if ws.header.Get("Set-Cookie") != "" {
				t.Error("a cookie on a WebSocket handshake")
			}
			ws.conn.Close()
		})
	}
}
