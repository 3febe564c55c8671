package namespaces_test

import (
	"context"
	"sync"
	"testing"

	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// A session that closed read, without a lock, what the server's own
// Disconnect(true) was writing. The race detector sees it.
func TestDisconnectWhileTheSessionCloses(t *testing.T) {
	io, err := server.New(server.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ns := io.Of("/")
	host := servertest.Serve(t, io)
	for range 50 {
		c := host.Connect("/")
		s := ns.Socket(c.ID())
		var both sync.WaitGroup
		both.Go(func() {
			if err := ns.To(s.ID()).Disconnect(context.Background(), true); err != nil {
				t.Error(err)
			}
		})
		both.Go(c.Close)
		both.Wait()
		<-s.Context().Done()
		if s.Connected() {
			t.Fatal("the socket is still connected")
		}
	}
}
