package parser

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"unicode/utf8"
)

// maxDepth is how deep encoding/json goes, and so the deepest that "no limit" can mean.
const maxDepth = 10_000

// span is a part of a JSON text.
type span struct{ start, end uint32 }

func (s span) of(text []byte) []byte { return text[s.start:s.end:s.end] }

// elements are the places of an array's elements in its text. Those of a
// usual event (a name and four arguments) need no allocation.
type elements struct {
	n      int
	inline [5]span
	more   []span
}

func (e *elements) add(s span) {
	if e.n < len(e.inline) {
		e.inline[e.n] = s
	} else {
		e.more = append(e.more, s)
	}
	e.n++
}

func (e *elements) at(i int) span {
	if i < len(e.inline) {
		return e.inline[i]
	}
	return e.more[i-len(e.inline)]
}

// scanner checks that text is JSON, as strictly as encoding/json.Valid does,
// and finds what else is asked of it in the same pass. Strings may hold any
// bytes from 0x20: whoever wants UTF-8 checks it before.
type scanner struct {
	text  []byte
	depth int // how much deeper arrays and objects may nest

	// Objects that stand for attachments are looked for if found isn't nil.
	found *placeholders

	strict, unsafe bool // unsafe keys are looked for; and one was found
}

// unsafeKey reports whether the JSON string key says a name that means more than
// data to JavaScript.
func unsafeKey(key []byte) bool {
	return keyIs(key, "__proto__") || keyIs(key, "constructor") || keyIs(key, "prototype")
}

func (s *scanner) fail(i int, msg string) error {
	if i >= len(s.text) {
		msg = "unexpected end"
	}
	return &SyntaxError{Offset: i, Msg: msg}
}

func (s *scanner) space(i int) int {
	for i < len(s.text) {
		switch s.text[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

// only scans one value that fills the text.
func (s *scanner) only() error {
	i, err := s.value(s.space(0))
	if err != nil {
		return err
	}
	if i = s.space(i); i < len(s.text) {
		return s.fail(i, "data after the value")
	}
	return nil
}

// array scans an array that fills the text, and adds its elements to e.
func (s *scanner) array(e *elements) error {
	if uint64(len(s.text)) > 1<<32-1 {
		return &SyntaxError{Msg: "too long"}
	}
	i := s.space(0)
	if i >= len(s.text) || s.text[i] != '[' {
		return s.fail(i, "expected an array")
	}
	if s.depth--; s.depth < 0 {
		return s.fail(i, "nested too deep")
	}
	if i = s.space(i + 1); i < len(s.text) && s.text[i] == ']' {
		i++
	} else {
		for {
			start := i
			var err error
			if i, err = s.value(i); err != nil {
				return err
			}
			e.add(span{uint32(start), uint32(i)})
			if i = s.space(i); i >= len(s.text) {
				return s.fail(i, "")
			}
			if s.text[i] == ']' {
				i++
				break
			}
			if s.text[i] != ',' {
				return s.fail(i, "expected a comma or the end of the array")
			}
			i = s.space(i + 1)
		}
	}
	if i = s.space(i); i < len(s.text) {
		return s.fail(i, "data after the array")
	}
	return nil
}

// value scans the value that starts at i, and returns where it ends.
func (s *scanner) value(i int) (end int, err error) {
	if i >= len(s.text) {
		return i, s.fail(i, "")
	}
	switch c := s.text[i]; {
	case c == '"':
		return s.str(i + 1)
	case c == '{':
		return s.object(i)
	case c == '[':
		return s.list(i)
	case c == 't':
		return s.literal(i, "true")
	case c == 'f':
		return s.literal(i, "false")
	case c == 'n':
		return s.literal(i, "null")
	case c == '-' || c-'0' <= 9:
		return s.number(i)
	}
	return i, s.fail(i, "expected a value")
}

func (s *scanner) list(i int) (end int, err error) {
	if s.depth--; s.depth < 0 {
		return i, s.fail(i, "nested too deep")
	}
	if i = s.space(i + 1); i < len(s.text) && s.text[i] == ']' {
		s.depth++
		return i + 1, nil
	}
	for {
		if i, err = s.value(i); err != nil {
			return i, err
		}
		if i = s.space(i); i >= len(s.text) {
			return i, s.fail(i, "")
		}
		switch s.text[i] {
		case ']':
			s.depth++
			return i + 1, nil
		case ',':
			i = s.space(i + 1)
		default:
			return i, s.fail(i, "expected a comma or the end of the array")
		}
	}
}

func (s *scanner) object(start int) (end int, err error) {
	i := start
	if s.depth--; s.depth < 0 {
		return i, s.fail(i, "nested too deep")
	}
	if i = s.space(i + 1); i < len(s.text) && s.text[i] == '}' {
		s.depth++
		return i + 1, nil
	}
	var ph candidate
	for {
		if i >= len(s.text) || s.text[i] != '"' {
			return i, s.fail(i, "expected a key")
		}
		key := i
		if i, err = s.str(i + 1); err != nil {
			return i, err
		}
		keyEnd := i
		if s.strict && unsafeKey(s.text[key:i]) {
			s.unsafe = true
		}
		if i = s.space(i); i >= len(s.text) || s.text[i] != ':' {
			return i, s.fail(i, "expected a colon")
		}
		i = s.space(i + 1)
		val := i
		if i, err = s.value(i); err != nil {
			return i, err
		}
		if s.found != nil {
			ph.member(s.text[key:keyEnd], s.text[val:i])
		}
		if i = s.space(i); i >= len(s.text) {
			return i, s.fail(i, "")
		}
		switch s.text[i] {
		case '}':
			if s.found != nil {
				if err := s.found.add(ph, span{uint32(start), uint32(i + 1)}); err != nil {
					return i, err
				}
			}
			s.depth++
			return i + 1, nil
		case ',':
			i = s.space(i + 1)
		default:
			return i, s.fail(i, "expected a comma or the end of the object")
		}
	}
}

func (s *scanner) literal(i int, word string) (end int, err error) {
	if end = i + len(word); end <= len(s.text) && string(s.text[i:end]) == word {
		return end, nil
	}
	return i, s.fail(i, "expected a value")
}

func (s *scanner) digits(i int) int {
	for i < len(s.text) && s.text[i]-'0' <= 9 {
		i++
	}
	return i
}

func (s *scanner) number(i int) (end int, err error) {
	if s.text[i] == '-' {
		i++
	}
	if i < len(s.text) && s.text[i] == '0' {
		i++
	} else if end = s.digits(i); end > i {
		i = end
	} else {
		return i, s.fail(i, "expected a digit")
	}
	if i < len(s.text) && s.text[i] == '.' {
		if end = s.digits(i + 1); end == i+1 {
			return end, s.fail(end, "expected a digit")
		}
		i = end
	}
	if i < len(s.text) && s.text[i]|0x20 == 'e' {
		i++
		if i < len(s.text) && (s.text[i] == '+' || s.text[i] == '-') {
			i++
		}
		if end = s.digits(i); end == i {
			return end, s.fail(end, "expected a digit")
		}
		i = end
	}
	return i, nil
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks, by their highest bits, those of eight bytes of ASCII or UTF-8 that mean something
// in a JSON string: a quote, a backslash, or what is below 0x20. The lowest bit that
// is set is exact, those above may not be.
func special(w uint64) uint64 {
	quote, slash := w^(ones*'"'), w^(ones*'\\')
	stop := ((w - ones*0x20) &^ w) | ((quote - ones) &^ quote) | ((slash - ones) &^ slash)
	return stop & highs
}

// str scans a string from after its opening quote.
func (s *scanner) str(i int) (end int, err error) {
	text := s.text
	for {
		// Eight bytes at a time, up to one that is special.
		for i+8 <= len(text) {
			if stop := special(binary.LittleEndian.Uint64(text[i:])); stop != 0 {
				i += bits.TrailingZeros64(stop) / 8
				break
			}
			i += 8
		}
		for i < len(text) && text[i] >= 0x20 && text[i] != '"' && text[i] != '\\' {
			i++
		}
		if i >= len(text) {
			return i, s.fail(i, "")
		}
		if text[i] == '"' {
			return i + 1, nil
		}
		if text[i] < 0x20 {
			return i, s.fail(i, "control character in a string")
		}
		if i++; i >= len(text) {
			return i, s.fail(i, "")
		}
		switch text[i] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i++
		case 'u':
			for n := 0; n < 4; n++ {
				if i++; i >= len(text) || !hexDigit(text[i]) {
					return i, s.fail(i, "expected a hexadecimal digit")
				}
			}
			i++
		default:
			return i, s.fail(i, "unknown escape")
		}
	}
}

func hexDigit(c byte) bool {
	return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// valid reports whether text is one JSON value in UTF-8.
func valid(text []byte) error {
	if !utf8.Valid(text) {
		return errUTF8
	}
	s := scanner{text: text, depth: maxDepth}
	return s.only()
}

// unquote returns the text of a JSON string that has been scanned.
func unquote(raw []byte) string {
	var s string
	_ = json.Unmarshal(raw, &s) // it was scanned
	return s
}
