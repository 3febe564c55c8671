package server_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/server"
)

// TestStuckHandler: a handler never returns though its client has gone. The socket stayed in its rooms and
// its namespace, which was never cleaned up.
func TestStuckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		io, ts := serve(t, server.Config{CleanupEmpty: true, Limits: server.Limits{WaitingEvents: 4}})
		parent := io.OfMatch(orgs)
		stuck := make(chan struct{})
		var said []string
		server.On(parent, "wait", func(_ context.Context, s *server.Socket, _ any) error {
			s.Join("r")
			<-stuck
			said = append(said, "handled")
			return s.Join("r")
		})
		parent.OnError(func(_ context.Context, _ *server.Socket, err error) { said = append(said, err.Error()) })
		parent.OnDisconnecting(func(_ context.Context, s *server.Socket, _ string) { said = append(said, "disconnecting") })
		parent.OnDisconnect(func(context.Context, *server.Socket, string) { said = append(said, "disconnect") })
		c := ts.Connect("/org-1")
		for range 10 { // more than may wait: the reader doesn't see that the connection is closed
			c.Emit("wait", nil)
		}
		synctest.Wait()
		ns := io.Of("/org-1")
		if len(ns.Sockets()) != 1 || ns.Count("r") != 1 {
			t.Fatal("not there")
		}
		c.Close()
		time.Sleep(2 * time.Minute) // pings go unanswered, and then the handler has its time
		if len(ns.Sockets()) != 0 || ns.Count("r") != 0 || has(io, "/org-1") {
			t.Errorf("%d sockets, %d in the room, namespace there: %v", len(ns.Sockets()), ns.Count("r"), has(io, "/org-1"))
		}
		if n := io.Stats().Namespaces; n.Sockets != 1 || len(said) != 0 {
			t.Errorf("%d sockets, %v", n.Sockets, said) // its end is still to come
		}
		close(stuck)
		synctest.Wait()
		i := slices.Index(said, "disconnecting")
		if i < 1 || !slices.Equal(said[i:], []string{"disconnecting", "disconnect"}) || slices.Contains(said[:i], "") {
			t.Error(said)
		}
		if n := io.Stats().Namespaces; n.Sockets != 0 || n.Clients != 0 || n.Rooms != 0 {
			t.Errorf("%+v", n)
		}
	})
}
