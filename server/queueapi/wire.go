package queueapi

import (
	"maps"
	"slices"
	"strconv"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/queues"
)

// object is a JSON object that is written by hand: messages are many, and a map of their members
// would cost more than all else that is done with them here.
type object struct {
	b     []byte
	start int
}

// newObject begins one behind what is in dst, with room for members of a size beside the usual ones.
func newObject(dst []byte, size int) object {
	return object{append(slices.Grow(dst, size+256), '{'), len(dst)}
}

func (o *object) name(name string) {
	if len(o.b) > o.start+1 {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), name...), `":`...)
}

func (o *object) text(name, v string) {
	o.name(name)
	o.b = parser.AppendString(o.b, v)
}

func (o *object) number(name string, v int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, v, 10)
}

// data writes the JSON of a payload, whose attachments are those of the whole object.
func (o *object) data(name string, p queues.Payload) {
	o.name(name)
	if p.JSON == nil {
		o.b = append(o.b, "null"...)
		return
	}
	o.b = append(o.b, p.JSON...)
}

func (o *object) headers(headers map[string]string) {
	if len(headers) == 0 {
		return
	}
	o.name("headers")
	comma := byte('{')
	for _, k := range slices.Sorted(maps.Keys(headers)) {
		o.b = append(parser.AppendString(append(o.b, comma), k), ':')
		o.b = parser.AppendString(o.b, headers[k])
		comma = ','
	}
	o.b = append(o.b, '}')
}

// end returns what newObject was given, with the object behind it.
func (o *object) end() []byte { return append(o.b, '}') }

// argument is what writes an object as an argument of an event, with the attachments of its payload.
func argument(v parser.Appender, p queues.Payload) any {
	if len(p.Attachments) == 0 {
		return v
	}
	return parser.Payload{JSON: v.AppendValue(nil), Attachments: p.Attachments}
}
