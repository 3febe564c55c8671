// Package parser has what programs use of googollee's package of that name.
package parser

import (
	"encoding/json"
	"errors"
	"strconv"
)

// ErrInvalidPacketType says that a packet has no type that there is.
var ErrInvalidPacketType = errors.New("invalid packet type")

// Type is the type of a packet.
type Type byte

// The types of packets.
const (
	Connect Type = iota
	Disconnect
	Event
	Ack
	Error
)

// Header is what stands in front of a packet's data.
type Header struct {
	Type      Type
	ID        uint64
	NeedAck   bool
	Namespace string
	Query     string
}

// Payload is a packet.
type Payload struct {
	Header Header
	Data   []interface{}
}

// Buffer is a binary value. It travels as binary wherever it stands in the
// arguments of events and acks, as a value or as a pointer. (A []byte is sent as a base64 string.)
type Buffer struct {
	Data []byte

	binary bool // Data came as binary, or is about to go so
}

// Binary returns the bytes.
func (b *Buffer) Binary() []byte { return b.Data }

// SetBinary sets the bytes.
func (b *Buffer) SetBinary(data []byte) { b.Data, b.binary = data, true }

// MarshalJSON returns what JavaScript's Buffer is as JSON, such as
// {"type":"Buffer","data":[1,2]}, or, while an event is being encoded, a base64 string.
func (b Buffer) MarshalJSON() ([]byte, error) {
	if b.binary {
		return json.Marshal(b.Data)
	}
	text := []byte(`{"type":"Buffer","data":[`)
	for i, c := range b.Data {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendUint(text, uint64(c), 10)
	}
	return append(text, "]}"...), nil
}

// UnmarshalJSON takes both forms.
func (b *Buffer) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &b.Data)
	}
	var data BufferData
	if err := json.Unmarshal(text, &data); err != nil {
		return err
	}
	b.Data, b.binary = data.Data, data.PlaceHolder
	return nil
}

// BufferData is the JSON form of a Buffer.
type BufferData struct {
	Num         uint64
	PlaceHolder bool `json:"_placeholder"`
	Data        []byte
}
