package engine

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParsePacket(t *testing.T) {
	for _, tt := range []struct {
		in   string
		rev  int
		want Packet
		err  error
	}{
		{"4hello", 4, Packet{Type: Message, Data: []byte("hello")}, nil},
		{"4", 4, Packet{Type: Message}, nil},
		{"0", 3, Packet{Type: Open}, nil},
		{"2probe", 4, Packet{Type: Ping, Data: []byte("probe")}, nil},
		{"6", 4, Packet{Type: Noop}, nil},
		{"bAQID", 4, Packet{Type: Message, Binary: true, Data: []byte{1, 2, 3}}, nil},
		{"b4AQID", 3, Packet{Type: Message, Binary: true, Data: []byte{1, 2, 3}}, nil},
		{"b", 4, Packet{Type: Message, Binary: true}, nil},
		{"b", 3, Packet{Type: Noop}, nil},
		{"bxAQID", 3, Packet{Type: Noop}, nil},
		{"", 4, Packet{}, ErrEmptyPacket},
		{"a123", 4, Packet{}, ErrPacketType},
		{"7", 4, Packet{}, ErrPacketType},
		{"/", 3, Packet{}, ErrPacketType},
	} {
		got, err := ParsePacket([]byte(tt.in), tt.rev)
		if !errors.Is(err, tt.err) || !samePacket(got, tt.want) {
			t.Errorf("ParsePacket(%q, %d) = %+v, %v, want %+v, %v", tt.in, tt.rev, got, err, tt.want, tt.err)
		}
	}
}

func samePacket(a, b Packet) bool {
	return a.Type == b.Type && a.Binary == b.Binary && bytes.Equal(a.Data, b.Data)
}

func TestParseBinary(t *testing.T) {
	for _, tt := range []struct {
		in   []byte
		rev  int
		want Packet
	}{
		{[]byte{4, 1}, 4, Packet{Type: Message, Binary: true, Data: []byte{4, 1}}},
		{nil, 4, Packet{Type: Message, Binary: true}},
		{[]byte{4, 1}, 3, Packet{Type: Message, Binary: true, Data: []byte{1}}},
		{[]byte{9, 1}, 3, Packet{Type: Noop}},
		{nil, 3, Packet{Type: Noop}},
	} {
		if got := ParseBinary(tt.in, tt.rev); !samePacket(got, tt.want) {
			t.Errorf("ParseBinary(%v, %d) = %+v, want %+v", tt.in, tt.rev, got, tt.want)
		}
	}
}

// What Node 20 makes of these strings.
func TestBase64(t *testing.T) {
	for in, want := range map[string]string{
		"YQ==YQ==": "a", "YQ=YQ": "a", "Y Q": "a", "YQ": "a", "Y": "", "=YQ": "",
		"YWJj-_": "abc\xfb", "YWJj+/": "abc\xfb", "YW!Jj": "abc", "YWJjZA=": "abcd", "YWJj\nZA": "abcd",
		"YWJjYWJj!YWJj": "abcabcabc", "": "",
	} {
		if got := decodeBase64([]byte(in)); string(got) != want {
			t.Errorf("decodeBase64(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestWires(t *testing.T) {
	text := func(n int) Packet { return Packet{Type: Message, Data: bytes.Repeat([]byte("x"), n)} }
	bin := func(b ...byte) Packet { return Packet{Type: Message, Binary: true, Data: b} }
	for _, tt := range []struct {
		p    Packet
		w    Wire
		want string
	}{
		{Packet{Type: Ping}, WebSocket, "\x81\x012"},
		{text(5), WebSocket, "\x81\x064xxxxx"},
		{text(125), WebSocket, "\x81\x7e\x00\x7e4" + strings.Repeat("x", 125)},
		{text(65534), WebSocket, "\x81\x7e\xff\xff4" + strings.Repeat("x", 65534)},
		{text(65535), WebSocket, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x004" + strings.Repeat("x", 65535)},
		{bin(1, 2, 3), WebSocket, "\x82\x03\x01\x02\x03"},
		{bin(), WebSocket, "\x82\x00"},
		{bin(1, 2, 3), WebSocketBase64, "\x81\x05bAQID"},
		{bin(1, 2, 3), WebSocketV3, "\x82\x04\x04\x01\x02\x03"},
		{bin(1, 2, 3), WebSocketV3Base64, "\x81\x06b4AQID"},
		{text(5), WebTransport, "\x064xxxxx"},
		{Packet{Type: Message, Data: []byte("€")}, WebTransport, "\x044€"},
		{bin(1, 2, 3), WebTransport, "\x83\x01\x02\x03"},
		{text(125), WebTransport, "\x7e\x00\x7e4" + strings.Repeat("x", 125)},
		{text(65535), WebTransport, "\x7f\x00\x00\x00\x00\x00\x01\x00\x004" + strings.Repeat("x", 65535)},
		{bin(make([]byte, 126)...), WebTransport, "\xfe\x00\x7e" + string(make([]byte, 126))},
	} {
		for _, shared := range []bool{false, true} {
			o := NewOutput()
			o.Add(NewBatch(shared, tt.p), tt.w)
			o.Add(NewBatch(shared, tt.p), tt.w)
			got := bytes.Join(o.Buffers(), nil)
			if string(got) != tt.want+tt.want || o.Len() != 2*len(tt.want) {
				t.Errorf("wire %d of %d bytes, shared %v: got %.40q (%d), want twice %.40q", tt.w, len(tt.p.Data), shared, got, o.Len(), tt.want)
			}
			o.Release()
		}
	}
}

func TestOutputReferencesLargeData(t *testing.T) {
	data := make([]byte, large)
	o := NewOutput()
	o.Add(NewBatch(true, Packet{Type: Message, Data: []byte("small")}), WebSocket)
	o.Add(NewBatch(true, Packet{Type: Message, Binary: true, Data: data}, Packet{Type: Noop}), WebSocket)
	bufs := o.Buffers()
	if len(bufs) != 3 || &bufs[1][0] != &data[0] || string(bufs[2]) != "\x81\x016" {
		t.Fatalf("%d buffers, want a small one, the data itself, and a small one", len(bufs))
	}
	whole := bytes.Join(bufs, nil)
	for _, n := range []int{1, 10, large, 3} {
		o.Advance(n)
		whole = whole[n:]
		if got := bytes.Join(o.Buffers(), nil); !bytes.Equal(got, whole) || o.Len() != len(whole) {
			t.Fatalf("after Advance(%d) %d bytes are left, want %d", n, len(got), len(whole))
		}
	}
	o.Advance(len(whole))
	if o.Len() != 0 || len(o.Buffers()) != 0 {
		t.Error("not empty at the end")
	}
}

func FuzzPacket(f *testing.F) {
	for _, s := range []string{"4hello", "2probe", "3", "bAQID", "b4AQID", "b4-_", "4a€😀", "", "x"} {
		f.Add([]byte(s), 4)
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, rev int) {
		rev = 3 + rev&1
		p, err := ParsePacket(bytes.Clone(in), rev)
		if err != nil {
			return
		}
		out := p.AppendText(nil, rev)
		if len(out) != p.textLen(rev) {
			t.Errorf("%q: textLen is %d, AppendText appends %d", in, p.textLen(rev), len(out))
		}
		if !p.Binary && !(p.Type == Noop && in[0] == 'b') && !bytes.Equal(in, out) {
			t.Errorf("%q came back as %q", in, out)
		}
		again, err := ParsePacket(bytes.Clone(out), rev)
		if err != nil || !samePacket(p, again) {
			t.Errorf("%+v came back as %+v, %v", p, again, err)
		}
	})
}

func FuzzBase64(f *testing.F) {
	f.Add([]byte("a"))
	f.Add([]byte("YQ==YQ=="))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
			if got := decodeBase64(enc.AppendEncode(nil, in)); !bytes.Equal(got, in) {
				t.Errorf("%q came back as %q", in, got)
			}
		}
		decodeBase64(bytes.Clone(in))
	})
}

func TestBinaryForms(t *testing.T) {
	for _, tt := range []struct {
		rev     int
		b64     bool
		packets []Packet
		want    string
		text    bool
	}{
		{4, false, []Packet{{Message, false, []byte("a€😀")}, {Message, true, []byte{1, 2, 3}}}, "4a€😀\x1ebAQID", true},
		{3, true, []Packet{{Message, false, []byte("a€😀")}}, "5:4a€😀", true},
		{3, true, []Packet{{Message, false, []byte("hello")}, {Message, true, []byte{1, 2, 3, 4}}}, "6:4hello10:b4AQIDBA==", true},
		{3, false, []Packet{{Ping, false, nil}, {Ping, false, nil}}, "1:21:2", true},
		{3, false, []Packet{{Message, false, []byte("hello")}, {Message, true, []byte{1, 2, 3, 4}}},
			"\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04", false},
		{3, false, []Packet{{Message, false, []byte("a€😀")}, {Message, true, []byte{1, 2, 3}}},
			"\x00\x09\xff4a€😀\x01\x04\xff\x04\x01\x02\x03", false},
	} {
		for _, shared := range []bool{false, true} {
			whole := []*Batch{NewBatch(shared, tt.packets...)}
			var single []*Batch
			for _, p := range tt.packets {
				single = append(single, NewBatch(shared, p))
			}
			for _, batches := range [][]*Batch{whole, single} {
				got, text := appendPayload(nil, batches, tt.rev, tt.b64)
				if string(got) != tt.want || text != tt.text {
					t.Errorf("rev %d: %+v: got %q (text %v), want %q", tt.rev, tt.packets, got, text, tt.want)
				}
			}
			p := payload{rest: []byte(tt.want), rev: tt.rev, binary: !tt.text}
			if packets, err := all(&p); err != nil || fmt.Sprint(packets) != fmt.Sprint(tt.packets) {
				t.Errorf("%q decodes to %v, %v, want %v", tt.want, packets, err, tt.packets)
			}
		}
	}
}

// all decodes a payload to its packets and the error that ended them.
func all(p *payload) ([]Packet, error) {
	var packets []Packet
	for {
		pkt, ok, err := p.next()
		if !ok || err != nil {
			return packets, err
		}
		packets = append(packets, pkt)
	}
}
