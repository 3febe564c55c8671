package parser

import (
	"encoding/json"
	"reflect"
	"slices"
)

// EncodeEvent is MarshalEvent and JSON.Encode in one step, for the packet of a
// single receiver: it writes text once. Unless there are binary values, the text is
// appended to dst. id is NoID for an event that wants no ack.
func EncodeEvent(dst []byte, namespace string, id int64, event string, args ...any) (Encoded, error) {
	if IsReserved(event) {
		return Encoded{}, reservedError(event)
	}
	return encodeDirect(dst, Event, namespace, id, event, args)
}

// EncodeAck is Marshal and JSON.Encode in one step. Unless there are binary values, the text
// is appended to dst.
func EncodeAck(dst []byte, namespace string, id int64, args ...any) (Encoded, error) {
	return encodeDirect(dst, Ack, namespace, id, "", args)
}

// AppendAck appends what EncodeAck makes of the value that v points to, without boxing it. It
// reports false if that is left to EncodeAck: the value isn't of a simple type, or can't be encoded.
func AppendAck(dst []byte, namespace string, id int64, v any) (text []byte, ok bool) {
	if checkNamespace(namespace) != nil {
		return dst, false
	}
	e := encoder{dst: append(appendHeader(dst, Ack, namespace, id, 0), '[')}
	if ok = e.pointed(v); ok {
		e.dst = append(e.dst, ']')
	}
	return e.dst, ok
}

// pointed writes the value that v points to.
func (e *encoder) pointed(v any) bool {
	switch v := v.(type) {
	case *string:
		e.dst = AppendString(e.dst, *v)
		return true
	case *json.RawMessage:
		return e.value(*v, 0) == nil
	}
	value := reflect.ValueOf(v).Elem()
	p := planOf(value.Type())
	return p != nil && !p.holds && e.plainValue(p, value)
}

func encodeDirect(dst []byte, t Type, namespace string, id int64, event string, args []any) (Encoded, error) {
	if err := checkNamespace(namespace); err != nil {
		return Encoded{}, err
	}
	e := encoder{dst: slices.Grow(dst, headerLen(namespace)+6+len(event)+estimate(args))}
	e.dst = appendHeader(e.dst, t, namespace, id, 0)
	e.start = len(e.dst)
	e.dst = append(e.dst, '[')
	if t == Event {
		e.dst = AppendString(e.dst, event)
		if len(args) > 0 {
			e.dst = append(e.dst, ',')
		}
	}
	if err := e.args(args); err != nil {
		return Encoded{}, err
	}
	if len(e.attachments) > 0 { // their number belongs into the header
		return JSON.Encode(&Packet{
			Type: t, Namespace: namespace, ID: id,
			Payload: Payload{JSON: e.dst[e.start:], Attachments: e.attachments},
		})
	}
	return Encoded{Text: e.dst}, nil
}
