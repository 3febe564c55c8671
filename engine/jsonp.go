package engine

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// appendJSONP appends payload as a call of the client's callback number j.
// Everything that could end the script or the string literal is escaped.
func appendJSONP(dst []byte, j string, payload []byte) []byte {
	dst = append(append(append(dst, "___eio["...), j...), "]("...)
	quoted, _ := json.Marshal(string(payload)) // escapes <, >, &, U+2028 and U+2029
	return append(append(dst, quoted...), ");"...)
}

// decodeJSONP returns the payload in the form field d of a POST body. The
// client has written line breaks as \n, and \n itself as \\n.
func decodeJSONP(body []byte) (payload []byte, ok bool) {
	form, _ := url.ParseQuery(string(body))
	if len(form["d"]) != 1 {
		return nil, false
	}
	d := form["d"][0]
	out := make([]byte, 0, len(d))
	for {
		i := strings.Index(d, `\n`)
		if i < 0 {
			return append(out, d...), true
		}
		if i > 0 && d[i-1] == '\\' {
			out = append(out, d[:i-1]...)
			out = append(out, `\n`...)
		} else {
			out = append(out, d[:i]...)
			out = append(out, '\n')
		}
		d = d[i+2:]
	}
}

// onlyDigits is j without what is no digit: the rest of a number only.
func onlyDigits(j string) string {
	if !bytes.ContainsFunc([]byte(j), func(r rune) bool { return r < '0' || r > '9' }) {
		return j
	}
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, j)
}
