package lobby

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

// The id of a client of version 2 has its session's in it, with which anybody could act for
// it. The members of its rooms were told it.
func TestIDsOfVersion2AreNotTold(t *testing.T) {
	s, stop := serve(t, Policy{Join: all, Send: all}, server.Config{Engine: engine.Config{EIO3: true}})
	defer stop()
	ada := s.Connect("/chat")
	call(t, ada, "join", in("r"))

	d := ws.Dialer{NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) }}
	conn, br, _, err := d.Dial(t.Context(), "ws://memory/socket.io/?EIO=3&transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rw := struct {
		io.Reader
		io.Writer
	}{conn, conn}
	if br != nil { // the first frames came with the handshake
		rw.Reader = br
	}
	next := func() string {
		t.Helper()
		b, err := wsutil.ReadServerText(rw)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(next()[1:]), &open); err != nil || open.SID == "" {
		t.Fatal(err)
	}
	next() // 40
	for _, packet := range []string{`40/chat,`, `42/chat,0["join",{"room":"r"}]`, `42/chat,1["send",{"room":"r"}]`} {
		if err := wsutil.WriteClientText(conn, []byte(packet)); err != nil {
			t.Fatal(err)
		}
		if answer := next(); strings.Contains(answer, open.SID) {
			t.Errorf("%s is answered with %s", packet, answer)
		}
	}
	id := expect(t, ada, "joined").Member.ID
	var m struct{ From Member }
	ada.Expect("message").Decode(&m)
	if id != digest("/chat#"+open.SID) || m.From.ID != id {
		t.Errorf("ids %s and %s", id, m.From.ID)
	}
	if a := call(t, ada, "members", in("r")); a.Members[0].ID == a.Members[1].ID || strings.Contains(a.Members[0].ID+a.Members[1].ID, open.SID) {
		t.Errorf("%+v", a.Members)
	}
}
