package redisqueue

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/roomcast/roomcast/queues"
)

var contents = []content{
	{payload: queues.Payload{JSON: []byte(`{"a":1}`)}},
	{id: "id", headers: map[string]string{"k": "v"}, payload: queues.Payload{JSON: []byte("1"), Attachments: [][]byte{{1}, {}}}},
	{id: strings.Repeat("i", 64), topic: strings.Repeat("t", 128)},
}

func TestContent(t *testing.T) {
	for _, c := range contents {
		flags, body := c.appendBody(nil)
		r := &reader{b: body}
		got := r.content(flags)
		if len(got.payload.JSON) == 0 {
			got.payload.JSON = nil
		}
		if r.bad || !reflect.DeepEqual(got, c) {
			t.Errorf("%+v came back as %+v", c, got)
		}
	}
}

// What is stored in Redis may be anybody's: reading it fails, and no more.
func FuzzStored(f *testing.F) {
	for _, c := range contents {
		flags, body := c.appendBody(nil)
		record := append([]byte{0, 0, 0, 0, 0, 1, flags, 0, 0, 0, 1}, body...)
		f.Add(record)
		f.Add(append([]byte{flags, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1}, body...))
		f.Add(append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 'r', 0, 1, 't'}, record...))
	}
	f.Add(append(make([]byte, 27), "\x00\x04node\x00\x07session\x01ktext"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, err := parseRecord("q", 7, b)
		if err == nil && (m.ID == "" || m.Payload.Size() > len(b)) {
			t.Errorf("%q is %+v", b, m)
		}
		if m, err := parseEntry("i", 1, 2, b); err == nil && m.Payload.Size() > len(b) {
			t.Errorf("%q is %+v", b, m)
		}
		_, _ = parseTries(b)
		for _, state := range []queues.State{queues.Dead, queues.Leased} {
			_, _ = show("q", state, 1, b, b, time.Hour)
		}
		told(silent{}, "n", string(b))
		if !bytes.Equal(b, before) {
			t.Error("what was read has changed")
		}
	})
}

type silent struct{}

func (silent) Ready(string)                   {}
func (silent) Arrived(string)                 {}
func (silent) TakenOver(string, queues.Owner) {}
func (silent) Missed()                        {}
