package msgpack

import (
	"fmt"
	"math"
	"strconv"

	"github.com/roomcast/roomcast/parser"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Reader reads a message around payloads, such as those that nodes exchange,
// value by value. Unlike a client's codec it takes timestamps (ext type -1) for
// dates. Methods fail with an error that wraps ErrParse.
type Reader struct{ r reader }

// NewReader returns a Reader of b. Of limits, MaxDepth and MaxAttachments apply
// to each payload, whose attachments alias b.
func NewReader(b []byte, limits parser.Limits) *Reader {
	limits = limits.Resolved()
	return &Reader{reader{buf: b, depth: limits.MaxDepth, owned: true, max: limits.MaxAttachments, timestamps: true}}
}

// Map reads the head of a map: n keys and values follow. nil and undefined are
// an empty map.
func (r *Reader) Map() (n int, err error) { return r.container(mapKind, 2) }

// Array reads the head of an array: n values follow. nil and undefined are an
// empty array.
func (r *Reader) Array() (n int, err error) { return r.container(arrayKind, 1) }

func (r *Reader) container(k kind, size uint64) (int, error) {
	h, err := r.r.head()
	switch {
	case err != nil:
		return 0, err
	case r.absent(h):
		return 0, r.r.skipRest(h)
	case h.kind != k:
		return 0, r.r.fail("another type was expected before")
	case h.n > uint64(len(r.r.buf)-r.r.pos)/size:
		return 0, r.r.fail("more elements than bytes")
	}
	return int(h.n), nil
}

func (r *Reader) absent(h head) bool {
	return h.kind == nilKind || h.kind == extKind && h.fixed && h.ext == 0 && h.n == 1
}

// Key reads a map's key, a string.
func (r *Reader) Key() (string, error) {
	b, err := r.r.key()
	return string(b), err
}

// Text reads a string, or a number as its text. nil and undefined are "".
func (r *Reader) Text() (string, error) {
	h, err := r.r.head()
	if err != nil {
		return "", err
	}
	switch h.kind {
	case strKind:
		b, err := r.r.utf8(h.n)
		return string(b), err
	case intKind:
		return strconv.FormatInt(int64(h.n), 10), nil
	case uintKind:
		return strconv.FormatUint(h.n, 10), nil
	case floatKind:
		return string(parser.AppendFloat(nil, h.float)), nil
	}
	if r.absent(h) {
		return "", r.r.skipRest(h)
	}
	return "", r.r.fail("a string was expected before")
}

// Int reads a number that is an integer, or is cut to one. nil and undefined are 0.
func (r *Reader) Int() (int64, error) {
	h, err := r.r.head()
	switch {
	case err != nil:
		return 0, err
	case h.kind == intKind:
		return int64(h.n), nil
	case h.kind == floatKind && math.Abs(h.float) < 1<<62:
		return int64(h.float), nil
	case r.absent(h):
		return 0, r.r.skipRest(h)
	}
	return 0, r.r.fail("an integer was expected before")
}

// True reads any value and reports whether it is true.
func (r *Reader) True() (bool, error) {
	h, err := r.r.head()
	if err != nil {
		return false, err
	}
	return h.kind == trueKind, r.r.skipRest(h)
}

// Payload reads a value; see Read.
func (r *Reader) Payload() (parser.Payload, error) { return r.r.payload() }

// Skip reads over a value.
func (r *Reader) Skip() error { return r.r.skip() }

// Offset returns how many bytes have been read.
func (r *Reader) Offset() int { return r.r.pos }

// Seek goes to where Offset was taken.
func (r *Reader) Seek(offset int) { r.r.pos = offset }

// End checks that nothing follows.
func (r *Reader) End() error {
	if left := len(r.r.buf) - r.r.pos; left > 0 {
		return fmt.Errorf("%d %w", left, ErrTrailing)
	}
	return nil
}

// AppendMap appends the head of a map: n keys and values are to follow.
func AppendMap(dst []byte, n int) []byte { return appendMapHead(dst, uint32(n)) }

// AppendArray appends the head of an array: n values are to follow.
func AppendArray(dst []byte, n int) []byte { return appendArrayHead(dst, uint32(n)) }

// AppendString appends a string.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }

// AppendInt appends an integer in the fewest bytes.
func AppendInt(dst []byte, n int64) []byte { return appendInt(dst, n) }

// AppendBool appends true or false.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, msgpcode.True)
	}
	return append(dst, msgpcode.False)
}
