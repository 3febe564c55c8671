package engine

import "encoding/base64"

var base64Std = base64.StdEncoding

// base64Values maps the characters of both base64 alphabets to their values,
// and everything else to 0xff.
var base64Values = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	const std = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(std) {
		t[std[i]] = byte(i)
	}
	t['-'], t['_'] = 62, 63
	return t
}()

// decodeBase64 decodes b in place, as tolerantly as Node: both alphabets, with
// or without padding, other characters skipped, the end at the first "=". It
// returns the decoded start of b.
func decodeBase64(b []byte) []byte {
	n, i := 0, 0
	for ; i+4 <= len(b); i, n = i+4, n+3 {
		v0, v1, v2, v3 := base64Values[b[i]], base64Values[b[i+1]], base64Values[b[i+2]], base64Values[b[i+3]]
		if v0|v1|v2|v3 == 0xff {
			break // padding, junk, or a mix that only looks like it: one by one
		}
		b[n], b[n+1], b[n+2] = v0<<2|v1>>4, v1<<4|v2>>2, v2<<6|v3
	}
	var bits uint32
	held := 0 // bits in bits
	for ; i < len(b) && b[i] != '='; i++ {
		v := base64Values[b[i]]
		if v == 0xff {
			continue
		}
		bits, held = bits<<6|uint32(v), held+6
		if held >= 8 {
			held -= 8
			b[n] = byte(bits >> held)
			n++
		}
	}
	return b[:n]
}
