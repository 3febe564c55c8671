package redisadapter

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/roomcast/roomcast/parser"
)

// JSON has no binary values: where the official adapters send JSON whatever the
// data holds, a Buffer becomes {"type":"Buffer","data":[1,2]}, and stays that
// for Node. We write the same, and take it back for the bytes that it was.

func appendBuffer(dst, b []byte) []byte {
	dst = append(dst, `{"type":"Buffer","data":[`...)
	for i, c := range b {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(c), 10)
	}
	return append(dst, `]}`...)
}

var bufferStart = []byte(`{"type":"Buffer","data":[`)

// takeBuffers turns the Buffers in p into attachments.
func takeBuffers(p parser.Payload) parser.Payload {
	// Data that looks like a placeholder would be taken for an attachment.
	if len(p.Attachments) > 0 || !bytes.Contains(p.JSON, bufferStart) || bytes.Contains(p.JSON, []byte("_placeholder")) {
		return p
	}
	var out parser.Payload
	from := 0
	for i := 0; i < len(p.JSON); {
		switch {
		case p.JSON[i] == '"':
			i = stringEnd(p.JSON, i)
		case p.JSON[i] == '{' && bytes.HasPrefix(p.JSON[i:], bufferStart):
			b, n, ok := parseBuffer(p.JSON[i:])
			if !ok {
				i++
				continue
			}
			out.JSON = append(out.JSON, p.JSON[from:i]...)
			out.JSON = parser.AppendPlaceholder(out.JSON, len(out.Attachments))
			out.Attachments = append(out.Attachments, b)
			i += n
			from = i
		default:
			i++
		}
	}
	if out.Attachments == nil {
		return p
	}
	out.JSON = append(out.JSON, p.JSON[from:]...)
	return out
}

// parseBuffer parses the Buffer that text, which is valid JSON, begins with, and returns its length. It looks at no more
// than that: what only begins like one may nest, and be large.
func parseBuffer(text []byte) (b []byte, n int, ok bool) {
	b = []byte{}
	n = len(bufferStart)
	for text[n] != ']' {
		start := n
		for '0' <= text[n] && text[n] <= '9' {
			n++
		}
		v, err := strconv.ParseUint(string(text[start:n]), 10, 8)
		if err != nil || text[n] != ',' && text[n] != ']' {
			return nil, 0, false
		}
		b = append(b, byte(v))
		if text[n] == ',' {
			n++
		}
	}
	if !bytes.HasPrefix(text[n:], []byte("]}")) {
		return nil, 0, false
	}
	return b, n + len("]}"), true
}

// decodeValue decodes a value into v, with attachments as []byte.
func decodeValue(value parser.Payload, v any) error {
	if len(value.Attachments) == 0 {
		return json.Unmarshal(value.JSON, v)
	}
	args, err := parser.ParseArgs(list(value))
	if err != nil {
		return err
	}
	return args.Decode(0, v)
}
