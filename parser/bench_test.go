package parser

import "testing"

func benchmarkDecode(b *testing.B, text string) {
	d := JSON.NewDecoder(Limits{})
	in := []byte(text)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		p, ok, err := d.Text(in, false)
		if err != nil || !ok || p.EventBytes() == nil {
			b.Fatal(ok, err)
		}
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	benchmarkDecode(b, `212["echo","0123456789012345678901234567890123456789012345678901234567890123"]`)
}

func BenchmarkDecodeObjectEvent(b *testing.B) {
	benchmarkDecode(b, `2/chat,12["say",{"room":"lobby","text":"hello there","at":1700000000000,"tags":["a","b"],"nested":{"ok":true,"n":1.5}}]`)
}

func BenchmarkEncodeAck(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := EncodeAck(nil, "/", 12, "0123456789012345678901234567890123456789012345678901234567890123"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshalEvent(b *testing.B) {
	arg := map[string]any{"room": "lobby", "text": "hello there", "at": int64(1700000000000)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := MarshalEvent("said", arg); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBinaryEcho decodes a mebibyte into []byte and encodes it again: nothing is copied.
func BenchmarkBinaryEcho(b *testing.B) {
	d := JSON.NewDecoder(Limits{MaxAttachmentBytes: -1})
	text, data := []byte(`51-12["echo",`+ph0+`]`), make([]byte, 1<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		d.Text(text, false)
		p, _, err := d.Binary(data, true)
		if err != nil {
			b.Fatal(err)
		}
		var arg []byte
		if err := p.Args().Decode(0, &arg); err != nil {
			b.Fatal(err)
		}
		if e, err := EncodeAck(nil, "/", p.ID, arg); err != nil || &e.Binary[0][0] != &data[0] {
			b.Fatal(err)
		}
	}
}
