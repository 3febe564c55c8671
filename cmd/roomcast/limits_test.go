package main

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/server/servertest"
)

// What the settings say of packets holds for clients.
func TestPacketLimits(t *testing.T) { synctest.Test(t, testPacketLimits) }

func testPacketLimits(t *testing.T) {
	c, err := config.Load(config.Source{Environ: []string{
		"ROOMCAST_DEMO=true", "ROOMCAST_LIMITS_STRICT_KEYS=true",
		"ROOMCAST_LIMITS_PACKETS_PER_SECOND=50", "ROOMCAST_LIMITS_ATTACHMENTS=1",
	}})
	if err != nil {
		t.Fatal(err)
	}
	io, err := newIO(c, prepared{}, nil, nil, nil, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { io.Shutdown(context.Background()) })
	ts := servertest.Serve(t, io)

	client := ts.Connect("/")
	client.Call("join", map[string]string{"room": "r"})
	var answer struct {
		OK   bool
		Code string
	}
	send := func(data any) bool {
		if err := client.Call("send", map[string]any{"room": "r", "data": data}).Decode(0, &answer); err != nil {
			t.Fatal(err)
		}
		return answer.OK
	}
	if send(map[string]int{"__proto__": 1}) || answer.Code != "bad_request" {
		t.Errorf("a dangerous key was taken: %+v", answer)
	}
	if !send([]byte{1}) {
		t.Errorf("one attachment was refused: %+v", answer)
	}
	for range 100 { // more than may come at once
		client.Emit("time")
	}
	client.Call("time")
	if n := io.Stats().Namespaces.Throttled; n == 0 {
		t.Error("a client over the limit was not held back")
	}
	client.Emit("send", map[string]any{"room": "r", "data": [][]byte{{1}, {2}}})
	client.WaitClosed()
	if n := io.Stats().Namespaces.Rejected["packet"]; n != 1 {
		t.Errorf("two attachments: %d packets rejected", n)
	}
}
