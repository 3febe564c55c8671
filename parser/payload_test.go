package parser

import (
	"encoding/json"
	"errors"
	"math"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

type inner struct {
	Data []byte `json:"data,omitempty"`
	N    int    `json:"n"`
}

type outer struct {
	inner
	Next   *outer            `json:"next,omitempty"`
	List   [][]byte          `json:"list,omitempty"`
	Map    map[string][]byte `json:"map,omitempty"`
	Any    any               `json:"any,omitempty"`
	Raw    json.RawMessage   `json:"raw,omitempty"`
	Hidden []byte            `json:"-"`
	own    []byte
}

type named []byte

type opaqueType struct{ Data []byte }

func (o opaqueType) MarshalJSON() ([]byte, error) { return []byte(`"mine"`), nil }

func TestMarshal(t *testing.T) {
	ph := func(n string) string { return `{"_placeholder":true,"num":` + n + `}` }
	b := func(n byte) []byte { return []byte{n} }
	tests := []struct {
		in   any
		json string
		bin  [][]byte
	}{
		{nil, `null`, nil},
		{"<a&b>\u2028", "\"<a&b>\u2028\"", nil},
		{"a\xffb", "\"a\uFFFDb\"", nil},
		{true, `true`, nil},
		{math.NaN(), `null`, nil},
		{math.Inf(-1), `null`, nil},
		{int64(math.MinInt64), `-9223372036854775808`, nil},
		{uint64(math.MaxUint64), `18446744073709551615`, nil},
		{uint8(7), `7`, nil},
		{json.RawMessage(`{"a": 1}`), `{"a": 1}`, nil},
		{json.RawMessage(nil), `null`, nil},
		{time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.FixedZone("", 3600)), `"2026-01-02T02:04:05.006Z"`, nil},
		{time.UnixMilli(0), `"1970-01-01T00:00:00.000Z"`, nil},
		{map[string]any{"b": 1, "a": []any{math.NaN(), "x"}}, `{"a":[null,"x"],"b":1}`, nil},
		{map[string]any(nil), `null`, nil},
		{[]any(nil), `null`, nil},
		{struct{ S string }{"<>"}, `{"S":"<>"}`, nil},
		{[]int{1, 2}, `[1,2]`, nil},
		{[3]byte{1, 2, 3}, `[1,2,3]`, nil},
		{[]byte(nil), `null`, nil},
		{[]byte{}, ph("0"), [][]byte{{}}},
		{b(1), ph("0"), [][]byte{b(1)}},
		{named{1}, ph("0"), [][]byte{b(1)}},
		{&inner{b(1), 2}, `{"data":` + ph("0") + `,"n":2}`, [][]byte{b(1)}},
		{inner{[]byte{}, 2}, `{"n":2}`, nil},
		{(*inner)(nil), `null`, nil},
		{[]inner{{b(1), 1}, {b(2), 2}}, `[{"data":` + ph("0") + `,"n":1},{"data":` + ph("1") + `,"n":2}]`, [][]byte{b(1), b(2)}},
		{map[string][]byte{"z": b(1), "a": b(2), "n": nil}, `{"a":` + ph("0") + `,"n":null,"z":` + ph("1") + `}`, [][]byte{b(2), b(1)}},
		{map[string]any{"z": b(1), "a": inner{b(2), 0}}, `{"a":{"data":` + ph("0") + `,"n":0},"z":` + ph("1") + `}`, [][]byte{b(2), b(1)}},
		{outer{inner: inner{b(1), 5}, Next: &outer{List: [][]byte{b(2), nil}}, Map: map[string][]byte{"k": b(3)}, Any: []any{b(4)}, Raw: json.RawMessage(`"AQ=="`), Hidden: b(9), own: b(9)},
			`{"data":` + ph("0") + `,"n":5,"next":{"n":0,"list":[` + ph("1") + `,null]},"map":{"k":` + ph("2") + `},"any":[` + ph("3") + `],"raw":"AQ=="}`,
			[][]byte{b(1), b(2), b(3), b(4)}},
		{opaqueType{b(1)}, `"mine"`, nil},
		{[]any{opaqueType{b(1)}, net.IPv4(127, 0, 0, 1)}, `["mine","127.0.0.1"]`, nil},
		{struct{ T time.Time }{time.Unix(0, 0).UTC()}, `{"T":"1970-01-01T00:00:00Z"}`, nil},
	}
	for _, tt := range tests {
		p, err := Marshal(tt.in)
		if err != nil {
			t.Errorf("%#v: %v", tt.in, err)
			continue
		}
		if got := string(p.JSON); got != "["+tt.json+"]" {
			t.Errorf("%#v:\n got %s\nwant [%s]", tt.in, got, tt.json)
		}
		if !reflect.DeepEqual(p.Attachments, tt.bin) {
			t.Errorf("%#v: attachments %v, want %v", tt.in, p.Attachments, tt.bin)
		}
		if v, err := MarshalValue(tt.in); err != nil || string(v.JSON) != tt.json {
			t.Errorf("%#v: MarshalValue %s, %v", tt.in, v.JSON, err)
		}
	}
}

func TestMarshalErrors(t *testing.T) {
	type ring struct{ Next any }
	self := &ring{}
	self.Next = self
	list := []any{nil}
	list[0] = list
	object := map[string]any{}
	object["b"] = object
	type hidden struct{ Data []byte }
	for name, v := range map[string]any{
		"a pointer to itself":         self,
		"a list that holds itself":    list,
		"an object that holds itself": object,
		"a function":                  func() {},
		"a function inside":           map[string]any{"f": func() {}},
		"RawMessage":                  json.RawMessage(`{`),
		"RawMessage not in UTF-8":     json.RawMessage("\"\xff\""),
		"an embedded pointer":         struct{ *hidden }{&hidden{[]byte{1}}},
		"a year that has no form":     time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if p, err := Marshal(v); err == nil {
			t.Errorf("%s became %.50s", name, p.JSON)
		}
	}
	// A failure must not spoil what is encoded later: the encoders are pooled.
	if p, err := Marshal(struct{ A int }{1}); err != nil || string(p.JSON) != `[{"A":1}]` {
		t.Errorf("%s %v", p.JSON, err)
	}
}

// What a client sent as text must not turn into a placeholder beside binary values.
func TestForgedPlaceholder(t *testing.T) {
	forged := map[string]any{"_placeholder": true, "num": 0}
	if _, err := Marshal(forged); err != nil {
		t.Errorf("by itself it is an object like any other: %v", err)
	}
	for _, v := range []any{forged, json.RawMessage(ph0), json.RawMessage(`[{"num":0,"\u005fplaceholder":true}]`)} {
		if p, err := Marshal(v, []byte{1}); !errors.Is(err, ErrIllegalAttachments) {
			t.Errorf("%v became %s", v, p.JSON)
		}
	}
}

func TestReservedNames(t *testing.T) {
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		_, err := MarshalEvent(name)
		if !errors.Is(err, ErrReserved) || err.Error() != `"`+name+`" is a reserved event name` {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := EncodeEvent(nil, "/", NoID, name); !errors.Is(err, ErrReserved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := MarshalEvent("connection"); err != nil {
		t.Error(err)
	}
}

func TestWith(t *testing.T) {
	for in, want := range map[string]string{
		`["a"]`: `["a","off\"set"]`, `[]`: `["off\"set"]`, `[ ] `: `[ "off\"set"]`, `["a" ]` + "\n": `["a" ,"off\"set"]`,
	} {
		p := Payload{JSON: []byte(in), Attachments: [][]byte{{1}}}
		q := p.With(`off"set`)
		if string(q.JSON) != want || len(q.Attachments) != 1 || string(p.JSON) != in {
			t.Errorf("%q: %q", in, q.JSON)
		}
	}
}

func TestParseArgs(t *testing.T) {
	for _, p := range []Payload{
		{JSON: []byte(`{}`)}, {JSON: []byte(`[`)}, {JSON: []byte("[\"\xff\"]")}, {JSON: []byte{}},
		{JSON: []byte(`[]`), Attachments: [][]byte{{1}}}, {Attachments: [][]byte{{1}}},
		{JSON: []byte("[" + ph0 + "," + ph0 + "]"), Attachments: [][]byte{{1}}},
	} {
		if _, err := ParseArgs(p); !errors.Is(err, ErrInvalidPayload) && !errors.Is(err, ErrIllegalAttachments) {
			t.Errorf("%q: error %v", p.JSON, err)
		}
	}
	a, err := ParseArgs(Payload{JSON: []byte("[0,1,2,3,4,5,6," + ph0 + "]"), Attachments: [][]byte{{7}}})
	if err != nil || a.Len() != 8 {
		t.Fatal(err, a.Len())
	}
	for i := range 7 {
		var n int
		if err := a.Decode(i, &n); err != nil || n != i {
			t.Errorf("argument %d: %d %v", i, n, err)
		}
	}
	if a, err := ParseArgs(Payload{}); err != nil || a.Len() != 0 {
		t.Error(err, a.Len())
	}
}

// EncodeEvent and EncodeAck say what MarshalEvent, Marshal and Encode do.
// EncodeEvent refused binary values, because it looked for placeholders in the header too.
func TestEncodeDirect(t *testing.T) {
	for _, args := range [][]any{nil, {1}, {"a", []byte{1}}, {map[string]any{"b": []byte{2}}, []byte{3}}} {
		p, err := MarshalEvent("e", args...)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := JSON.Encode(&Packet{Type: Event, Namespace: "/n", ID: 5, Payload: p})
		if got, err := EncodeEvent(nil, "/n", 5, "e", args...); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("event %v: %q, want %q (%v)", args, got, want, err)
		}
		if got, err := EncodeEvent([]byte("x"), "/n", 5, "e", args...); err != nil || string(got.Text) != "x"+string(want.Text) && len(got.Binary) == 0 {
			t.Errorf("event %v appended: %q, want %q (%v)", args, got.Text, want.Text, err)
		}
		p, _ = Marshal(args...)
		want, _ = JSON.Encode(&Packet{Type: Ack, ID: 5, Payload: p})
		if got, err := EncodeAck(nil, "/", 5, args...); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ack %v: %q, want %q (%v)", args, got, want, err)
		}
	}
}

type byItself string

func (v byItself) AppendValue(dst []byte) []byte { return append(dst, v...) }

func TestAppender(t *testing.T) {
	v := byItself(`{"a":1}`)
	if p, err := Marshal(v, []any{v, []byte{1}}, map[string]any{"v": v}); err != nil ||
		string(p.JSON) != `[{"a":1},[{"a":1},{"_placeholder":true,"num":0}],{"v":{"a":1}}]` {
		t.Errorf("%s %v", p.JSON, err)
	}
}

// AppendAck says what EncodeAck says of the value, or leaves it to it.
func TestAppendAck(t *testing.T) {
	type point struct {
		X, Y int
		Tags []string `json:"tags,omitempty"`
	}
	type named string
	ptr := func(v any) any {
		p := reflect.New(reflect.TypeOf(v))
		p.Elem().Set(reflect.ValueOf(v))
		return p.Interface()
	}
	for _, test := range []struct {
		v    any
		left bool // to EncodeAck
	}{
		{"", false}, {"a \"quoted\" \u00e9\U0001f600 \xff text", false}, {named("n"), false}, {true, false}, {-7, false}, {uint8(200), false}, {1.5, false},
		{point{X: 1}, false}, {&point{1, 2, []string{"a"}}, false}, {(*point)(nil), false}, {[]point{{}, {Y: 3}}, false},
		{map[string]int{"b": 1, "a": 2}, false}, {json.RawMessage(`{"a": 1}`), false}, {json.RawMessage(nil), false},
		{json.RawMessage("{"), true}, {math.NaN(), true}, {[]byte{1}, true}, {[]any{1}, true}, {map[string]any{"b": []byte{2}}, true}, {time.Time{}, true},
		{Payload{JSON: []byte("[1]")}, true}, {struct{ B []byte }{[]byte{1}}, true},
	} {
		text, ok := AppendAck([]byte("x"), "/n", 5, ptr(test.v))
		if ok == test.left {
			t.Errorf("%#v: done %v", test.v, ok)
		}
		want, err := EncodeAck(nil, "/n", 5, test.v)
		if ok && (err != nil || string(text) != "x"+string(want.Text)) {
			t.Errorf("%#v: %q, want %q (%v)", test.v, text, want.Text, err)
		}
	}
	if _, ok := AppendAck(nil, "no slash", 5, new(string)); ok {
		t.Error("a namespace without a slash was taken")
	}
}

// The one byte that needs an escape is found in any place of the eight that are looked at together.
func TestAppendStringPlaces(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			s := strings.Repeat("a", at) + string([]byte{byte(c)}) + "bcdefghijkl"
			var got string
			if err := json.Unmarshal(AppendString(nil, s), &got); err != nil {
				t.Fatal(err)
			}
			if want := strings.ToValidUTF8(s, "\uFFFD"); got != want {
				t.Fatalf("%q came back as %q", s, got)
			}
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	for _, p := range []Packet{
		{Type: BinaryEvent}, {Type: 9}, {Type: Event, Namespace: "a"}, {Type: Event, Namespace: "/a,b"},
		{Type: Connect, Payload: Payload{[]byte(`{"a":` + ph0 + `}`), [][]byte{{1}}}},
	} {
		if e, err := JSON.Encode(&p); err == nil {
			t.Errorf("%v became %q", p, e)
		}
	}
}

func FuzzString(f *testing.F) {
	f.Add("plain")
	f.Add("\"\\/\b\f\n\r\t\x00\x1f\x7f é😀\u2028\xff\xed\xa0\x80")
	f.Fuzz(func(t *testing.T, s string) {
		text := AppendString(nil, s)
		var got string
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); utf8.ValidString(s) && got != want {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}
