package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
)

// Two requests of one client that are handled in the other order get the answers
// that they would have got in theirs.

func TestCloseOvertakesPoll(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		closing := h.async("POST", poll(sid), "4last\x1e1\x1e4never")
		h.upper.s.Send(text("kept"))
		h.expect(h.do("GET", poll(sid), ""), 200, "4last\x1e4kept")
		h.expect(<-closing, 200, "ok")
		h.closed("transport close")

		sid = h.polling("")
		closing = h.async("POST", poll(sid), "1")
		h.closed("")
		h.expect(h.do("GET", poll(sid), ""), 200, "6")
		h.expect(<-closing, 200, "ok")
		h.closed("transport close")
		h.expect(h.do("GET", poll(sid), ""), 400, `{"code":1,"message":"Session ID unknown"}`)
		h.refused(1, "sid", sid)

		// No GET is under way.
		sid = h.polling("")
		start := time.Now()
		h.expect(h.do("POST", poll(sid), "1"), 200, "ok")
		h.closed("transport close")
		if waited := time.Since(start); waited > 50*time.Millisecond {
			t.Errorf("waited %s for a GET", waited)
		}

		// The session ends meanwhile.
		sid = h.polling("")
		closing = h.async("POST", poll(sid), "1")
		h.upper.s.CloseNow()
		h.expect(<-closing, 200, "ok")
		h.closed("forced close")
	})
}

func TestPollOvertakesUpgrade(t *testing.T) {
	for _, probed := range []bool{true, false} {
		run(t, engine.Config{}, func(h *host) {
			sid := h.polling("")
			ws := h.dial("EIO=4&transport=websocket&sid=" + sid)
			if probed {
				ws.send("2probe")
				ws.expect("3probe")
			}
			synctest.Wait() // the server knows of the connection only after its 101
			get := h.async("GET", poll(sid), "")
			if !probed {
				ws.send("2probe")
				ws.expect("3probe")
			}
			ws.send("5")
			h.expect(<-get, 400, `{"code":3,"message":"Bad request"}`)
			h.refused(3, "name", "TRANSPORT_MISMATCH")
			h.closed("upgraded")

			// What is sent meanwhile isn't held up, and a GET that came before the
			// connection is answered at once.
			sid = h.polling("")
			get = h.async("GET", poll(sid), "")
			second := h.dial("EIO=4&transport=websocket&sid=" + sid)
			start := time.Now()
			second.send("2probe")
			second.expect("3probe")
			h.expect(<-get, 200, "6")
			get = h.async("GET", poll(sid), "")
			h.upper.s.Send(text("news"))
			h.expect(<-get, 200, "4news")
			if waited := time.Since(start); waited != 0 {
				t.Errorf("waited %s", waited)
			}
			ws.conn.Close()
			second.conn.Close()
		})
	}
}
