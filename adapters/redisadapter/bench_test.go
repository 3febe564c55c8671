package redisadapter

import (
	"testing"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/rooms"
)

// benchMessage is a broadcast of about 200 bytes to one room.
func benchMessage(b *testing.B) *message {
	data, err := parser.MarshalEvent("said", map[string]any{"room": "lobby", "text": "0123456789012345678901234567890123456789012345678901234567890123", "at": int64(1700000000000), "tags": []any{"a", "b"}})
	if err != nil {
		b.Fatal(err)
	}
	return &message{
		kind: kindBroadcast, uid: "75b7814d6785816e", namespace: "/",
		op: &adapters.Op{Kind: adapters.Emit, Target: rooms.Target{Rooms: []string{"lobby"}}, Data: data},
	}
}

func benchmarkCodec(b *testing.B, encode func(*message) ([]byte, error), decode func([]byte) (*message, error)) {
	m := benchMessage(b)
	wire, err := encode(m)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := encode(m); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := decode(wire); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkClassic(b *testing.B) { benchmarkCodec(b, encodeBroadcast, decodeBroadcast) }

func BenchmarkCluster(b *testing.B) {
	benchmarkCodec(b, func(m *message) ([]byte, error) { return encodeCluster(m, false) }, decodeCluster)
}

func BenchmarkClusterPacked(b *testing.B) {
	benchmarkCodec(b, func(m *message) ([]byte, error) { return encodeCluster(m, true) }, decodeCluster)
}
