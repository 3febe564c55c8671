package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
)

// The wheel's step for the default times, and for those of the compliance suites.
const (
	step      = time.Second / 10
	shortStep = time.Millisecond
)

var short = engine.Config{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, EIO3: true}

func TestPingPong(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		ws := h.websocket("")
		for range 5 {
			ws.silent(25*time.Second - 1)
			ws.conn.SetReadDeadline(time.Now().Add(1 + 2*step))
			ws.expect("2")
			ws.conn.SetReadDeadline(time.Time{})
			time.Sleep(19 * time.Second)
			ws.send("3")
			synctest.Wait()
		}
		h.closed("")
		ws.conn.Close()
	})
}

func TestPingTimeout(t *testing.T) {
	run(t, short, func(h *host) {
		ws := h.websocket("")
		ws.expect("2")
		ws.silent(200*time.Millisecond - 1)
		ws.conn.SetReadDeadline(time.Now().Add(2 * shortStep))
		ws.expect("close")
		ws.conn.Close()
		h.closed("ping timeout")

		// Over polling, with a GET that is held, and without.
		sid := h.polling("")
		h.expect(h.do("GET", poll(sid), ""), 200, "2")
		h.expect(h.do("GET", poll(sid), ""), 200, "1")
		h.closed("ping timeout")
		h.polling("")
		time.Sleep(500*time.Millisecond - 1)
		h.closed("")
		time.Sleep(2*shortStep + 1)
		h.closed("ping timeout")
	})
}

// Ask is answered by what comes next, and by nothing that came before.
func TestAsk(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		asked := 0
		var sess *engine.Session
		h.upper.on = func(s *engine.Session, _ []byte) { sess = s }
		ws := h.websocket("")
		answered := func(n int) {
			synctest.Wait()
			if asked != n {
				t.Errorf("%d answers, expected %d", asked, n)
			}
		}
		ws.send("4a")
		ws.expect("4a")
		ask := func() { sess.Ask(func() { asked++ }) }
		ask()
		ask()
		ws.expect("2") // one ping is enough
		answered(0)
		ws.send("3")
		answered(2)
		ws.silent(25*time.Second - 1) // which was the next one
		ws.expect("2")
		ask()
		ws.send("4b") // shows it, too
		ws.expect("4b")
		answered(3)
		ask()
		ws.conn.SetReadDeadline(time.Now().Add(20*time.Second + 2*step))
		ws.expect("close")
		ws.conn.Close()
		h.closed("ping timeout")
		ask()
		answered(3)
	})
}

func TestUnsolicitedPong(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		ws := h.websocket("")
		time.Sleep(20 * time.Second)
		ws.send("3")
		ws.silent(25*time.Second - 1) // the pong put the ping off
		ws.expect("2")
		ws.conn.Close()
	})
}

// engine.io 6.6.12: another packet than the pong helps once per ping.
func TestPacketInsteadOfPong(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		ws := h.websocket("")
		ws.expect("2")
		time.Sleep(19 * time.Second)
		ws.send("4a")
		ws.expect("4a")
		ws.silent(19 * time.Second)
		ws.send("4b")
		ws.expect("4b")
		ws.conn.SetReadDeadline(time.Now().Add(time.Second + 2*step))
		ws.expect("close")
		ws.conn.Close()
		h.closed("ping timeout")
	})
}

func TestRevision3Pings(t *testing.T) {
	run(t, short, func(h *host) {
		ws := h.websocket("EIO=3")
		for range 3 {
			ws.silent(400 * time.Millisecond)
			ws.send("2ignored")
			ws.expect("3")
		}
		ws.silent(200 * time.Millisecond)
		ws.send("4a") // is no ping
		ws.expect("4a")
		ws.silent(300*time.Millisecond - 1)
		ws.conn.SetReadDeadline(time.Now().Add(2 * shortStep))
		ws.expect("close")
		ws.conn.Close()
		h.closed("ping timeout")

		sid := h.polling("EIO=3")
		h.do("POST", pollV3(sid), "1:2")
		h.expect(h.do("GET", pollV3(sid), ""), 200, "1:3")
	})
}

// engine.io stops the timers of a session that is upgraded while a ping is
// unanswered, or that is of revision 3: it then lives on without its client.
func TestTimeoutSurvivesUpgrade(t *testing.T) {
	for _, eio := range []string{"EIO=4", "EIO=3"} {
		run(t, short, func(h *host) {
			sid := h.polling(eio)
			if eio == "EIO=4" {
				h.expect(h.do("GET", poll(sid), ""), 200, "2")
			}
			ws := h.dial(eio + "&transport=websocket&sid=" + sid)
			ws.send("5")
			ws.expect("close")
			ws.conn.Close()
			h.closed("upgraded, ping timeout")
		})
	}
}

func TestPongAfterUpgrade(t *testing.T) {
	run(t, short, func(h *host) {
		sid := h.polling("")
		h.expect(h.do("GET", poll(sid), ""), 200, "2")
		ws := h.dial("EIO=4&transport=websocket&sid=" + sid)
		ws.send("5", "3")
		ws.silent(300*time.Millisecond - 1)
		ws.expect("2")
		ws.conn.Close()
	})
}

// A pong behind a message that its receiver holds up can't be heard.
func TestBlockedReceiverIsNotTimedOut(t *testing.T) {
	run(t, short, func(h *host) {
		release := make(chan bool)
		h.upper.on = func(*engine.Session, []byte) { <-release }
		ws := h.websocket("")
		ws.send("4a")
		ws.expect("2")
		ws.send("3")
		ws.silent(time.Minute)
		close(release)
		ws.expect("4a")
		synctest.Wait()
		h.closed("")
		ws.expect("2", "close") // and is watched again
		ws.conn.Close()
		h.closed("ping timeout")
	})
}

func TestHeartbeatOff(t *testing.T) {
	run(t, engine.Config{PingInterval: -1, EIO3: true}, func(h *host) {
		conn := h.websocket("")
		old := h.websocket("EIO=3")
		time.Sleep(time.Hour)
		conn.send("4a")
		conn.expect("4a")
		old.send("4b")
		old.expect("4b")
		conn.conn.Close()
		old.conn.Close()
	})
	run(t, engine.Config{PingTimeout: -1}, func(h *host) {
		ws := h.websocket("")
		for range 10 {
			ws.expect("2")
		}
		ws.conn.Close()
	})
}

func TestManyHeartbeats(t *testing.T) {
	run(t, engine.Config{PingInterval: 5 * time.Second, PingTimeout: 20 * time.Second}, func(h *host) {
		var all []*socket
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			all = append(all, h.websocket(""))
		}
		for _, ws := range all[1:] {
			go func() {
				for ws.read() == "2" {
					ws.send("3")
				}
			}()
		}
		time.Sleep(10 * time.Minute)
		h.closed("ping timeout") // the one that does not answer
		if n := h.srv.Stats().Sessions(); n != 49 {
			t.Errorf("%d sessions left", n)
		}
		for _, ws := range all {
			ws.conn.Close()
		}
	})
}

func TestControlRate(t *testing.T) {
	for _, test := range []struct{ eio, packet, answer string }{
		{"EIO=4", "3", ""}, {"EIO=3", "2", "3"}, {"EIO=4", "6", ""}, {"EIO=3", "6", ""},
	} {
		run(t, engine.Config{EIO3: true}, func(h *host) {
			ws := h.websocket(test.eio)
			ask := func(n int) {
				for range n {
					ws.send(test.packet)
					if test.answer != "" {
						ws.expect(test.answer)
					}
				}
				synctest.Wait()
			}
			ask(10)
			h.closed("")
			time.Sleep(time.Second)
			ask(5)
			h.closed("")
			for range 100 { // messages cost nothing
				ws.send("4a")
				ws.expect("4a")
			}
			ws.send(test.packet)
			ws.expect("close")
			ws.conn.Close()
			h.closed("transport error: " + engine.ErrControlRate.Error())
			h.srv.Stats().Rejected(func(reason string, n uint64) {
				if reason == "control_rate" && n != 1 {
					t.Errorf("%d counted", n)
				}
			})
		})
	}

	// What we have asked for is free, and so is what the interval asks for.
	run(t, engine.Config{PingInterval: 20 * time.Millisecond, EIO3: true}, func(h *host) {
		ws, old := h.websocket(""), h.websocket("EIO=3")
		for range 200 {
			ws.expect("2")
			ws.send("3")
			old.send("2")
			old.expect("3")
		}
		h.closed("")
		ws.conn.Close()
		old.conn.Close()
	})
	run(t, engine.Config{ControlRate: -1}, func(h *host) {
		ws := h.websocket("")
		for range 1000 {
			ws.send("3")
		}
		h.closed("")
		ws.conn.Close()
	})
}

func TestProbeFlood(t *testing.T) {
	run(t, engine.Config{}, func(h *host) {
		sid := h.polling("")
		ws := h.dial("EIO=4&transport=websocket&sid=" + sid)
		for range 10 {
			ws.send("2probe")
			ws.expect("3probe")
		}
		ws.send("2probe")
		ws.expect("close")
		ws.conn.Close()
		h.closed("") // the session stays where it is
	})
}
