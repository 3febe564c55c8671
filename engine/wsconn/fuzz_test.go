package wsconn

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// FuzzAgainstCoder plays conversations of valid and less valid frames to a Conn
// and to another implementation, which must get the same messages.
func FuzzAgainstCoder(f *testing.F) {
	f.Add([]byte{0x81, 2, 0, 0x01, 3, 0, 0x89, 1, 0, 0x80, 4, 0, 0x82, 7, 9, 0x88, 2, 0}, uint8(7))
	f.Add([]byte{0x82, 6, 0, 0x02, 6, 0, 0x00, 5, 1, 0x80, 0, 0, 0x81, 1, 0}, uint8(0))
	f.Add([]byte{0x81, 2, 0xff, 0x91, 1, 1, 0x83, 1, 1}, uint8(1))
	f.Add([]byte{0x82, 1, 0, 0x82, 1, 0xfe, 0x82, 1, 0xfd, 0xc1, 1, 0}, uint8(200))
	f.Fuzz(func(t *testing.T, program []byte, size uint8) {
		if len(program) > 300 {
			return
		}
		in := compile(program)
		if len(in) == 0 {
			return
		}
		const limit = 70_000
		got, _, err := play(t, Config{MaxMessage: limit, MaxFragments: -1, ControlRate: -1}, false, each(in, 64*int(size)+1)...)
		want := coder(t, in, limit)
		if outcome(err) == "1007" { // coder doesn't look at UTF-8
			if !strings.HasPrefix(want, got) {
				t.Fatalf("got %q\nwant %q", got, want)
			}
		} else if got != want {
			t.Fatalf("got %q and %v\nwant %q", got, err, want)
		}
	})
}

// compile makes frames of three bytes each: the first byte of the frame, the
// length, and how it is.
func compile(program []byte) (in []byte) {
	lengths := []int{0, 1, 2, 5, 125, 126, 1000, 20_000, 65_535, 65_536, 70_000, 70_001}
	for ; len(program) >= 3; program = program[3:] {
		n := lengths[int(program[1])%len(lengths)]
		fill := "abcdefgh"
		if program[2]%16 == 1 {
			fill = "é"
		}
		payload := strings.Repeat(fill, n/len(fill)+1)[:n]
		if program[0]&0x0f == 8 && n >= 2 {
			payload = string(binary.BigEndian.AppendUint16(nil, 1000+uint16(program[2]&3))) + payload[2:]
		}
		fr := frameMask(program[0], payload, [4]byte{program[2], program[1], 3, 4})
		switch program[2] {
		case 0xff:
			fr[1] &^= 0x80 // not masked, though a mask follows
		case 0xfe:
			fr = fr[:len(fr)-1]
		case 0xfd:
			fr = append([]byte{program[0], 0xff, program[1], 0, 0, 0}, fr...)
		}
		in = append(in, fr...)
	}
	return in
}

// coder returns what coder/websocket makes of in.
func coder(t *testing.T, in []byte, limit int64) string {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	// It takes EOF inside of a message for the message's end, so that is no EOF.
	conn := &script{in: [][]byte{in}, end: net.ErrClosed}
	c, err := websocket.Accept(hijackable{httptest.NewRecorder(), conn}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(limit)
	var got []string
	for {
		typ, data, err := c.Read(context.Background())
		if err != nil {
			return strings.Join(got, ", ")
		}
		s := show(data)
		if typ == websocket.MessageBinary {
			s = "binary " + s
		}
		got = append(got, s)
	}
}

// hijackable hands out a scripted connection.
type hijackable struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// FuzzBytes: whatever comes, in whatever chunks, it is read the same way, and
// no message is longer than the limit.
func FuzzBytes(f *testing.F) {
	f.Add(join(text("a"), ping("b"), closing(1000, "")), uint8(3), true)
	f.Add(join(frame(0xc1, deflated("Hello Hello")), frame(0x41, "\x00")), uint8(1), true)
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0}, uint8(9), false)
	f.Fuzz(func(t *testing.T, in []byte, size uint8, deflate bool) {
		cfg := Config{MaxMessage: 10_000, MaxFragments: 8, ControlRate: -1}
		got1, sent1, err1 := play(t, cfg, deflate, in)
		got2, sent2, err2 := play(t, cfg, deflate, each(in, int(size)+1)...)
		if got1 != got2 || sent1 != sent2 || outcome(err1) != outcome(err2) {
			t.Fatalf("whole: %q, %q, %v\nin chunks of %d: %q, %q, %v", got1, sent1, err1, size+1, got2, sent2, err2)
		}
	})
}
