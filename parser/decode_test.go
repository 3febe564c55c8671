package parser

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func parseFloat(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const ph0, ph1 = `{"_placeholder":true,"num":0}`, `{"_placeholder":true,"num":1}`

func TestLimits(t *testing.T) {
	nested := func(n int) string {
		return `2["x",` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "]"
	}
	eleven := `511-["e"`
	for i := range 11 {
		eleven += `,{"_placeholder":true,"num":` + strconv.Itoa(i) + "}"
	}
	eleven += "]"
	tests := []struct {
		name   string
		limits Limits
		in     string
		want   error
	}{
		{"depth 64", Limits{}, nested(64), nil},
		{"depth 65", Limits{}, nested(65), ErrInvalidPayload},
		{"depth 3 of 3", Limits{MaxDepth: 3}, nested(3), nil},
		{"depth 4 of 3", Limits{MaxDepth: 3}, nested(4), ErrInvalidPayload},
		{"depth 9999 without limit", Limits{MaxDepth: -1}, nested(9999), nil},
		{"depth 10001 without limit", Limits{MaxDepth: -1}, nested(10001), ErrInvalidPayload},
		{"a megabyte of [", Limits{}, "2" + strings.Repeat("[", 1<<20), ErrInvalidPayload},
		{"a megabyte of [ without limit", Limits{MaxDepth: -1}, "2" + strings.Repeat("[", 1<<20), ErrInvalidPayload},
		{"depth of objects", Limits{MaxDepth: 2}, `2["x",{"a":{}}]`, ErrInvalidPayload},
		{"depth of an object as data", Limits{MaxDepth: 2}, `0{"a":{"b":{}}}`, ErrInvalidPayload},
		{"event name 128", Limits{}, `2["` + strings.Repeat("n", 128) + `"]`, nil},
		{"event name 129", Limits{}, `2["` + strings.Repeat("n", 129) + `"]`, ErrEventTooLong},
		{"event name off", Limits{MaxEventName: -1}, `2["` + strings.Repeat("n", 1000) + `"]`, nil},
		{"number as name 129", Limits{}, `2[` + strings.Repeat("1", 129) + `]`, ErrEventTooLong},
		{"namespace 255", Limits{}, "0/" + strings.Repeat("n", 254), nil},
		{"namespace 256", Limits{}, "0/" + strings.Repeat("n", 255) + ",", ErrNamespaceTooLong},
		{"namespace 255 and a query", Limits{}, "0/" + strings.Repeat("n", 254) + "?" + strings.Repeat("q", 16<<10), nil},
		{"namespace 256 and a query", Limits{}, "0/" + strings.Repeat("n", 255) + "?q", ErrNamespaceTooLong},
		{"a query too long", Limits{}, "0/n?" + strings.Repeat("q", 16<<10+1), ErrNamespaceTooLong},
		{"a query elsewhere", Limits{}, "2/n?" + strings.Repeat("q", 300) + `,["x"]`, ErrNamespaceTooLong},
		{"namespace off", Limits{MaxNamespace: -1}, "0/" + strings.Repeat("n", 1000), nil},
		{"attachments 10", Limits{}, strings.Replace(strings.Replace(eleven, "511-", "510-", 1), `,{"_placeholder":true,"num":10}`, "", 1), nil},
		{"attachments 11", Limits{}, eleven, ErrTooManyAttachments},
		{"attachments 11 of 11", Limits{MaxAttachments: 11}, eleven, nil},
		{"attachments off", Limits{MaxAttachments: -1}, eleven, nil},
		{"attachments off, a count without placeholders", Limits{MaxAttachments: -1}, `51000000000-["e"]`, ErrTooManyAttachments},
		{"attachments 3 of 2", Limits{MaxAttachments: 2}, `53-["hello",` + ph0 + `,` + ph1 + `,{"_placeholder":true,"num":2}]`, ErrTooManyAttachments},
		{"invalid UTF-8", Limits{}, "2[\"\xff\"]", ErrInvalidPayload},
		{"surrogate in UTF-8", Limits{}, "2[\"\xed\xa0\x80\"]", ErrInvalidPayload},
		{"invalid UTF-8 in a namespace", Limits{}, "0/\xff,", ErrInvalidNamespace},
		{"id 2^64", Limits{}, `218446744073709551616["x"]`, ErrInvalidID},
		{"empty", Limits{}, "", ErrUnknownType},
	}
	for _, tt := range tests {
		_, _, err := JSON.NewDecoder(tt.limits).Text([]byte(tt.in), false)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestAttachmentBytes(t *testing.T) {
	head := []byte(`52-["e",` + ph0 + `,` + ph1 + `]`)
	for _, tt := range []struct {
		limit, first, second int
		want                 error
	}{
		{5, 2, 3, nil}, {5, 3, 3, ErrAttachmentsTooLong}, {5, 6, 0, ErrAttachmentsTooLong},
		{0, 1_000_000, 0, nil}, {0, 1_000_000, 1, ErrAttachmentsTooLong}, {-1, 1_000_000, 1, nil},
	} {
		d := JSON.NewDecoder(Limits{MaxAttachmentBytes: tt.limit})
		if _, _, err := d.Text(head, false); err != nil {
			t.Fatal(err)
		}
		_, _, err := d.Binary(make([]byte, tt.first), false)
		if err == nil {
			_, _, err = d.Binary(make([]byte, tt.second), false)
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%+v: error %v", tt, err)
		}
	}
}

func TestStrictKeys(t *testing.T) {
	for in, unsafe := range map[string]bool{
		`2["e",{"__proto__":{"admin":true}}]`:           true,
		`2["e",[{"a":[{"constructor":1}]}]]`:            true,
		`31[{"prototype":null}]`:                        true,
		`0{"a":{"__proto__":1}}`:                        true,
		`2["e",{"\u005f_proto__":1}]`:                   true,
		`2["e",{"__proto__ ":1,"Constructor":2,"":3}]`:  false,
		`2["__proto__","constructor",["prototype"]]`:    false,
		`2["e",{"proto":"__proto__","a\"__proto__":1}]`: false,
	} {
		for _, strict := range []bool{true, false} {
			p, _, err := JSON.NewDecoder(Limits{StrictKeys: strict}).Text([]byte(in), false)
			if err != nil || p.UnsafeKeys() != (unsafe && strict) {
				t.Errorf("%s, strict %v: %v, %v", in, strict, p.UnsafeKeys(), err)
			}
		}
	}
	d := JSON.NewDecoder(Limits{StrictKeys: true})
	d.Text([]byte(`51-["e",{"__proto__":`+ph0+`}]`), false)
	if p, ok, err := d.Binary([]byte{1}, true); !ok || err != nil || !p.UnsafeKeys() {
		t.Error("the keys of a packet with attachments are forgotten", ok, err)
	}
}

// A thousand placeholders of one attachment turned 100 kB into 100 MB when
// they were echoed by the official parser.
func TestPlaceholderReuse(t *testing.T) {
	in := `51-["e"` + strings.Repeat(","+ph0, 1000) + "]"
	d := JSON.NewDecoder(Limits{})
	if _, _, err := d.Text([]byte(in), false); !errors.Is(err, ErrIllegalAttachments) {
		t.Errorf("error %v", err)
	}
	if d.Pending() {
		t.Error("the packet waits for its attachment")
	}
}

func TestPending(t *testing.T) {
	d := JSON.NewDecoder(Limits{})
	p, ok, err := d.Text([]byte(`52-/a,7["e",`+ph0+`,`+ph1+`]`), false)
	if err != nil || ok || !d.Pending() {
		t.Fatal(ok, err, d.Pending())
	}
	if p.Type != Event || p.Namespace != "/a" || p.ID != 7 {
		t.Errorf("the head is %v %q %d", p.Type, p.Namespace, p.ID)
	}
	d.Binary([]byte{1}, false)
	d.Reset()
	if d.Pending() {
		t.Error("pending after Reset")
	}
	if p, ok, err = d.Text([]byte(`2["hello"]`), false); err != nil || !ok || p.Event() != "hello" {
		t.Errorf("after Reset: %v %v %v", p, ok, err)
	}
}

// What isn't owned is copied; what is owned is kept.
func TestOwnership(t *testing.T) {
	for _, owned := range []bool{false, true} {
		text, data := []byte(`51-/a,["e",`+ph0+`,"text"]`), []byte("data")
		d := JSON.NewDecoder(Limits{})
		d.Text(text, owned)
		p, _, err := d.Binary(data, owned)
		if err != nil {
			t.Fatal(err)
		}
		clear(text)
		clear(data)
		if kept := p.JSON[0] == 0; kept != owned {
			t.Errorf("owned %v: text kept %v", owned, kept)
		}
		if kept := p.Attachments[0][0] == 0; kept != owned {
			t.Errorf("owned %v: attachment kept %v", owned, kept)
		}
		if p.Namespace != "/a" {
			t.Errorf("owned %v: namespace %q", owned, p.Namespace)
		}
	}
}

func TestSyntaxErrorOffset(t *testing.T) {
	_, _, err := JSON.NewDecoder(Limits{}).Text([]byte(`2/a,12["x",}]`), false)
	var s *SyntaxError
	if !errors.As(err, &s) || s.Offset != 11 {
		t.Errorf("error %v", err)
	}
}

func TestEventName(t *testing.T) {
	for in, want := range map[string]string{
		`2["x"]`: "x", `2[ "x" ]`: "x", `2["a\u0062"]`: "ab", `2[5]`: "5", `2[1.50,2]`: "1.50", `2`: "", `2[""]`: "", `3["x"]`: "", `0{}`: "",
	} {
		p, ok, err := JSON.NewDecoder(Limits{}).Text([]byte(in), false)
		if err != nil || !ok {
			t.Errorf("%s: %v", in, err)
		}
		if p.Event() != want {
			t.Errorf("%s: event %q, want %q", in, p.Event(), want)
		}
	}
}

// A packet that was put together by hand finds its arguments by itself.
func TestPacketByHand(t *testing.T) {
	payload, err := MarshalEvent("say", "hi", 5)
	if err != nil {
		t.Fatal(err)
	}
	p := Packet{Type: Event, Payload: payload}
	if p.Event() != "say" || p.Args().Len() != 2 || string(p.Args().Raw(1)) != "5" {
		t.Errorf("%q %d", p.Event(), p.Args().Len())
	}
	if p := (Packet{Type: Event, Payload: Payload{JSON: []byte(`["a",`)}}); p.Event() != "" || p.Args().Len() != 0 {
		t.Error("arguments were found in text that is not JSON")
	}
}

func TestCheck(t *testing.T) {
	ok := func(typ Type, text string) Packet {
		p := Packet{Type: typ, Namespace: "/", ID: NoID}
		if text != "" {
			p.JSON = []byte(text)
		}
		return p
	}
	for _, tt := range []struct {
		name string
		p    Packet
		want error
	}{
		{"CONNECT", ok(Connect, ""), nil},
		{"CONNECT with a string", ok(Connect, `"invalid"`), ErrInvalidPayload},
		{"CONNECT with an array", ok(Connect, `[]`), ErrInvalidPayload},
		{"DISCONNECT with an object", ok(Disconnect, `{}`), ErrInvalidPayload},
		{"EVENT with a string", ok(Event, `"invalid"`), ErrInvalidPayload},
		{"EVENT with an object", ok(Event, `{"toString":"foo"}`), ErrInvalidPayload},
		{"EVENT with true", ok(Event, `[true,"foo"]`), ErrInvalidPayload},
		{"EVENT with null", ok(Event, `[null,"bar"]`), ErrInvalidPayload},
		{"EVENT connect", ok(Event, `["connect"]`), ErrInvalidPayload},
		{"EVENT disconnect", ok(Event, `["disconnect","123"]`), ErrInvalidPayload},
		{"EVENT", ok(Event, `["a"]`), nil},
		{"type 5", ok(BinaryEvent, `["a"]`), ErrUnknownType},
		{"namespace", Packet{Type: Connect, Namespace: "a", ID: NoID}, ErrInvalidNamespace},
		{"id", Packet{Type: Ack, Namespace: "/", ID: 1 << 53}, ErrInvalidID},
		{"attachment without a placeholder", Packet{Type: Ack, Namespace: "/", Payload: Payload{[]byte("[]"), [][]byte{{1}}}}, ErrIllegalAttachments},
		{"attachment without data", Packet{Type: Ack, Namespace: "/", Payload: Payload{nil, [][]byte{{1}}}}, ErrIllegalAttachments},
		{"attachment in auth", Packet{Type: Connect, Namespace: "/", Payload: Payload{[]byte(`{"a":` + ph0 + `}`), [][]byte{{1}}}}, nil},
	} {
		if err := tt.p.Check(Limits{}); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
}

var wireForms = []string{
	`0`, `0/admin,`, `0/admin,{"token":"x"}`, `0{"sid":"abc"}`, `1`, `1/admin,`, `2["foo",1]`, `2/admin,12["foo"]`, `2`, `2[5,"x"]`,
	`35[]`, `3/admin,13["bar"]`, `4/admin,{"message":"no","data":{}}`, `4"bad"`, `51-["e",` + ph0 + `]`,
	`52-/a,7["e",` + ph0 + `,{"k":` + ph1 + `}]`, `61-7[1,` + ph0 + `]`, `2["a\u0062","é😀"]`, `2 [ "x" , 1e5 ] `,
}

func FuzzDecode(f *testing.F) {
	for _, s := range wireForms {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d := JSON.NewDecoder(Limits{MaxDepth: -1})
		p, ok, err := d.Text(slices.Clone(in), false)
		for n := byte(0); err == nil && !ok; n++ {
			p, ok, err = d.Binary([]byte{n}, false)
		}
		if err != nil {
			return
		}
		if p.JSON != nil && !json.Valid(p.JSON) {
			t.Fatalf("%q was taken", p.JSON)
		}
		p.Event()
		a := p.Args()
		for i := range a.Len() {
			if !json.Valid(a.Raw(i)) {
				t.Fatalf("argument %d of %q is %q", i, in, a.Raw(i))
			}
			var v any
			_ = a.Decode(i, &v)
		}
		e, err := JSON.Encode(&p)
		if err != nil {
			t.Fatalf("%q can't be encoded again: %v", in, err)
		}
		q, ok, err := d.Text(e.Text, false)
		for _, b := range e.Binary {
			q, ok, err = d.Binary(b, false)
		}
		if err != nil || !ok || q.Type != p.Type || q.Namespace != p.Namespace || q.ID != p.ID || !bytes.Equal(q.JSON, p.JSON) {
			t.Fatalf("%q came back as %q: %v", in, e.Text, err)
		}
	})
}
