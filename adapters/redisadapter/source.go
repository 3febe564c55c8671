package redisadapter

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/parser/msgpack"
)

// source reads a message value by value, whether it is JSON or MessagePack. What
// is null or undefined reads as empty.
type source interface {
	// object calls member with each key; member reads the value.
	object(member func(key string) error) error
	// array calls element for each element; element reads it.
	array(element func(i int) error) error
	text() (string, error) // a string, or a number as its text
	int() (int64, error)
	truth() (bool, error) // whether the value is true
	payload() (parser.Payload, error)
	skip() error
	end() error // fails if something follows
	place() int // where the source stands, for goTo
	goTo(place int)
}

var errMalformed = errors.New("redisadapter: malformed message")

func malformed(what string) error { return fmt.Errorf("%w: %s", errMalformed, what) }

// newSource returns a source for b: JSON begins with a brace.
func newSource(b []byte) (source, error) {
	if len(b) > 0 && b[0] == '{' {
		return newJSONSource(b)
	}
	return packSource{msgpack.NewReader(b, payloadLimits)}, nil
}

// packSource is a source of MessagePack.
type packSource struct{ *msgpack.Reader }

func (s packSource) object(member func(string) error) error {
	n, err := s.Map()
	if err != nil {
		return err
	}
	for range n {
		key, err := s.Key()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
	return nil
}

func (s packSource) array(element func(int) error) error {
	n, err := s.Array()
	if err != nil {
		return err
	}
	for i := range n {
		if err := element(i); err != nil {
			return err
		}
	}
	return nil
}

func (s packSource) text() (string, error)            { return s.Text() }
func (s packSource) int() (int64, error)              { return s.Int() }
func (s packSource) truth() (bool, error)             { return s.True() }
func (s packSource) payload() (parser.Payload, error) { return s.Payload() }
func (s packSource) skip() error                      { return s.Skip() }
func (s packSource) end() error                       { return s.End() }
func (s packSource) place() int                       { return s.Offset() }
func (s packSource) goTo(place int)                   { s.Seek(place) }

// jsonSource is a source of JSON that was checked as a whole, so that walking
// it can't fail but for types.
type jsonSource struct {
	buf []byte
	pos int
}

func newJSONSource(b []byte) (*jsonSource, error) {
	if _, err := (parser.Payload{JSON: b}).Placeholders(); err != nil {
		return nil, err
	}
	return &jsonSource{buf: b}, nil
}

// next returns the first byte of the next token; commas and colons are none.
func (s *jsonSource) next() byte {
	for ; s.pos < len(s.buf); s.pos++ {
		switch c := s.buf[s.pos]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
		default:
			return c
		}
	}
	return 0
}

// value returns the text of the next value and moves behind it.
func (s *jsonSource) value() []byte {
	c := s.next()
	start := s.pos
	depth := 0
	for s.pos < len(s.buf) {
		switch c = s.buf[s.pos]; c {
		case '"':
			s.pos = stringEnd(s.buf, s.pos)
		case '[', '{':
			depth++
			s.pos++
		case ']', '}':
			if depth == 0 {
				return s.buf[start:s.pos:s.pos] // behind a number or word
			}
			depth--
			s.pos++
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return s.buf[start:s.pos:s.pos]
			}
			s.pos++
			continue
		default:
			s.pos++
			continue
		}
		if depth == 0 {
			break
		}
	}
	return s.buf[start:s.pos:s.pos]
}

// stringEnd returns where the string that begins at i ends.
func stringEnd(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquote returns the text of a JSON string.
func unquote(raw []byte) string {
	for _, c := range raw {
		if c == '\\' {
			var s string
			_ = json.Unmarshal(raw, &s) // it was checked
			return s
		}
	}
	return string(raw[1 : len(raw)-1])
}

func (s *jsonSource) object(member func(string) error) error {
	switch s.next() {
	case 'n':
		s.value()
		return nil
	case '{':
		s.pos++
	default:
		return malformed("an object was expected")
	}
	for s.next() != '}' {
		start := s.pos
		s.pos = stringEnd(s.buf, start)
		if err := member(unquote(s.buf[start:s.pos])); err != nil {
			return err
		}
	}
	s.pos++
	return nil
}

func (s *jsonSource) array(element func(int) error) error {
	switch s.next() {
	case 'n':
		s.value()
		return nil
	case '[':
		s.pos++
	default:
		return malformed("an array was expected")
	}
	for i := 0; s.next() != ']'; i++ {
		if err := element(i); err != nil {
			return err
		}
	}
	s.pos++
	return nil
}

func (s *jsonSource) text() (string, error) {
	c := s.next()
	raw := s.value()
	switch {
	case c == '"':
		return unquote(raw), nil
	case c == 'n':
		return "", nil
	case c == '-' || c-'0' <= 9:
		if n, err := strconv.ParseFloat(string(raw), 64); err == nil {
			if _, err := strconv.ParseInt(string(raw), 10, 64); err != nil {
				raw = parser.AppendFloat(nil, n) // as JavaScript prints it
			}
			return string(raw), nil
		}
	}
	return "", malformed("a string was expected")
}

func (s *jsonSource) int() (int64, error) {
	raw := s.value()
	if string(raw) == "null" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(f) >= 1<<62 {
		return 0, malformed("a number was expected")
	}
	return int64(f), nil
}

func (s *jsonSource) truth() (bool, error) { return string(s.value()) == "true", nil }

func (s *jsonSource) payload() (parser.Payload, error) {
	return parser.Payload{JSON: s.value()}, nil
}

func (s *jsonSource) skip() error {
	s.value()
	return nil
}

func (s *jsonSource) end() error     { return nil }
func (s *jsonSource) place() int     { return s.pos }
func (s *jsonSource) goTo(place int) { s.pos = place }
