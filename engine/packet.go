package engine

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// PacketType is the type of an Engine.IO packet.
type PacketType byte

// The packet types, with the digit that each has on the wire.
const (
	Open    PacketType = iota // 0
	Close                     // 1
	Ping                      // 2
	Pong                      // 3
	Message                   // 4
	Upgrade                   // 5
	Noop                      // 6
)

// Packet is one Engine.IO packet. Binary packets are always messages when they
// are sent; a peer of revision 3 may mark others as binary.
type Packet struct {
	Type   PacketType
	Binary bool   // Data isn't text
	Data   []byte // behind the type
}

// What is wrong with a packet or payload that does not parse.
var (
	ErrEmptyPacket = errors.New("engine: empty packet")
	ErrPacketType  = errors.New("engine: unknown packet type")
	ErrPayload     = errors.New("engine: malformed payload")
)

// ParsePacket parses the text form of a packet of Engine.IO revision rev (3 or
// 4), such as "4hello", or "bAQID" ("b4AQID" in revision 3) for binary data.
// Data aliases b; base64 is decoded in place, so b is overwritten. The error
// wraps ErrEmptyPacket or ErrPacketType.
//
// https://socket.io/docs/v4/engine-io-protocol/#packet-encoding
func ParsePacket(b []byte, rev int) (Packet, error) {
	if len(b) == 0 {
		return Packet{}, ErrEmptyPacket
	}
	if b[0] == 'b' {
		return parseBase64(b[1:], rev)
	}
	t := PacketType(b[0] - '0')
	if t > Noop {
		return Packet{}, fmt.Errorf("%w %q", ErrPacketType, b[0])
	}
	return Packet{Type: t, Data: b[1:]}, nil
}

// parseBase64 parses what follows the "b" of a packet.
func parseBase64(b []byte, rev int) (Packet, error) {
	t := Message
	if rev == 3 {
		if len(b) == 0 || b[0]-'0' > byte(Noop) {
			return Packet{Type: Noop}, nil // the official parser ignores it, too
		}
		t, b = PacketType(b[0]-'0'), b[1:]
	}
	return Packet{Type: t, Binary: true, Data: decodeBase64(b)}, nil
}

// ParseBinary parses the binary form of a packet: in revision 4 b is the data
// of a message, in revision 3 a type byte (4, not '4') comes first. As in the
// official parser an unknown type is no error: the packet is then a Noop.
// Data aliases b.
func ParseBinary(b []byte, rev int) Packet {
	if rev != 3 {
		return Packet{Type: Message, Binary: true, Data: b}
	}
	if len(b) == 0 || b[0] > byte(Noop) {
		return Packet{Type: Noop}
	}
	return Packet{Type: PacketType(b[0]), Binary: true, Data: b[1:]}
}

// AppendText appends the text form of p in revision rev (3 or 4) to dst.
func (p Packet) AppendText(dst []byte, rev int) []byte {
	if !p.Binary {
		dst = append(dst, byte(p.Type)+'0')
		return append(dst, p.Data...)
	}
	dst = append(dst, 'b')
	if rev == 3 {
		dst = append(dst, byte(p.Type)+'0')
	}
	return base64Std.AppendEncode(dst, p.Data)
}

// textLen is the length of what AppendText appends.
func (p Packet) textLen(rev int) int {
	if !p.Binary {
		return 1 + len(p.Data)
	}
	n := 1 + base64Std.EncodedLen(len(p.Data))
	if rev == 3 {
		n++
	}
	return n
}

// utf16Len is the number of UTF-16 code units of b, which is what lengths in
// payloads of revision 3 count. Invalid bytes count as one each.
func utf16Len(b []byte) int {
	n := len(b)
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		n -= size - 1
		if r > 0xffff {
			n++
		}
		i += size
	}
	return n
}
