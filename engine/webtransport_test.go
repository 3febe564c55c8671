package engine

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// piping is an Upgrader to pipes of WebTransport.
type piping struct{ pipes []*pipe }

func (u *piping) Upgrade(http.ResponseWriter, *http.Request, http.Header, int, bool) (Conn, error) {
	p := newPipe("webtransport")
	u.pipes = append(u.pipes, p)
	return p, nil
}

// TestWebTransportLimits: a CONNECT that names a session counts against the limits on handshakes,
// unless the session expects it.
func TestWebTransportLimits(t *testing.T) {
	connect := func(srv *Server, sid string) int {
		r := httptest.NewRequest(http.MethodConnect, "/engine.io/?EIO=4&transport=webtransport&sid="+sid, nil)
		r.Proto = "webtransport"
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		return w.Code
	}
	polling := func(srv *Server, id string) *Session {
		s := srv.newSession(id, Request{}, 4)
		s.poll = &poll{wake: make(chan struct{}, 1)}
		srv.mu.Lock()
		srv.places++
		srv.mu.Unlock()
		srv.open(s)
		return s
	}
	transports := []string{"polling", "webtransport"}

	t.Run("sessions", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			u := &piping{}
			srv, _ := testServer(t, Config{Transports: transports, WebTransport: u, MaxSessions: 3, PingInterval: -1})
			s := polling(srv, "known")
			for i, c := range []struct {
				sid  string
				want int
			}{{"known", 200}, {"known", 200}, {"invented", 200}, {"invented", 503}, {"known", 503}, {"", 503}} {
				if got := connect(srv, c.sid); got != c.want {
					t.Errorf("CONNECT %d, of session %q: status %d, want %d", i, c.sid, got, c.want)
				}
			}
			time.Sleep(10 * time.Second) // none has said anything
			synctest.Wait()
			if len(u.pipes) != 3 || srv.places != 1 || s.expects {
				t.Errorf("%d connections; then %d places, expects %v", len(u.pipes), srv.places, s.expects)
			}

			// The one that is expected upgrades, also while all places are taken.
			for range 2 {
				connect(srv, "invented")
			}
			if got := connect(srv, "known"); got != 200 {
				t.Fatalf("status %d", got)
			}
			p := u.pipes[len(u.pipes)-1]
			p.frames <- `0{"sid":"known"}`
			p.frames <- "2probe"
			expect(t, p, "3probe")
			p.frames <- "5"
			synctest.Wait()
			if got := s.Transport(); got != "webtransport" {
				t.Errorf("on %s", got)
			}
			s.CloseNow()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if srv.places != 0 {
				t.Errorf("%d places are left", srv.places)
			}
		})
	})

	t.Run("rate", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv, _ := testServer(t, Config{Transports: transports, WebTransport: &piping{}, HandshakeRate: 1, PingInterval: -1})
			admitted := 0
			for range 10 {
				if connect(srv, "invented") == 200 {
					admitted++
				}
			}
			if admitted != 2 || srv.stats.rejected[RejectedRate].Load() != 8 {
				t.Errorf("%d of 10 admitted, %d counted", admitted, srv.stats.rejected[RejectedRate].Load())
			}
			time.Sleep(10 * time.Second)
		})
	})
}
