package engine_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
)

func TestStranger(t *testing.T) {
	var seen []string
	cfg := engine.Config{Stranger: func(w http.ResponseWriter, r *http.Request, id string) bool {
		seen = append(seen, r.Method+" "+id)
		if id != "elsewhere" {
			return false
		}
		w.WriteHeader(http.StatusTeapot)
		return true
	}}
	run(t, cfg, func(h *host) {
		h.expect(h.do("GET", poll("elsewhere"), ""), http.StatusTeapot, "")
		h.expect(h.do("POST", poll("elsewhere"), "4hello"), http.StatusTeapot, "")
		if ws := h.dial("EIO=4&transport=websocket&sid=elsewhere"); ws.status != http.StatusTeapot {
			t.Errorf("an upgrade got %d", ws.status)
		}
		h.expect(h.do("GET", poll("nowhere"), ""), 400, `{"code":1,"message":"Session ID unknown"}`)
		h.refused(1, "sid", "nowhere")

		// Neither a request that is refused first nor one of our own sessions is a stranger's.
		h.expect(h.do("GET", poll("elsewhere"), "", "Origin", "http://evil.example"), 403,
			`{"code":4,"message":"Origin not allowed: the server's setting Origins does not list it"}`)
		h.polling("")
		sid := h.polling("")
		h.do("POST", poll(sid), "4hello")
		want := []string{"GET elsewhere", "POST elsewhere", "GET elsewhere", "GET nowhere"}
		if len(seen) != len(want) {
			t.Fatalf("got %q", seen)
		}
		for i := range want {
			if seen[i] != want[i] {
				t.Errorf("got %q, want %q", seen[i], want[i])
			}
		}
	})
}

// TestReleasedPoll cancels the contexts of held GETs as a host does whose
// connection is about to end: the session lives on, and loses nothing.
func TestReleasedPoll(t *testing.T) {
	var mu sync.Mutex
	var release context.CancelCauseFunc
	middleware := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithCancelCause(r.Context())
			mu.Lock()
			release = cancel
			mu.Unlock()
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
	runUnder(t, engine.Config{}, middleware, func(h *host) {
		sid := h.polling("")
		get := h.async("GET", poll(sid), "")
		release(engine.ErrReleased)
		h.expect(<-get, 200, "6")

		// The release and a packet at once: whichever the GET sees, the packet arrives.
		for range 50 {
			get = h.async("GET", poll(sid), "")
			mu.Lock()
			cancel := release
			mu.Unlock()
			go cancel(engine.ErrReleased)
			h.upper.s.Send(text("kept"))
			res := <-get
			if res.body == "6" {
				res = h.do("GET", poll(sid), "")
			}
			h.expect(res, 200, "4kept")
		}
		get = h.async("GET", poll(sid), "")
		release(nil)
		<-get
		synctest.Wait()
		h.closed("transport error: engine: poll connection closed prematurely")
		time.Sleep(time.Second)
	})
}

// TestLargeAnswerWithoutFlush: a large answer ended the session where the
// host's ResponseWriter can't flush, since the error that says so is wrapped.
func TestLargeAnswerWithoutFlush(t *testing.T) {
	type plain struct{ http.ResponseWriter } // hides Flush, and Unwrap with it
	middleware := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(plain{w}, r) })
	}
	runUnder(t, engine.Config{}, middleware, func(h *host) {
		sid := h.polling("")
		large := strings.Repeat("x", 100_000)
		h.do("POST", poll(sid), "4"+large)
		h.expect(h.do("GET", poll(sid), ""), 200, "4"+large)
		h.do("POST", poll(sid), "4still there")
		h.expect(h.do("GET", poll(sid), ""), 200, "4still there")
	})
}
