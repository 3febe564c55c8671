package msgpack

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/roomcast/roomcast/parser"
	library "github.com/vmihailenco/msgpack/v5"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(b []byte) (parser.Packet, error) {
	p, ok, err := Codec.NewDecoder(parser.Limits{}).Binary(b, false)
	if err == nil && !ok {
		err = errors.New("no packet, and no error")
	}
	return p, err
}

// TestReference has the packets of the running server and its clients.
func TestReference(t *testing.T) {
	for _, tt := range []struct {
		hex        string
		typ        parser.Type
		nsp        string
		id         int64
		json       string
		attachment string
		encodes    bool // the server writes the same bytes
	}{
		{"83 a474797065 00 a464617461 81a5746f6b656ea3616263 a36e7370 a12f", parser.Connect, "/", -1, `{"token":"abc"}`, "", true},
		{"83 a474797065 00 a464617461 d40000 a36e7370 a32f7a7a", parser.Connect, "/zz", -1, "", "", false},
		{"84 a474797065 02 a464617461 92a568656c6c6fa178 a26964 00 a36e7370 a12f", parser.Event, "/", 0, `["hello","x"]`, "", true},
		{"83 a474797065 02 a464617461 92a56263617374c40101 a36e7370 a12f", parser.Event, "/", -1, `["bcast",{"_placeholder":true,"num":0}]`, "\x01", true},
		{"84 a474797065 03 a26964 00 a464617461 91a26f6b a36e7370 a12f", parser.Ack, "/", 0, `["ok"]`, "", false},
		{"82 a474797065 01 a36e7370 a12f", parser.Disconnect, "/", -1, "", "", true},
	} {
		in := unhex(t, tt.hex)
		p, err := decode(in)
		if err != nil {
			t.Errorf("%s: %v", tt.hex, err)
			continue
		}
		if p.Type != tt.typ || p.Namespace != tt.nsp || p.ID != tt.id || string(p.JSON) != tt.json || string(bytes.Join(p.Attachments, nil)) != tt.attachment {
			t.Errorf("%s: %v %q %d %s %q", tt.hex, p.Type, p.Namespace, p.ID, p.JSON, p.Attachments)
		}
		e, err := Codec.Encode(&p)
		if err != nil || e.Text != nil || len(e.Binary) != 1 {
			t.Fatal(e, err)
		}
		if same := bytes.Equal(e.Binary[0], in); same != tt.encodes {
			t.Errorf("%s: encoded as %x", tt.hex, e.Binary[0])
		}
	}
}

type vector struct {
	Hex    string
	Packet *struct {
		Type parser.Type
		NSP  string
		ID   *int64
		Data any
	}
	Error string
}

func bytesIn(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = bytesIn(v[i])
		}
	case map[string]any:
		if text, ok := v["$bytes"].(string); ok {
			b, _ := base64.StdEncoding.DecodeString(text)
			return b
		}
		for k := range v {
			v[k] = bytesIn(v[k])
		}
	}
	return v
}

// otherErrors are refused in other words than JavaScript has for them.
var otherErrors = map[string]error{
	"c0": ErrType, // "Cannot read properties of null (reading 'type')"
}

func TestAsNode(t *testing.T) {
	text, err := os.ReadFile("testdata/node.json") // see generate.js
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Same, Decode []vector }
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for i, v := range append(vectors.Same, vectors.Decode...) {
		in := unhex(t, v.Hex)
		p, err := decode(in)
		if want := otherErrors[v.Hex]; want != nil {
			if !errors.Is(err, want) {
				t.Errorf("%s: error %v, want %v", v.Hex, err, want)
			}
			continue
		}
		if v.Error != "" {
			if err == nil || err.Error() != v.Error && !strings.HasPrefix(err.Error(), v.Error+": ") {
				t.Errorf("%s: error %v, want %v", v.Hex, err, v.Error)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.200s: %v", v.Hex, err)
			continue
		}
		id := int64(parser.NoID)
		if v.Packet.ID != nil {
			id = *v.Packet.ID
		}
		if p.Type != v.Packet.Type || p.Namespace != v.Packet.NSP || p.ID != id {
			t.Errorf("%.200s: %v %q %d", v.Hex, p.Type, p.Namespace, p.ID)
		}
		if got, want := dataOf(t, &p), bytesIn(v.Packet.Data); !reflect.DeepEqual(got, want) {
			t.Errorf("%.200s:\n got %#v\nwant %#v", v.Hex, got, want)
		}
		if i < len(vectors.Same) {
			if e, err := Codec.Encode(&p); err != nil || !bytes.Equal(e.Binary[0], in) {
				t.Errorf("%.200s came back as %.100x: %v", v.Hex, e.Binary[0], err)
			}
		}
	}
}

func dataOf(t *testing.T, p *parser.Packet) any {
	t.Helper()
	if p.JSON == nil {
		return nil
	}
	a, err := parser.ParseArgs(parser.Payload{JSON: []byte("[" + string(p.JSON) + "]"), Attachments: p.Attachments})
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := a.Decode(0, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBadMessages(t *testing.T) {
	event := func(data string) string { return "83a47479706502a36e7370a12fa464617461" + data }
	for name, tt := range map[string]struct {
		hex  string
		want error
	}{
		"array of 2^32-1":                 {event("ddffffffff"), ErrParse},
		"map of 2^32-1":                   {event("dfffffffff"), ErrParse},
		"bin of 2^32-1":                   {event("c6ffffffff"), ErrParse},
		"str of 2^32-1":                   {event("dbffffffff"), ErrParse},
		"ext of 2^32-1":                   {event("c9ffffffff00"), ErrParse},
		"packet of 2^32-1 members":        {"dfffffffff", ErrParse},
		"unknown member, array of 2^32-1": {"81a178ddffffffff", ErrParse},
		"depth 65":                        {event(strings.Repeat("91", 64) + "90"), ErrParse},
		"depth 1,000,000":                 {event(strings.Repeat("91", 1_000_000)), ErrParse},
		"depth of what is skipped":        {"81a178" + strings.Repeat("91", 1_000_000), ErrParse},
		"number as a key":                 {event("92a1658101c0"), ErrParse},
		"nil as a key":                    {event("92a16581c0c0"), ErrParse},
		"invalid UTF-8":                   {event("91a1ff"), ErrParse},
		"invalid UTF-8 in a key":          {event("92a16581a1ff01"), ErrParse},
		"reserved event":                  {event("91a7636f6e6e656374"), parser.ErrInvalidPayload},
		"event without a name":            {event("90"), parser.ErrInvalidPayload},
		"null as an event":                {event("91c0"), parser.ErrInvalidPayload},
		"negative id":                     {"84a47479706502a36e7370a12fa46461746191a165a26964ff", parser.ErrInvalidID},
		"id of 2^53":                      {"84a47479706502a36e7370a12fa46461746191a165a26964cf0020000000000000", parser.ErrInvalidID},
		"namespace without /":             {"82a47479706500a36e7370a161", parser.ErrInvalidNamespace},
		"long namespace":                  {"82a47479706500a36e7370da0100" + strings.Repeat("2f", 256), parser.ErrNamespaceTooLong},
		"1001 attachments":                {event("dc03eaa165" + strings.Repeat("c400", 1001)), parser.ErrTooManyAttachments},
		// a map that looks like the placeholder of the binary value beside it
		"forged placeholder": {event("93a165c40101" + "82ac5f706c616365686f6c646572c3a36e756d00"), parser.ErrIllegalAttachments},
	} {
		if p, err := decode(unhex(t, tt.hex)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %.100s, error %v, want %v", name, p.JSON, err, tt.want)
		}
	}
	if p, err := decode(unhex(t, event(strings.Repeat("91", 63)+"90"))); !errors.Is(err, parser.ErrInvalidPayload) {
		t.Errorf("depth 64 is an event without a name: %s %v", p.JSON, err)
	}
	if p, err := decode(unhex(t, event("dc03e9a165"+strings.Repeat("c400", 1000)))); err != nil || len(p.Attachments) != 1000 {
		t.Errorf("1000 attachments: %v", err)
	}
	if _, _, err := Codec.NewDecoder(parser.Limits{}).Text([]byte(`2["x"]`), false); !errors.Is(err, ErrText) {
		t.Errorf("a text message: %v", err)
	}
}

// Integers of 64 bits and floats without a fraction stay what they are.
func TestNumbers(t *testing.T) {
	for _, s := range []string{"cfffffffffffffffff", "d38000000000000000", "cf7fffffffffffffff", "cb3ff0000000000000", "cb43e0000000000000", "cb7e37e43c8800759c", "cb3fb999999999999a"} {
		in := unhex(t, s)
		p, rest, err := Read(in, parser.Limits{})
		if err != nil || len(rest) > 0 {
			t.Fatal(err, rest)
		}
		if out, err := AppendPayload(nil, p); err != nil || !bytes.Equal(in, out) {
			t.Errorf("%s, in JSON %s, came back as %x: %v", s, p.JSON, out, err)
		}
	}
	for text, want := range map[string]string{"1e400": "cb7ff0000000000000", "-0": "00", "1.0": "cb3ff0000000000000", "18446744073709551616": "cb43f0000000000000", "1E2": "cb4059000000000000"} {
		if out, err := AppendPayload(nil, parser.Payload{JSON: []byte(text)}); err != nil || hex.EncodeToString(out) != want {
			t.Errorf("%s: %x, want %s", text, out, want)
		}
	}
}

func TestRead(t *testing.T) {
	in := unhex(t, "92c40101a161ff")
	p, rest, err := Read(in, parser.Limits{})
	if err != nil || string(p.JSON) != `[{"_placeholder":true,"num":0},"a"]` || &p.Attachments[0][0] != &in[3] || len(rest) != 1 {
		t.Errorf("%s %v %v %v", p.JSON, p.Attachments, rest, err)
	}
	if p, rest, err := Read(unhex(t, "d40000"), parser.Limits{}); err != nil || p.JSON != nil || len(rest) > 0 {
		t.Errorf("undefined: %s %v", p.JSON, err)
	}
}

func TestDates(t *testing.T) {
	for in, want := range map[string]string{
		"d7000000000000000000": `"1970-01-01T00:00:00.000Z"`,
		"d7000000e677d21fdc00": `"+010000-01-01T00:00:00.000Z"`,
		"d700ffffc76e394a7400": `"-000001-01-01T00:00:00.000Z"`,
		"d700001eb208c2dc0000": `"+275760-09-13T00:00:00.000Z"`,
		"d700001eb208c2dc0001": `null`,
		"d7008000000000000000": `null`,
	} {
		if p, _, err := Read(unhex(t, in), parser.Limits{}); err != nil || string(p.JSON) != want {
			t.Errorf("%s: %s %v, want %s", in, p.JSON, err, want)
		}
	}
}

func TestOwnership(t *testing.T) {
	for _, owned := range []bool{false, true} {
		in := unhex(t, "83a47479706502a464617461 92a165c40101 a36e7370a12f")
		p, _, err := Codec.NewDecoder(parser.Limits{}).Binary(in, owned)
		if err != nil {
			t.Fatal(err)
		}
		clear(in)
		if kept := p.Attachments[0][0] == 0; kept != owned {
			t.Errorf("owned %v: kept %v", owned, kept)
		}
		if p.Event() != "e" || p.Namespace != "/" {
			t.Errorf("owned %v: %q %q", owned, p.Event(), p.Namespace)
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	for _, p := range []parser.Packet{
		{Type: parser.BinaryEvent},
		{Type: parser.Event, Payload: parser.Payload{JSON: []byte(`["a"`)}},
		{Type: parser.Event, Payload: parser.Payload{JSON: []byte(`["a"]`), Attachments: [][]byte{{1}}}},
	} {
		if e, err := Codec.Encode(&p); err == nil {
			t.Errorf("%v became %x", p, e.Binary)
		}
	}
}

var jsonForms = []string{
	`0`, `null`, `[]`, `{}`, ` [ 1 , {"a" : [ ] , "b":[[],{}]} , "x\u0041\"]" ] `, `[0,-1,127,128,-33,-129,65536,4294967296,-2147483649,1.5,1e3,-0]`,
	`"` + strings.Repeat("x", 70000) + `"`, "[" + strings.Repeat("[],", 70000) + `"é"]`, `{"` + strings.Repeat("k", 300) + `":true,"":false}`,
}

// The library reads what AppendPayload writes as what encoding/json reads.
func checkAppend(t *testing.T, text []byte) {
	out, err := AppendPayload(nil, parser.Payload{JSON: text})
	if err != nil {
		return
	}
	d := library.NewDecoder(bytes.NewReader(out))
	got, err := d.DecodeInterfaceLoose()
	if err != nil {
		t.Fatalf("%.100q: %v", text, err)
	}
	var want any
	if json.Unmarshal(text, &want) != nil {
		return // such as 1e400
	}
	if got := floats(got); !reflect.DeepEqual(got, want) {
		t.Errorf("%.100q:\n got %.200v\nwant %.200v", text, got, want)
	}
}

// floats turns the integers in v, of any width, into float64.
func floats(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = floats(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = floats(v[k])
		}
	}
	if n := reflect.ValueOf(v); n.IsValid() && n.CanInt() {
		return float64(n.Int())
	} else if n.IsValid() && n.CanUint() {
		return float64(n.Uint())
	}
	return v
}

func TestAppendPayload(t *testing.T) {
	for _, s := range jsonForms {
		checkAppend(t, []byte(s))
	}
}

func FuzzAppendPayload(f *testing.F) {
	for _, s := range jsonForms {
		f.Add([]byte(s))
	}
	f.Fuzz(checkAppend)
}

// What is decoded is encoded, and decoded again as the same.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"83a47479706500a464617461d40000a36e7370a32f7a7a", "84a47479706502a46461746192a568656c6c6fa178a2696400a36e7370a12f",
		"83a47479706502a46461746192a56263617374c40101a36e7370a12f", "82a47479706501a36e7370a12f",
		"83a47479706502a46461746195a165d7000000000000000000d40000c70300010203d501aabba36e7370a12f",
		"83a47479706502a46461746194a165cb3ff8000000000000cf0020000000000000d38000000000000000a36e7370a12f",
	} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := decode(in)
		if err != nil {
			return
		}
		if p.JSON != nil && !json.Valid(p.JSON) {
			t.Fatalf("%x became %s", in, p.JSON)
		}
		e, err := Codec.Encode(&p)
		if err != nil {
			t.Fatalf("%x can't be encoded again: %v", in, err)
		}
		q, err := decode(e.Binary[0])
		if err != nil || q.Type != p.Type || q.Namespace != p.Namespace || q.ID != p.ID || !reflect.DeepEqual(p.Attachments, q.Attachments) {
			t.Fatalf("%x came back as %x: %v", in, e.Binary[0], err)
		}
		if !bytes.Equal(p.JSON, q.JSON) {
			t.Fatalf("%s came back as %s", p.JSON, q.JSON)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	in, _ := hex.DecodeString("84a47479706502a46461746192a568656c6c6fa178a2696400a36e7370a12f")
	d := Codec.NewDecoder(parser.Limits{})
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Binary(in, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	payload, _ := parser.MarshalEvent("hello", "x", map[string]any{"a": 1})
	p := parser.Packet{Type: parser.Event, Namespace: "/", ID: 5, Payload: payload}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Codec.Encode(&p); err != nil {
			b.Fatal(err)
		}
	}
}
