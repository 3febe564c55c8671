package engine

import (
	"net/url"
	"strings"
)

// query is what the engine reads of a request's query. The last of several
// values of a key wins, as officially.
type query struct {
	rev       int // 4 for EIO=4, else 3
	transport string
	sid       string
	b64       bool // any value but an empty one
	jsonp     bool // j is present
	j         string
}

// parseQuery reads raw without building a map of it.
func parseQuery(raw string) query {
	q := query{rev: 3}
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(pair, "=")
		switch unescape(key) {
		case "EIO":
			q.rev = 3
			if unescape(value) == "4" {
				q.rev = 4
			}
		case "transport":
			q.transport = unescape(value)
		case "sid":
			q.sid = unescape(value)
		case "b64":
			q.b64 = value != ""
		case "j":
			q.jsonp, q.j = true, onlyDigits(unescape(value))
		}
	}
	return q
}

func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}
