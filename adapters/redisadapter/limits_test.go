package redisadapter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/roomcast/roomcast/parser"
)

// TestLatestIsBounded names a bug: beyond 10,000 uids, as a few nodes with thousands of namespaces have, each entry
// looked through all of them; and made up ones took memory for ten minutes.
func TestLatestIsBounded(t *testing.T) {
	var l latest
	for i := range 5 * uidsKept {
		l.note(fmt.Sprint(i), uint64(i+1))
		l.note("busy", uint64(i+1))
	}
	if n := len(l.young) + len(l.old); n > 2*uidsKept {
		t.Errorf("%d uids are kept", n)
	}
	if seq, known := l.of("busy"); !known || seq != 5*uidsKept {
		t.Error(seq, known)
	}
	if seq, known := l.of(fmt.Sprint(5*uidsKept - 1)); !known || seq != 5*uidsKept {
		t.Error(seq, known)
	}
	if _, known := l.of("0"); known {
		t.Error("the first one is still known")
	}
}

// The last one names a bug: what only began like Buffers, one in the other, was searched for its end from each of them.
func TestTakeBuffers(t *testing.T) {
	const begin = `{"type":"Buffer","data":[`
	deep := strings.Repeat(begin, 4000) + `"` + strings.Repeat("x", 4<<20) + `"` + strings.Repeat("]}", 4000)
	for _, c := range []struct {
		in, out string
		taken   [][]byte
	}{
		{`["a",` + begin + `]}]`, `["a",{"_placeholder":true,"num":0}]`, [][]byte{{}}},
		{`[` + begin + `1,255]},2,{"x":` + begin + `0]}}]`, `[{"_placeholder":true,"num":0},2,{"x":{"_placeholder":true,"num":1}}]`, [][]byte{{1, 255}, {0}}},
		{`["` + strings.ReplaceAll(begin, `"`, `\"`) + `1]}"]`, "", nil},
		{`[` + begin + `256]}]`, "", nil},
		{`[` + begin + `-1]}]`, "", nil},
		{`[` + begin + `1.5]}]`, "", nil},
		{`[` + begin + `1 ,2]}]`, "", nil},
		{`[` + begin + `1],"more":2}]`, "", nil},
		{`[` + begin + `"1"]}]`, "", nil},
		{`[` + deep + `]`, "", nil},
	} {
		if _, err := (parser.Payload{JSON: []byte(c.in)}).Placeholders(); err != nil {
			t.Fatal(err)
		}
		got := takeBuffers(parser.Payload{JSON: []byte(c.in)})
		if c.out == "" {
			c.out = c.in
		}
		if string(got.JSON) != c.out || len(got.Attachments) != len(c.taken) {
			t.Errorf("%.80s became %.80s with %d attachments", c.in, got.JSON, len(got.Attachments))
			continue
		}
		for i, b := range c.taken {
			if !bytes.Equal(got.Attachments[i], b) {
				t.Errorf("%s: attachment %d is %v", c.in, i, got.Attachments[i])
			}
		}
	}
}
