package auth

import (
	"encoding/json"
	"errors"
	"strings"
)

// Bounds of what a token may say of roles.
const (
	maxRoles = 100
	maxRole  = 128 // bytes
)

var errRoles = errors.New("the claim of the roles isn't text, or a list of up to 100 texts of up to 128 bytes")

// rolesOf returns the roles that a claim has: text with blanks between, or a list. The claim's name is that of one, or leads
// by dots into objects.
func rolesOf(claims json.RawMessage, name string) ([]string, error) {
	raw, err := claim(claims, name)
	if raw == nil || err != nil {
		return nil, err
	}
	var roles []string
	var text string
	if json.Unmarshal(raw, &text) == nil {
		roles = strings.Fields(text)
	} else if json.Unmarshal(raw, &roles) != nil {
		return nil, errRoles
	}
	if len(roles) > maxRoles {
		return nil, errRoles
	}
	for _, role := range roles {
		if role == "" || len(role) > maxRole {
			return nil, errRoles
		}
	}
	return roles, nil
}

// claim returns one claim, or nil if there is none.
func claim(claims json.RawMessage, name string) (json.RawMessage, error) {
	var all map[string]json.RawMessage
	if json.Unmarshal(claims, &all) != nil {
		return nil, errRoles
	}
	if raw, ok := all[name]; ok { // also if there are dots in it
		return raw, nil
	}
	head, rest, deeper := strings.Cut(name, ".")
	if raw, ok := all[head]; ok && deeper {
		return claim(raw, rest)
	}
	return nil, nil
}
