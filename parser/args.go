package parser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// Args are the arguments of an event or ack, still encoded. The zero Args are
// none. Args are a value, and may be used from any goroutine.
type Args struct {
	payload Payload
	elems   elements
	skip    int // 1 if the first element is the event's name
}

// Len returns how many arguments there are.
func (a Args) Len() int { return max(a.elems.n-a.skip, 0) }

// Raw returns argument i as it came, with placeholders where attachments
// belong, or nil if it is missing. It must not be changed.
func (a Args) Raw(i int) json.RawMessage {
	if i < 0 || i >= a.Len() {
		return nil
	}
	return json.RawMessage(a.elems.at(i + a.skip).of(a.payload.JSON))
}

// Attachments returns the binary values of all arguments. They are shared:
// they must not be changed.
func (a Args) Attachments() [][]byte { return a.payload.Attachments }

// Payload returns the data that the arguments are in. That of an event has
// its name in front.
func (a Args) Payload() Payload { return a.payload }

// Decode decodes argument i into v, a pointer, as encoding/json does. []byte
// and any take attachments, at any depth, without a copy. A missing argument
// leaves v as it is.
func (a Args) Decode(i int, v any) error {
	raw := a.Raw(i)
	if raw == nil {
		return nil
	}
	var err error
	if len(a.payload.Attachments) > 0 {
		err = decodeBinary(raw, a.payload.Attachments, v)
	} else if !decodeShort(raw, v) && !decodePlain(raw, v) {
		err = Library.Unmarshal(raw, v)
	}
	if err != nil {
		return fmt.Errorf("parser: argument %d: %w", i, err)
	}
	return nil
}

// Part returns a part of the arguments as data of its own: raw is what a
// json.RawMessage somewhere in them was decoded to, with placeholders where attachments
// belong. The attachments, which are numbered anew, are shared.
func (a Args) Part(raw json.RawMessage) (Payload, error) {
	if len(a.payload.Attachments) == 0 {
		return Payload{JSON: raw}, nil
	}
	found := placeholders{count: len(a.payload.Attachments)}
	s := scanner{text: raw, depth: maxDepth, found: &found}
	if err := s.only(); err != nil || len(found.list) == 0 {
		return Payload{JSON: raw}, err
	}
	p := Payload{JSON: make([]byte, 0, len(raw))}
	from := uint32(0)
	for i, ph := range found.list {
		p.JSON = append(p.JSON, raw[from:ph.start]...)
		p.JSON = AppendPlaceholder(p.JSON, i)
		p.Attachments = append(p.Attachments, a.payload.Attachments[ph.num])
		from = ph.end
	}
	p.JSON = append(p.JSON, raw[from:]...)
	return p, nil
}

// DecodeAll decodes the arguments into vs, in order. Missing arguments leave
// theirs as they are, those beyond vs are ignored.
func (a Args) DecodeAll(vs ...any) error {
	for i, v := range vs {
		if err := a.Decode(i, v); err != nil {
			return err
		}
	}
	return nil
}

// decodeShort does without a library where raw, which is valid, is simple.
func decodeShort(raw []byte, v any) bool {
	switch v := v.(type) {
	case *string:
		if v == nil || raw[0] != '"' {
			return false
		}
		text := raw[1 : len(raw)-1]
		if bytes.IndexByte(text, '\\') >= 0 {
			return false
		}
		*v = string(text)
		return true
	case *int:
		n, err := strconv.Atoi(string(raw))
		if v == nil || err != nil {
			return false
		}
		*v = n
		return true
	case *int64:
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if v == nil || err != nil {
			return false
		}
		*v = n
		return true
	case *bool:
		if v == nil || raw[0] != 't' && raw[0] != 'f' {
			return false
		}
		*v = raw[0] == 't'
		return true
	case *json.RawMessage:
		if v == nil {
			return false
		}
		*v = raw
		return true
	}
	return false
}

// decodeBinary decodes raw, which may hold placeholders.
func decodeBinary(raw []byte, attachments [][]byte, v any) error {
	found := placeholders{count: len(attachments)}
	s := scanner{text: raw, depth: maxDepth, found: &found}
	if err := s.only(); err != nil {
		return err
	}
	if len(found.list) == 0 {
		if decodeShort(raw, v) || decodePlain(raw, v) {
			return nil
		}
		return Library.Unmarshal(raw, v)
	}
	if raw, ok := v.(*json.RawMessage); ok && raw != nil {
		*raw = json.RawMessage(s.text)
		return nil
	}
	if ph := found.list[0]; int(ph.end-ph.start) == len(raw) {
		data := attachments[ph.num]
		switch v := v.(type) {
		case *[]byte:
			if v != nil {
				*v = data
				return nil
			}
		case *any:
			// One that holds a pointer is decoded into, as by encoding/json.
			if v != nil && (*v == nil || reflect.TypeOf(*v).Kind() != reflect.Pointer) {
				*v = data
				return nil
			}
		}
	}
	m := newMarker()
	text := m.mark(raw, found.list)
	if err := Library.Unmarshal(text, v); err != nil {
		return err
	}
	w := restorer{marker: m, attachments: attachments}
	return w.restore(reflect.ValueOf(v), 0)
}
