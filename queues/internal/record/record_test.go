package record

import (
	"reflect"
	"strings"
	"testing"
)

func examples() []*Record {
	return []*Record{
		{},
		{Head: Head{Priority: 3, Size: 2, Stored: 1_700_000_000_000, Due: 1, Expires: 1 << 50, Key: "k"}, ID: "id", JSON: []byte("{}")},
		{Head: Head{Size: 5}, Topic: "news", Headers: map[string]string{"a": "", "": "b"}, JSON: []byte("[1]"), Attachments: [][]byte{{0, 255}, {}}},
		{Head: Head{Size: 100_000}, JSON: []byte(strings.Repeat("x", 100_000))},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, r := range examples() {
		b := Append(nil, r)
		got, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.JSON) == 0 {
			got.JSON = r.JSON
		}
		if !reflect.DeepEqual(got, *r) {
			t.Errorf("got %+v, want %+v", got, r)
		}
		h, err := ParseHead(b)
		if err != nil || h != r.Head {
			t.Errorf("head %+v, %v", h, err)
		}
		for i := range min(len(b), 200) { // a torn record is an error
			if _, err := Parse(b[:i]); err == nil {
				t.Errorf("%d bytes of %d were read", i, len(b))
			}
		}
		if _, err := Parse(append(b, 0)); err == nil {
			t.Error("a byte too many was read")
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, r := range examples() {
		f.Add(Append(nil, r))
	}
	f.Add([]byte{version, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := Parse(in)
		if err != nil {
			return
		}
		if h, err := ParseHead(in); err != nil || h != r.Head {
			t.Fatalf("head %+v, %v; record %+v", h, err, r.Head)
		}
		again, err := Parse(Append(nil, &r))
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v came back as %+v, %v", r, again, err)
		}
	})
}
