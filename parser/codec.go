package parser

import "encoding/json"

// Codec is a parser: what packets look like on the wire. It must be the same
// on both sides.
type Codec interface {
	// Name is "json" or "msgpack".
	Name() string
	// Encode returns the messages that p is. It fails for packets that can't be
	// written, such as a namespace with a comma.
	Encode(p *Packet) (Encoded, error)
	// NewDecoder returns a decoder for one connection.
	NewDecoder(Limits) Decoder
}

// Encoded is a packet as messages: Text unless it is nil, then each of Binary.
type Encoded struct {
	Text   []byte
	Binary [][]byte // shared with the packet's attachments
}

// Decoder turns the messages of one connection into packets. After an error
// the connection should be closed; Reset makes the decoder usable again.
// Methods must not be called concurrently.
type Decoder interface {
	// Text takes a text message. It reports false if the packet waits for
	// attachments; p then has Type, Namespace and ID only.
	// Unless owned, b is only valid during the call.
	Text(b []byte, owned bool) (p Packet, ok bool, err error)
	// Binary takes a binary message, and reports whether it completed a packet.
	Binary(b []byte, owned bool) (p Packet, ok bool, err error)
	// Pending reports whether attachments are awaited. Who owns the connection
	// gives the peer a deadline for them.
	Pending() bool
	// Reset forgets a packet that waits for attachments.
	Reset()
}

// Limits bound what a Decoder takes. In each number zero is the default, and a
// negative one is no limit.
type Limits struct {
	MaxAttachments     int // of one packet, received or sent. Default 10, which is also what official clients take
	MaxAttachmentBytes int // of one packet's attachments together. Default 1,000,000
	MaxDepth           int // of arrays and objects within each other. Default 64; never above 10,000
	MaxEventName       int // bytes. Default 128
	MaxNamespace       int // bytes, in a Connect those up to a "?". Default 255

	// StrictKeys has packets marked (see Packet.UnsafeKeys) whose data has an
	// object with a key named __proto__, constructor or prototype: JavaScript
	// programs that merge such objects carelessly change more than they mean to.
	StrictKeys bool
}

const noLimit = int(^uint(0) >> 1)

// Resolved returns l with the defaults filled in, and the highest int where
// there is no limit.
func (l Limits) Resolved() Limits {
	or := func(v *int, def int) {
		if *v == 0 {
			*v = def
		} else if *v < 0 {
			*v = noLimit
		}
	}
	or(&l.MaxAttachments, 10)
	or(&l.MaxAttachmentBytes, 1_000_000)
	or(&l.MaxDepth, 64)
	or(&l.MaxEventName, 128)
	or(&l.MaxNamespace, 255)
	l.MaxDepth = min(l.MaxDepth, maxDepth)
	return l
}

// Library is the JSON library for values that this package has no short way
// for. It may be replaced, before anything is encoded or decoded, by one that
// treats types and struct tags as encoding/json does.
var Library = struct {
	Marshal   func(v any) ([]byte, error) // without HTML escaping, if it should look as from a JavaScript server
	Unmarshal func(data []byte, v any) error
}{
	Marshal:   marshalPlain,
	Unmarshal: json.Unmarshal,
}
