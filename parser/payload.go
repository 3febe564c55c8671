package parser

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Payload is the data of a packet in the one form that the server uses: JSON
// text, with binary values taken out. It is immutable: packets share it.
type Payload struct {
	// JSON is an array for events and acks, such as
	// ["say",{"_placeholder":true,"num":0}]. nil: there is no data.
	JSON []byte
	// Attachments are the binary values. Each has one placeholder in JSON.
	Attachments [][]byte
}

// Marshal returns args as an array, for an ack.
//
// Values are encoded as by encoding/json, but without HTML escaping; binary
// values ([]byte) at any depth become attachments, numbered in the order of
// the text. A nil []byte is null. A Payload, by itself or in an []any or a
// map[string]any, stands for the data that it has. What stands by itself or in an []any or a
// map[string]any looks as from JavaScript: a time.Time is in UTC with
// milliseconds, and floats that aren't finite are null.
func Marshal(args ...any) (Payload, error) {
	e := encoder{dst: make([]byte, 0, 2+estimate(args))}
	e.dst = append(e.dst, '[')
	if err := e.args(args); err != nil {
		return Payload{}, err
	}
	return e.payload(), nil
}

// MarshalEvent is Marshal with the event's name in front. It refuses reserved
// names with an error that wraps ErrReserved, such as
// "connect" is a reserved event name.
func MarshalEvent(event string, args ...any) (Payload, error) {
	if IsReserved(event) {
		return Payload{}, reservedError(event)
	}
	e := encoder{dst: make([]byte, 0, 6+len(event)+estimate(args))}
	e.dst = append(e.dst, '[')
	e.dst = AppendString(e.dst, event)
	if len(args) > 0 {
		e.dst = append(e.dst, ',')
	}
	if err := e.args(args); err != nil {
		return Payload{}, err
	}
	return e.payload(), nil
}

// MarshalValue returns v by itself, not in an array: the data of Connect and
// ConnectError. Those packets can't carry attachments.
func MarshalValue(v any) (Payload, error) {
	e := encoder{dst: make([]byte, 0, 2+estimate([]any{v}))}
	if err := e.value(v, 0); err != nil {
		return Payload{}, err
	}
	if err := e.check(); err != nil {
		return Payload{}, err
	}
	return e.payload(), nil
}

// With returns a copy of p, which is an array, with one more string at its
// end: the offset of connection state recovery. Attachments are shared.
func (p Payload) With(arg string) Payload {
	text := bytes.TrimRight(p.JSON, " \t\r\n")
	if len(text) == 0 {
		text = []byte("[]")
	}
	text = text[:len(text)-1] // the bracket
	dst := make([]byte, 0, len(text)+len(arg)+4)
	dst = append(dst, text...)
	if len(bytes.TrimRight(text, " \t\r\n")) > 1 {
		dst = append(dst, ',')
	}
	dst = AppendString(dst, arg)
	p.JSON = append(dst, ']')
	return p
}

// ParseArgs returns the elements of p, which is an array, after it has been
// checked as a decoder does: payloads may come from elsewhere, such as another
// node. The error wraps ErrInvalidPayload or ErrIllegalAttachments.
func ParseArgs(p Payload) (Args, error) {
	if p.JSON == nil {
		if len(p.Attachments) > 0 {
			return Args{}, fmt.Errorf("parser: attachments without data: %w", ErrIllegalAttachments)
		}
		return Args{}, nil
	}
	if !utf8.Valid(p.JSON) {
		return Args{}, errUTF8
	}
	packet := Packet{Type: Ack}
	limits := Limits{MaxDepth: maxDepth}
	if err := packet.check(p.JSON, len(p.Attachments), &limits); err != nil {
		return Args{}, err
	}
	return Args{payload: p, elems: packet.elems}, nil
}
