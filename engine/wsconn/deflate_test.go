package wsconn

import (
	"bytes"
	"compress/flate"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/roomcast/roomcast/engine"
)

// deflated is s as a client compresses it.
func deflated(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	io.WriteString(w, s)
	w.Flush()
	return strings.TrimSuffix(b.String(), tail[:4])
}

// inflated is a compressed frame of a server as it would be without.
func inflated(t *testing.T, sent []byte) []byte {
	t.Helper()
	f, err := ws.ReadFrame(bytes.NewReader(sent))
	if err != nil || f.Header.Rsv != ws.Rsv(true, false, false) {
		t.Fatalf("frame %v, error %v", f.Header, err)
	}
	data, err := inflate(f.Payload, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return ws.MustCompileFrame(ws.NewFrame(f.Header.OpCode, true, data))
}

// TestDeflateFrames has Autobahn's families 12 and 13 in the small: compressed
// messages whole and in fragments, and what is against RFC 7692.
func TestDeflateFrames(t *testing.T) {
	hello := deflated("Hello, Hello, Hello")
	for _, tt := range []struct {
		name, got, sent, err string
		in                   []byte
	}{
		{"text", "Hello, Hello, Hello", "", "", frame(0xc1, hello)},
		{"binary", "binary Hello, Hello, Hello", "", "", frame(0xc2, hello)},
		{"fragments", "Hello, Hello, Hello", "", "", join(frame(0x41, hello[:3]), frame(0x00, hello[3:5]), frame(0x80, hello[5:]))},
		{"ping between", "Hello, Hello, Hello", "pong p", "", join(frame(0x41, hello[:3]), ping("p"), frame(0x80, hello[3:]))},
		{"plain beside compressed", "a, Hello, Hello, Hello, b", "", "", join(text("a"), frame(0xc1, hello), text("b"))},
		{"empty", "", "", "", frame(0xc1, "\x00")},
		{"example of the RFC", "Hello", "", "", frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00")},
		{"without compression", "Hello", "", "", frame(0xc1, "\x00\x05\x00\xfa\xffHello\x00")},
		{"final block", "Hello", "", "", frame(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")},
		{"two blocks", "Hello", "", "", frame(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")},
		{"rsv1 on a continuation", "", "close 1002", "1002", join(frame(0x41, hello[:3]), frame(0xc0, hello[3:]))},
		{"rsv1 on a ping", "", "close 1002", "1002", frame(0xc9, "x")},
		{"rsv1 and 2", "", "close 1002", "1002", frame(0xe1, hello)},
		{"garbage", "", "close 1007", "1007", frame(0xc1, "\xff\xff\xff\xff")},
		{"distance before the beginning", "", "close 1007", "1007", frame(0xc1, "\x02\x13\x00")},
		{"inflates to bytes that aren't UTF-8", "", "close 1007", "1007", frame(0xc1, deflated("\xff\xff"))},
		{"1000 bytes", show([]byte(strings.Repeat("a", 1000))), "", "", frame(0xc1, deflated(strings.Repeat("a", 1000)))},
		{"1001 bytes", "", "close 1009", "1009", frame(0xc1, deflated(strings.Repeat("a", 1001)))},
	} {
		for _, size := range []int{1, len(tt.in)} {
			got, sent, err := play(t, Config{MaxMessage: 1000}, true, each(tt.in, size)...)
			if got != tt.got || sent != tt.sent || outcome(err) != tt.err {
				t.Errorf("%s, in chunks of %d: got %q, sent %q, error %v", tt.name, size, got, sent, err)
			}
		}
	}
}

// TestDeflateBomb: 64 MiB of "a" come as 64 KB, and take little memory.
func TestDeflateBomb(t *testing.T) {
	bomb := frame(0xc1, deflated(strings.Repeat("a", 64<<20)))
	if len(bomb) > 100_000 {
		t.Fatalf("%d bytes", len(bomb))
	}
	play(t, Config{}, true, text("x")) // fills the pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, sent, err := play(t, Config{}, true, each(bomb, bufferSize)...)
	runtime.ReadMemStats(&after)
	if got != "" || sent != "close 1009" || outcome(err) != "1009" {
		t.Errorf("got %q, sent %q, error %v", got, sent, err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

// TestThreshold: short messages go as they are, long ones compressed.
func TestThreshold(t *testing.T) {
	s := &script{}
	cfg := Config{DeflateThreshold: 100}.withDefaults()
	c, _ := newConn(s, &cfg, engine.WebSocket, true, nil)
	long := strings.Repeat("a", 100)
	for _, p := range []engine.Packet{msg(long[:99]), msg(long)} {
		s.out.Reset()
		if err := send(c, p); err != nil {
			t.Fatal(err)
		}
		if compressed := s.out.Bytes()[0] == 0xc1; compressed != (len(p.Data) >= 100) {
			t.Errorf("%d bytes compressed: %v", len(p.Data), compressed)
		}
	}
	s.out.Reset()
	if err := send(c, msg("short"), msg(long)); err != nil { // one batch
		t.Fatal(err)
	}
	f, err := ws.ReadFrame(&s.out)
	if err != nil || f.Header.Rsv != 0 || string(f.Payload) != "4short" {
		t.Fatalf("frame %v, error %v", f, err)
	}
	if got := frames(inflated(t, s.out.Bytes())); got != "text "+show([]byte("4"+long)) {
		t.Errorf("got %q", got)
	}
}

// TestNegotiation has offers, and what is answered.
func TestNegotiation(t *testing.T) {
	const none = "; server_no_context_takeover; client_no_context_takeover"
	for _, tt := range []struct{ offer, want string }{
		{"permessage-deflate", "permessage-deflate" + none},
		{"permessage-deflate; client_max_window_bits", "permessage-deflate" + none},
		{"permessage-deflate; client_max_window_bits=10", "permessage-deflate" + none},
		{"permessage-deflate; server_no_context_takeover", "permessage-deflate" + none},
		{"permessage-deflate; server_max_window_bits=10", ""},
		{"permessage-deflate; server_max_window_bits=10, permessage-deflate", "permessage-deflate" + none},
		{"permessage-deflate; server_max_window_bits=15", "permessage-deflate" + none + "; server_max_window_bits=15"},
		{"permessage-deflate; server_max_window_bits=99", ""},
		{"permessage-deflate; unknown", ""},
		{"permessage-deflate; server_no_context_takeover=1", ""},
		{"x-webkit-deflate-frame", ""},
		{"x, permessage-deflate, permessage-deflate", "permessage-deflate" + none},
	} {
		var d deflateOffer
		options, ok := httphead.ParseOptions([]byte(tt.offer), nil)
		if !ok {
			t.Fatalf("%q isn't a header", tt.offer)
		}
		var accepted []httphead.Option
		for _, o := range options {
			a, err := d.negotiate(o)
			if err != nil {
				t.Fatal(err)
			}
			if a.Size() > 0 {
				accepted = append(accepted, a)
			}
		}
		var b bytes.Buffer
		if len(accepted) > 0 {
			httphead.WriteOptions(&b, accepted)
		}
		if got, want := fields(b.String()), fields(tt.want); got != want || d.accepted != (want != "") {
			t.Errorf("%s: %q, want %q", tt.offer, got, want)
		}
	}
}

// fields is a header with its parameters in order.
func fields(header string) string {
	f := strings.FieldsFunc(header, func(r rune) bool { return r == ';' || r == ' ' })
	slices.Sort(f)
	return strings.Join(f, "; ")
}
