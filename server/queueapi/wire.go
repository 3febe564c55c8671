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
type object struct{ b []byte }

// newObject returns one with room for members of a size beside the usual ones.
func newObject(size int) object { return object{append(make([]byte, 0, size+256), '{')} }

func (o *object) name(name string) {
	if len(o.b) > 1 {
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

// data writes the JSON of a payload, whose attachments are those of the whole object then.
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
	in := newObject(0)
	for _, k := range slices.Sorted(maps.Keys(headers)) {
		if len(in.b) > 1 {
			in.b = append(in.b, ',')
		}
		in.b = append(parser.AppendString(in.b, k), ':')
		in.b = parser.AppendString(in.b, headers[k])
	}
	o.b = append(append(o.b, in.b...), '}')
}

// with returns the object as data with the attachments of its payload.
func (o *object) with(p queues.Payload) parser.Payload {
	return parser.Payload{JSON: append(o.b, '}'), Attachments: p.Attachments}
}
