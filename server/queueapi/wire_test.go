package queueapi

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/queues"
)

// What is written by hand is what a map of the same members is written as.
func TestObjectsLookLikeMaps(t *testing.T) {
	p := queues.Payload{JSON: []byte(`{"a":{"_placeholder":true,"num":0},"b":"<é>"}`), Attachments: [][]byte{{1, 2}}}
	headers := map[string]string{"z": "1", "a\"": "<\n>", "é": "\xff"}
	at := time.UnixMilli(1700000000123)
	data := parser.Payload{JSON: p.JSON, Attachments: p.Attachments}
	m := &queues.Message{
		Queue: "q", ID: "i\"d", Key: "k", Headers: headers, Payload: p, Stored: at, Attempt: 2, Fence: 1 << 52,
		Lease: 30 * time.Second, Receipt: "r",
	}
	e := &queues.InboxMessage{Inbox: "in", Epoch: 5, Seq: 7, ID: "id", Topic: "t", Headers: headers, Payload: p, Stored: at}
	for _, c := range []struct {
		got  any
		want map[string]any
	}{
		{argument((*message)(m), p), map[string]any{
			"queue": "q", "id": "i\"d", "key": "k", "headers": headers, "data": data, "at": at.UnixMilli(), "attempt": 2,
			"fence": uint64(1 << 52), "leaseMs": 30000, "r": "r",
		}},
		{(*message)(&queues.Message{Queue: "q", Payload: queues.Payload{JSON: []byte("1")}, Stored: at}), map[string]any{
			"queue": "q", "id": "", "data": 1, "at": at.UnixMilli(), "attempt": 0, "fence": 0, "leaseMs": 0,
		}},
		{argument((*entry)(e), p), map[string]any{
			"inbox": "in", "epoch": 5, "seq": 7, "id": "id", "topic": "t", "headers": headers, "data": data, "at": at.UnixMilli(),
		}},
	} {
		got, err := parser.MarshalEvent("e", c.got)
		if err != nil {
			t.Fatal(err)
		}
		want, err := parser.MarshalEvent("e", c.want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.JSON, want.JSON) || len(got.Attachments) != len(want.Attachments) {
			t.Errorf("got  %s\nwant %s", got.JSON, want.JSON)
		}
	}
}

// TestClientsAreNotToldAddresses: what the store's own error says is for the log. Clients once got to see Redis' address.
func TestClientsAreNotToldAddresses(t *testing.T) {
	cause := errors.New("redis: dial tcp 10.0.0.7:6379: connection refused")
	err := fmt.Errorf("publish: %w", &queues.Error{Code: queues.CodeUnavailable, Message: queues.ErrUnavailable.Message, RetryAfter: time.Second, Cause: cause})
	if got, want := RefusalOf(err), (Refusal{Code: queues.CodeUnavailable, Message: "the store is unavailable", RetryAfter: 1000}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !errors.Is(err, queues.ErrUnavailable) || !errors.Is(err, cause) || !strings.Contains(err.Error(), "10.0.0.7") {
		t.Errorf("the log isn't told: %v", err)
	}
}

func BenchmarkOutgoing(b *testing.B) {
	m := &queues.Message{
		Queue: "q", ID: "~1f", Payload: queues.Payload{JSON: bytes.Repeat([]byte("1"), 64)}, Stored: time.Now(), Attempt: 1, Fence: 1 << 52,
		Lease: 30 * time.Second, Receipt: "AQIDBAUGBwgJCgsMDQ4PEA",
	}
	b.ReportAllocs()
	buf := make([]byte, 0, 1024)
	for b.Loop() {
		if _, err := parser.EncodeEvent(buf, "/", 1, "queue:message", argument((*message)(m), m.Payload)); err != nil {
			b.Fatal(err)
		}
	}
}
