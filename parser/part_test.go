package parser

import (
	"encoding/json"
	"testing"
)

// TestPart: what is taken out of arguments and put into others is the same, with its
// attachments and no others.
func TestPart(t *testing.T) {
	in, err := MarshalEvent("e", map[string]any{
		"first":  []byte{1},
		"second": map[string]any{"a": []byte{2}, "b": "text", "c": []any{[]byte{3}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := Packet{Type: Event, ID: NoID, Payload: in}
	var v struct{ First, Second json.RawMessage }
	if err := p.Args().Decode(0, &v); err != nil {
		t.Fatal(err)
	}
	part, err := p.Args().Part(v.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(part.Attachments) != 2 || part.Attachments[0][0] != 2 || part.Attachments[1][0] != 3 {
		t.Fatalf("%s with %v", part.JSON, part.Attachments)
	}
	if _, err := part.Placeholders(); err != nil {
		t.Errorf("%s: %v", part.JSON, err)
	}
	out, err := Marshal([]byte{9}, map[string]any{"data": part}, part, Payload{})
	if err != nil {
		t.Fatal(err)
	}
	args, err := ParseArgs(out)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 2; i++ {
		var got struct {
			Data struct {
				A []byte
				C [][]byte
			}
			A []byte
			C [][]byte
		}
		if err := args.Decode(i, &got); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			got.A, got.C = got.Data.A, got.Data.C
		}
		if len(out.Attachments) != 5 || got.A[0] != 2 || got.C[0][0] != 3 {
			t.Errorf("argument %d of %s: %+v", i, out.JSON, got)
		}
	}
	if string(args.Raw(3)) != "null" {
		t.Errorf("no data became %s", args.Raw(3))
	}
}

func TestPayloadAsValueRefused(t *testing.T) {
	for _, p := range []Payload{
		{JSON: []byte("{")}, {JSON: []byte("1 2")}, {JSON: []byte("\xff")},
		{JSON: []byte("1"), Attachments: [][]byte{{1}}},
	} {
		if out, err := Marshal(p); err == nil {
			t.Errorf("%q became %q", p.JSON, out.JSON)
		}
	}
}
