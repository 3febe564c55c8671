package parser

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

func argsOf(t *testing.T, text string, attachments ...[]byte) Args {
	t.Helper()
	a, err := ParseArgs(Payload{JSON: []byte(text), Attachments: attachments})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestDecodeArgs(t *testing.T) {
	a := argsOf(t, `["a\n",5,true,1.5,{"n":7},[1,2],null,"plain","AQI=",9007199254740993]`)
	var (
		s, plain string
		n        int
		b        bool
		f        float64
		o        inner
		list     []int
		null     = "as it was"
		raw      []byte
		big      int64
		missing  = 3
	)
	if err := a.DecodeAll(&s, &n, &b, &f, &o, &list, &null, &plain, &raw, &big, &missing); err != nil {
		t.Fatal(err)
	}
	if s != "a\n" || n != 5 || !b || f != 1.5 || o.N != 7 || !reflect.DeepEqual(list, []int{1, 2}) || null != "as it was" ||
		plain != "plain" || string(raw) != "\x01\x02" || big != 9007199254740993 || missing != 3 {
		t.Error(s, n, b, f, o, list, null, plain, raw, big, missing)
	}
	var v any
	if err := a.Decode(4, &v); err != nil || !reflect.DeepEqual(v, map[string]any{"n": 7.0}) {
		t.Error(v, err)
	}
	if err := a.Decode(-1, &v); err != nil {
		t.Error(err)
	}
}

func TestDecodeArgsErrors(t *testing.T) {
	a := argsOf(t, `["x",5.5,{"a":"b"}]`)
	var n int
	var b bool
	for i, v := range []any{&n, &n, &b} {
		var typ *json.UnmarshalTypeError
		if err := a.Decode(i, v); !errors.As(err, &typ) {
			t.Errorf("argument %d: %v", i, err)
		}
	}
	for _, v := range []any{nil, 5, (*string)(nil), (*int)(nil), (*bool)(nil), (*int64)(nil), (*json.RawMessage)(nil)} {
		if err := a.Decode(0, v); err == nil {
			t.Errorf("decoded into %T %v", v, v)
		}
	}
	a = argsOf(t, "["+ph0+"]", []byte{1})
	for _, v := range []any{nil, 5, (*[]byte)(nil), (*any)(nil), (*json.RawMessage)(nil), &n} {
		if err := a.Decode(0, v); err == nil {
			t.Errorf("decoded binary into %T %v", v, v)
		}
	}
}

func TestDecodeBinary(t *testing.T) {
	one, two := []byte{1}, []byte{2}
	a := argsOf(t, `[`+ph1+`,{"data":`+ph0+`,"n":3},"x"]`, one, two)

	var b []byte
	if err := a.Decode(0, &b); err != nil || &b[0] != &two[0] {
		t.Errorf("an attachment by itself: %v %v", b, err)
	}
	var nb named
	if err := a.Decode(0, &nb); err != nil || &nb[0] != &two[0] {
		t.Errorf("a named type: %v %v", nb, err)
	}
	var v any
	if err := a.Decode(0, &v); err != nil || !reflect.DeepEqual(v, two) {
		t.Errorf("any: %v %v", v, err)
	}
	var p *[]byte
	if err := a.Decode(0, &p); err != nil || &(*p)[0] != &two[0] {
		t.Errorf("a pointer: %v %v", p, err)
	}
	into := any(&inner{})
	if err := a.Decode(1, &into); err != nil || !reflect.DeepEqual(into, &inner{one, 3}) {
		t.Errorf("a pointer in any: %v %v", into, err)
	}
	var in inner
	if err := a.Decode(1, &in); err != nil || &in.Data[0] != &one[0] || in.N != 3 {
		t.Errorf("a struct: %v %v", in, err)
	}
	if err := a.Decode(1, &v); err != nil || !reflect.DeepEqual(v, map[string]any{"data": one, "n": 3.0}) {
		t.Errorf("any: %v %v", v, err)
	}
	var raw json.RawMessage
	if err := a.Decode(1, &raw); err != nil || string(raw) != `{"data":`+ph0+`,"n":3}` {
		t.Errorf("raw: %s %v", raw, err)
	}
	var raws map[string]json.RawMessage
	if err := a.Decode(1, &raws); err != nil || string(raws["data"]) != ph0 {
		t.Errorf("raw inside: %s %v", raws, err)
	}
	var maps map[string][]byte
	if err := argsOf(t, `[{"a":`+ph0+`,"b":`+ph1+`}]`, one, two).Decode(0, &maps); err != nil || &maps["b"][0] != &two[0] {
		t.Errorf("a map: %v %v", maps, err)
	}
	var s string
	if err := a.Decode(2, &s); err != nil || s != "x" {
		t.Errorf("an argument without binary values: %q %v", s, err)
	}
	// A string can't take binary values, at any depth.
	var texts struct{ Data string }
	for i, v := range []any{&s, &texts} {
		var typ *json.UnmarshalTypeError
		if err := a.Decode(i, v); !errors.As(err, &typ) {
			t.Errorf("binary in %T: %v, %v", v, v, err)
		}
	}
}

// What was in the target before is walked too, and may hold itself.
func TestDecodeIntoRing(t *testing.T) {
	type ring struct {
		Data []byte
		Next *ring
	}
	r := &ring{}
	r.Next = r
	if err := argsOf(t, `[{"Data":`+ph0+`}]`, []byte{1}).Decode(0, r); err != nil || string(r.Data) != "\x01" {
		t.Error(r.Data, err)
	}
}

// Binary values at any depth come back as they were.
func TestBinaryRoundTrip(t *testing.T) {
	in := outer{
		inner: inner{[]byte{1}, 5},
		Next:  &outer{List: [][]byte{{2}, nil, {}}, Map: map[string][]byte{"k": {3}}},
		Any:   map[string]any{"a": []any{[]byte{4}, "x", nil, 1.5}},
	}
	p, err := MarshalEvent("e", in, &in)
	if err != nil {
		t.Fatal(err)
	}
	e, err := JSON.Encode(&Packet{Type: Event, ID: NoID, Payload: p})
	if err != nil {
		t.Fatal(err)
	}
	d := JSON.NewDecoder(Limits{})
	q, ok, err := d.Text(e.Text, false)
	for _, b := range e.Binary {
		q, ok, err = d.Binary(b, false)
	}
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	var out outer
	var ptr *outer
	if err := q.Args().DecodeAll(&out, &ptr); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(out, in) || !reflect.DeepEqual(*ptr, in) {
		t.Errorf("%+v came back as %+v", in, out)
	}
}

// Text that looks like a marker, or like base64, stays text.
func TestMarkerIsNotGuessed(t *testing.T) {
	in := []any{newMarker().mark([]byte(ph0), []placeholder{{span{0, uint32(len(ph0))}, 0}}), []byte{1}}
	in[0] = string(in[0].([]byte))
	p, err := Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out []any
	if err := argsOf(t, string(p.JSON), p.Attachments...).Decode(0, &out); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%v came back as %v: %v", in, out, err)
	}
}
