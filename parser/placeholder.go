package parser

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// A placeholder is the object {"_placeholder":true,"num":0} that stands where
// attachment 0 belongs. Other clients write its members in any order.

const placeholderKey = "_placeholder"

// AppendPlaceholder appends the placeholder of attachment num, as the official
// encoder writes it.
func AppendPlaceholder(dst []byte, num int) []byte {
	dst = append(dst, `{"_placeholder":true,"num":`...)
	dst = strconv.AppendInt(dst, int64(num), 10)
	return append(dst, '}')
}

// placeholders gathers the placeholders that a scanner meets.
type placeholders struct {
	count int // of attachments
	list  []placeholder
}

type placeholder struct {
	span
	num int
}

// Placeholder is where an attachment belongs in a Payload.
type Placeholder struct {
	Start, End int // of the object, in Payload.JSON
	Num        int // index in Payload.Attachments
}

// Placeholders checks that p.JSON is one JSON value with one placeholder for
// each attachment, and returns these in the order of the text. Without
// attachments, objects that look like placeholders are just objects.
func (p Payload) Placeholders() ([]Placeholder, error) {
	if !utf8.Valid(p.JSON) {
		return nil, errUTF8
	}
	s := scanner{text: p.JSON, depth: maxDepth}
	if len(p.Attachments) > 0 {
		s.found = &placeholders{count: len(p.Attachments)}
	}
	if err := s.only(); err != nil || s.found == nil {
		return nil, err
	}
	if err := s.found.complete(); err != nil {
		return nil, err
	}
	list := make([]Placeholder, len(s.found.list))
	for i, ph := range s.found.list {
		list[i] = Placeholder{int(ph.start), int(ph.end), ph.num}
	}
	return list, nil
}

// candidate is an object that may turn out to be a placeholder.
type candidate struct {
	marked, twice bool
	num           []byte
}

// member looks at one member of the object.
func (c *candidate) member(key, val []byte) {
	switch {
	case keyIs(key, placeholderKey):
		// A receiver in JavaScript takes the last of two; we take neither.
		c.twice = c.twice || c.marked
		c.marked = c.marked || string(val) == "true"
	case keyIs(key, "num"):
		c.twice = c.twice || c.num != nil
		c.num = val
	}
}

// keyIs reports whether the JSON string key says name, with or without escapes.
func keyIs(key []byte, name string) bool {
	if key = key[1 : len(key)-1]; len(key) == len(name) {
		return string(key) == name
	}
	if len(key) < len(name) || bytes.IndexByte(key, '\\') < 0 {
		return false
	}
	return unquote(append(append([]byte{'"'}, key...), '"')) == name
}

// add takes a finished object, and refuses placeholders whose number is that
// of no attachment.
func (p *placeholders) add(c candidate, at span) error {
	if !c.marked {
		return nil
	}
	num, err := strconv.Atoi(string(c.num))
	if err != nil || c.twice || num < 0 || num >= p.count || c.num[0] == '-' {
		return ErrIllegalAttachments
	}
	p.list = append(p.list, placeholder{at, num})
	return nil
}

// complete checks that each attachment has exactly one placeholder. Were more
// allowed, a kilobyte of them could stand for a gigabyte when they are relayed.
func (p *placeholders) complete() error {
	if len(p.list) != p.count {
		return ErrIllegalAttachments
	}
	seen := make([]bool, p.count)
	for _, ph := range p.list {
		if seen[ph.num] {
			return ErrIllegalAttachments
		}
		seen[ph.num] = true
	}
	return nil
}
