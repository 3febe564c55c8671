package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestForward(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b", "c")
		for i := range nodes {
			sid := nodes[i].open()
			for j := range nodes {
				w.expect(nodes[j].post(sid, "4hello\x1e4world"), 200, "ok")
				w.expect(nodes[(j+1)%3].get(sid), 200, "4hello\x1e4world")
			}
			held := nodes[(i+1)%3].hold(sid)
			w.expect(nodes[(i+2)%3].post(sid, "4woken"), 200, "ok")
			w.expect(<-held, 200, "4woken")
			// The official close: the held GET gets a noop.
			held = nodes[(i+2)%3].hold(sid)
			w.expect(nodes[(i+1)%3].post(sid, "1"), 200, "ok")
			w.expect(<-held, 200, "6")
			for _, n := range nodes {
				w.expect(n.get(sid), 400, unknown)
			}
		}
		st := nodes[0].node.Stats()
		if got := st.Polls[Direct].Load(); got == 0 || st.Posts[Direct].Load() == 0 || st.Taken.Load() == 0 {
			t.Errorf("nothing is counted: %d polls", got)
		}
		if _, count, sum := st.Latency.Snapshot(); count != st.Posts[Direct].Load() || sum < 0 {
			t.Errorf("the histogram has %d times", count)
		}
		for _, n := range nodes {
			if n.node.Forwards() != 0 || n.node.taken.Load() != 0 {
				t.Errorf("%d, %d requests are under way", n.node.Forwards(), n.node.taken.Load())
			}
			n.node.links.mu.Lock()
			for _, list := range n.node.links.idle {
				if len(list) > 2 {
					t.Errorf("%d links: they aren't used again", len(list))
				}
			}
			n.node.links.mu.Unlock()
		}
	})
}

// TestForwardedRequest shows that the owner sees the request as the entry has seen it.
func TestForwardedRequest(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		const page = "http://public.example"
		sid := nodes[0].open("Origin", page)
		w.expect(nodes[1].post(sid, "4x", "Origin", page), 200, "ok")
		for _, n := range nodes { // the origin is bound to the session, wherever its requests arrive
			if res := n.post(sid, "4x", "Origin", "http://evil.example"); res.status != 403 {
				t.Errorf("of another origin: %s", res)
			}
		}
		seen := make(chan *http.Request, 1)
		nodes[0].node.mu.Lock()
		o := nodes[0].node.server.Handler.(*owner)
		nodes[0].node.mu.Unlock()
		o.next = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen <- r
			w.Header().Set("X-Answer", "yes")
			w.Header().Set("Vary", "Origin")
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, strings.Repeat("x", 100_000))
		})
		sid, _ = nodes[0].node.NewID(nil)
		res := nodes[1].get(sid, "Cookie", "a=b", "X-Forwarded-For", " 1.2.3.4 ", "Roomcast-Client", "6.6.6.6:6",
			"Roomcast-Seal", "forged", "Connection", "keep-alive", "Te", "trailers", "Accept-Language", "de")
		if res.status != http.StatusTeapot || res.header.Get("X-Answer") != "yes" || len(res.body) != 100_000 {
			t.Errorf("the answer came back as %d %v", res.status, res.header)
		}
		r := <-seen
		if r.RemoteAddr == "6.6.6.6:6" || !strings.HasPrefix(r.RemoteAddr, "127.0.0.1:1000") {
			t.Errorf("the client's address is %q", r.RemoteAddr)
		}
		if r.Host != "public.example" || r.RequestURI != "/engine.io/?"+poll(sid) || r.URL.Scheme != "" {
			t.Errorf("host %q, URI %q, scheme %q", r.Host, r.RequestURI, r.URL.Scheme)
		}
		for name, want := range map[string]string{"Cookie": "a=b", "X-Forwarded-For": "1.2.3.4", "Accept-Language": "de", "Te": ""} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		for name := range r.Header {
			if strings.HasPrefix(name, headerPrefix) {
				t.Errorf("the owner's handler sees %s", name)
			}
		}
	})
}

func TestForwardLimits(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.MaxBody = 1000
		w.cfg.BodyTimeout = 5 * time.Second
		nodes := w.start("a", "b")
		sid := nodes[0].open()
		w.expect(nodes[1].post(sid, "4"+strings.Repeat("x", 999)), 200, "ok")
		w.expect(nodes[1].get(sid), 200, "4"+strings.Repeat("x", 999))
		if res := nodes[1].post(sid, "4"+strings.Repeat("x", 1000)); res.status != 413 {
			t.Errorf("a body that is too large: %s", res)
		}
		// The same without an announced length.
		res, err := nodes[1].try(context.Background(), "POST", poll(sid), io.MultiReader(strings.NewReader("4"), strings.NewReader(strings.Repeat("x", 1000))))
		if err != nil || res.status != 413 {
			t.Errorf("a chunked body that is too large: %v, %v", res, err)
		}
		res, err = nodes[1].try(context.Background(), "POST", poll(sid), io.MultiReader(strings.NewReader("4chunked")))
		if err != nil {
			t.Fatal(err)
		}
		w.expect(res, 200, "ok")
		w.expect(nodes[1].get(sid), 200, "4chunked")

		// A body that doesn't come in time ends the session, as on one node.
		r, pipe := io.Pipe()
		go pipe.Write([]byte("4"))
		if res, err := nodes[1].try(context.Background(), "POST", poll(sid), r); err != nil || res.status != 400 {
			t.Errorf("a slow body: %v, %v", res, err)
		}
		pipe.Close()
		synctest.Wait()
		if got := nodes[0].upper.take(); !strings.Contains(got, "transport error: engine: data request connection closed") {
			t.Errorf("the session: %q", got)
		}
	})
}

func TestForwardsAreBounded(t *testing.T) {
	run(t, func(w *world) {
		w.cfg.MaxForwards = 2
		nodes := w.start("a", "b")
		var held []<-chan *response
		for range 2 {
			held = append(held, nodes[1].hold(nodes[0].open()))
		}
		if res := nodes[1].get(nodes[0].open()); res.status != 503 || res.header.Get("Retry-After") == "" {
			t.Errorf("beyond the limit: %s", res)
		}
		nodes[0].engine.Shutdown(context.Background())
		for _, h := range held {
			w.expect(<-h, 200, "1")
		}
	})
}

func TestClientThatGoes(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		sid := nodes[0].open()
		ctx, cancel := context.WithCancel(context.Background())
		go nodes[1].try(ctx, "GET", poll(sid), nil)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if got := nodes[0].upper.take(); got != "transport error: engine: poll connection closed prematurely" {
			t.Errorf("the session: %q", got)
		}
	})
}

func TestUpgradeElsewhere(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b", "c")
		sid := nodes[0].open()
		held := nodes[1].hold(sid)
		ws := nodes[2].websocket("sid=" + sid)
		if ws.status != 101 {
			t.Fatalf("status %d", ws.status)
		}
		ws.send("2probe")
		ws.expect("3probe")
		w.expect(<-held, 200, "6")
		ws.send("5", "4hello")
		ws.expect("4hello")
		for i := range 200 {
			m := fmt.Sprintf("4message %d", i)
			ws.send(m)
			ws.expect(m)
		}
		if got := nodes[2].node.Forwards(); got != 1 {
			t.Errorf("%d requests are under way", got)
		}
		// The client closes.
		ws.conn.Close()
		synctest.Wait()
		if got := nodes[0].upper.take(); got != "upgraded, transport close" {
			t.Errorf("the session: %q", got)
		}
		time.Sleep(lingerTime)
		synctest.Wait()
		if got := nodes[2].node.Forwards(); got != 0 {
			t.Errorf("%d requests are under way", got)
		}

		// The server closes.
		sid = nodes[0].open()
		ws = nodes[1].websocket("sid=" + sid)
		ws.send("2probe", "5")
		ws.expect("3probe")
		synctest.Wait()
		nodes[0].upper.last.Close()
		ws.expect("close", "end")
		ws.conn.Close()

		// There is nothing to upgrade.
		if ws := nodes[1].websocket("sid=" + sid); ws.status != 400 {
			t.Errorf("status %d", ws.status)
		}
	})
}

func TestOwnerThatDies(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		sid, upgraded := nodes[0].open(), nodes[0].open()
		ws := nodes[1].websocket("sid=" + upgraded)
		ws.send("2probe", "5")
		ws.expect("3probe")
		held := nodes[1].hold(sid)
		nodes[0].kill()
		begin := time.Now()
		w.expect(<-held, 400, unknown)
		w.expect(nodes[1].get(sid), 400, unknown)
		w.expect(nodes[1].post(sid, "4x"), 400, unknown)
		ws.expect("close")
		if d := time.Since(begin); d > 100*time.Millisecond {
			t.Errorf("it took %s", d)
		}
		time.Sleep(deadAfter + beatInterval)
		if list := nodes[1].node.Members(); len(list) != 1 {
			t.Errorf("the members are %v", list)
		}
		w.expect(nodes[1].get(sid), 400, unknown)
	})
}

// TestOwnerThatFreezes: its connections stay open, but it beats no more.
func TestOwnerThatFreezes(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		sid := nodes[0].open()
		held := nodes[1].hold(sid)
		nodes[0].node.stop()
		begin := time.Now()
		w.expect(<-held, 400, unknown)
		if d := time.Since(begin); d < deadAfter-beatInterval || d > deadAfter+2*beatInterval {
			t.Errorf("it was dead after %s", d)
		}
	})
}

// TestAnotherProcessAtTheAddress: requests for an earlier process don't reach the later one.
func TestAnotherProcessAtTheAddress(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b")
		sid := nodes[0].open()
		nodes[0].kill()
		again := w.node("a", w.cfg, "a:1")
		w.expect(nodes[1].get(sid), 400, unknown)
		w.expect(again.get(sid), 400, unknown)
		fresh := again.open() // and b hears of the new one at once
		w.expect(nodes[1].post(fresh, "4hello"), 200, "ok")
	})
}

func TestDrain(t *testing.T) {
	run(t, func(w *world) {
		nodes := w.start("a", "b", "c")
		sid := nodes[0].open()
		upgraded := nodes[0].open()
		ws := nodes[1].websocket("sid=" + upgraded)
		ws.send("2probe", "5")
		ws.expect("3probe")
		held := nodes[1].hold(sid)
		time.Sleep(2 * holdLeast)
		begin := time.Now()
		if err := nodes[1].node.Drain(w.Context(), 10*time.Second); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("the tunnel was closed after %s", d)
		}
		ws.expect("end")
		w.expect(<-held, 200, "6") // the client asks again, elsewhere
		w.expect(nodes[2].post(sid, "4still there"), 200, "ok")
		w.expect(nodes[2].get(sid), 200, "4still there")

		// Who has no other way isn't answered at once.
		begin = time.Now()
		w.expect(<-nodes[1].hold(sid), 200, "6")
		if d := time.Since(begin); d != holdLeast {
			t.Errorf("a GET was held for %s", d)
		}
		nodes[1].leave()
		for _, m := range nodes[0].node.Members() {
			if m.Name == "b" && !m.Draining {
				t.Error("b still is a member")
			}
		}
		time.Sleep(2 * beatInterval)
		if n := len(nodes[0].node.Members()); n != 2 {
			t.Errorf("%d members", n)
		}
		w.expect(nodes[0].get(sid, "X", "y"), 200, "2") // the session has lived on: its ping
	})
}
