package engine_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
)

func TestWebSocket(t *testing.T) {
	run(t, engine.Config{EIO3: true}, func(h *host) {
		ws := h.websocket("")
		if s := h.upper.s; s.Transport() != "websocket" || s.Protocol() != 4 {
			t.Errorf("session on %s, revision %d", s.Transport(), s.Protocol())
		}
		ws.send("4hello", "4€", "\x00\x01\x02", "\x00", "bAQID", "1", "5", "6", "0", "4end")
		ws.expect("4hello", "4€", "\x00\x01\x02", "\x00", "\x00\x01\x02\x03", "4end")
		ws.conn.Close()
		h.closed("transport close")

		ws = h.websocket("b64=1")
		ws.send("bAQID")
		ws.expect("bAQID")
		ws.conn.Close()
		h.closed("transport close")

		ws = h.websocket("EIO=3")
		ws.send("4a", "\x00\x04\x01", "\x00\x09\x01", "2data", "4b")
		ws.expect("4a", "\x00\x04\x01", "3", "4b")
		ws.conn.Close()
		h.closed("transport close")

		ws = h.websocket("EIO=3&b64=1")
		ws.send("b4AQID")
		ws.expect("b4AQID")
		ws.conn.Close()
		h.closed("transport close")
	})
}

func TestWebSocketEnds(t *testing.T) {
	for _, tt := range []struct {
		name, send, read, closed string
	}{
		{"malformed", "x", "close", "parse error: engine: unknown packet type 'x'"},
		{"empty", "", "close", "parse error: engine: empty packet"},
		{"ping of revision 4", "2", "close", "transport error: " + engine.ErrHeartbeatDirection.Error()},
	} {
		run(t, engine.Config{}, func(h *host) {
			ws := h.websocket("")
			ws.send(tt.send)
			ws.expect(tt.read)
			ws.conn.Close()
			h.closed(tt.closed)
		})
	}
	run(t, engine.Config{MaxPayload: 1000}, func(h *host) {
		ws := h.websocket("")
		ws.send("4" + strings.Repeat("a", 999))
		ws.expect("4" + strings.Repeat("a", 999))
		ws.send("4" + strings.Repeat("a", 1000))
		ws.expect("close 1009")
		ws.conn.Close()
		synctest.Wait()
		if got := h.upper.take(); !strings.HasPrefix(got, "transport error: ") {
			t.Errorf("heard %q", got)
		}
	})
	run(t, engine.Config{EIO3: true}, func(h *host) {
		ws := h.websocket("EIO=3")
		ws.send("3")
		ws.expect("close")
		ws.conn.Close()
		h.closed("transport error: " + engine.ErrHeartbeatDirection.Error())
	})
}

// The limits of a connection are counted as those of requests are: they weren't.
func TestLimitsOfConnectionsAreCounted(t *testing.T) {
	for reason, exceed := range map[string]func(h *host, ws *socket){
		"message_size": func(_ *host, ws *socket) { ws.send("4" + strings.Repeat("a", 1000)) },
		"fragments": func(_ *host, ws *socket) {
			ws.conn.Write(append([]byte{0x01, 0x80, 0, 0, 0, 0}, bytes.Repeat([]byte{0x00, 0x80, 0, 0, 0, 0}, 1024)...))
		},
		"control_rate":  func(_ *host, ws *socket) { ws.conn.Write(bytes.Repeat([]byte{0x89, 0x80, 0, 0, 0, 0}, 11)) },
		"slow_consumer": func(h *host, _ *socket) { h.upper.s.Send(text(strings.Repeat("a", 200_000))); h.fill() },
		"slow_write":    func(h *host, _ *socket) { h.upper.s.Send(text(strings.Repeat("a", 200_000))) },
	} {
		run(t, engine.Config{MaxPayload: 1000}, func(h *host) {
			exceed(h, h.websocket(""))
			time.Sleep(12 * time.Second)
			if got := h.upper.take(); !strings.HasPrefix(got, "transport error: ") {
				t.Errorf("%s: heard %q", reason, got)
			}
			h.srv.Stats().Rejected(func(name string, n uint64) {
				if n != 0 && name != reason || n != 1 && name == reason {
					t.Errorf("%s: %s is counted %d times", reason, name, n)
				}
			})
		})
	}
}

// fill has the send queue overflow behind a write that is under way.
func (h *host) fill() {
	for range 100 {
		h.upper.s.Append(text(strings.Repeat("a", 100_000)))
	}
}

func TestServerClosesWebSocket(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		ws := h.websocket("")
		s := h.upper.s
		s.Cork()
		s.Send(text("a"))
		s.Close() // what the cork holds back is written first
		ws.expect("4a", "close")
		ws.conn.Close()
		h.closed("forced close")
		if s.Close() != true || s.CloseNow() != true {
			t.Error("a second Close reports that the session goes on")
		}

		ws = h.websocket("")
		h.upper.s.CloseNow()
		ws.expect("close")
		ws.conn.Close()
		h.closed("forced close")
	})
}

func TestCloseInsideMessage(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		h.upper.echo = false
		h.upper.on = func(s *engine.Session, data []byte) {
			if s.CloseNow() {
				t.Error("CloseNow told the receiver while it was busy")
			}
		}
		ws := h.websocket("")
		ws.send("4a", "4b")
		ws.expect("close")
		ws.conn.Close()
		h.closed("a, forced close")
	})
}

func TestPanicInReceiver(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		h.upper.echo = false
		h.upper.on = func(s *engine.Session, data []byte) { panic("boom") }
		ws := h.websocket("")
		ws.send("4a")
		ws.read() // the end, with a close frame or without
		ws.conn.Close()
		h.closed("a, transport error: engine: panic while handling a message: boom")
		if !strings.Contains(h.log.String(), "boom") {
			t.Error("the panic was not logged")
		}
		// Over polling net/http recovers, and the session can still end.
		sid := h.polling("")
		if res := <-h.async("POST", poll(sid), "4a"); res.body != "error" {
			t.Errorf("got %s", res)
		}
		h.closed("a")
		h.upper.s.CloseNow()
		h.closed("forced close")
	})
}

func TestUpgrade(t *testing.T) {
	for _, rev := range []int{3, 4} {
		run(t, engine.Config{EIO3: true}, func(h *host) {
			eio := fmt.Sprintf("EIO=%d", rev)
			sid := h.polling(eio)
			poll := eio + "&transport=polling&sid=" + sid
			frame := func(s string) string {
				if rev == 3 {
					return fmt.Sprintf("%d:%s", len(s), s)
				}
				return s
			}
			held := h.async("GET", poll, "")
			ws := h.dial(eio + "&transport=websocket&sid=" + sid)
			ws.send("2probe")
			ws.expect("3probe")
			h.expect(<-held, 200, frame("6"))
			for range 3 { // every further poll is answered at once
				h.expect(h.do("GET", poll, ""), 200, frame("6"))
			}
			ws.send("2probe")
			ws.expect("3probe")
			h.expect(h.do("POST", poll, frame("4posted")), 200, "ok")
			h.expect(h.do("GET", poll, ""), 200, frame("4posted"))
			h.upper.s.Send(text("queued"))
			ws.send("5", "4a")
			ws.expect("4queued", "4a")
			h.closed("upgraded")
			if h.upper.s.Transport() != "websocket" {
				t.Errorf("transport %s", h.upper.s.Transport())
			}
			h.expect(h.do("GET", poll, ""), 400, `{"code":3,"message":"Bad request"}`)
			h.refused(3, "name", "TRANSPORT_MISMATCH")
			h.do("POST", poll, frame("4a"))
			h.refused(3, "previousTransport", "websocket")

			again := h.dial(eio + "&transport=websocket&sid=" + sid) // 101, and closed at once
			again.expect("close")
			again.conn.Close()
			ws.send("4b")
			ws.expect("4b")
			ws.conn.Close()
			h.closed("transport close")
		})
	}
}

func TestUpgradeAnswersHeldGET(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		held := h.async("GET", poll(sid), "")
		ws := h.dial("EIO=4&transport=websocket&sid=" + sid)
		ws.send("5") // without a probe
		h.expect(<-held, 200, "1")
		h.closed("upgraded")
		ws.conn.Close()
	})
}

func TestRefusedCandidates(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		for _, first := range []string{"2", "2foo", "4x", "6", "garbage", "", "\x00bin", "3probe"} {
			ws := h.dial("EIO=4&transport=websocket&sid=" + sid)
			ws.send(first)
			ws.expect("close")
			ws.conn.Close()
			synctest.Wait()
		}
		ws := h.dial("EIO=4&transport=websocket&sid=" + sid)
		ws.send("2probe", "4early")
		ws.expect("3probe", "close")
		ws.conn.Close()
		synctest.Wait()

		ws = h.dial("EIO=4&transport=websocket&sid=" + sid)
		second := h.dial("EIO=4&transport=websocket&sid=" + sid)
		second.expect("close")
		second.conn.Close()
		ws.conn.Close() // the candidate dies
		h.closed("")

		h.do("POST", poll(sid), "4still here")
		h.expect(h.do("GET", poll(sid), ""), 200, "4still here")
		ws = h.dial("EIO=4&transport=websocket&sid=" + sid)
		ws.send("2probe", "5")
		ws.expect("3probe")
		h.closed("upgraded")
		ws.conn.Close()
	})
}

func TestUpgradeTimeout(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		start := time.Now()
		ws := h.dial("EIO=4&transport=websocket&sid=" + sid)
		ws.send("2probe")
		ws.expect("3probe")
		h.expect(h.do("GET", poll(sid), ""), 200, "6")
		ws.silent(10*time.Second - 2 - time.Since(start))
		time.Sleep(2)
		ws.expect("close")
		ws.conn.Close()
		held := h.async("GET", poll(sid), "") // is held again
		h.do("POST", poll(sid), "4a")
		h.expect(<-held, 200, "4a")
		h.closed("")
	})
}

func TestSessionEndsWhileUpgrading(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		ws := h.dial("EIO=4&transport=websocket&sid=" + sid)
		ws.send("2probe")
		ws.expect("3probe")
		h.upper.s.CloseNow()
		ws.expect("close")
		ws.conn.Close()
		h.closed("forced close")

		// Close waits, the upgrade completes, what is queued leaves, then it ends.
		sid = h.polling("")
		ws = h.dial("EIO=4&transport=websocket&sid=" + sid)
		ws.send("2probe")
		ws.expect("3probe")
		h.upper.s.Send(text("last words"))
		h.upper.s.Close()
		ws.send("5")
		ws.expect("4last words", "close")
		ws.conn.Close()
		h.closed("upgraded, forced close")

		sid = h.polling("")
		ws = h.dial("EIO=4&transport=websocket&sid=" + sid)
		h.upper.s.Close()
		ws.send("5")
		ws.expect("close")
		ws.conn.Close()
		h.closed("upgraded, forced close")
	})
}

// Whoever had got hold of the id of a session on a WebSocket could take it over with another.
func TestSecondWebSocketOfSession(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		first := h.websocket("")
		second := h.dial("EIO=4&transport=websocket&sid=" + h.upper.s.ID())
		second.send("2probe", "5", "4a")
		second.expect("close")
		second.conn.Close()
		first.send("4b")
		first.expect("4b")
		first.conn.Close()
		h.closed("transport close")
	})
}

// The official upgrade test: 50 messages each way while the transport changes,
// none lost, none twice, in order.
func TestNothingIsLostInUpgrade(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		const n = 50
		h.upper.echo = false
		sid := h.polling("")
		s := h.upper.s
		go func() {
			for i := range n {
				time.Sleep(time.Millisecond)
				s.Send(text(fmt.Sprint(i)))
			}
		}()
		var got []string
		collect := func(body string) {
			for p := range strings.SplitSeq(body, "\x1e") {
				if strings.HasPrefix(p, "4") {
					got = append(got, p[1:])
				}
			}
		}
		sent := 0
		for sent < 20 {
			h.do("POST", poll(sid), fmt.Sprintf("4%d\x1e4%d", sent, sent+1))
			sent += 2
			collect(h.do("GET", poll(sid), "").body)
		}
		ws := h.dial("EIO=4&transport=websocket&sid=" + sid)
		ws.send("2probe")
		for ws.read() != "3probe" {
		}
		collect(h.do("GET", poll(sid), "").body)
		ws.send("5")
		for ; sent < n; sent++ {
			ws.send(fmt.Sprintf("4%d", sent))
		}
		for len(got) < n {
			collect(ws.read())
		}
		var want []string
		for i := range n {
			want = append(want, fmt.Sprint(i))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("client got %v", got)
		}
		synctest.Wait()
		at := 0
		for _, e := range strings.Split(h.upper.take(), ", ") {
			if e == "upgraded" {
				continue
			}
			if e != fmt.Sprint(at) {
				t.Errorf("server got %s, want %d", e, at)
			}
			at++
		}
		if at != n {
			t.Errorf("server got %d messages", at)
		}
		ws.conn.Close()
	})
}
