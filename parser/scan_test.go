package parser

import (
	"encoding/json"
	"strings"
	"testing"
)

var jsonForms = []string{
	`[]`, ` [ ] `, `[1]`, `["a",{"b":[null,true,false]},-0.5e+10,{}]`, `[[[]]]`, `{"a":1,"a":2}`, `"x"`, `0`, `-0`, `-`, `01`, `1.`, `1e`, `1e+`, `.5`,
	`tru`, `nul`, `[1,]`, `[,1]`, `{"a"}`, `{"a":}`, `{,}`, `{"a":1,}`, `[1 2]`, `[1]]`, ``, ` `, `"\u12"`, `"\u12g4"`, `"\x"`, "\"\t\"", "\"\x7f\"",
	`"abcdefgh\"ijklmnop\\"`, `"abcdefg\`, `"aaaaaaa` + "\x1f" + `"`, "\"\x80\xff\"", `"\ud800"`, "\ufeff[]", "[1\x00]", `[1}`, `{"a":1]`, `{1:2}`,
}

func TestScan(t *testing.T) {
	for _, s := range jsonForms {
		checkScan(t, []byte(s))
	}
	for _, n := range []int{9_999, 10_000, 10_001} {
		checkScan(t, []byte(strings.Repeat("[", n)+strings.Repeat("]", n)))
		checkScan(t, []byte(strings.Repeat(`{"":`, n)+"1"+strings.Repeat("}", n)))
	}
}

// checkScan compares the scanner with encoding/json.
func checkScan(t *testing.T, in []byte) {
	t.Helper()
	s := scanner{text: in, depth: maxDepth}
	err := s.only()
	if want := json.Valid(in); (err == nil) != want {
		t.Errorf("%.100q: %v, but encoding/json says valid %v", in, err, want)
	}
	if err == nil && s.depth != maxDepth {
		t.Errorf("%.100q: depth %d remains of %d", in, s.depth, maxDepth)
	}
	var e elements
	s = scanner{text: in, depth: maxDepth}
	if err := s.array(&e); err != nil {
		return
	}
	var want []json.RawMessage
	if err := json.Unmarshal(in, &want); err != nil {
		t.Errorf("%.100q is no array: %v", in, err)
	}
	if e.n != len(want) {
		t.Fatalf("%.100q: %d elements, want %d", in, e.n, len(want))
	}
	for i, w := range want {
		if got := string(e.at(i).of(in)); got != string(w) {
			t.Errorf("%.100q: element %d is %q, want %q", in, i, got, w)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range jsonForms {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) { checkScan(t, in) })
}
