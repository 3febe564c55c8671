// Package parser encodes and decodes Socket.IO packets: text such as
// 2["say","hi"], with binary values beside it as attachments.
//
// Data keeps one form inside the server, Payload, whatever a client speaks.
// Arguments stay encoded until somebody asks for them with a type in hand.
//
// https://socket.io/docs/v4/socket-io-protocol/
package parser

import (
	"bytes"
	"encoding/json"
)

// Type is the type of a Socket.IO packet.
type Type byte

// The packet types, with the digit that each has on the wire.
const (
	Connect      Type = iota // 0
	Disconnect               // 1
	Event                    // 2
	Ack                      // 3
	ConnectError             // 4
	BinaryEvent              // 5, only on the wire
	BinaryAck                // 6, only on the wire
)

var typeNames = [...]string{"CONNECT", "DISCONNECT", "EVENT", "ACK", "CONNECT_ERROR", "BINARY_EVENT", "BINARY_ACK"}

// String returns the name that the protocol has for t, such as "EVENT".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "unknown"
}

// NoID is the ID of a packet that asks for no ack.
const NoID = -1

// maxID is the highest ack id that a JavaScript number counts up to.
const maxID = 1<<53 - 1

// Packet is one Socket.IO packet.
//
// Decoders report BinaryEvent and BinaryAck as Event and Ack with Attachments;
// encoders pick the binary type by themselves.
type Packet struct {
	Type      Type   // never BinaryEvent or BinaryAck
	Namespace string // "/" for the main namespace; "" is encoded like it
	ID        int64  // ack id, 0 to 2^53-1; NoID (or any negative number): none

	// Payload is an array for events and acks, an object for Connect, a string
	// or an object for ConnectError. Any of them may be absent (JSON is nil),
	// as it is for Disconnect. It must not be changed: others share it.
	Payload

	elems  elements // of an event or ack, once scanned
	unsafe bool
}

// UnsafeKeys reports whether a decoder with Limits.StrictKeys has found one of
// the keys that they are about. What becomes of the packet is up to its receiver.
func (p *Packet) UnsafeKeys() bool { return p.unsafe }

// Event returns the name of an event: "" if it has none. A name that is a
// number on the wire comes as its text.
func (p *Packet) Event() string { return string(p.EventBytes()) }

// EventBytes is Event without the allocation, for looking the name up in a
// map. It aliases p.JSON unless the name holds escapes.
func (p *Packet) EventBytes() []byte {
	if p.Type != Event || !p.scanned() {
		return nil
	}
	return name(p.elems.at(0).of(p.JSON))
}

// name returns the text of an event name from its JSON, a string or a number.
func name(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return raw
	}
	if text := raw[1 : len(raw)-1]; bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return []byte(s)
}

// Args returns the arguments of an event (without its name) or of an ack.
// Other packets have none.
func (p *Packet) Args() Args {
	if p.Type != Event && p.Type != Ack || !p.scanned() {
		return Args{}
	}
	a := Args{payload: p.Payload, elems: p.elems}
	if p.Type == Event {
		a.skip = 1
	}
	return a
}

// scanned finds the elements of a packet that no decoder has scanned, and
// reports whether there are any.
func (p *Packet) scanned() bool {
	if p.elems.n == 0 && p.JSON != nil {
		s := scanner{text: p.JSON, depth: maxDepth}
		if s.array(&p.elems) != nil {
			p.elems = elements{}
		}
	}
	return p.elems.n > 0
}
