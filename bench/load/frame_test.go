package load

import (
	"bytes"
	"testing"
)

// serverFrame is a client frame without its mask, as servers send it.
func serverFrame(opcode byte, payload []byte) []byte {
	masked := AppendFrame(nil, opcode, payload)
	head := len(masked) - len(payload)
	out := append([]byte(nil), masked[:head-4]...)
	out[1] &^= 0x80
	return append(out, payload...)
}

func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 0xffff, 0x10000, 1 << 20} {
		payload := bytes.Repeat([]byte{'a', 'b', 'c'}, n/3+1)[:n]
		frame := serverFrame(Binary, payload)
		opcode, got, size, err := parseFrame(append(frame, "more"...))
		if err != nil || opcode != Binary || size != len(frame) || got == nil || !bytes.Equal(got, payload) {
			t.Errorf("frame with %d bytes: opcode %d, %d bytes, size %d of %d, error %v", n, opcode, len(got), size, len(frame), err)
		}
		for cut := range min(len(frame), 20) {
			_, got, size, err := parseFrame(frame[:cut])
			if err != nil || got != nil || size <= cut || size > len(frame) {
				t.Errorf("frame with %d bytes, cut after %d: %d bytes, size %d, error %v", n, cut, len(got), size, err)
			}
		}
	}
}

func TestFramesRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"fragment":     {0x01, 0x00},
		"reserved bit": {0xc1, 0x00},
		"masked":       {0x81, 0x80, 0, 0, 0, 0},
		"huge":         {0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0},
	} {
		if _, _, _, err := parseFrame(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMask(t *testing.T) {
	frame := AppendFrame(nil, Text, "hello")
	for i := range frame[6:] {
		frame[6+i] ^= frame[2+i&3]
	}
	if string(frame[6:]) != "hello" {
		t.Errorf("unmasked: %q", frame[6:])
	}
}

func TestResponses(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
	status, body, size, err := parseResponse([]byte(whole + "HTTP/1.1"))
	if err != nil || status != 200 || string(body) != "hello" || size != len(whole) {
		t.Errorf("%d %q, size %d, error %v", status, body, size, err)
	}
	for cut := range len(whole) {
		if _, body, size, err := parseResponse([]byte(whole[:cut])); err != nil || body != nil || size <= cut {
			t.Errorf("cut after %d: %q, size %d, error %v", cut, body, size, err)
		}
	}
	if _, _, _, err := parseResponse([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")); err == nil {
		t.Error("a response without length: no error")
	}
}
