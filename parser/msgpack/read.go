package msgpack

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/roomcast/roomcast/parser"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Read decodes the MessagePack value that b starts with, and returns what
// follows it. The JSON of the payload is nil if the value is undefined.
// Attachments alias b.
//
// Binary values and typed arrays (ext type 0) become attachments. fixext 1 of
// type 0 is undefined: null in an array, no member in a map. fixext 8 of type 0
// is a date. Other ext values come as [type, attachment]. Map keys must be
// strings. Of limits, MaxDepth and MaxAttachments apply.
func Read(b []byte, limits parser.Limits) (p parser.Payload, rest []byte, err error) {
	if limits.MaxAttachments == 0 {
		limits.MaxAttachments = maxAttachments
	}
	limits = limits.Resolved()
	r := reader{buf: b, depth: limits.MaxDepth, owned: true, max: limits.MaxAttachments}
	if p, err = r.payload(); err != nil {
		return parser.Payload{}, nil, err
	}
	return p, b[r.pos:], nil
}

// state says what came of a member of the packet.
type state byte

const (
	absent  state = iota // or undefined
	present              // and of the right type
	wrong                // of another type
)

// reader reads MessagePack. Lengths are checked against what is left of buf
// before anything is allocated for them.
type reader struct {
	buf   []byte
	pos   int
	depth int  // how much deeper arrays and maps may nest
	owned bool // attachments may alias buf
	max   int  // attachments

	timestamps bool // ext type -1 is a date

	json        []byte
	attachments [][]byte
}

func (r *reader) fail(msg string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrParse, msg, r.pos)
}

// take returns the next n bytes.
func (r *reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.buf)-r.pos) {
		return nil, r.fail("unexpected end")
	}
	b := r.buf[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b, nil
}

// uint reads an integer of size bytes.
func (r *reader) uint(size int) (uint64, error) {
	b, err := r.take(uint64(size))
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n, err
}

// kind is what a value is, whatever its width.
type kind byte

const (
	nilKind kind = iota
	falseKind
	trueKind
	intKind
	uintKind // above the highest int64
	floatKind
	strKind
	binKind
	extKind
	arrayKind
	mapKind
)

// head is the start of a value, up to the bytes or the elements that follow.
type head struct {
	kind  kind
	n     uint64 // length, or the number's bits
	ext   int8
	fixed bool // ext in the form without a length: type 0 has other meanings there
	float float64
}

func (r *reader) head() (h head, err error) {
	b, err := r.take(1)
	if err != nil {
		return h, err
	}
	switch c := b[0]; {
	case c <= msgpcode.PosFixedNumHigh:
		return head{kind: intKind, n: uint64(c)}, nil
	case c >= msgpcode.NegFixedNumLow:
		return head{kind: intKind, n: uint64(int8(c))}, nil
	case msgpcode.IsFixedMap(c):
		return head{kind: mapKind, n: uint64(c & msgpcode.FixedMapMask)}, nil
	case msgpcode.IsFixedArray(c):
		return head{kind: arrayKind, n: uint64(c & msgpcode.FixedArrayMask)}, nil
	case msgpcode.IsFixedString(c):
		return head{kind: strKind, n: uint64(c & msgpcode.FixedStrMask)}, nil
	case c >= msgpcode.Uint8 && c <= msgpcode.Uint64:
		h.kind = intKind
		h.n, err = r.uint(1 << (c - msgpcode.Uint8))
		if h.n > math.MaxInt64 {
			h.kind = uintKind
		}
	case c >= msgpcode.Int8 && c <= msgpcode.Int64:
		size := 1 << (c - msgpcode.Int8)
		h.kind = intKind
		h.n, err = r.uint(size)
		shift := 64 - 8*size
		h.n = uint64(int64(h.n<<shift) >> shift)
	default:
		return r.longHead(c)
	}
	return h, err
}

func (r *reader) longHead(c byte) (h head, err error) {
	size := 0 // of the length
	switch c {
	case msgpcode.Nil:
		return head{kind: nilKind}, nil
	case msgpcode.False:
		return head{kind: falseKind}, nil
	case msgpcode.True:
		return head{kind: trueKind}, nil
	case msgpcode.Float:
		n, err := r.uint(4)
		return head{kind: floatKind, float: float64(math.Float32frombits(uint32(n)))}, err
	case msgpcode.Double:
		n, err := r.uint(8)
		return head{kind: floatKind, float: math.Float64frombits(n)}, err
	case msgpcode.Str8, msgpcode.Str16, msgpcode.Str32:
		h.kind, size = strKind, 1<<(c-msgpcode.Str8)
	case msgpcode.Bin8, msgpcode.Bin16, msgpcode.Bin32:
		h.kind, size = binKind, 1<<(c-msgpcode.Bin8)
	case msgpcode.Array16, msgpcode.Array32:
		h.kind, size = arrayKind, 2<<(c-msgpcode.Array16)
	case msgpcode.Map16, msgpcode.Map32:
		h.kind, size = mapKind, 2<<(c-msgpcode.Map16)
	case msgpcode.Ext8, msgpcode.Ext16, msgpcode.Ext32:
		h.kind, size = extKind, 1<<(c-msgpcode.Ext8)
	case msgpcode.FixExt1, msgpcode.FixExt2, msgpcode.FixExt4, msgpcode.FixExt8, msgpcode.FixExt16:
		h.kind, h.n, h.fixed = extKind, 1<<(c-msgpcode.FixExt1), true
	default:
		return h, r.fail("unknown type")
	}
	if size > 0 {
		if h.n, err = r.uint(size); err != nil {
			return h, err
		}
	}
	if h.kind == extKind {
		b, err := r.take(1)
		if err != nil {
			return h, err
		}
		h.ext = int8(b[0])
	}
	return h, nil
}

// payload reads a value as JSON and attachments.
func (r *reader) payload() (parser.Payload, error) {
	rest := len(r.buf) - r.pos
	r.json = make([]byte, 0, min(rest+rest/8+16, 4096))
	r.attachments = nil
	defined, err := r.value()
	if err != nil || !defined {
		return parser.Payload{}, err
	}
	return parser.Payload{JSON: r.json, Attachments: r.attachments}, nil
}

// value appends one value to r.json, unless it is undefined.
func (r *reader) value() (defined bool, err error) {
	h, err := r.head()
	if err != nil {
		return false, err
	}
	switch h.kind {
	case nilKind:
		r.json = append(r.json, "null"...)
	case falseKind:
		r.json = append(r.json, "false"...)
	case trueKind:
		r.json = append(r.json, "true"...)
	case intKind:
		r.json = strconv.AppendInt(r.json, int64(h.n), 10)
	case uintKind:
		r.json = strconv.AppendUint(r.json, h.n, 10)
	case floatKind:
		r.float(h.float)
	case strKind:
		var s []byte
		if s, err = r.utf8(h.n); err == nil {
			r.json = parser.AppendString(r.json, string(s))
		}
	case binKind:
		err = r.attach(h.n)
	case extKind:
		return r.extension(h)
	case arrayKind:
		err = r.array(h.n)
	case mapKind:
		err = r.object(h.n)
	}
	return true, err
}

// float keeps the point, so that 1.0 is not taken for an integer.
func (r *reader) float(f float64) {
	start := len(r.json)
	r.json = parser.AppendFloat(r.json, f)
	if f == math.Trunc(f) && !math.IsInf(f, 0) {
		for _, c := range r.json[start:] {
			if c == 'e' {
				return
			}
		}
		r.json = append(r.json, ".0"...)
	}
}

func (r *reader) utf8(n uint64) ([]byte, error) {
	s, err := r.take(n)
	if err == nil && !utf8.Valid(s) {
		return nil, r.fail("invalid UTF-8 before")
	}
	return s, err
}

func (r *reader) attach(n uint64) error {
	b, err := r.take(n)
	if err != nil {
		return err
	}
	if len(r.attachments) >= r.max {
		return parser.ErrTooManyAttachments
	}
	if !r.owned {
		b = append(make([]byte, 0, len(b)), b...)
	}
	r.json = parser.AppendPlaceholder(r.json, len(r.attachments))
	r.attachments = append(r.attachments, b)
	return nil
}

func (r *reader) extension(h head) (defined bool, err error) {
	if h.ext == 0 {
		switch {
		case !h.fixed:
			return true, r.attach(h.n)
		case h.n == 1:
			_, err = r.take(1)
			return false, err
		case h.n == 8:
			ms, err := r.uint(8)
			r.json = appendDate(r.json, int64(ms))
			return true, err
		}
	}
	if h.ext == -1 && r.timestamps && (h.n == 4 || h.n == 8 || h.n == 12) {
		return true, r.timestamp(h.n)
	}
	r.json = append(r.json, '[')
	r.json = strconv.AppendInt(r.json, int64(h.ext), 10)
	r.json = append(r.json, ',')
	err = r.attach(h.n)
	r.json = append(r.json, ']')
	return true, err
}

// timestamp reads the time of MessagePack's own extension in its form of size bytes.
func (r *reader) timestamp(size uint64) error {
	var sec int64
	var nsec uint64
	switch size {
	case 4:
		n, err := r.uint(4)
		if err != nil {
			return err
		}
		sec = int64(n)
	case 8:
		n, err := r.uint(8)
		if err != nil {
			return err
		}
		sec, nsec = int64(n&(1<<34-1)), n>>34
	default:
		var err error
		if nsec, err = r.uint(4); err != nil {
			return err
		}
		n, err := r.uint(8)
		if err != nil {
			return err
		}
		sec = int64(n)
	}
	const limit = 8_640_000_000_000 // seconds; beyond that JavaScript has no dates
	if sec > limit || sec < -limit {
		r.json = append(r.json, "null"...)
		return nil
	}
	r.json = appendDate(r.json, sec*1000+int64(nsec/1_000_000))
	return nil
}

// appendDate appends a time as Date.prototype.toJSON does: null if JavaScript
// has no such date.
func appendDate(dst []byte, ms int64) []byte {
	const limit = 8_640_000_000_000_000
	if ms > limit || ms < -limit {
		return append(dst, "null"...)
	}
	t := time.UnixMilli(ms).UTC()
	dst = append(dst, '"')
	switch y := t.Year(); {
	case y < 0:
		dst = fmt.Appendf(dst, "-%06d", -y)
	case y > 9999:
		dst = fmt.Appendf(dst, "+%06d", y)
	default:
		dst = fmt.Appendf(dst, "%04d", y)
	}
	return t.AppendFormat(dst, `-01-02T15:04:05.000Z"`)
}

// enter checks that n elements of size bytes or more can follow.
func (r *reader) enter(n, size uint64) error {
	if n > uint64(len(r.buf)-r.pos)/size {
		return r.fail("more elements than bytes")
	}
	if r.depth--; r.depth < 0 {
		return r.fail("nested too deep")
	}
	return nil
}

func (r *reader) array(n uint64) error {
	if err := r.enter(n, 1); err != nil {
		return err
	}
	r.json = append(r.json, '[')
	for i := range n {
		if i > 0 {
			r.json = append(r.json, ',')
		}
		defined, err := r.value()
		if err != nil {
			return err
		}
		if !defined {
			r.json = append(r.json, "null"...)
		}
	}
	r.json = append(r.json, ']')
	r.depth++
	return nil
}

func (r *reader) object(n uint64) error {
	if err := r.enter(n, 2); err != nil {
		return err
	}
	r.json = append(r.json, '{')
	first := true
	for range n {
		before := len(r.json)
		if !first {
			r.json = append(r.json, ',')
		}
		key, err := r.key()
		if err != nil {
			return err
		}
		r.json = append(parser.AppendString(r.json, string(key)), ':')
		defined, err := r.value()
		if err != nil {
			return err
		}
		if defined {
			first = false
		} else {
			r.json = r.json[:before]
		}
	}
	r.json = append(r.json, '}')
	r.depth++
	return nil
}

// key reads a map's key.
func (r *reader) key() ([]byte, error) {
	h, err := r.head()
	if err != nil {
		return nil, err
	}
	if h.kind != strKind {
		return nil, r.fail("the key is no string before")
	}
	return r.utf8(h.n)
}

// mapLen reads the head of a map; ok is false if it is something else.
func (r *reader) mapLen() (n uint64, ok bool, err error) {
	h, err := r.head()
	if err != nil || h.kind != mapKind {
		return 0, false, err
	}
	return h.n, true, r.enter(h.n, 2)
}

// int reads an integer, or undefined.
func (r *reader) int() (int64, state, error) {
	h, err := r.head()
	if err != nil {
		return 0, wrong, err
	}
	if h.kind == intKind {
		return int64(h.n), present, nil
	}
	s, err := r.notThis(h)
	return 0, s, err
}

// optionalString reads a string, or undefined. It aliases buf.
func (r *reader) optionalString() ([]byte, state, error) {
	h, err := r.head()
	if err != nil {
		return nil, wrong, err
	}
	if h.kind == strKind {
		b, err := r.utf8(h.n)
		return b, present, err
	}
	s, err := r.notThis(h)
	return nil, s, err
}

// notThis skips what h starts, and says whether it is undefined.
func (r *reader) notThis(h head) (state, error) {
	if h.kind == extKind && h.fixed && h.ext == 0 && h.n == 1 {
		return absent, r.skipRest(h)
	}
	return wrong, r.skipRest(h)
}

// skip reads over one value.
func (r *reader) skip() error {
	h, err := r.head()
	if err != nil {
		return err
	}
	return r.skipRest(h)
}

func (r *reader) skipRest(h head) (err error) {
	switch h.kind {
	case strKind, binKind, extKind:
		_, err = r.take(h.n)
	case arrayKind, mapKind:
		size := uint64(1)
		if h.kind == mapKind {
			size = 2
		}
		if err = r.enter(h.n, size); err != nil {
			return err
		}
		for range h.n * size {
			if err = r.skip(); err != nil {
				return err
			}
		}
		r.depth++
	}
	return err
}
