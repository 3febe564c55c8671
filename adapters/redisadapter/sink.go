package redisadapter

import (
	"strconv"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/parser/msgpack"
)

// sink writes a message value by value, as JSON or as MessagePack.
type sink interface {
	object(n int) // n times key and value follow, then end
	array(n int)  // n values follow, then end
	end()
	key(name string)
	text(s string)
	int(n int64)
	bool(v bool)
	payload(p parser.Payload) error
	bytes() []byte
}

// packSink is a sink of MessagePack.
type packSink struct{ dst []byte }

func (w *packSink) object(n int)    { w.dst = msgpack.AppendMap(w.dst, n) }
func (w *packSink) array(n int)     { w.dst = msgpack.AppendArray(w.dst, n) }
func (w *packSink) end()            {}
func (w *packSink) key(name string) { w.dst = msgpack.AppendString(w.dst, name) }
func (w *packSink) text(s string)   { w.dst = msgpack.AppendString(w.dst, s) }
func (w *packSink) int(n int64)     { w.dst = msgpack.AppendInt(w.dst, n) }
func (w *packSink) bool(v bool)     { w.dst = msgpack.AppendBool(w.dst, v) }
func (w *packSink) bytes() []byte   { return w.dst }

func (w *packSink) payload(p parser.Payload) (err error) {
	w.dst, err = msgpack.AppendPayload(w.dst, p)
	return err
}

// jsonSink is a sink of JSON.
type jsonSink struct {
	dst   []byte
	open  []byte // the brackets that are to be closed
	value bool   // something stands in front, so that a comma is due
}

func (w *jsonSink) comma() {
	if w.value {
		w.dst = append(w.dst, ',')
	}
	w.value = true
}

func (w *jsonSink) object(int) { w.begin('{', '}') }
func (w *jsonSink) array(int)  { w.begin('[', ']') }

func (w *jsonSink) begin(open, closing byte) {
	w.comma()
	w.dst = append(w.dst, open)
	w.open = append(w.open, closing)
	w.value = false
}

func (w *jsonSink) end() {
	last := len(w.open) - 1
	w.dst = append(w.dst, w.open[last])
	w.open = w.open[:last]
	w.value = true
}

func (w *jsonSink) key(name string) {
	w.comma()
	w.dst = append(parser.AppendString(w.dst, name), ':')
	w.value = false
}

func (w *jsonSink) text(s string) {
	w.comma()
	w.dst = parser.AppendString(w.dst, s)
}

func (w *jsonSink) int(n int64) {
	w.comma()
	w.dst = strconv.AppendInt(w.dst, n, 10)
}

func (w *jsonSink) bool(v bool) {
	w.comma()
	w.dst = strconv.AppendBool(w.dst, v)
}

func (w *jsonSink) bytes() []byte { return w.dst }

// payload writes p, with attachments as JavaScript's Buffer.toJSON has them.
func (w *jsonSink) payload(p parser.Payload) error {
	places, err := p.Placeholders()
	if err != nil {
		return err
	}
	if err := checkDepth(p); err != nil {
		return err
	}
	w.comma()
	from := 0
	for _, at := range places {
		w.dst = append(w.dst, p.JSON[from:at.Start]...)
		w.dst = appendBuffer(w.dst, p.Attachments[at.Num])
		from = at.End
	}
	w.dst = append(w.dst, p.JSON[from:]...)
	return nil
}

// checkDepth refuses what nests so deep that Node's recursion would end its
// process. Short texts can't.
func checkDepth(p parser.Payload) error {
	if len(p.JSON) < 2*payloadLimits.MaxDepth {
		return nil
	}
	return (&parser.Packet{Type: parser.Ack, Namespace: "/", ID: parser.NoID, Payload: list(p)}).Check(payloadLimits)
}
