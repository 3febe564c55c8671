package socketio_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/roomcast/roomcast/server/servertest"
)

// raw is a client in several namespaces: it writes and reads packets.
type raw struct {
	t    *testing.T
	conn net.Conn
	in   io.ReadWriter
	sid  string
}

func dialRaw(t *testing.T, ts *servertest.Server) *raw {
	t.Helper()
	d := ws.Dialer{NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return ts.Dial(ctx) }}
	conn, br, _, err := d.Dial(t.Context(), "ws://memory/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &raw{t: t, conn: conn, in: conn}
	if br != nil {
		c.in = struct {
			io.Reader
			io.Writer
		}{br, conn}
	}
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(c.read()[1:]), &open); err != nil {
		t.Fatal(err)
	}
	c.sid = open.SID
	return c
}

func (c *raw) read() string {
	c.t.Helper()
	text, err := wsutil.ReadServerText(c.in)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

func (c *raw) write(packets ...string) {
	c.t.Helper()
	for _, p := range packets {
		if err := wsutil.WriteClientText(c.conn, []byte(p)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *raw) close() { c.conn.Close() }
