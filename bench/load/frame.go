package load

import (
	"encoding/binary"
	"errors"
)

// WebSocket opcodes.
const (
	Text   = 0x1
	Binary = 0x2

	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// mask is the masking key of every frame: the server unmasks in any case, and
// frames can be prepared.
var mask = [4]byte{0x5b, 0x1d, 0xa7, 0xe3}

// AppendFrame appends a masked client frame to dst.
func AppendFrame[T string | []byte](dst []byte, opcode byte, payload T) []byte {
	dst = append(dst, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n <= 0xffff:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	for i := range dst[start:] {
		dst[start+i] ^= mask[i&3]
	}
	return dst
}

var (
	errFragment = errors.New("the server sent a fragment, a reserved bit or a masked frame")
	errLength   = errors.New("the server sent a frame above 16 MiB")
)

// parseFrame returns the first frame in b and its whole size. If the frame is
// not complete, size is what is known to be needed, and payload is nil.
func parseFrame(b []byte) (opcode byte, payload []byte, size int, err error) {
	if len(b) < 2 {
		return 0, nil, 2, nil
	}
	if b[0]&0xf0 != 0x80 || b[1]&0x80 != 0 {
		return 0, nil, 0, errFragment
	}
	head, n := 2, uint64(b[1])
	switch n {
	case 126:
		if head = 4; len(b) >= head {
			n = uint64(binary.BigEndian.Uint16(b[2:]))
		}
	case 127:
		if head = 10; len(b) >= head {
			n = binary.BigEndian.Uint64(b[2:])
		}
	}
	if len(b) < head {
		return 0, nil, head, nil
	}
	if n > 16<<20 {
		return 0, nil, 0, errLength
	}
	size = head + int(n)
	if len(b) < size {
		return 0, nil, size, nil
	}
	return b[0] & 0x0f, b[head:size:size], size, nil
}
