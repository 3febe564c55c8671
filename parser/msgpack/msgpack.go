// Package msgpack is the MessagePack codec of Socket.IO, as in the official
// socket.io-msgpack-parser: each packet is one map in one binary message, with
// binary values inline.
//
// Data is transcoded between that and parser.Payload in one pass, without
// intermediate values: the order of keys, all digits of 64-bit integers, and
// whether a number is an integer or a float are kept.
package msgpack

import (
	"errors"
	"fmt"

	"github.com/roomcast/roomcast/parser"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Codec is the MessagePack parser. Unlike the official one it checks event
// names, as parser.JSON does.
//
// Of parser.Limits, MaxAttachmentBytes doesn't apply, as a packet is one
// message; MaxAttachments is 1,000 by default.
var Codec parser.Codec = codec{}

// The errors of the decoder, beside those of package parser. ErrParse and
// ErrTrailing are wrapped.
var (
	ErrType     = errors.New("invalid packet type")
	ErrParse    = errors.New("Could not parse") //nolint:staticcheck // as officially
	ErrTrailing = errors.New("trailing bytes")
	ErrText     = errors.New("msgpack: got a text message: does the client use the msgpack parser?")
)

const maxAttachments = 1000

type codec struct{}

func (codec) Name() string { return "msgpack" }

func (codec) NewDecoder(limits parser.Limits) parser.Decoder {
	if limits.MaxAttachments == 0 {
		limits.MaxAttachments = maxAttachments
	}
	return &decoder{limits: limits.Resolved()}
}

// Encode writes type, data, id and nsp, in this order.
func (codec) Encode(p *parser.Packet) (parser.Encoded, error) {
	if p.Type > parser.ConnectError {
		return parser.Encoded{}, fmt.Errorf("msgpack: packet type %d can't be encoded: use Event or Ack", p.Type)
	}
	size := 64 + len(p.Namespace) + len(p.JSON)
	for _, b := range p.Attachments {
		size += len(b)
	}
	data := p.Payload
	if data.JSON == nil && (p.Type == parser.Event || p.Type == parser.Ack) {
		data.JSON = []byte("[]") // clients refuse packets without
	}
	members := 2
	if data.JSON != nil {
		members++
	}
	if p.ID >= 0 {
		members++
	}
	b := make([]byte, 0, size)
	b = append(b, msgpcode.FixedMapLow|byte(members))
	b = appendString(b, "type")
	b = appendUint(b, uint64(p.Type))
	if data.JSON != nil {
		b = appendString(b, "data")
		var err error
		if b, err = AppendPayload(b, data); err != nil {
			return parser.Encoded{}, err
		}
	}
	if p.ID >= 0 {
		b = appendString(b, "id")
		b = appendUint(b, uint64(p.ID))
	}
	b = appendString(b, "nsp")
	if p.Namespace == "" {
		b = appendString(b, "/")
	} else {
		b = appendString(b, p.Namespace)
	}
	return parser.Encoded{Binary: [][]byte{b}}, nil
}

// decoder has no state between messages.
type decoder struct {
	limits    parser.Limits
	namespace string // of the last packet; most packets of a client have the same
}

func (d *decoder) Pending() bool { return false }
func (d *decoder) Reset()        {}

func (d *decoder) Text([]byte, bool) (parser.Packet, bool, error) {
	return parser.Packet{}, false, ErrText
}

func (d *decoder) Binary(b []byte, owned bool) (parser.Packet, bool, error) {
	p, err := d.packet(b, owned)
	if err != nil {
		return parser.Packet{}, false, err
	}
	return p, true, nil
}

// packet reads a map whose keys come in any order; unknown ones, such as the
// "options" of clients, are skipped.
func (d *decoder) packet(b []byte, owned bool) (parser.Packet, error) {
	r := reader{buf: b, depth: d.limits.MaxDepth + 1, owned: owned, max: d.limits.MaxAttachments}
	p := parser.Packet{ID: parser.NoID}
	typ, nsp, id := absent, absent, absent
	n, ok, err := r.mapLen()
	if err != nil {
		return p, err
	}
	if !ok {
		return p, ErrType
	}
	for range n {
		key, err := r.key()
		if err != nil {
			return p, err
		}
		switch string(key) {
		case "type":
			var v int64
			v, typ, err = r.int()
			if v < 0 || v > int64(parser.ConnectError) {
				typ = wrong
			}
			p.Type = parser.Type(v)
		case "nsp":
			var s []byte
			s, nsp, err = r.optionalString()
			if string(s) != d.namespace {
				if len(s) > d.limits.MaxNamespace {
					return p, parser.ErrNamespaceTooLong
				}
				d.namespace = string(s)
			}
			p.Namespace = d.namespace
		case "id":
			p.ID, id, err = r.int()
			if id == absent {
				p.ID = parser.NoID
			} else if p.ID < 0 {
				id = wrong
			}
		case "data":
			p.Payload, err = r.payload()
		default:
			err = r.skip()
		}
		if err != nil {
			return p, err
		}
	}
	if left := len(r.buf) - r.pos; left > 0 {
		return p, fmt.Errorf("%d %w", left, ErrTrailing)
	}
	switch {
	case typ != present:
		return p, ErrType
	case nsp != present:
		return p, parser.ErrInvalidNamespace
	case p.JSON == nil && (p.Type == parser.Event || p.Type == parser.Ack || p.Type == parser.ConnectError):
		return p, parser.ErrInvalidPayload
	case id == wrong:
		return p, parser.ErrInvalidID
	}
	return p, p.Check(d.limits)
}
