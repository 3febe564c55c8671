package parser

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// vectors is testdata/node.json: what the official parser does. See generate.js.
type vectors struct {
	Decode []struct {
		Messages []any
		Packet   *nodePacket
		Error    string
		Pending  bool
	}
	Encode []struct {
		Packet   nodePacket
		Messages []any
	}
	Numbers [][2]string
}

type nodePacket struct {
	Type Type
	NSP  string
	ID   *float64 // some are too large for int64
	Data any
}

func (p *nodePacket) id() int64 {
	if p.ID == nil {
		return NoID
	}
	return int64(*p.ID)
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile("testdata/node.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// bytesIn turns {"$bytes":"AQ=="} into []byte, at any depth.
func bytesIn(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = bytesIn(v[i])
		}
		return list
	case map[string]any:
		if text, ok := v["$bytes"].(string); ok && len(v) == 1 {
			b, _ := base64.StdEncoding.DecodeString(text)
			return b
		}
		m := make(map[string]any)
		for k := range v {
			m[k] = bytesIn(v[k])
		}
		return m
	}
	return v
}

// stricter are messages that the official parser takes and ours refuses, or
// refuses in other words.
var stricter = map[string]error{
	// digits are digits
	`51e0-[]`: ErrIllegalCount,
	`50x1-[]`: ErrIllegalCount,
	`5+1-[]`:  ErrIllegalCount,
	`51 -["e",{"_placeholder":true,"num":0}]`: ErrIllegalCount,
	// ids above 2^53-1 lose digits in JavaScript
	`29007199254740992["x"]`:     ErrInvalidID,
	`299999999999999999999["x"]`: ErrInvalidID,
	// each attachment has exactly one placeholder (security.md row 8)
	`51-["e",{"_placeholder":true,"num":0.5}]`:                             ErrIllegalAttachments,
	`51-["e",{"_placeholder":true,"num":1e0}]`:                             ErrIllegalAttachments,
	`51-["e",{"_placeholder":true,"num":-0}]`:                              ErrIllegalAttachments,
	`51-["e",{"_placeholder":true,"num":1,"num":0}]`:                       ErrIllegalAttachments,
	`51-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]`: ErrIllegalAttachments,
	`51-["e"]`:                               ErrIllegalAttachments,
	`51-`:                                    ErrIllegalAttachments,
	`52-["e",{"_placeholder":true,"num":0}]`: ErrIllegalAttachments,
}

// otherwise are messages that both take, with another result.
var otherwise = map[string]string{
	`2 ["x"]`:      "space in front of the JSON is an ack id of 0 there",
	`2["a",1e400]`: "a float64 can't hold it: infinity there, an error of Decode here",
}

func TestDecodeAsNode(t *testing.T) {
	for _, v := range readVectors(t).Decode {
		first, _ := v.Messages[0].(string)
		p, ok, err := feed(JSON.NewDecoder(Limits{}), v.Messages)
		if want := stricter[first]; want != nil {
			if !errors.Is(err, want) {
				t.Errorf("%q: error %v, want %v", v.Messages, err, want)
			}
			continue
		}
		if v.Error != "" {
			if err == nil || err.Error() != v.Error && !(strings.HasPrefix(err.Error(), v.Error+": ") && errors.Is(err, ErrInvalidPayload)) {
				t.Errorf("%q: error %v, want %v", v.Messages, err, v.Error)
			}
			continue
		}
		if err != nil || ok == v.Pending {
			t.Errorf("%q: ok %v, error %v", v.Messages, ok, err)
			continue
		}
		if v.Pending || otherwise[first] != "" {
			continue
		}
		if p.Type != v.Packet.Type || p.Namespace != v.Packet.NSP || p.ID != v.Packet.id() {
			t.Errorf("%q: %v %q %d, want %v %q %d", v.Messages, p.Type, p.Namespace, p.ID, v.Packet.Type, v.Packet.NSP, v.Packet.id())
		}
		if got, want := dataOf(t, &p), bytesIn(v.Packet.Data); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: data %#v, want %#v", v.Messages, got, want)
		}
	}
}

// TestSpaceBeforeJSON pins what otherwise says.
func TestSpaceBeforeJSON(t *testing.T) {
	p, ok, err := JSON.NewDecoder(Limits{}).Text([]byte(`2 ["x"]`), false)
	if err != nil || !ok || p.ID != NoID || p.Event() != "x" {
		t.Errorf("got %v %v %v", p, ok, err)
	}
}

func TestHugeNumber(t *testing.T) {
	p, _, err := JSON.NewDecoder(Limits{}).Text([]byte(`2["x",1e400]`), false)
	if err != nil {
		t.Fatal(err)
	}
	var f float64
	if err := p.Args().Decode(0, &f); err == nil {
		t.Errorf("1e400 was decoded as %v", f)
	}
	if raw := string(p.Args().Raw(0)); raw != "1e400" {
		t.Errorf("raw %q", raw)
	}
}

// feed hands messages to d, and returns what the last one gave or the first error.
func feed(d Decoder, messages []any) (p Packet, ok bool, err error) {
	for _, m := range messages {
		if s, isText := m.(string); isText {
			p, ok, err = d.Text([]byte(s), false)
		} else {
			p, ok, err = d.Binary(bytesIn(m).([]byte), false)
		}
		if err != nil {
			return p, ok, err
		}
	}
	return p, ok, nil
}

// dataOf decodes all data of p.
func dataOf(t *testing.T, p *Packet) any {
	t.Helper()
	if p.JSON == nil {
		return nil
	}
	if p.Type != Event && p.Type != Ack {
		var v any
		if err := json.Unmarshal(p.JSON, &v); err != nil {
			t.Error(err)
		}
		return v
	}
	list := []any{}
	if p.Type == Event {
		var name any
		if err := json.Unmarshal(p.elems.at(0).of(p.JSON), &name); err != nil {
			t.Error(err)
		}
		list = append(list, name)
	}
	a := p.Args()
	for i := range a.Len() {
		var v any
		if err := a.Decode(i, &v); err != nil {
			t.Error(err)
		}
		list = append(list, v)
	}
	return list
}

func TestEncodeAsNode(t *testing.T) {
	for _, v := range readVectors(t).Encode {
		p := Packet{Type: v.Packet.Type, Namespace: v.Packet.NSP, ID: v.Packet.id()}
		var err error
		switch data := bytesIn(v.Packet.Data).(type) {
		case nil:
		case []any:
			if p.Type == Event {
				p.Payload, err = MarshalEvent(data[0].(string), data[1:]...)
			} else {
				p.Payload, err = Marshal(data...)
			}
		default:
			p.Payload, err = MarshalValue(data)
		}
		if err != nil {
			t.Errorf("%v: %v", v.Packet, err)
			continue
		}
		e, err := JSON.Encode(&p)
		if err != nil {
			t.Errorf("%v: %v", v.Packet, err)
			continue
		}
		got := []any{string(e.Text)}
		for _, b := range e.Binary {
			got = append(got, b)
		}
		if want := bytesIn(v.Messages); !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNumbersAsNode(t *testing.T) {
	for _, v := range readVectors(t).Numbers {
		f := parseFloat(t, v[0])
		if got := string(AppendFloat(nil, f)); got != v[1] {
			t.Errorf("%s: %s, want %s", v[0], got, v[1])
		}
	}
}
