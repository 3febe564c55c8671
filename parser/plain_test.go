package parser

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"
)

type plainUser struct {
	Name  string `json:"name"`
	Admin bool   `json:"admin,omitempty"`
}

type plainObject struct {
	ID     int    `json:"id"`
	Room   string `json:"room"`
	User   plainUser
	Tags   []string            `json:"tags"`
	Users  []plainUser         `json:"users,omitempty"`
	By     map[string]int8     `json:"by"`
	Deep   map[string][]uint16 `json:"deep,omitempty"`
	Next   *plainUser          `json:"next"`
	Score  float64             `json:"score"`
	At     uint64              `json:"at"`
	Grid   [][]int             `json:"grid"`
	Hidden string              `json:"-"`
	own    int
}

type plainLoose struct {
	Any  any            `json:"any"`
	Map  map[string]any `json:"map"`
	List []any          `json:"list"`
	N    int32
}

// Types that aren't plain: the library's own ways count.
type (
	ownJSON     struct{ time.Time }
	ownText     struct{ V textual }
	textual     struct{ s string }
	recursive   struct{ Next *recursive }
	quotedField struct {
		N int `json:",string"`
	}
	doubled struct {
		A int `json:"x"`
		B int `json:"X"`
	}
	embeddedPointer struct{ *plainUser }
	embeddedTwice   struct {
		plainUser
		Name string `json:"name"`
	}
)

type plainEmbedding struct {
	List []plainRaw `json:"list"`
	plainRaw
	plainUser
}

type plainRaw struct {
	Data json.RawMessage  `json:"data"`
	More *json.RawMessage `json:"more"`
}

func (t textual) MarshalText() ([]byte, error)  { return []byte("<" + t.s + ">"), nil }
func (t *textual) UnmarshalText(b []byte) error { t.s = string(b); return nil }

func TestWhatIsPlain(t *testing.T) {
	for _, test := range []struct {
		v     any
		plain bool
	}{
		{plainObject{}, true}, {plainLoose{}, true}, {[]plainUser{}, true}, {map[string]float64{}, true},
		{new(*int), true}, {[]any{}, true},
		{ownJSON{}, false}, {ownText{}, false}, {recursive{}, false}, {quotedField{}, false},
		{doubled{}, false}, {embeddedPointer{}, false}, {embeddedTwice{}, false}, {json.Number(""), false}, {[]byte{}, false},
		{map[int]string{}, false}, {[2]int{}, false}, {float32(0), false}, {plainEmbedding{}, true}, {json.RawMessage{}, true},
		{time.Time{}, false}, {struct{ F func() }{}, false}, {new(chan int), false},
	} {
		if got := planOf(reflect.TypeOf(test.v)) != nil; got != test.plain {
			t.Errorf("%T: %v", test.v, got)
		}
	}
}

// plainSeeds are what a client may send for any of the types.
var plainSeeds = []string{
	`{"id":12345,"room":"lobby","User":{"name":"alice","admin":true},"tags":["a","b"],"users":[{"name":"x"},{}],
	  "by":{"a":1,"b":-2},"deep":{"x":[1,2],"y":[]},"next":{"name":"n"},"score":1.5e-7,"at":18446744073709551615,"grid":[[1],[],null]}`,
	`{}`, ` { } `, `[]`, `null`, `"text"`, `12`, `true`,
	`{"ID":1,"rOOm":"case"}`, `{"id":1.0}`, `{"id":"1"}`, `{"id":1e3}`, `{"id":9223372036854775808}`,
	`{"by":{"a":128}}`, `{"at":-1}`, `{"score":1e999}`, `{"score":-0.0}`,
	`{"room":"\u00e9\ud83d\ude00\n\"","tags":["\\",""]}`, `{"r\u006fom":"escaped key"}`,
	`{"tags":null,"next":null,"by":null,"id":null,"room":null,"User":null}`,
	`{"unknown":{"a":[1,{"b":"]}"}],"c":"\""},"more":-1.5,"x":true,"id":7}`,
	`{"id":1,"id":2,"tags":["a"],"tags":["b","c"],"next":{"name":"a"},"next":{"admin":true},"by":{"a":1},"by":{"b":2}}`,
	`{"any":{"a":[1,"x",null,true,{"b":{}}]},"map":{"k":1e400},"list":[1,2.5,"z",[]],"N":-2147483648}`,
	`{"any":1,"any":[2],"map":{"a":1},"map":{"b":2}}`, `{"any":null,"map":null,"list":null}`, `{"list":{}}`,
	`{"data":{"a":[1, 2]},"more" : "\\u00e9]" ,"name":"embedded","list":[{"data":null,"more":null},{"data":-1.5,"data":[ ]},{"data" : true }],"admin":true}`,
	`{"data":"","more":[[{}],"}"],"DATA":{"\"}":1}}`, `{"name":1,"data":1}`,
	`[{"name":"a"},{"name":"b","admin":true},null]`, `{"a":1,"b":2.5}`, `[[1,2],[3]]`, "{\"N\" :\t1 , \"list\" : [ 1 ,\n2 ] }",
}

// samePlain checks that decoding and encoding a T do what the library does.
func samePlain[T any](t *testing.T, raw []byte) {
	var want, got T
	wantErr := json.Unmarshal(raw, &want)
	p, err := ParseArgs(Payload{JSON: append(append([]byte{'['}, raw...), ']')})
	if err != nil || p.Len() != 1 {
		return // not a JSON text, UTF-8 or depth
	}
	gotErr := p.Decode(0, &got)
	if (wantErr == nil) != (gotErr == nil) {
		t.Fatalf("%T from %s: %v, the library: %v", got, raw, gotErr, wantErr)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%T from %s:\n%+v, the library:\n%+v", got, raw, got, want)
	}
	text, err := Marshal(got)
	lib, libErr := marshalPlain(got)
	if (err == nil) != (libErr == nil) {
		t.Fatalf("%+v: %v, the library: %v", got, err, libErr)
	}
	if err == nil && !sameJSON(text.JSON[1:len(text.JSON)-1], lib) {
		t.Fatalf("%+v encoded: %s, by the library: %s", got, text.JSON, lib)
	}
}

// sameJSON compares texts that may differ in how they escape, and in the sign of zero.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func samePlains(t *testing.T, raw []byte) {
	samePlain[plainObject](t, raw)
	samePlain[*plainObject](t, raw)
	samePlain[plainLoose](t, raw)
	samePlain[plainEmbedding](t, raw)
	samePlain[[]json.RawMessage](t, raw)
	samePlain[[]plainUser](t, raw)
	samePlain[map[string]float64](t, raw)
	samePlain[map[string]any](t, raw)
	samePlain[[]any](t, raw)
	samePlain[any](t, raw)
	samePlain[[]string](t, raw)
	samePlain[[][]int](t, raw)
	samePlain[float64](t, raw)
	samePlain[uint8](t, raw)
}

func TestPlainAsLibrary(t *testing.T) {
	for _, raw := range plainSeeds {
		samePlains(t, []byte(raw))
	}
}

func FuzzPlain(f *testing.F) {
	for _, raw := range plainSeeds {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) { samePlains(t, raw) })
}

// TestPlainIntoFilled: what was in the value before is treated as by the library.
func TestPlainIntoFilled(t *testing.T) {
	fill := func() *plainObject {
		return &plainObject{ID: 1, Tags: []string{"x", "y"}, By: map[string]int8{"old": 1}, Next: &plainUser{"n", true}, own: 3, Hidden: "h"}
	}
	for _, raw := range plainSeeds {
		want, got := fill(), fill()
		wantErr := json.Unmarshal([]byte(raw), want)
		a, _ := ParseArgs(Payload{JSON: []byte("[" + raw + "]")})
		gotErr := a.Decode(0, got)
		if (wantErr == nil) != (gotErr == nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v %v, the library:\n%+v %v", raw, got, gotErr, want, wantErr)
		}
	}
}

func TestPlainNotFinite(t *testing.T) {
	for _, f := range []float64{math.NaN(), math.Inf(1)} {
		if p, err := Marshal(plainObject{Score: f}); err == nil {
			t.Errorf("%v in a struct became %s; the library refuses it", f, p.JSON)
		}
	}
}

func BenchmarkObject(b *testing.B) {
	raw := []byte(`[{"id":12345,"room":"lobby","User":{"name":"alice","admin":true},"tags":["a","b","c"],"score":1.5,"at":1763850000000}]`)
	type object struct {
		ID    int    `json:"id"`
		Room  string `json:"room"`
		User  plainUser
		Tags  []string `json:"tags"`
		Score float64  `json:"score"`
		At    int64    `json:"at"`
	}
	args, err := ParseArgs(Payload{JSON: raw})
	if err != nil {
		b.Fatal(err)
	}
	var o object
	for _, bench := range []struct {
		name string
		run  func() error
	}{
		{"decode", func() error { var o object; return args.Decode(0, &o) }},
		{"decode by library", func() error { var o object; return Library.Unmarshal(args.Raw(0), &o) }},
		{"decode any", func() error { var v any; return args.Decode(0, &v) }},
		{"decode any by library", func() error { var v any; return Library.Unmarshal(args.Raw(0), &v) }},
		{"encode", func() error { _, err := Marshal(o); return err }},
		{"encode by library", func() error { _, err := Library.Marshal(o); return err }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := bench.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
		_ = args.Decode(0, &o)
	}
}
