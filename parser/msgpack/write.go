package msgpack

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strconv"

	"github.com/roomcast/roomcast/parser"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// AppendPayload appends p as one MessagePack value, with the attachments as
// bin in the places of their placeholders. Integers take the fewest bytes;
// numbers with a point, an exponent or more than 64 bits are float64. It fails
// if values nest deeper than 1,000 levels: decoders in JavaScript recurse.
func AppendPayload(dst []byte, p parser.Payload) ([]byte, error) {
	places, err := p.Placeholders() // and p.JSON is valid
	if err != nil {
		return dst, err
	}
	w := writer{text: p.JSON, dst: dst, places: places, attachments: p.Attachments}
	if !w.count() {
		return dst, errNesting
	}
	w.value()
	return w.dst, nil
}

// writer transcodes JSON that is known to be valid.
type writer struct {
	text        []byte
	pos         int
	dst         []byte
	places      []parser.Placeholder // those ahead
	attachments [][]byte
	lengths     []uint32 // of the arrays and objects ahead, in the order of their starts
}

const maxNesting = 1000

var errNesting = errors.New("msgpack: values nest too deep")

// count finds the lengths, which MessagePack wants first. It reports false if
// values nest too deep.
func (w *writer) count() bool {
	var open []int // places in lengths
	fresh := false // nothing yet in the innermost
	places := w.places
	for i := 0; i < len(w.text); i++ {
		c := w.text[i]
		switch c {
		case ' ', '\t', '\n', '\r', ':':
			continue
		case ']', '}':
			open = open[:len(open)-1]
			fresh = false
			continue
		case ',':
			w.lengths[open[len(open)-1]]++
			continue
		}
		if fresh {
			w.lengths[open[len(open)-1]]++
			fresh = false
		}
		switch {
		case len(places) > 0 && places[0].Start == i:
			i = places[0].End - 1
			places = places[1:]
		case c == '"':
			i = stringEnd(w.text, i) - 1
		case c == '[' || c == '{':
			open = append(open, len(w.lengths))
			w.lengths = append(w.lengths, 0)
			fresh = true
			if len(open) > maxNesting {
				return false
			}
		}
	}
	return true
}

// stringEnd returns where the string that starts at i ends.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// next skips spaces, commas and colons.
func (w *writer) next() byte {
	for {
		switch c := w.text[w.pos]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
			w.pos++
		default:
			return c
		}
	}
}

func (w *writer) value() {
	c := w.next()
	if len(w.places) > 0 && w.places[0].Start == w.pos {
		b := w.attachments[w.places[0].Num]
		w.dst = appendBytesHead(w.dst, len(b))
		w.dst = append(w.dst, b...)
		w.pos = w.places[0].End
		w.places = w.places[1:]
		return
	}
	switch c {
	case '"':
		w.string()
	case '[', '{':
		w.container(c)
	case 't':
		w.dst = append(w.dst, msgpcode.True)
		w.pos += len("true")
	case 'f':
		w.dst = append(w.dst, msgpcode.False)
		w.pos += len("false")
	case 'n':
		w.dst = append(w.dst, msgpcode.Nil)
		w.pos += len("null")
	default:
		w.number()
	}
}

func (w *writer) container(c byte) {
	n := w.lengths[0]
	w.lengths = w.lengths[1:]
	w.pos++
	if c == '[' {
		w.dst = appendArrayHead(w.dst, n)
		for range n {
			w.value()
		}
	} else {
		w.dst = appendMapHead(w.dst, n)
		for range n {
			w.value() // the key
			w.value()
		}
	}
	w.next() // to the bracket
	w.pos++
}

func (w *writer) string() {
	end := stringEnd(w.text, w.pos)
	raw := w.text[w.pos:end]
	w.pos = end
	for _, c := range raw {
		if c == '\\' {
			var s string
			_ = json.Unmarshal(raw, &s) // valid
			w.dst = appendString(w.dst, s)
			return
		}
	}
	w.dst = appendString(w.dst, string(raw[1:len(raw)-1]))
}

func (w *writer) number() {
	start := w.pos
	float := false
	for ; w.pos < len(w.text); w.pos++ {
		c := w.text[w.pos]
		if c == '.' || c == 'e' || c == 'E' {
			float = true
		} else if c-'0' > 9 && c != '-' && c != '+' {
			break
		}
	}
	text := string(w.text[start:w.pos])
	if !float {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			w.dst = appendInt(w.dst, n)
			return
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			w.dst = appendUint(w.dst, n)
			return
		}
	}
	f, _ := strconv.ParseFloat(text, 64) // out of range: infinity, as in JavaScript
	w.dst = append(w.dst, msgpcode.Double)
	w.dst = binary.BigEndian.AppendUint64(w.dst, math.Float64bits(f))
}

func appendUint(dst []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, msgpcode.Uint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, msgpcode.Uint16), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, msgpcode.Uint32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, msgpcode.Uint64), n)
}

func appendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, msgpcode.Int8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, msgpcode.Int16), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, msgpcode.Int32), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, msgpcode.Int64), uint64(n))
}

func appendString(dst []byte, s string) []byte {
	n := len(s)
	switch {
	case n < 32:
		dst = append(dst, msgpcode.FixedStrLow|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, msgpcode.Str8, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, msgpcode.Str16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, msgpcode.Str32), uint32(n))
	}
	return append(dst, s...)
}

func appendBytesHead(dst []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(dst, msgpcode.Bin8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, msgpcode.Bin16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, msgpcode.Bin32), uint32(n))
}

func appendArrayHead(dst []byte, n uint32) []byte {
	return appendHead(dst, n, msgpcode.FixedArrayLow, msgpcode.Array16)
}

func appendMapHead(dst []byte, n uint32) []byte {
	return appendHead(dst, n, msgpcode.FixedMapLow, msgpcode.Map16)
}

// appendHead appends the head of n elements; the code for 32 bits follows that for 16.
func appendHead(dst []byte, n uint32, fixed, wide byte) []byte {
	switch {
	case n < 16:
		return append(dst, fixed|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, wide), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, wide+1), n)
}
