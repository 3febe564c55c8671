package redisadapter

import (
	"encoding/base64"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// Fields of a stream's entries. The first four are the official ones; Node
// ignores the others, and whole entries without nsp.
//
//	uid 75b7814d6785816e nsp / type 3 data {"packet":…} seq 17
const (
	fieldUID   = "uid"
	fieldNsp   = "nsp"
	fieldType  = "type"
	fieldData  = "data"
	fieldSeq   = "seq"   // number of the entry among those of its node and stream
	fieldAgain = "again" // it may be there already, behind this id
	fieldHello = "hello" // a node has begun to read; the value is its id
	fieldTaken = "taken" // notices of sessions that were taken over
	fieldFrom  = "from"  // the node from which
)

// maxUID is how long a uid is at most for its entries to be counted. Ours have 16 characters.
const maxUID = 64

// entry is a stream's entry as it was read.
type entry struct {
	at    adapters.Offset
	uid   string
	nsp   string
	kind  kind
	data  string
	seq   uint64
	again string
	taken string
	from  string
}

func readEntry(m redis.XMessage) (e entry, ok bool) {
	text := func(name string) string { s, _ := m.Values[name].(string); return s }
	if e.at, ok = adapters.ParseOffset(m.ID); !ok {
		return e, false
	}
	e.uid, e.nsp, e.data = text(fieldUID), text(fieldNsp), text(fieldData)
	n, _ := strconv.Atoi(text(fieldType))
	e.kind = kind(n)
	if len(e.uid) <= maxUID {
		e.seq, _ = strconv.ParseUint(text(fieldSeq), 10, 64)
	}
	e.again, e.taken, e.from = text(fieldAgain), text(fieldTaken), text(fieldFrom)
	return e, true
}

// message decodes what the entry says.
func (e *entry) message(limit int) (*message, error) {
	if len(e.data) > limit {
		return nil, malformed("too large")
	}
	data := []byte(e.data)
	if len(data) > 0 && data[0] != '{' {
		var err error
		if data, err = base64.StdEncoding.AppendDecode(nil, data); err != nil {
			return nil, malformed("not base64")
		}
	}
	s, err := newSource(data)
	if err != nil {
		return nil, err
	}
	m := &message{kind: e.kind, uid: e.uid, namespace: e.nsp}
	if err := readData(s, m); err != nil {
		return nil, err
	}
	return m, s.end()
}

// fields returns the entry's fields for m.
func fields(m *message) (list []any, size int, err error) {
	var w sink
	packed := (m.kind == kindBroadcast || m.kind == kindServerEmit) && m.binary()
	if packed {
		w = &packSink{dst: make([]byte, 0, m.size())}
	} else {
		w = &jsonSink{dst: make([]byte, 0, m.size())}
	}
	if err := writeData(w, m); err != nil {
		return nil, 0, err
	}
	data := w.bytes()
	if packed {
		data = base64.StdEncoding.AppendEncode(nil, data)
	}
	return []any{fieldUID, m.uid, fieldNsp, m.namespace, fieldType, strconv.Itoa(int(m.kind)), fieldData, data}, len(data) + 128, nil
}
