package engine

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"
)

// separator stands between the packets of a payload of revision 4.
const separator = 0x1e

// payload iterates over the packets of a POST body. Packets alias the body,
// base64 is decoded in place.
//
// https://socket.io/docs/v4/engine-io-protocol/#http-long-polling-1
type payload struct {
	rest   []byte
	rev    int
	binary bool // revision 3, application/octet-stream
	done   bool
}

// next returns the next packet; ok is false after the last one. After an error
// there is nothing more to read.
func (p *payload) next() (pkt Packet, ok bool, err error) {
	if p.done {
		return Packet{}, false, nil
	}
	switch {
	case p.rev != 3:
		pkt, err = p.nextV4()
	case p.binary:
		pkt, ok, err = p.nextBinary()
		return pkt, ok, p.fail(err)
	default:
		pkt, ok, err = p.nextV3()
		return pkt, ok, p.fail(err)
	}
	return pkt, err == nil, p.fail(err)
}

func (p *payload) fail(err error) error {
	p.done = p.done || err != nil
	return err
}

func (p *payload) nextV4() (Packet, error) {
	b := p.rest
	if i := bytes.IndexByte(b, separator); i >= 0 {
		b, p.rest = b[:i], b[i+1:]
	} else {
		p.done = true
	}
	return ParsePacket(b, 4)
}

// nextV3 reads "<length>:<packet>", with the length in UTF-16 code units.
func (p *payload) nextV3() (Packet, bool, error) {
	for {
		n, size, ok := parseLength(p.rest)
		if !ok {
			return Packet{}, false, ErrPayload
		}
		p.rest = p.rest[size:]
		end, ok := utf16End(p.rest, n)
		if !ok {
			return Packet{}, false, ErrPayload
		}
		b := p.rest[:end]
		p.rest = p.rest[end:]
		p.done = len(p.rest) == 0
		if len(b) == 0 { // "0:" is skipped
			if p.done {
				return Packet{}, false, nil
			}
			continue
		}
		pkt, err := ParsePacket(b, 3)
		return pkt, err == nil, err
	}
}

// enough is more than any payload has, and ten times it is still an int.
const enough = math.MaxInt / 16

// parseLength parses the decimal length in front of a packet and its colon.
func parseLength(b []byte) (n, size int, ok bool) {
	for i, c := range b {
		switch {
		case c == ':' && i > 0:
			return n, i + 1, true
		case c < '0' || c > '9' || n > enough:
			return 0, 0, false
		}
		n = n*10 + int(c-'0')
	}
	return 0, 0, false
}

// utf16End returns where n UTF-16 code units of b end.
func utf16End(b []byte, n int) (end int, ok bool) {
	for end < len(b) && n > 0 {
		if b[end] < utf8.RuneSelf {
			end++
			n--
			continue
		}
		r, size := utf8.DecodeRune(b[end:])
		end += size
		if n--; r > 0xffff {
			n--
		}
	}
	return end, n == 0
}

// nextBinary reads a packet of revision 3's binary framing: 0 for text or 1
// for binary, the digits of the length as bytes 0 to 9, 255, the content. As
// in the official parser a length beyond the end stands for all that is left.
func (p *payload) nextBinary() (Packet, bool, error) {
	if len(p.rest) == 0 {
		return Packet{}, false, nil
	}
	text, b, ok := p.cut()
	if !ok {
		return Packet{}, false, ErrPayload
	}
	p.done = len(p.rest) == 0
	if !text {
		return ParseBinary(b, 3), true, nil
	}
	if !utf8.Valid(b) {
		return Packet{}, false, ErrPayload
	}
	pkt, err := ParsePacket(b, 3)
	return pkt, err == nil, err
}

// cut takes one frame of the binary framing off p.rest.
func (p *payload) cut() (text bool, b []byte, ok bool) {
	text = p.rest[0] == 0
	n := 0
	for i, d := range p.rest[1:] {
		switch {
		case d == 255 && i > 0:
			rest := p.rest[i+2:]
			n = min(n, len(rest))
			p.rest = rest[n:]
			return text, rest[:n], true
		case d > 9 || i >= 310:
			return false, nil, false
		}
		n = min(n*10+int(d), enough)
	}
	return false, nil, false
}

// tooMany tells whether body has more than limit packets, before any is
// handed over, and whether its framing is sound: as officially, a binary
// payload with broken framing delivers nothing.
func (p payload) tooMany(limit int) (bool, error) {
	if p.rev != 3 {
		return bytes.Count(p.rest, []byte{separator})+1 > limit, nil
	}
	for n := 0; p.binary && len(p.rest) > 0; n++ {
		if n == limit {
			return true, nil
		}
		if _, _, ok := p.cut(); !ok {
			return false, ErrPayload
		}
	}
	return !p.binary && bytes.Count(p.rest, []byte{':'}) > limit && p.countV3(limit), nil
}

// countV3 counts lengths, since data may hold colons, too.
func (p payload) countV3(limit int) bool {
	for n := 0; len(p.rest) > 0; n++ {
		if n == limit {
			return true
		}
		length, size, ok := parseLength(p.rest)
		if !ok {
			return false // next will find the error
		}
		end, ok := utf16End(p.rest[size:], length)
		if !ok {
			return false
		}
		p.rest = p.rest[size+end:]
	}
	return false
}

// appendPacketV3 appends "<length>:<packet>".
func appendPacketV3(dst []byte, p Packet) []byte {
	n := p.textLen(3)
	if !p.Binary {
		n = 1 + utf16Len(p.Data)
	}
	dst = append(strconv.AppendInt(dst, int64(n), 10), ':')
	return p.AppendText(dst, 3)
}

// appendPacketBinaryV3 appends p in revision 3's binary framing.
func appendPacketBinaryV3(dst []byte, p Packet) []byte {
	kind, first := byte(0), byte(p.Type)+'0'
	if p.Binary {
		kind, first = 1, byte(p.Type)
	}
	dst = append(dst, kind)
	at := len(dst)
	dst = strconv.AppendInt(dst, int64(len(p.Data)+1), 10)
	for i := at; i < len(dst); i++ {
		dst[i] -= '0'
	}
	return append(append(dst, 255, first), p.Data...)
}

// appendPayload appends batches as the body of a polling response. text is
// false if it is revision 3's binary framing, used for binary data if the
// peer takes it (b64 is false).
func appendPayload(dst []byte, batches []*Batch, rev int, b64 bool) (body []byte, text bool) {
	if rev == 3 && !b64 && hasBinary(batches) {
		for _, b := range batches {
			for _, p := range b.packets {
				dst = appendPacketBinaryV3(dst, p)
			}
		}
		return dst, false
	}
	w := polling
	if rev == 3 {
		w = pollingV3
	}
	for i, b := range batches {
		if i > 0 && w == polling {
			dst = append(dst, separator)
		}
		if b.cache != nil {
			dst = append(dst, b.wire(w)...)
		} else {
			dst = b.appendWire(dst, w)
		}
	}
	return dst, true
}

func hasBinary(batches []*Batch) bool {
	for _, b := range batches {
		for _, p := range b.packets {
			if p.Binary {
				return true
			}
		}
	}
	return false
}
