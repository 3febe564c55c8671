package adapters

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"testing"
)

// The official client's own tests found that a handshake was sent with Go's
// names: its tests of "query" and "auth" read handshake.query.
func TestHandshakeJSON(t *testing.T) {
	h := Handshake{
		Headers: http.Header{"User-Agent": {"node"}, "Accept": {"a", "b"}, "Set-Cookie": {"x=1", "y=2"}},
		Time:    "Sun Nov 22 2026 21:20:31 GMT+0000 (UTC)", Issued: 1795382431568, Address: "127.0.0.1",
		URL: "/socket.io/?EIO=4&a=1&a=2", Query: url.Values{"EIO": {"4"}, "a": {"1", "2"}}, Auth: json.RawMessage(`{"token":"x"}`),
	}
	want := `{"headers":{"accept":"a, b","set-cookie":["x=1","y=2"],"user-agent":"node"},` +
		`"time":"Sun Nov 22 2026 21:20:31 GMT+0000 (UTC)","address":"127.0.0.1","xdomain":false,"secure":false,` +
		`"issued":1795382431568,"url":"/socket.io/?EIO=4\u0026a=1\u0026a=2","query":{"EIO":"4","a":["1","2"]},"auth":{"token":"x"}}`
	got, err := json.Marshal(Socket{ID: "s", Handshake: h})
	if err != nil {
		t.Fatal(err)
	}
	var socket struct{ Handshake json.RawMessage }
	if err := json.Unmarshal(got, &socket); err != nil || string(socket.Handshake) != want {
		t.Fatalf("%v\ngot  %s\nwant %s", err, socket.Handshake, want)
	}
	var back Handshake
	if err := json.Unmarshal([]byte(want), &back); err != nil {
		t.Fatal(err)
	}
	h.Headers["Accept"] = []string{"a, b"}
	if !reflect.DeepEqual(back, h) {
		t.Errorf("came back as %+v", back)
	}
	empty, err := json.Marshal(Handshake{}) // of a socket that has come by WebTransport
	if err != nil || string(empty) != `{"headers":{},"time":"","xdomain":false,"secure":false,"issued":0,"query":{},"auth":{}}` {
		t.Errorf("%s, %v", empty, err)
	}
	for _, bad := range []string{`[]`, `{"query":{"a":1}}`, `{"headers":{"a":[1]}}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
