package parser

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// maxNesting bounds what is encoded: deeper values surely hold themselves.
const maxNesting = 1000

var errNesting = errors.New("parser: the value nests deeper than 1000 levels: does it hold itself?")

// encoder writes values and takes binary ones out.
type encoder struct {
	dst         []byte
	start       int // of the data in dst, behind a header
	attachments [][]byte
}

func (e *encoder) payload() Payload { return Payload{JSON: e.dst, Attachments: e.attachments} }

// args writes the values and the end of the array.
func (e *encoder) args(args []any) error {
	for i, v := range args {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		if err := e.value(v, 0); err != nil {
			return fmt.Errorf("parser: encode argument %d: %w", i, err)
		}
	}
	e.dst = append(e.dst, ']')
	return e.check()
}

// check refuses data that looks like placeholders beside attachments: a
// receiver would take the attachments for it.
func (e *encoder) check() error {
	if len(e.attachments) == 0 {
		return nil
	}
	found := placeholders{count: len(e.attachments)}
	s := scanner{text: e.dst[e.start:], depth: maxDepth, found: &found}
	err := s.only()
	if err == nil {
		err = found.complete()
	}
	if err != nil {
		return fmt.Errorf(`parser: the data holds {"_placeholder":true} of its own beside binary values: %w`, err)
	}
	return nil
}

// estimate guesses the length of args as JSON, so that it usually fits.
func estimate(args []any) int {
	n := 0
	for _, v := range args {
		switch v := v.(type) {
		case string:
			n += len(v) + 3
		case json.RawMessage:
			n += len(v) + 1
		case Payload:
			n += len(v.JSON) + 1
		case []byte:
			n += 32
		case nil, bool:
			n += 6
		case int, int64, int32, float64, uint64:
			n += 12
		default:
			n += 160
		}
	}
	return n
}

// value writes v.
func (e *encoder) value(v any, depth int) error {
	if depth > maxNesting {
		return errNesting
	}
	switch v := v.(type) {
	case nil:
		e.dst = append(e.dst, "null"...)
	case string:
		e.dst = AppendString(e.dst, v)
	case bool:
		e.dst = strconv.AppendBool(e.dst, v)
	case int:
		e.dst = strconv.AppendInt(e.dst, int64(v), 10)
	case int32:
		e.dst = strconv.AppendInt(e.dst, int64(v), 10)
	case int64:
		e.dst = strconv.AppendInt(e.dst, v, 10)
	case uint64:
		e.dst = strconv.AppendUint(e.dst, v, 10)
	case float64:
		e.dst = AppendFloat(e.dst, v)
	case []byte:
		e.binary(v)
	case json.RawMessage:
		if v == nil {
			e.dst = append(e.dst, "null"...)
			return nil
		}
		if err := valid(v); err != nil {
			return fmt.Errorf("json.RawMessage: %w", err)
		}
		e.dst = append(e.dst, v...)
	case Payload:
		return e.encoded(v)
	case time.Time:
		return e.time(v)
	case []any:
		return e.slice(v, depth)
	case map[string]any:
		return e.object(v, depth)
	case Appender:
		e.dst = v.AppendValue(e.dst)
	default:
		return e.other(v)
	}
	return nil
}

// Appender is a value that writes itself, for those of which there are many.
type Appender interface {
	// AppendValue appends the value's JSON, which isn't checked and holds no binary values.
	AppendValue(dst []byte) []byte
}

// binary writes a placeholder for data.
func (e *encoder) binary(data []byte) {
	if data == nil {
		e.dst = append(e.dst, "null"...)
		return
	}
	e.dst = AppendPlaceholder(e.dst, len(e.attachments))
	e.attachments = append(e.attachments, data)
}

// encoded writes data that is encoded already; its attachments get the next numbers.
func (e *encoder) encoded(p Payload) error {
	if p.JSON == nil {
		e.dst = append(e.dst, "null"...)
		return nil
	}
	list, err := p.Placeholders()
	if err != nil {
		return fmt.Errorf("parser.Payload: %w", err)
	}
	from := 0
	for _, ph := range list {
		e.dst = append(e.dst, p.JSON[from:ph.Start]...)
		e.dst = AppendPlaceholder(e.dst, len(e.attachments))
		e.attachments = append(e.attachments, p.Attachments[ph.Num])
		from = ph.End
	}
	e.dst = append(e.dst, p.JSON[from:]...)
	return nil
}

// time writes t as Date.prototype.toISOString does.
func (e *encoder) time(t time.Time) error {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return fmt.Errorf("year %d is outside of 0 to 9999", y)
	}
	e.dst = t.AppendFormat(e.dst, `"2006-01-02T15:04:05.000Z"`)
	return nil
}

func (e *encoder) slice(list []any, depth int) error {
	if list == nil {
		e.dst = append(e.dst, "null"...)
		return nil
	}
	e.dst = append(e.dst, '[')
	for i, v := range list {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		if err := e.value(v, depth+1); err != nil {
			return err
		}
	}
	e.dst = append(e.dst, ']')
	return nil
}

func (e *encoder) object(m map[string]any, depth int) error {
	if m == nil {
		e.dst = append(e.dst, "null"...)
		return nil
	}
	e.dst = append(e.dst, '{')
	var buf [8]string
	keys := slices.AppendSeq(buf[:0], maps.Keys(m))
	slices.Sort(keys)
	for i, k := range keys {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		e.dst = append(AppendString(e.dst, k), ':')
		if err := e.value(m[k], depth+1); err != nil {
			return err
		}
	}
	e.dst = append(e.dst, '}')
	return nil
}

// other leaves v to the library, with markers in the places of binary values.
func (e *encoder) other(v any) error {
	if e.plain(v) {
		return nil
	}
	return e.library(v, false)
}

func (e *encoder) library(v any, bytesAsText bool) error {
	if !(search{reflect.TypeOf(v), bytesAsText}).holds() {
		text, err := Library.Marshal(v)
		e.dst = append(e.dst, text...)
		return err
	}
	r := replacer{marker: newMarker(), bytesAsText: bytesAsText}
	v, err := r.replace(v)
	if err != nil {
		return err
	}
	text, err := Library.Marshal(v)
	if err != nil {
		return err
	}
	return r.unmark(e, text)
}

// AsText returns v for Marshal and MarshalEvent in such a form that a []byte somewhere in it is
// encoded as encoding/json does it, as a base64 string, and so is a time.Time.
// What implements Binary still becomes an attachment. Where it makes no difference v itself is returned.
func AsText(v any) (any, error) {
	switch v.(type) {
	case nil, string, bool, int, int32, int64, uint64, float64, json.RawMessage, Payload:
		return v, nil
	}
	if p := planOf(reflect.TypeOf(v)); p != nil && !p.holds {
		return v, nil
	}
	var e encoder
	if err := e.library(v, true); err != nil {
		return nil, err
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	return e.payload(), nil
}

// AppendFloat appends f as JSON.stringify does: null if it is not finite.
func AppendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	case f == 0: // -0 too
		return append(dst, '0')
	case f == math.Trunc(f) && math.Abs(f) < 1<<53:
		return strconv.AppendInt(dst, int64(f), 10)
	}
	format := byte('f')
	if abs := math.Abs(f); abs < 1e-6 || abs >= 1e21 {
		format = 'e'
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	// 1e-07 is 1e-7 in JavaScript.
	if n := len(dst); format == 'e' && n-start >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// AppendString appends s as JSON.stringify does; what is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		if i = plainText(s, i); i == len(s) {
			break
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// plainText returns from where on s, seen from i, may hold what isn't plain: ASCII that
// stands for itself in a JSON string. It goes by eight bytes.
func plainText(s string, i int) int {
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		if stop := special(w) | w&highs; stop != 0 {
			return i + bits.TrailingZeros64(stop)/8
		}
	}
	return i
}

// plainEncoder is encoding/json without HTML escaping.
type plainEncoder struct {
	buf bytes.Buffer
	enc *json.Encoder
}

var plainEncoders = sync.Pool{New: func() any {
	p := new(plainEncoder)
	p.enc = json.NewEncoder(&p.buf)
	p.enc.SetEscapeHTML(false)
	return p
}}

func marshalPlain(v any) ([]byte, error) {
	p := plainEncoders.Get().(*plainEncoder)
	p.buf.Reset()
	if err := p.enc.Encode(v); err != nil {
		return nil, err // and p, whose encoder keeps the error
	}
	text := bytes.Clone(bytes.TrimSuffix(p.buf.Bytes(), []byte("\n")))
	if p.buf.Cap() <= 64<<10 { // a rare large value shouldn't stay
		plainEncoders.Put(p)
	}
	return text, nil
}
