package engine

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// Wire names a form in which a batch goes over a connection. "Base64" forms are
// for peers that asked for it with the query key b64.
type Wire uint8

const (
	WebSocket         Wire = iota // revision 4: whole frames of a server, header included
	WebSocketBase64               // the same, binary data as base64 text
	WebSocketV3                   // revision 3
	WebSocketV3Base64             //
	WebTransport                  // frames of WebTransport, header included
	polling                       // packets joined by the separator \x1e
	pollingV3                     // length:packet, binary data as base64
	wires
)

// WebSocketWire is the form of WebSocket frames for a revision (3 or 4) and
// for peers that cannot take binary messages.
func WebSocketWire(rev int, b64 bool) Wire {
	w := WebSocket
	if rev == 3 {
		w = WebSocketV3
	}
	if b64 {
		w++
	}
	return w
}

// large is the size of data, in bytes, from which it is not copied but
// referenced for a gathering write.
const large = 16 << 10

// Batch is a run of packets that leave together and in order, such as a
// Socket.IO packet with its attachments. It is immutable, may be queued on any
// number of sessions, and keeps its encoded form for each Wire once that is
// asked for.
type Batch struct {
	packets []Packet
	one     [1]Packet // where packets are when there is one
	cache   *[wires]atomic.Pointer[[]byte]
	size    int  // bytes of data
	plain   bool // not to be compressed
	again   bool // to be used again once it is written
}

// NewBatch returns a batch of packets. It takes over their data.
// A shared batch (for many sessions) caches its wire forms, others do not.
func NewBatch(shared bool, packets ...Packet) *Batch {
	b := new(Batch)
	b.packets = append(b.one[:0:1], packets...)
	for i := range b.packets {
		b.size += len(b.packets[i].Data)
	}
	if shared {
		b.cache = new([wires]atomic.Pointer[[]byte])
	}
	return b
}

// singles are batches that were written, with their buffers.
var singles = sync.Pool{New: func() any { return &Batch{again: true} }}

// NewSingle returns a batch for one text message to one session. The data is to be appended
// to Buffer, and the result handed to SetText. Whoever has appended the batch to a session must not
// touch it any more: once it is written, it is used again.
func NewSingle() *Batch { return singles.Get().(*Batch) }

// Buffer is an empty slice for the data of a batch that NewSingle has returned.
func (b *Batch) Buffer() []byte { return b.one[0].Data[:0] }

// SetText gives a batch that NewSingle has returned its data.
func (b *Batch) SetText(data []byte) {
	b.one[0] = Packet{Type: Message, Data: data}
	b.packets = b.one[:]
	b.size = len(data)
}

// Release takes back a batch that NewSingle has returned and that no session has got.
func (b *Batch) Release() {
	if cap(b.one[0].Data) <= large/4 {
		singles.Put(b)
	}
}

// Uncompressed marks b, before it is queued, as not worth compressing in a
// polling response, and returns it.
func (b *Batch) Uncompressed() *Batch {
	b.plain = true
	return b
}

// Packets are the packets of b, for connections that encode them by themselves
// (because they deflate). They must not be changed.
func (b *Batch) Packets() []Packet { return b.packets }

// Size is the number of bytes of data in b.
func (b *Batch) Size() int { return b.size }

// cost is what b counts against the byte limit of a queue.
func (b *Batch) cost() int { return b.size + 16*len(b.packets) }

// Shared returns the bytes in the form w of a batch that is for many and small enough to be
// copied, for who writes nothing beside it; of others nil. They must not be changed.
func (b *Batch) Shared(w Wire) []byte {
	if b.cache == nil || b.size >= large {
		return nil
	}
	return b.wire(w)
}

// wire returns the cached bytes of a shared batch.
func (b *Batch) wire(w Wire) []byte {
	if p := b.cache[w].Load(); p != nil {
		return *p
	}
	enc := b.appendWire(make([]byte, 0, b.wireLen(w)), w)
	b.cache[w].Store(&enc) // two who race store the same bytes
	return enc
}

// wireLen is at least the length of b in the form w.
func (b *Batch) wireLen(w Wire) int {
	n := 0
	for _, p := range b.packets {
		n += 14 + len(p.Data)
		if p.Binary && w != WebSocket && w != WebSocketV3 && w != WebTransport {
			n += len(p.Data)/3 + 4
		}
	}
	return n
}

// appendWire appends b in the form w.
func (b *Batch) appendWire(dst []byte, w Wire) []byte {
	for i, p := range b.packets {
		switch w {
		case polling:
			if i > 0 {
				dst = append(dst, separator)
			}
			dst = p.AppendText(dst, 4)
		case pollingV3:
			dst = appendPacketV3(dst, p)
		default:
			if head, raw := appendHead(dst, p, w); raw {
				dst = append(head, p.Data...)
			} else {
				dst = p.AppendText(head, w.rev())
			}
		}
	}
	return dst
}

// rev is the Engine.IO revision of w.
func (w Wire) rev() int {
	if w == WebSocketV3 || w == WebSocketV3Base64 || w == pollingV3 {
		return 3
	}
	return 4
}

// appendHead appends the frame header of p and what precedes its data. If raw
// is false the text form of p is to follow instead of its data.
func appendHead(dst []byte, p Packet, w Wire) (head []byte, raw bool) {
	frame := appendWebSocketHeader
	if w == WebTransport {
		frame = appendWebTransportHeader
	}
	switch {
	case !p.Binary:
		return append(frame(dst, false, 1+len(p.Data)), byte(p.Type)+'0'), true
	case w == WebSocketV3:
		return append(frame(dst, true, 1+len(p.Data)), byte(p.Type)), true
	case w == WebSocket, w == WebTransport:
		return frame(dst, true, len(p.Data)), true
	default:
		return frame(dst, false, p.textLen(w.rev())), false
	}
}

// appendWebSocketHeader appends the header of an unmasked, unfragmented frame.
//
// https://datatracker.ietf.org/doc/html/rfc6455#section-5.2
func appendWebSocketHeader(dst []byte, isBinary bool, n int) []byte {
	op := byte(0x81)
	if isBinary {
		op = 0x82
	}
	switch {
	case n < 126:
		return append(dst, op, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, op, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, op, 127), uint64(n))
	}
}

// appendWebTransportHeader appends the header of an Engine.IO frame on a
// WebTransport stream.
//
// https://github.com/socketio/engine.io-protocol
func appendWebTransportHeader(dst []byte, isBinary bool, n int) []byte {
	kind := byte(0)
	if isBinary {
		kind = 0x80
	}
	switch {
	case n < 126:
		return append(dst, kind|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, kind|126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, kind|127), uint64(n))
	}
}

// Packets that the engine itself sends, shared by all sessions.
var (
	pingBatch   = NewBatch(true, Packet{Type: Ping})
	pongBatch   = NewBatch(true, Packet{Type: Pong})
	probeBatch  = NewBatch(true, Packet{Type: Pong, Data: []byte("probe")})
	closeBatch  = NewBatch(true, Packet{Type: Close}).Uncompressed()
	noopBatch   = NewBatch(true, Packet{Type: Noop}).Uncompressed()
	leaveAnswer = []*Batch{noopBatch, closeBatch}
)
