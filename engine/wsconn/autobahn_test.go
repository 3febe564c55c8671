package wsconn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/roomcast/roomcast/engine"
)

// TestAutobahn has the families of cases of the Autobahn test suite, by their
// numbers. Every case is played whole, byte by byte, and in odd chunks.
//
// https://github.com/crossbario/autobahn-testsuite
func TestAutobahn(t *testing.T) {
	const fin, ping9, pongA, closeB = 0x80, 0x89, 0x8a, 0x88
	type test struct {
		name string
		in   []byte
		got  string // what the sink gets
		sent string // what the server sends
		err  string // "" for io.EOF, or the close code
	}
	bye := closing(1000, "")
	tests := []test{
		{"2.1 ping", join(frame(ping9, ""), bye), "", "pong, close 1000", ""},
		{"2.2 ping payload", join(ping("hi"), bye), "", "pong hi, close 1000", ""},
		{"2.3 ping binary", join(ping("\x00\xff\xfe"), bye), "", "pong \x00\xff\xfe, close 1000", ""},
		{"2.4 ping 125", join(ping(strings.Repeat("\xfe", 125)), bye), "", "pong \xfe\xfe\xfe\xfe…125, close 1000", ""},
		{"2.5 ping 126", join(ping(strings.Repeat("a", 126)), bye), "", "close 1002", "1002"},
		{"2.7 pong unasked", join(frame(pongA, ""), bye), "", "close 1000", ""},
		{"2.8 pong payload", join(frame(pongA, "x"), bye), "", "close 1000", ""},
		{"2.9 pong and ping", join(frame(pongA, "x"), ping("y"), bye), "", "pong y, close 1000", ""},
		{"2.10 ten pings", join(ping("0"), ping("1"), ping("2"), ping("3"), ping("4"), ping("5"), ping("6"), ping("7"), ping("8"), ping("9"), bye),
			"", "pong 0, pong 1, pong 2, pong 3, pong 4, pong 5, pong 6, pong 7, pong 8, pong 9, close 1000", ""},

		{"3.1 rsv3", frame(0x91, "x"), "", "close 1002", "1002"},
		{"3.2 rsv2 after text", join(text("a"), frame(0xa1, "x"), ping("z")), "a", "close 1002", "1002"},
		{"3.3 rsv2+3", frame(0xb1, "x"), "", "close 1002", "1002"},
		{"3.4 rsv1", frame(0xc1, "x"), "", "close 1002", "1002"},
		{"3.5 rsv1+3 binary", frame(0xd2, "x"), "", "close 1002", "1002"},
		{"3.6 rsv on ping", frame(0xe9, "x"), "", "close 1002", "1002"},
		{"3.7 rsv on close", frame(0xf8, ""), "", "close 1002", "1002"},

		{"5.1 fragmented ping", join(frame(0x09, "x"), frame(0x80, "y")), "", "close 1002", "1002"},
		{"5.2 fragmented pong", join(frame(0x0a, "x"), frame(0x80, "y")), "", "close 1002", "1002"},
		{"5.3 two fragments", join(frame(0x01, "a"), frame(0x80, "b"), bye), "ab", "close 1000", ""},
		{"5.6 ping between", join(frame(0x01, "a"), ping("p"), frame(0x80, "b"), bye), "ab", "pong p, close 1000", ""},
		{"5.9 continuation of nothing", frame(0x80, "x"), "", "close 1002", "1002"},
		{"5.10 continuation after message", join(text("a"), frame(0x80, "x")), "a", "close 1002", "1002"},
		{"5.12 unfinished continuation of nothing", frame(0x00, "x"), "", "close 1002", "1002"},
		{"5.15 continuation after fragments", join(frame(0x01, "a"), frame(0x80, "b"), frame(0x00, "c"), text("d")), "ab", "close 1002", "1002"},
		{"5.18 two beginnings", join(frame(0x01, "a"), frame(0x01, "b")), "", "close 1002", "1002"},
		{"5.19 pings between six", join(frame(0x01, "1"), frame(0x00, "2"), ping("p"), frame(0x00, "3"), frame(0x00, "4"), ping("q"), frame(0x80, "5"), bye),
			"12345", "pong p, pong q, close 1000", ""},
		{"5 whole message inside fragments", join(frame(0x02, "a"), bin("b")), "", "close 1002", "1002"},
		{"5 empty fragments", join(frame(0x01, ""), frame(0x00, ""), frame(0x80, ""), bye), "", "close 1000", ""},
		{"5 close between", join(frame(0x01, "a"), bye), "", "close 1000", ""},

		{"6.2 valid", join(text("Hello-µ@ßöäüàá-UTF-8!!"), bye), "Hello-µ@ßöäüàá-UTF-8!!", "close 1000", ""},
		{"6.2 split inside a character", join(frame(0x01, "\xce"), frame(0x80, "\xba"), bye), "κ", "close 1000", ""},
		{"6.3 invalid", join(text("\xce\xba\xed\xa0\x80edited"), bye), "", "close 1007", "1007"},
		{"6.4 invalid in fragments", join(frame(0x01, "\xce\xba"), frame(0x80, "\xf4\x90\x80\x80")), "", "close 1007", "1007"},
		{"6.5 truncated character", join(text("\xce"), bye), "", "close 1007", "1007"},
		{"6.12 overlong", text("\xc0\xaf"), "", "close 1007", "1007"},
		{"6.22 not a character", join(text("\xef\xbf\xbe"), bye), "\xef\xbf\xbe", "close 1000", ""},
		{"6 binary needs no UTF-8", join(bin("\xff\xfe"), bye), "binary \xff\xfe", "close 1000", ""},

		{"7.1.1 message then close", join(text("a"), bye), "a", "close 1000", ""},
		{"7.1.2 two closes", join(bye, bye), "", "close 1000", ""},
		{"7.1.3 ping after close", join(bye, ping("x")), "", "close 1000", ""},
		{"7.1.4 text after close", join(bye, text("x")), "", "close 1000", ""},
		{"7.3.1 empty close", frame(closeB, ""), "", "close", ""},
		{"7.3.2 one byte", frame(closeB, "x"), "", "close 1002", "1002"},
		{"7.3.4 reason", closing(1000, "bye"), "", "close 1000", ""},
		{"7.3.5 longest reason", closing(1000, strings.Repeat("x", 123)), "", "close 1000", ""},
		{"7.3.6 reason too long", closing(1000, strings.Repeat("x", 124)), "", "close 1002", "1002"},
		{"7.5.1 reason not UTF-8", closing(1000, "\xce\xba\xed\xa0\x80"), "", "close 1007", "1007"},
		{"end without close", text("a"), "a", "", ""},
		{"end inside a frame", text("abc")[:7], "", "", ""},
		{"end inside a header", text("abc")[:1], "", "", ""},

		{"unmasked", []byte{0x81, 0x01, 'x'}, "", "close 1002", "1002"},
		{"length with its highest bit", binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, 1<<63), "", "close 1002", "1002"},
		{"largest length", join(binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, 1<<63-1), []byte("mask")), "", "close 1009", "1009"},
		{"control frame with a long length", []byte{0x89, 0xfe, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9}, "", "pong \x04\x04\x04\x0c\x08", ""},
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		tests = append(tests, test{"4 reserved opcode", join(text("a"), frame(fin|op, "x")), "a", "close 1002", "1002"})
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		tests = append(tests, test{"7.7 valid code", closing(code, ""), "", "close " + itoa(code), ""})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		tests = append(tests, test{"7.9 invalid code", closing(code, ""), "", "close 1002", "1002"})
	}
	for _, n := range []int{1, 125, 126, 127, 128, 65535, 65536, 1_000_000} {
		s := strings.Repeat("*", n)
		tests = append(tests,
			test{"1.1 and 9.1 text of " + itoa(n), join(text(s), bye), show([]byte(s)), "close 1000", ""},
			test{"1.2 and 9.2 binary of " + itoa(n), join(bin(s), bye), "binary " + show([]byte(s)), "close 1000", ""},
			test{"9.3 fragments of 997 of " + itoa(n), join(split(s, 997), bye), show([]byte(s)), "close 1000", ""})
	}
	for _, tt := range tests {
		for _, size := range []int{len(tt.in), 1, 7, 1000, bufferSize} {
			if size < 1000 && len(tt.in) > 2000 && size != len(tt.in) {
				continue
			}
			got, sent, err := play(t, Config{}, false, each(tt.in, size)...)
			if got != tt.got || sent != tt.sent || outcome(err) != tt.err {
				t.Errorf("%s, in chunks of %d: got %q, sent %q, error %v;\nwant %q, %q, %q",
					tt.name, size, got, sent, err, tt.got, tt.sent, tt.err)
			}
		}
	}
}

// TestEmptyMessages is Autobahn 1.1.1 and 1.2.1, which a joined list can't show.
func TestEmptyMessages(t *testing.T) {
	s := &script{in: [][]byte{join(text(""), bin(""))}}
	cfg := Config{}.withDefaults()
	c, _ := newConn(s, &cfg, 0, false, nil)
	var sink record
	<-serve(c, &sink)
	if len(sink.frames) != 2 || sink.frames[0] != "" || sink.frames[1] != "binary " {
		t.Errorf("got %q", sink.frames)
	}
}

// TestEverySplit cuts a conversation with every kind of frame at every byte.
func TestEverySplit(t *testing.T) {
	in := join(text("a"), frame(0x01, "b"), ping("p"), frame(0x00, "é"), frame(0x80, "c"),
		bin(strings.Repeat("x", 126)), text(strings.Repeat("y", smallFrame+1)), text("z"), closing(1000, "bye"))
	want, sent, err := play(t, Config{}, false, in)
	if outcome(err) != "" || !strings.HasSuffix(want, ", z") || sent != "pong p, close 1000" {
		t.Fatalf("whole: got %q, sent %q, error %v", want, sent, err)
	}
	for i := 1; i < len(in); i++ {
		got, sent, err := play(t, Config{}, false, bytes.Clone(in[:i]), bytes.Clone(in[i:]))
		if got != want || sent != "pong p, close 1000" || outcome(err) != "" {
			t.Fatalf("cut at %d: got %q, sent %q, error %v", i, got, sent, err)
		}
	}
}

// TestLimits has messages at their limits, one below and one above.
func TestLimits(t *testing.T) {
	cfg := Config{MaxMessage: 10, MaxFragments: 3}
	for _, tt := range []struct {
		name, got, err string
		in             []byte
	}{
		{"9", "012345678", "", text("012345678")},
		{"10", "0123456789", "", text("0123456789")},
		{"11", "", "1009", text("0123456789a")},
		{"the header of 11", "", "1009", text("0123456789a")[:6]},
		{"10 in fragments", "0123456789", "", join(frame(0x01, "01234"), frame(0x80, "56789"))},
		{"11 in fragments", "", "1009", join(frame(0x01, "01234"), frame(0x80, "56789a"))},
		{"a fragment that overflows the sum", "", "1009", join(frame(0x01, "01234"), []byte{0x80, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255}, []byte("mask"))},
		{"3 fragments", "abc", "", join(frame(0x01, "a"), frame(0x00, "b"), frame(0x80, "c"))},
		{"4 fragments", "", "1008", join(frame(0x01, "a"), frame(0x00, "b"), frame(0x00, "c"), frame(0x80, "d"))},
		{"empty fragments count", "", "1008", join(frame(0x01, ""), frame(0x00, ""), frame(0x00, ""), frame(0x00, ""))},
		{"each message counts anew", "abc, def", "", join(frame(0x01, "a"), frame(0x00, "b"), frame(0x80, "c"), frame(0x01, "d"), frame(0x00, "e"), frame(0x80, "f"))},
	} {
		for _, size := range []int{1, len(tt.in)} {
			got, _, err := play(t, cfg, false, each(tt.in, size)...)
			if got != tt.got || outcome(err) != tt.err {
				t.Errorf("%s in chunks of %d: got %q, error %v", tt.name, size, got, err)
			}
		}
	}
}

// TestControlRate: pings and pongs that nobody asked for cost a token each, messages none.
func TestControlRate(t *testing.T) {
	flood := func(n int) (in []byte) {
		for range n {
			in = append(in, join(ping("p"), text("x"), frame(0x8a, ""))...)
		}
		return in
	}
	synctest.Test(t, func(t *testing.T) {
		for rate, fits := range map[int]int{0: 5, 3: 3, -1: 1000} {
			if _, _, err := play(t, Config{ControlRate: rate}, false, flood(fits)); outcome(err) != "" {
				t.Errorf("rate %d, %d pings and as many pongs: %v", rate, fits, err)
			}
			if rate < 0 {
				continue
			}
			_, sent, err := play(t, Config{ControlRate: rate}, false, join(flood(fits), ping("q")))
			if outcome(err) != "1008" || !errors.Is(err, engine.ErrControlRate) || !strings.HasSuffix(sent, "close 1008") {
				t.Errorf("rate %d, one more: %v, sent %q", rate, err, sent)
			}
		}
	})
}

// TestPingFlood: pongs that wait are bounded, and the last ping is answered.
func TestPingFlood(t *testing.T) {
	var in []byte
	for i := range 1000 {
		in = append(in, ping(strings.Repeat("x", 100)+itoa(i))...)
	}
	s := &script{in: each(in, bufferSize)}
	cfg := Config{ControlRate: -1}.withDefaults()
	c, _ := newConn(s, &cfg, 0, false, nil)
	if err := <-serve(c, &record{}); outcome(err) != "" {
		t.Fatal(err)
	}
	if reads := len(in)/idleBuffer + 1; s.out.Len() > reads*maxControl {
		t.Errorf("%d bytes of pongs", s.out.Len())
	}
	if !bytes.HasSuffix(s.out.Bytes(), []byte("x999")) {
		t.Error("the last ping isn't answered")
	}
}

// split is s as a fragmented text message.
func split(s string, n int) []byte {
	var b []byte
	op := byte(0x01)
	for len(s) > n {
		b = append(b, frame(op, s[:n])...)
		s, op = s[n:], 0
	}
	return append(b, frame(0x80|op, s)...)
}

func itoa(n int) string { return strconv.Itoa(n) }
