package parser

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
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
