// Package record packs messages into bytes, for stores. A record is small, begins
// with what a store needs to know when it opens, and keeps payloads as they are.
package record

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Record is a message of a queue, or an entry of an inbox, as stored.
type Record struct {
	Head
	ID      string
	Topic   string // of an inbox entry
	Headers map[string]string
	JSON    []byte
	// Attachments are the binary values of the payload.
	Attachments [][]byte
}

// Head is what a store keeps in mind of a message. Times are Unix milliseconds, 0 for none.
type Head struct {
	Priority int
	Size     int   // of the payload
	Stored   int64 // when
	Due      int64 // ready from then on
	Expires  int64
	Key      string
}

// ErrCorrupt says that bytes are no record.
var ErrCorrupt = errors.New("queues: a stored record can't be read")

// version is the first byte, with the priority in its lower bits.
const version = 0x10

// Append appends r to dst.
func Append(dst []byte, r *Record) []byte {
	size := len(r.JSON)
	for _, a := range r.Attachments {
		size += len(a)
	}
	dst = slices.Grow(dst, size+len(r.ID)+len(r.Key)+len(r.Topic)+32)
	dst = append(dst, version|byte(r.Priority&3))
	dst = binary.AppendUvarint(dst, uint64(size))
	dst = binary.AppendUvarint(dst, uint64(r.Stored))
	dst = binary.AppendUvarint(dst, uint64(r.Due))
	dst = binary.AppendUvarint(dst, uint64(r.Expires))
	dst = appendString(dst, r.Key)
	dst = appendString(dst, r.ID)
	dst = appendString(dst, r.Topic)
	dst = binary.AppendUvarint(dst, uint64(len(r.Headers)))
	for k, v := range r.Headers {
		dst = appendString(appendString(dst, k), v)
	}
	dst = appendString(dst, r.JSON)
	dst = binary.AppendUvarint(dst, uint64(len(r.Attachments)))
	for _, a := range r.Attachments {
		dst = appendString(dst, a)
	}
	return dst
}

func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// ParseHead reads the beginning of a record.
func ParseHead(b []byte) (Head, error) {
	r := reader{b: b}
	h := r.head()
	return h, r.err
}

// Parse reads a record. JSON and Attachments alias b.
func Parse(b []byte) (Record, error) {
	r := reader{b: b}
	rec := Record{Head: r.head(), ID: string(r.bytes()), Topic: string(r.bytes())}
	if n := r.count(2); n > 0 {
		rec.Headers = make(map[string]string, n)
		for range n {
			k := string(r.bytes())
			rec.Headers[k] = string(r.bytes())
		}
	}
	rec.JSON = r.bytes()
	size := len(rec.JSON)
	if n := r.count(1); n > 0 {
		rec.Attachments = make([][]byte, n)
		for i := range rec.Attachments {
			rec.Attachments[i] = r.bytes()
			size += len(rec.Attachments[i])
		}
	}
	if r.err == nil && (len(r.b) > 0 || size != rec.Size) {
		r.err = ErrCorrupt
	}
	if r.err != nil {
		return Record{}, r.err
	}
	return rec, nil
}

// reader takes values off the front of b. After an error all are zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) head() (h Head) {
	if len(r.b) == 0 || r.b[0]&^3 != version {
		r.fail()
		return h
	}
	h.Priority = int(r.b[0] & 3)
	r.b = r.b[1:]
	h.Size = int(r.uvarint())
	h.Stored = int64(r.uvarint())
	h.Due = int64(r.uvarint())
	h.Expires = int64(r.uvarint())
	h.Key = string(r.bytes())
	if h.Size < 0 || h.Stored < 0 || h.Due < 0 || h.Expires < 0 {
		r.fail()
	}
	return h
}

func (r *reader) fail() {
	r.b, r.err = nil, ErrCorrupt
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads how many values follow, of least bytes each.
func (r *reader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/least) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}
