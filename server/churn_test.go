package server_test

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/roomcast/roomcast/server"
)

// TestChurn: 10,000 sockets that come and go, four on a connection, over both
// transports, into dynamic namespaces and rooms, leave memory and goroutines where they were.
func TestChurn(t *testing.T) {
	io, ts := serve(t, server.Config{CleanupEmpty: true})
	orgs := io.OfMatch(regexp.MustCompile(`^/org-\d+$`))
	orgs.Use(func(_ context.Context, s *server.Socket) error {
		s.Set("id", s.ID())
		return s.Join("room", "room-of-"+s.ID())
	})
	var workers sync.WaitGroup
	churn := func(connections int) {
		for k := range 4 {
			workers.Go(func() {
				for i := range connections / 4 {
					client, transport := &exampleT{}, "websocket" // whose cleanups don't gather
					if i%20 == 0 {
						transport = "polling"
					}
					w := dial(client, ts, transport)
					for n := range 4 {
						w.send(fmt.Sprintf("40/org-%d,", (i+n+k)%7))
					}
					for range 4 {
						if p := w.next(); !strings.HasPrefix(p, "40/org-") {
							t.Error(p)
						}
					}
					w.send(fmt.Sprintf("41/org-%d,", (i+k)%7))
					w.send("1") // or a server that isn't polled just then would wait for it
					client.end()
				}
			})
		}
		workers.Wait()
		waitFor(t, "somebody is still there", func() bool {
			st := io.Stats()
			return st.Engine.Sessions() == 0 && st.Namespaces.Sockets == 0 && st.Namespaces.Clients == 0 && st.Namespaces.Namespaces == 1
		})
	}
	churn(250)
	memory, goroutines := measure()
	churn(2_500)
	waitFor(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	waitFor(t, "memory is still in use", func() bool { // timers hold some for seconds
		after, _ := measure()
		return after < memory+1<<20 // four hundred bytes for each would be as much
	})
	if rooms := io.Stats().Namespaces.Rooms; rooms != 0 {
		t.Errorf("%d rooms are left", rooms)
	}
}

func measure() (memory int64, goroutines int) {
	for range 3 { // pools are emptied by the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), runtime.NumGoroutine()
}
