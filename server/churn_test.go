package server_test

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"sync"
	"testing"

	"github.com/roomcast/roomcast/server"
)

// TestChurn: 10,000 clients that come and go, over both transports, into a dynamic
// namespace and several rooms, leave memory and goroutines where they were.
func TestChurn(t *testing.T) {
	io, ts := serve(t, server.Config{CleanupEmpty: true})
	orgs := io.OfMatch(regexp.MustCompile(`^/org-\d+$`))
	server.OnAck(orgs, "join", func(ctx context.Context, s *server.Socket, room string) (int, error) {
		s.Set("room", room)
		return s.Namespace().Count(room), s.Join(room)
	})
	var workers sync.WaitGroup
	churn := func(clients int) {
		for k := range 4 {
			workers.Go(func() {
				for i := range clients / 4 {
					client := &exampleT{} // whose cleanups don't gather
					name, transport := fmt.Sprintf("/org-%d", (4*i+k)%7), "websocket"
					if i%50 == 0 {
						transport = "polling"
					}
					w := dial(client, ts, transport)
					w.connect(name, "")
					if i%10 == 0 {
						w.send(fmt.Sprintf(`42%s,0["join","room-%d-%d"]`, name, i, k))
						if p := w.next(); p != "43"+name+",0[0]" {
							t.Error(p)
						}
					}
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
	churn(500)
	memory, goroutines := measure()
	churn(10_000)
	waitFor(t, "goroutines are left", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	waitFor(t, "memory is still in use", func() bool { // timers hold some for seconds
		after, _ := measure()
		return after < memory+1<<20 // a hundred bytes a client would be as much
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
