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
	"github.com/roomcast/roomcast/queues/memqueue"
)

// What is written by hand is what a map of the same members is written as.
func TestObjectsLookLikeMaps(t *testing.T) {
	p := queues.Payload{JSON: []byte(`{"a":{"_placeholder":true,"num":0},"b":"<é>"}`), Attachments: [][]byte{{1, 2}}}
	headers := map[string]string{"z": "1", "a\"": "<\n>", "é": "\xff"}
	at := time.UnixMilli(1700000000123)
	data := parser.Payload{JSON: p.JSON, Attachments: p.Attachments}
	m := handedOut(t, &queues.Draft{ID: "i\"d", Key: "k", Headers: headers, Payload: p})
	if m.Receipt() == "" {
		t.Fatal("a message without a receipt")
	}
	e := &queues.InboxMessage{Inbox: "in", Epoch: 5, Seq: 7, ID: "id", Topic: "t", Headers: headers, Payload: p, Stored: at}
	for _, c := range []struct {
		got  any
		want map[string]any
	}{
		{argument((*message)(m), p), map[string]any{
			"queue": "q", "id": "i\"d", "key": "k", "headers": headers, "data": data, "at": m.Stored.UnixMilli(), "attempt": 1,
			"fence": m.Fence, "leaseMs": 30000, "r": m.Receipt(),
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

// handedOut returns a draft as the message that a consumer gets.
func handedOut(t testing.TB, d *queues.Draft) *queues.Message {
	t.Helper()
	broker, err := queues.NewBroker(t.Context(), queues.BrokerConfig{Store: memqueue.New(memqueue.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close(t.Context())
	if err := broker.Configure(t.Context(), "q", queues.Config{}); err != nil {
		t.Fatal(err)
	}
	got := make(chan *queues.Message, 1)
	c, err := broker.Consume(t.Context(), "q", queues.ConsumerConfig{Deliver: func(ms []*queues.Message) { got <- ms[0] }})
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	if _, err := broker.PublishOne(t.Context(), "q", d); err != nil {
		t.Fatal(err)
	}
	return <-got
}

func BenchmarkOutgoing(b *testing.B) {
	m := handedOut(b, &queues.Draft{Payload: queues.Payload{JSON: bytes.Repeat([]byte("1"), 64)}})
	b.ReportAllocs()
	buf := make([]byte, 0, 1024)
	for b.Loop() {
		if _, err := parser.EncodeEvent(buf, "/", 1, "queue:message", argument((*message)(m), m.Payload)); err != nil {
			b.Fatal(err)
		}
	}
}
