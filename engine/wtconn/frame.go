package wtconn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"unicode/utf8"

	"github.com/roomcast/roomcast/engine"
)

// ErrFrame is what Serve returns for a frame that is empty or too large.
var ErrFrame = errors.New("wtconn: frame is empty or larger than MaxMessage")

// bufferSize is the size of the buffer of a connection.
const bufferSize = 1024

// header is the header of a frame: its first bit tells binary from text, the
// rest is the length in 1, 3 or 9 bytes.
//
// https://github.com/socketio/engine.io-parser
type header struct {
	binary bool
	length uint64
}

// parseHeader parses the header at the start of b. A size of 0 means that more
// bytes are needed.
func parseHeader(b []byte) (h header, size int) {
	if len(b) == 0 {
		return h, 0
	}
	h.binary = b[0]&0x80 != 0
	switch n := b[0] & 0x7f; {
	case n < 126:
		h.length, size = uint64(n), 1
	case n == 126 && len(b) >= 3:
		h.length, size = uint64(binary.BigEndian.Uint16(b[1:])), 3
	case n == 127 && len(b) >= 9:
		h.length, size = binary.BigEndian.Uint64(b[1:]), 9
	}
	return h, size
}

// reader takes frames from a stream.
type reader struct {
	src    io.Reader
	sink   engine.Sink
	max    int
	closed *atomic.Bool
}

// run hands over frames until the stream ends.
func (r *reader) run() error {
	buf := make([]byte, bufferSize)
	have := 0
	for {
		n, err := r.src.Read(buf[have:])
		if r.closed.Load() {
			return ErrClosed
		}
		if n > 0 {
			rest, bad := r.frames(buf[:have+n])
			r.sink.Handled()
			if bad == nil {
				rest, bad = r.large(rest)
			}
			if bad != nil {
				return bad
			}
			have = copy(buf, rest)
		}
		if err != nil {
			return io.EOF // however it ended, the peer is gone
		}
	}
}

// frames hands over all whole frames in b and returns the rest.
func (r *reader) frames(b []byte) (rest []byte, err error) {
	for !r.closed.Load() {
		h, size := parseHeader(b)
		if size == 0 {
			break
		}
		if h.length == 0 || h.length > uint64(r.max) {
			return nil, r.malformed()
		}
		end := size + int(h.length)
		if len(b) < end {
			break
		}
		if err := r.frame(b[size:end:end], h.binary, false); err != nil {
			return nil, err
		}
		b = b[end:]
	}
	return b, nil
}

// malformed makes the session close with a parse error, by the empty packet
// that can't be parsed, either.
func (r *reader) malformed() error {
	if err := r.sink.Frame(nil, false, false); err != nil {
		return err
	}
	return ErrFrame
}

// large reads the rest of a frame that b begins and the buffer can't hold.
func (r *reader) large(b []byte) (rest []byte, err error) {
	h, size := parseHeader(b)
	if size == 0 || size+int(h.length) <= bufferSize {
		return b, nil
	}
	data := append([]byte(nil), b[size:]...)
	for len(data) < int(h.length) {
		// A header alone can't take memory: room for a few times what has come.
		room := min(int(h.length), max(64<<10, 4*len(data)))
		grown := make([]byte, room)
		copy(grown, data)
		if _, err := io.ReadFull(r.src, grown[len(data):]); err != nil {
			return nil, io.EOF
		}
		data = grown
	}
	err = r.frame(data, h.binary, true)
	r.sink.Handled()
	return nil, err
}

// frame hands over a frame.
func (r *reader) frame(data []byte, isBinary, owned bool) error {
	if !isBinary && !utf8.Valid(data) {
		data, owned = bytes.ToValidUTF8(data, []byte("\uFFFD")), true // as the official decoder does
	}
	return r.sink.Frame(data, isBinary, owned)
}
