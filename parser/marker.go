package parser

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
)

// A marker stands for a binary value while a JSON library works on the values
// around it. As []byte it has 24 bytes: 16 random ones, drawn for each call so
// that no data can forge it, and the number of the value. In JSON that is a
// string of 32 characters, as []byte is base64 there.
type marker struct {
	magic [16]byte
	quote [22]byte // how it starts in JSON: a quote and the base64 of 15 bytes, and one character more
}

const (
	markerLen     = 24
	markerTextLen = 32
)

func newMarker() *marker {
	m := new(marker)
	binary.LittleEndian.PutUint64(m.magic[:], rand.Uint64())
	binary.LittleEndian.PutUint64(m.magic[8:], rand.Uint64())
	m.quote[0] = '"'
	base64.StdEncoding.Encode(m.quote[1:21], m.magic[:15])
	m.quote[21] = base64.StdEncoding.EncodeToString(m.magic[:])[20]
	return m
}

// bytes returns the marker for value num.
func (m *marker) bytes(num int) []byte {
	b := make([]byte, markerLen)
	copy(b, m.magic[:])
	binary.BigEndian.PutUint64(b[16:], uint64(num))
	return b
}

// number returns which value b stands for.
func (m *marker) number(b []byte) (num int, ok bool) {
	if len(b) != markerLen || !bytes.Equal(b[:16], m.magic[:]) {
		return 0, false
	}
	return int(binary.BigEndian.Uint64(b[16:])), true
}

// textNumber is number for the base64 form.
func (m *marker) textNumber(s string) (num int, ok bool) {
	if len(s) != markerTextLen || s[:21] != string(m.quote[1:]) {
		return 0, false
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return 0, false
	}
	return m.number(b)
}

// mark replaces placeholders in text by markers.
func (m *marker) mark(text []byte, list []placeholder) []byte {
	dst := make([]byte, 0, len(text)+8*len(list))
	from := uint32(0)
	for _, ph := range list {
		dst = append(append(dst, text[from:ph.start]...), '"')
		dst = base64.StdEncoding.AppendEncode(dst, m.bytes(ph.num))
		dst = append(dst, '"')
		from = ph.end
	}
	return append(dst, text[from:]...)
}

// each calls f for every marker in text, and other for what lies between.
func (m *marker) each(text []byte, f func(num int), other func(part []byte)) {
	for {
		i := bytes.Index(text, m.quote[:])
		if i < 0 || len(text) < i+markerTextLen+2 {
			break
		}
		num, ok := m.textNumber(string(text[i+1 : i+1+markerTextLen]))
		end := i + markerTextLen + 2
		if !ok || text[end-1] != '"' {
			other(text[:i+1])
			text = text[i+1:]
			continue
		}
		other(text[:i])
		f(num)
		text = text[end:]
	}
	other(text)
}
