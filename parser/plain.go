package parser

import (
	"encoding"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Plain types are those that consist of nothing but structs, slices, maps with
// string keys, strings, numbers, booleans, any and json.RawMessage. Their values are
// decoded and encoded here, by a plan made once for each type, at a quarter of what
// the library costs (BenchmarkObject). Whatever isn't quite usual, in the type or in the value, is left to
// the library, so that it alone decides what happens then.

// plan says how values of a plain type are decoded and encoded.
type plan struct {
	kind   reflect.Kind
	typ    reflect.Type
	elem   *plan   // of a slice, map or pointer
	fields []field // of a struct
	raw    bool    // it is a json.RawMessage
	holds  bool    // an any or a json.RawMessage is somewhere in it: not for encoding, since it may hold anything
}

type field struct {
	name      string
	quoted    string // `"name":`
	index     []int  // more than one number if it is an embedded struct's
	omitEmpty bool
	plan      *plan
}

var (
	unmarshalerType     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
	numberType          = reflect.TypeFor[json.Number]()
	rawType             = reflect.TypeFor[json.RawMessage]()
	plans               sync.Map // reflect.Type -> *plan; nil: not plain
)

// planOf returns the plan of a type, or nil if the type isn't plain.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := makePlan(t, nil)
	plans.Store(t, p)
	return p
}

// makePlan makes the plan of a type that is part of those in within.
func makePlan(t reflect.Type, within []reflect.Type) *plan {
	if t == rawType {
		return &plan{kind: reflect.Slice, typ: t, raw: true, holds: true}
	}
	if slices.Contains(within, t) || t == numberType || opaque(t) {
		return nil // it holds itself, or has ways of its own
	}
	if p := reflect.PointerTo(t); p.Implements(unmarshalerType) || p.Implements(textUnmarshalerType) {
		return nil
	}
	p := &plan{kind: t.Kind(), typ: t}
	switch p.kind {
	case reflect.String, reflect.Bool, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return p
	case reflect.Interface:
		p.holds = true
		if t.NumMethod() > 0 {
			return nil
		}
		return p
	case reflect.Map:
		if t.Key() != reflect.TypeFor[string]() {
			return nil
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 { // binary
			return nil
		}
	case reflect.Pointer:
	case reflect.Struct:
		return p.addFields(append(within, t))
	default:
		return nil
	}
	if p.elem = makePlan(t.Elem(), append(within, t)); p.elem == nil {
		return nil
	}
	p.holds = p.elem.holds
	return p
}

func (p *plan) addFields(within []reflect.Type) *plan {
	for i := range p.typ.NumField() {
		sf := p.typ.Field(i)
		tag, tagged := sf.Tag.Lookup("json")
		switch {
		case sf.Anonymous:
			if tagged || sf.Type.Kind() != reflect.Struct {
				return nil
			}
			in := makePlan(sf.Type, within)
			if in == nil {
				return nil
			}
			for _, f := range in.fields {
				f.index = append([]int{i}, f.index...)
				if !p.add(f) {
					return nil
				}
			}
			continue
		case !sf.IsExported() || tag == "-":
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if !tagged || name == "" {
			name = sf.Name
		}
		f := field{name: name, quoted: string(AppendString(nil, name)) + ":", index: []int{i}, omitEmpty: options == "omitempty"}
		if options != "" && !f.omitEmpty || strings.ContainsFunc(name, unusual) {
			return nil
		}
		if f.plan = makePlan(sf.Type, within); f.plan == nil || !p.add(f) {
			return nil
		}
	}
	return p
}

// add adds a field, unless there is one of this name.
func (p *plan) add(f field) bool {
	if slices.ContainsFunc(p.fields, func(o field) bool { return strings.EqualFold(o.name, f.name) }) {
		return false
	}
	p.holds = p.holds || f.plan.holds
	p.fields = append(p.fields, f)
	return true
}

// unusual reports whether a character in a field's name is the library's business.
func unusual(c rune) bool { return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"\\'`<>&", c) }

// decodePlain decodes raw, which is valid, into v, a pointer to a value of a plain type. If it
// reports false the library has to do it again; v may have changed.
func decodePlain(raw []byte, v any) bool {
	ptr := reflect.ValueOf(v)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() {
		return false
	}
	p := planOf(ptr.Type().Elem())
	if p == nil {
		return false
	}
	r := plainReader{text: raw}
	r.space()
	return r.value(p, ptr.Elem())
}

// plainReader reads JSON that has been scanned: it needn't look for mistakes,
// only for its end.
type plainReader struct {
	text []byte
	i    int
}

// space skips space, and is where what follows can be looked at: the text is
// valid, so a value has something behind it or is the last.
func (r *plainReader) space() byte {
	for r.i < len(r.text) {
		if c := r.text[r.i]; c > ' ' {
			return c
		}
		r.i++
	}
	return 0
}

// raw returns the string, with its quotes, or number or literal at the
// current place, and whether a string has escapes in it.
func (r *plainReader) raw() (text []byte, escaped bool) {
	start, i := r.i, r.i
	if r.text[i] != '"' {
		for i < len(r.text) && r.text[i] > ' ' && r.text[i] != ',' && r.text[i] != ']' && r.text[i] != '}' {
			i++
		}
		r.i = i
		return r.text[start:i], false
	}
	for i++; ; i += 2 {
		for i+8 <= len(r.text) {
			if stop := special(binary.LittleEndian.Uint64(r.text[i:])); stop != 0 {
				i += bits.TrailingZeros64(stop) / 8
				break
			}
			i += 8
		}
		for i < len(r.text) && r.text[i] != '"' && r.text[i] != '\\' {
			i++
		}
		if i >= len(r.text) {
			r.i = len(r.text)
			return r.text[start:], escaped
		}
		if r.text[i] == '"' {
			r.i = i + 1
			return r.text[start:r.i], escaped
		}
		escaped = true // by a backslash, which has a character behind it
	}
}

func (r *plainReader) str() string {
	text, escaped := r.raw()
	if escaped {
		return unquote(text)
	}
	return string(text[1 : len(text)-1])
}

// null skips null if it is there. As for the library it empties what can be nil, and
// leaves the rest as it is.
func (r *plainReader) null(c byte) bool {
	if c == 'n' {
		r.i += len("null")
	}
	return c == 'n'
}

// value decodes the value at the current place. It reports false for what the
// library should see.
func (r *plainReader) value(p *plan, v reflect.Value) bool {
	c := r.space()
	if p.raw {
		start := r.i
		r.skip()
		v.SetBytes(slices.Clone(r.text[start:r.i]))
		return true
	}
	if r.null(c) {
		switch p.kind {
		case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
			v.SetZero()
		}
		return true
	}
	switch p.kind {
	case reflect.String:
		if c != '"' {
			return false
		}
		v.SetString(r.str())
	case reflect.Bool:
		if c != 't' && c != 'f' {
			return false
		}
		r.raw()
		v.SetBool(c == 't')
	case reflect.Interface:
		if !v.IsNil() {
			return false // it may be decoded into
		}
		a, ok := r.any(c)
		if !ok {
			return false
		}
		if a != nil {
			v.Set(reflect.ValueOf(a))
		}
	case reflect.Struct:
		return c == '{' && r.object(p, v)
	case reflect.Slice:
		return c == '[' && v.IsNil() && r.slice(p, v)
	case reflect.Map:
		return c == '{' && v.IsNil() && r.mapping(p, v)
	case reflect.Pointer:
		if !v.IsNil() {
			return false
		}
		elem := reflect.New(p.elem.typ)
		if !r.value(p.elem, elem.Elem()) {
			return false
		}
		v.Set(elem.Convert(p.typ))
	default:
		return c != '"' && r.number(p.kind, v)
	}
	return true
}

func (r *plainReader) number(k reflect.Kind, v reflect.Value) bool {
	text, _ := r.raw()
	switch k {
	case reflect.Float64:
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return false
		}
		v.SetFloat(f)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || v.OverflowInt(n) {
			return false
		}
		v.SetInt(n)
	default:
		n, err := strconv.ParseUint(string(text), 10, 64)
		if err != nil || v.OverflowUint(n) {
			return false
		}
		v.SetUint(n)
	}
	return true
}

// members calls f for each member of the object at the current place. f
// has to read the value.
func (r *plainReader) members(f func(key []byte, escaped bool) bool) bool {
	r.i++
	if r.space() == '}' {
		r.i++
		return true
	}
	for {
		r.space()
		key, escaped := r.raw()
		r.space()
		r.i++ // the colon
		if !f(key[1:len(key)-1], escaped) {
			return false
		}
		if c := r.space(); c != ',' {
			r.i++
			return true
		}
		r.i++
	}
}

func (r *plainReader) object(p *plan, v reflect.Value) bool {
	next := 0 // members usually come in the order of the fields
	return r.members(func(key []byte, escaped bool) bool {
		if escaped {
			return false
		}
		for range p.fields {
			f := &p.fields[next]
			if next++; next == len(p.fields) {
				next = 0
			}
			if f.name == string(key) {
				return r.value(f.plan, v.FieldByIndex(f.index))
			}
		}
		// The library also takes names that differ in case only.
		for i := range p.fields {
			if f := &p.fields[i]; strings.EqualFold(f.name, string(key)) {
				return r.value(f.plan, v.FieldByIndex(f.index))
			}
		}
		r.skip()
		return true
	})
}

// skip reads over a value.
func (r *plainReader) skip() {
	for depth := 0; ; {
		switch r.space() {
		case 0:
			return
		case '{', '[':
			depth++
			r.i++
		case '}', ']':
			depth--
			r.i++
		case ',', ':':
			r.i++
			continue
		default:
			r.raw()
		}
		if depth == 0 {
			return
		}
	}
}

// elements calls f for each element of the array at the current place.
func (r *plainReader) elements(f func() bool) bool {
	r.i++
	if r.space() == ']' {
		r.i++
		return true
	}
	for {
		if !f() {
			return false
		}
		if c := r.space(); c != ',' {
			r.i++
			return true
		}
		r.i++
	}
}

func (r *plainReader) slice(p *plan, v reflect.Value) bool {
	if texts, ok := v.Addr().Interface().(*[]string); ok {
		return r.texts(texts)
	}
	n := 0
	v.Set(reflect.MakeSlice(p.typ, 0, 0))
	return r.elements(func() bool {
		v.Grow(1)
		v.SetLen(n + 1)
		n++
		return r.value(p.elem, v.Index(n-1))
	})
}

// texts is slice for the most usual kind.
func (r *plainReader) texts(v *[]string) bool {
	list := make([]string, 0, 4)
	ok := r.elements(func() bool {
		c := r.space()
		if c != '"' && c != 'n' {
			return false
		}
		text := ""
		if !r.null(c) {
			text = r.str()
		}
		list = append(list, text)
		return true
	})
	if ok {
		*v = list
	}
	return ok
}

func (r *plainReader) mapping(p *plan, v reflect.Value) bool {
	if m, ok := v.Addr().Interface().(*map[string]any); ok {
		a, ok := r.anyObject()
		if ok {
			*m = a
		}
		return ok
	}
	m := reflect.MakeMap(p.typ)
	if !r.members(func(key []byte, escaped bool) bool {
		if escaped {
			return false
		}
		elem := reflect.New(p.elem.typ).Elem()
		if !r.value(p.elem, elem) {
			return false
		}
		m.SetMapIndex(reflect.ValueOf(string(key)), elem)
		return true
	}) {
		return false
	}
	v.Set(m)
	return true
}

// any decodes the value at the current place, which begins with c, into what
// the library makes of it.
func (r *plainReader) any(c byte) (any, bool) {
	switch c {
	case '"':
		return r.str(), true
	case 't', 'f':
		r.raw()
		return c == 't', true
	case 'n':
		return nil, r.null(c)
	case '{':
		return r.anyObject()
	case '[':
		list := make([]any, 0, 4)
		ok := r.elements(func() bool {
			v, ok := r.any(r.space())
			list = append(list, v)
			return ok
		})
		return list, ok
	}
	text, _ := r.raw()
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil
}

func (r *plainReader) anyObject() (map[string]any, bool) {
	m := map[string]any{}
	ok := r.members(func(key []byte, escaped bool) bool {
		if escaped {
			return false
		}
		v, ok := r.any(r.space())
		m[string(key)] = v
		return ok
	})
	return m, ok
}

// plain appends v if it is of a plain type without any. If it reports false,
// the library has to do it.
func (e *encoder) plain(v any) bool {
	rv := reflect.ValueOf(v)
	p := planOf(rv.Type())
	if p == nil || p.holds {
		return false
	}
	start := len(e.dst)
	ok := e.plainValue(p, rv)
	if !ok {
		e.dst = e.dst[:start]
	}
	return ok
}

func (e *encoder) plainValue(p *plan, v reflect.Value) bool {
	switch p.kind {
	case reflect.String:
		e.dst = AppendString(e.dst, v.String())
	case reflect.Bool:
		e.dst = strconv.AppendBool(e.dst, v.Bool())
	case reflect.Float64:
		f := v.Float()
		if f-f != 0 { // not finite, of which the library makes an error
			return false
		}
		e.dst = AppendFloat(e.dst, f)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		e.dst = strconv.AppendInt(e.dst, v.Int(), 10)
	case reflect.Struct:
		return e.plainStruct(p, v)
	case reflect.Slice:
		return e.plainSlice(p, v)
	case reflect.Map:
		return e.plainMap(p, v)
	case reflect.Pointer:
		if v.IsNil() {
			e.dst = append(e.dst, "null"...)
			return true
		}
		return e.plainValue(p.elem, v.Elem())
	default:
		e.dst = strconv.AppendUint(e.dst, v.Uint(), 10)
	}
	return true
}

func (e *encoder) plainStruct(p *plan, v reflect.Value) bool {
	open := byte('{')
	for i := range p.fields {
		f := &p.fields[i]
		fv := v.FieldByIndex(f.index)
		if f.omitEmpty && empty(fv) {
			continue
		}
		e.dst = append(append(e.dst, open), f.quoted...)
		if !e.plainValue(f.plan, fv) {
			return false
		}
		open = ','
	}
	if open == '{' {
		e.dst = append(e.dst, open)
	}
	e.dst = append(e.dst, '}')
	return true
}

// empty reports whether omitempty leaves v out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func (e *encoder) plainSlice(p *plan, v reflect.Value) bool {
	if v.IsNil() {
		e.dst = append(e.dst, "null"...)
		return true
	}
	e.dst = append(e.dst, '[')
	for i := range v.Len() {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		if !e.plainValue(p.elem, v.Index(i)) {
			return false
		}
	}
	e.dst = append(e.dst, ']')
	return true
}

func (e *encoder) plainMap(p *plan, v reflect.Value) bool {
	if v.IsNil() {
		e.dst = append(e.dst, "null"...)
		return true
	}
	keys := make([]string, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		keys = append(keys, it.Key().String())
	}
	slices.Sort(keys)
	e.dst = append(e.dst, '{')
	for i, k := range keys {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		e.dst = append(AppendString(e.dst, k), ':')
		if !e.plainValue(p.elem, v.MapIndex(reflect.ValueOf(k))) {
			return false
		}
	}
	e.dst = append(e.dst, '}')
	return true
}
