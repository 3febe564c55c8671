package engine

import (
	"cmp"
	"net/http"
)

// cookie is the cookie for a session id.
func (c *Cookie) cookie(id string) *http.Cookie {
	cookie := &http.Cookie{
		Name:     cmp.Or(c.Name, "io"),
		Value:    id,
		Path:     cmp.Or(c.Path, "/"),
		Domain:   c.Domain,
		MaxAge:   int(c.MaxAge.Seconds()),
		HttpOnly: !c.Script,
		Secure:   c.Secure,
		SameSite: cmp.Or(c.SameSite, http.SameSiteLaxMode),
	}
	if cookie.Path == "-" {
		cookie.Path = ""
	}
	return cookie
}
