package queues

import (
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
)

// maxName is the longest name of a queue, inbox or topic, and the longest key, in bytes.
const maxName = 128

// ValidName reports whether a name can be that of a queue, inbox or topic of a client:
// 1 to 128 of A-Z a-z 0-9 . _ : - and, in inboxes, one / between principal and device.
// Names with ! and $ are the package's own.
func ValidName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("._:-", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// ValidInbox is ValidName for an inbox: a principal, or a principal and a device.
func ValidInbox(name string) bool {
	principal, device, two := strings.Cut(name, "/")
	return len(name) <= maxName && ValidName(principal) && (!two || ValidName(device))
}

// InboxOf returns the name of a principal's inbox: the principal's own, or if that can't
// be an inbox's, since it has spaces for example, one made of it. Two principals never have one inbox: who has
// a name like those that are made gets another one.
func InboxOf(principal string) string {
	if principal == "" || ValidName(principal) && !madeName.MatchString(principal) {
		return principal
	}
	sum := sha256.Sum256([]byte(principal))
	return "user:" + base64.RawURLEncoding.EncodeToString(sum[:18])
}

var madeName = regexp.MustCompile(`^user:[A-Za-z0-9_-]{24}$`)

// Match reports whether a name fits a pattern, in which * stands for any
// characters, such as orders.*.
func Match(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

func badName(what string) error { return Refuse(CodeBadRequest, what+" has no valid name") }
