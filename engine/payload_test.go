package engine

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMalformedPayloads(t *testing.T) {
	for _, tt := range []struct {
		in     string
		rev    int
		binary bool
		good   int // packets before the error
		fails  bool
	}{
		{"", 4, false, 0, true},
		{"{", 4, false, 0, true},
		{"4a\x1e", 4, false, 1, true},
		{"4a\x1ea123\x1e4b", 4, false, 1, true},
		{"4a\x1e4b", 4, false, 2, false},
		{`["a123","a456"]`, 4, false, 0, true},
		{"", 3, false, 0, true},
		{"!", 3, false, 0, true},
		{":4a", 3, false, 0, true},
		{"1:4", 3, false, 1, false},
		{"01:4", 3, false, 1, false},
		{"0:1:4", 3, false, 1, false},
		{"0:", 3, false, 0, false},
		{"3:99:", 3, false, 0, true},
		{"2:4a9:4b", 3, false, 1, true},
		{"2:4a2", 3, false, 1, true},
		{"99999999999999999999:4", 3, false, 0, true},
		{"2:4😀", 3, false, 0, true}, // the length ends inside of a surrogate pair
		{"3:4😀", 3, false, 1, false},
		{"\x00\xff4", 3, true, 0, true},
		{"\x00\x01", 3, true, 0, true},
		{"\x00\x0a\xff4", 3, true, 0, true},
		{"\x00\x09\xff4a", 3, true, 1, false}, // officially not checked
		{"\x00" + strings.Repeat("\x01", 311) + "\xff", 3, true, 0, true},
		{"\x01\x02\xff\x04a\x00\x01\xff9", 3, true, 1, true},
	} {
		p := payload{rest: []byte(tt.in), rev: tt.rev, binary: tt.binary}
		packets, err := all(&p)
		if len(packets) != tt.good || (err != nil) != tt.fails {
			t.Errorf("%.40q (rev %d): %d packets and %v, want %d, fails %v", tt.in, tt.rev, len(packets), err, tt.good, tt.fails)
		}
	}
}

func TestPacketLimit(t *testing.T) {
	for _, tt := range []struct {
		in     string
		rev    int
		binary bool
		n      int
	}{
		{"4a\x1e4b\x1e4c", 4, false, 3},
		{"2:4a2:4b2:4c", 3, false, 3},
		{"6:4:::::2:4b", 3, false, 2}, // colons in data are no packets
		{"\x00\x02\xff4a\x00\x02\xff4b", 3, true, 2},
	} {
		p := payload{rest: []byte(tt.in), rev: tt.rev, binary: tt.binary}
		for limit, want := range map[int]bool{tt.n - 1: true, tt.n: false, tt.n + 1: false} {
			if many, err := p.tooMany(limit); many != want || err != nil {
				t.Errorf("%q: tooMany(%d) = %v, %v", tt.in, limit, many, err)
			}
		}
	}
	// As officially, broken binary framing delivers nothing.
	p := payload{rest: []byte("\x00\x02\xff4a\x00\x0b\xff4b"), rev: 3, binary: true}
	if _, err := p.tooMany(10); err == nil {
		t.Error("broken binary framing passed")
	}
}

func TestJSONP(t *testing.T) {
	got := appendJSONP(nil, "7", []byte("4</script>\u2028\"\\"))
	if want := `___eio[7]("4\u003c/script\u003e\u2028\"\\");`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if j := onlyDigits("0];alert(1)//"); j != "01" {
		t.Errorf("j is %q", j)
	}
	for in, want := range map[string]string{
		`d=4a\nb`:        "4a\nb",
		`d=4a\\nb`:       `4a\nb`,
		`d=4%E2%82%AC+x`: "4€ x",
		`d=`:             "",
		`d=4\n`:          "4\n",
	} {
		if got, ok := decodeJSONP([]byte(in)); !ok || string(got) != want {
			t.Errorf("decodeJSONP(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
	if _, ok := decodeJSONP([]byte("x=4a")); ok {
		t.Error("a form without d was taken")
	}
}

func FuzzPayload(f *testing.F) {
	for _, s := range []string{"4a€😀\x1ebAQID", "5:4a€😀", "6:4hello10:b4AQIDBA==", "1:21:2",
		"\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04", "", "0:", "\x1e\x1e"} {
		f.Add([]byte(s), byte(0))
		f.Add([]byte(s), byte(1))
		f.Add([]byte(s), byte(2))
	}
	f.Fuzz(func(t *testing.T, in []byte, kind byte) {
		rev, isBinary := 4, false
		if kind%3 > 0 {
			rev, isBinary = 3, kind%3 == 2
		}
		if !isBinary && !utf8.Valid(in) {
			return // deliver replaces what is invalid first
		}
		p := payload{rest: bytes.Clone(in), rev: rev, binary: isBinary}
		if many, _ := p.tooMany(100); many {
			return
		}
		packets, err := all(&p)
		if len(packets) > 100 {
			t.Errorf("%q: %d packets passed a limit of 100", in, len(packets))
		}
		if err != nil || len(packets) == 0 || bytes.IndexByte(in, separator) >= 0 && rev == 4 {
			return
		}
		for i := range packets {
			packets[i].Binary = packets[i].Binary && packets[i].Type == Message
		}
		out, text := appendPayload(nil, []*Batch{NewBatch(false, packets...)}, rev, false)
		again, err := all(&payload{rest: out, rev: rev, binary: !text})
		if err != nil || len(again) != len(packets) {
			t.Fatalf("%q became %q: %d packets and %v, want %d", in, out, len(again), err, len(packets))
		}
		for i := range packets {
			if !samePacket(packets[i], again[i]) {
				t.Errorf("%q: packet %d is %+v, was %+v", in, i, again[i], packets[i])
			}
		}
	})
}
