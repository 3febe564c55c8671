package parser

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// blob is a Binary: by itself its JSON is something else.
type blob struct {
	data    []byte
	standIn bool
}

func (b *blob) Binary() []byte        { return b.data }
func (b *blob) SetBinary(data []byte) { b.data, b.standIn = data, true }

func (b blob) MarshalJSON() ([]byte, error) {
	if b.standIn {
		return json.Marshal(b.data)
	}
	return []byte(`"by itself"`), nil
}

func (b *blob) UnmarshalJSON(text []byte) error { return json.Unmarshal(text, &b.data) }

type holder struct {
	Blob blob
	List []*blob
	Map  map[string]blob
	Any  any
	None *blob
}

func TestBinaryTypes(t *testing.T) {
	one := blob{data: []byte{1}}
	h := holder{Blob: one, List: []*blob{{data: []byte{2}}, nil}, Map: map[string]blob{"k": {data: []byte{3}}}, Any: blob{}}
	p, err := Marshal(one, &one, h)
	if err != nil {
		t.Fatal(err)
	}
	ph := func(n string) string { return `{"_placeholder":true,"num":` + n + `}` }
	want := `[` + ph("0") + `,` + ph("1") + `,{"Blob":` + ph("2") + `,"List":[` + ph("3") + `,null],"Map":{"k":` + ph("4") + `},"Any":` + ph("5") + `,"None":null}]`
	if string(p.JSON) != want {
		t.Errorf("\n got %s\nwant %s", p.JSON, want)
	}
	if !reflect.DeepEqual(p.Attachments, [][]byte{{1}, {1}, {1}, {2}, {3}, {}}) {
		t.Error(p.Attachments)
	}
	if one.standIn || h.Blob.standIn || h.List[0].standIn {
		t.Error("the program's value was changed")
	}

	args, err := ParseArgs(p)
	if err != nil {
		t.Fatal(err)
	}
	var a blob
	var b *blob
	var back holder
	if err := args.DecodeAll(&a, &b, &back); err != nil {
		t.Fatal(err)
	}
	for i, got := range [][]byte{a.data, b.data, back.Blob.data, back.List[0].data, back.Map["k"].data, back.Any.([]byte)} {
		if !bytes.Equal(got, p.Attachments[i]) {
			t.Errorf("value %d came back as %v", i, got)
		}
	}
}

// AsText: a []byte stays the text that encoding/json makes of it, a Binary doesn't.
func TestAsText(t *testing.T) {
	type hidden struct{ Data []byte }
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, tt := range []struct {
		v    any
		want string
		data [][]byte
	}{
		{nil, `null`, nil},
		{"text", `"text"`, nil},
		{struct{ A int }{1}, `{"A":1}`, nil},
		{[]byte{1, 2}, `"AQI="`, nil},
		{[]byte(nil), `null`, nil},
		{at, `"2026-01-02T03:04:05.000000006Z"`, nil},
		{[]any{[]byte{1}, at}, `["AQ==","2026-01-02T03:04:05.000000006Z"]`, nil},
		{struct{ *hidden }{&hidden{[]byte{1}}}, `{"Data":"AQ=="}`, nil},
		{map[string]any{"a": []byte{1}, "b": &blob{data: []byte{2}}}, `{"a":"AQ==","b":` + ph0 + `}`, [][]byte{{2}}},
		{&struct {
			Text []byte
			Blob blob
		}{[]byte{1}, blob{data: []byte{2}}}, `{"Text":"AQ==","Blob":` + ph0 + `}`, [][]byte{{2}}},
	} {
		v, err := AsText(tt.v)
		if err != nil {
			t.Errorf("%v: %v", tt.v, err)
			continue
		}
		p, err := Marshal(v)
		if err != nil || string(p.JSON) != "["+tt.want+"]" || !reflect.DeepEqual(p.Attachments, tt.data) {
			t.Errorf("%v became %s %v %v, want %s", tt.v, p.JSON, p.Attachments, err, tt.want)
		}
	}
	// The attachments of several values are numbered together.
	a, _ := AsText(&blob{data: []byte{1}})
	b, _ := AsText([]*blob{{data: []byte{2}}})
	if p, err := Marshal(a, b); err != nil || string(p.JSON) != `[`+ph0+`,[{"_placeholder":true,"num":1}]]` {
		t.Errorf("%s %v", p.JSON, err)
	}
	for _, v := range []any{func() {}, []any{map[string]any{"_placeholder": true, "num": 0}, blob{data: []byte{1}}}} {
		if got, err := AsText(v); err == nil {
			t.Errorf("%v became %v", v, got)
		}
	}
}
