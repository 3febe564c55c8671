package socketio_test

import (
	"net"
	"slices"
	"testing"
	"time"

	socketio "github.com/roomcast/roomcast/compat/googollee"
	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/server/servertest"
)

// eventually waits for what other nodes have to say.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(servertest.Patience); !check(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// TestAdapter: two nodes behind Redis are one, for rooms, broadcasts and counts.
func TestAdapter(t *testing.T) {
	redis := redistest.Start(t)
	host, port, _ := net.SplitHostPort(redis.Addr)
	var nodes []*socketio.Server
	var clients []*servertest.Client
	for _, opts := range []*socketio.RedisAdapterOptions{{Addr: redis.Addr, Prefix: "p"}, {Host: host, Port: port, Prefix: "p", DB: 1}} {
		s := newServer(nil)
		if ok, err := s.Adapter(opts); !ok || err != nil {
			t.Fatal(ok, err)
		}
		s.OnConnect("/", func(c socketio.Conn) error { c.Join("all"); return nil })
		s.OnEvent("/", "id", func(c socketio.Conn) string { return c.ID() })
		ts := serve(t, s)
		nodes = append(nodes, s)
		clients = append(clients, ts.Connect("/"))
	}
	var ids []string
	for _, c := range clients {
		ids = append(ids, answer[string](t, c, "id"))
	}
	for i, s := range nodes {
		eventually(t, "a node doesn't know of the other", func() bool { return s.RoomLen("/", "all") == 2 })
		want := append([]string{"all"}, ids...)
		slices.Sort(want)
		if got := s.Rooms("/"); !slices.Equal(got, want) {
			t.Errorf("node %d: rooms %q, want %q", i, got, want)
		}
		s.BroadcastToRoom("/", "all", "room", i)
		s.BroadcastToNamespace("/", "namespace", i)
		s.BroadcastToRoom("/", ids[1-i], "other", i)
		each := 0
		if s.ForEach("/", "all", func(socketio.Conn) { each++ }); each != 1 {
			t.Errorf("node %d: ForEach found %d on this node", i, each)
		}
		for k, c := range clients {
			for _, event := range []string{"room", "namespace"} {
				var from int
				if c.Expect(event).Decode(&from); from != i {
					t.Errorf("client %d: %s of node %d", k, event, from)
				}
			}
		}
		clients[1-i].Expect("other")
	}
	nodes[0].ClearRoom("/", "all")
	eventually(t, "somebody is still in the room", func() bool { return nodes[1].RoomLen("/", "all") == 0 })

	if ok, err := nodes[0].Adapter(nil); ok || err == nil {
		t.Error("Adapter worked on a server in use")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if ok, err := newServer(nil).Adapter(&socketio.RedisAdapterOptions{Addr: ln.Addr().String()}); ok || err == nil {
		t.Error("Adapter worked without Redis")
	}
}
