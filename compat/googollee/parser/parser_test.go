package parser_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/roomcast/roomcast/compat/googollee/parser"
	wire "github.com/roomcast/roomcast/parser"
)

// By itself a Buffer is what JavaScript makes of one, and takes all forms.
func TestBufferJSON(t *testing.T) {
	for text, want := range map[string][]byte{
		`{"type":"Buffer","data":[1,255]}`: {1, 255},
		`{"type":"Buffer","data":[]}`:      {},
		`"AQI="`:                           {1, 2},
	} {
		var b parser.Buffer
		if err := json.Unmarshal([]byte(text), &b); err != nil || !bytes.Equal(b.Data, want) {
			t.Errorf("%s: %v, %v", text, b.Data, err)
		}
		if again, err := json.Marshal(b); err != nil || text[0] == '{' && string(again) != text {
			t.Errorf("%s became %s, %v", text, again, err)
		}
	}
	for _, text := range []string{`5`, `{"data":{}}`, `"no base64!"`} {
		if err := json.Unmarshal([]byte(text), new(parser.Buffer)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

// In arguments it is binary, as a value and as a pointer.
func TestBufferInArguments(t *testing.T) {
	b := parser.Buffer{Data: []byte{1}}
	p, err := wire.Marshal(b, &b, map[string]parser.Buffer{"k": b}, (*parser.Buffer)(nil))
	if err != nil {
		t.Fatal(err)
	}
	const ph = `{"_placeholder":true,"num":`
	if want := `[` + ph + `0},` + ph + `1},{"k":` + ph + `2}},null]`; string(p.JSON) != want || len(p.Attachments) != 3 {
		t.Errorf("%s, %d attachments", p.JSON, len(p.Attachments))
	}
	args, err := wire.ParseArgs(p)
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ K *parser.Buffer }
	if err := args.Decode(2, &back); err != nil || !bytes.Equal(back.K.Data, []byte{1}) {
		t.Errorf("%+v, %v", back, err)
	}
}
