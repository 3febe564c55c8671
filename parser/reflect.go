package parser

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// Binary is what types implement (through their pointers) whose values are
// binary ones, as those of []byte are, although they have JSON methods of
// their own. While a value is encoded, a copy of it is given other bytes, which
// its MarshalJSON must write as base64; UnmarshalJSON gets such a string, and
// the value its bytes afterwards.
type Binary interface {
	Binary() []byte
	SetBinary([]byte)
}

var (
	binaryType     = reflect.TypeFor[Binary]()
	marshalerType  = reflect.TypeFor[json.Marshaler]()
	textType       = reflect.TypeFor[encoding.TextMarshaler]()
	rawMessageType = reflect.TypeFor[json.RawMessage]()
	binaryTypes    sync.Map // search -> bool: whether a type's values can hold binary ones
)

// search is for binary values: []byte that encoding/json would write as base64,
// unless those are text, and what implements Binary.
type search struct {
	in          reflect.Type
	bytesAsText bool
}

// holds reports whether values of the type can hold binary ones.
func (s search) holds() bool {
	if known, ok := binaryTypes.Load(s); ok {
		return known.(bool)
	}
	holds := s.through(s.in, make(map[reflect.Type]bool))
	binaryTypes.Store(s, holds) // only what was asked for: within a cycle answers are provisional
	return holds
}

func (s search) through(t reflect.Type, visited map[reflect.Type]bool) bool {
	if implementsBinary(t) {
		return true
	}
	if visited[t] || opaque(t) {
		return false
	}
	visited[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Slice:
		return isBinary(t) && !s.bytesAsText || s.through(t.Elem(), visited)
	case reflect.Array, reflect.Pointer, reflect.Map:
		return s.through(t.Elem(), visited)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); encoded(f) && s.through(f.Type, visited) {
				return true
			}
		}
	}
	return false
}

func implementsBinary(t reflect.Type) bool {
	return t.Kind() != reflect.Interface && t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(binaryType)
}

// opaque reports whether values of type t write themselves.
func opaque(t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return false
	}
	p := reflect.PointerTo(t)
	return p.Implements(marshalerType) || p.Implements(textType)
}

// isBinary reports whether encoding/json writes t as base64.
func isBinary(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && !opaque(t.Elem())
}

// encoded reports whether encoding/json looks at field f.
func encoded(f reflect.StructField) bool {
	if f.Tag.Get("json") == "-" {
		return false
	}
	if f.Anonymous {
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		return f.IsExported() || t.Kind() == reflect.Struct
	}
	return f.IsExported()
}

// replacer copies values along the paths to binary ones, and puts markers there.
type replacer struct {
	marker      *marker
	bytesAsText bool // []byte is left to encoding/json
	found       [][]byte
}

func (r *replacer) replace(v any) (any, error) {
	src := reflect.ValueOf(v)
	dst := reflect.New(src.Type()).Elem()
	if err := r.copy(dst, src, 0); err != nil {
		return nil, err
	}
	return dst.Interface(), nil
}

// copy sets dst, which is zero, to src.
func (r *replacer) copy(dst, src reflect.Value, depth int) error {
	if depth > maxNesting {
		return errNesting
	}
	t := src.Type()
	if !(search{t, r.bytesAsText}).holds() {
		dst.Set(src)
		return nil
	}
	if implementsBinary(t) {
		return r.binary(dst, src)
	}
	switch t.Kind() {
	case reflect.Interface, reflect.Pointer:
		if src.IsNil() {
			return nil
		}
		elem := reflect.New(src.Elem().Type())
		if err := r.copy(elem.Elem(), src.Elem(), depth+1); err != nil {
			return err
		}
		if t.Kind() == reflect.Pointer {
			dst.Set(elem.Convert(t))
		} else {
			dst.Set(elem.Elem())
		}
	case reflect.Slice:
		if src.IsNil() {
			return nil
		}
		if isBinary(t) {
			dst.SetBytes(r.marker.bytes(len(r.found)))
			r.found = append(r.found, src.Bytes())
			return nil
		}
		dst.Set(reflect.MakeSlice(t, src.Len(), src.Len()))
		return r.list(dst, src, depth)
	case reflect.Array:
		return r.list(dst, src, depth)
	case reflect.Map:
		if src.IsNil() {
			return nil
		}
		dst.Set(reflect.MakeMapWithSize(t, src.Len()))
		for it := src.MapRange(); it.Next(); {
			elem := reflect.New(t.Elem()).Elem()
			if err := r.copy(elem, it.Value(), depth+1); err != nil {
				return err
			}
			dst.SetMapIndex(it.Key(), elem)
		}
	case reflect.Struct:
		return r.fields(dst, src, depth)
	}
	return nil
}

// binary sets dst to a stand-in for src, which is a Binary.
func (r *replacer) binary(dst, src reflect.Value) error {
	original := reflect.New(src.Type())
	original.Elem().Set(src)
	data := original.Interface().(Binary).Binary()
	if data == nil {
		data = []byte{} // an empty value, not none
	}
	dst.Addr().Interface().(Binary).SetBinary(r.marker.bytes(len(r.found)))
	r.found = append(r.found, data)
	return nil
}

func (r *replacer) list(dst, src reflect.Value, depth int) error {
	for i := range src.Len() {
		if err := r.copy(dst.Index(i), src.Index(i), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// fields copies what encoding/json looks at, and no more: the rest may belong
// to a lock.
func (r *replacer) fields(dst, src reflect.Value, depth int) error {
	t := src.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if !encoded(f) {
			continue
		}
		from, to := src.Field(i), dst.Field(i)
		if !f.IsExported() { // embedded
			if f.Type.Kind() == reflect.Pointer {
				if from.IsNil() {
					continue
				}
				return fmt.Errorf("parser: %v embeds a pointer to the unexported %v: such a type can't carry binary values", t, f.Type.Elem())
			}
			if err := r.fields(to, from, depth+1); err != nil {
				return err
			}
			continue
		}
		if from.Kind() == reflect.Slice && from.Len() == 0 && omitsEmpty(f) {
			continue
		}
		if err := r.copy(to, from, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func omitsEmpty(f reflect.StructField) bool {
	_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	for o := range strings.SplitSeq(options, ",") {
		if o == "omitempty" {
			return true
		}
	}
	return false
}

// unmark appends text to e, with placeholders for the markers in it.
func (r *replacer) unmark(e *encoder, text []byte) error {
	r.marker.each(text,
		func(num int) { e.binary(r.found[num]) },
		func(part []byte) { e.dst = append(e.dst, part...) })
	return nil
}

// restorer puts attachments where markers were decoded.
type restorer struct {
	marker      *marker
	attachments [][]byte
	visited     map[visit]bool
}

type visit struct {
	at unsafe.Pointer
	of reflect.Type
}

// restore walks v. What can't be set was there before, and holds no markers.
func (w *restorer) restore(v reflect.Value, depth int) error {
	if depth > maxDepth {
		return nil // encoding/json doesn't decode that deep
	}
	t := v.Type()
	if v.CanAddr() && implementsBinary(t) {
		b := v.Addr().Interface().(Binary)
		if num, ok := w.marker.number(b.Binary()); ok {
			b.SetBinary(w.attachments[num])
		}
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		// What was in the target before may hold itself.
		at := visit{v.UnsafePointer(), t}
		if w.visited[at] {
			return nil
		}
		if w.visited == nil {
			w.visited = make(map[visit]bool)
		}
		w.visited[at] = true
		return w.restore(v.Elem(), depth+1)
	case reflect.Interface:
		return w.inInterface(v, depth)
	case reflect.Slice:
		if t == rawMessageType {
			w.raw(v)
			return nil
		}
		if t.Elem().Kind() == reflect.Uint8 {
			if num, ok := w.marker.number(v.Bytes()); ok && v.CanSet() {
				v.Set(reflect.ValueOf(w.attachments[num]).Convert(t))
			}
			return nil
		}
		return w.list(v, depth)
	case reflect.Array:
		return w.list(v, depth)
	case reflect.Map:
		return w.inMap(v, depth)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); encoded(f) {
				if err := w.restore(v.Field(i), depth+1); err != nil {
					return err
				}
			}
		}
	case reflect.String:
		if _, ok := w.marker.textNumber(v.String()); ok {
			return &json.UnmarshalTypeError{Value: "binary", Type: t}
		}
	}
	return nil
}

func basic(k reflect.Kind) bool { return k >= reflect.Bool && k <= reflect.Complex128 }

func (w *restorer) list(v reflect.Value, depth int) error {
	if basic(v.Type().Elem().Kind()) {
		return nil
	}
	for i := range v.Len() {
		if err := w.restore(v.Index(i), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *restorer) inMap(v reflect.Value, depth int) error {
	t := v.Type()
	if basic(t.Elem().Kind()) {
		return nil
	}
	for it := v.MapRange(); it.Next(); {
		elem := reflect.New(t.Elem()).Elem()
		elem.Set(it.Value())
		if err := w.restore(elem, depth+1); err != nil {
			return err
		}
		v.SetMapIndex(it.Key(), elem)
	}
	return nil
}

func (w *restorer) inInterface(v reflect.Value, depth int) error {
	if v.IsNil() {
		return nil
	}
	elem := v.Elem()
	if elem.Kind() == reflect.String {
		if num, ok := w.marker.textNumber(elem.String()); ok {
			v.Set(reflect.ValueOf(w.attachments[num]))
		}
		return nil
	}
	return w.restore(elem, depth+1)
}

// raw puts placeholders back into JSON that is kept as it is.
func (w *restorer) raw(v reflect.Value) {
	text := v.Bytes()
	if !v.CanSet() || !bytes.Contains(text, w.marker.quote[:]) {
		return
	}
	var dst []byte
	w.marker.each(text,
		func(num int) { dst = AppendPlaceholder(dst, num) },
		func(part []byte) { dst = append(dst, part...) })
	v.SetBytes(dst)
}
