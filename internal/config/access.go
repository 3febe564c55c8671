package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Access says which rooms something is allowed for: none (the zero value), all,
// or those whose names match one of the patterns. The package lobby explains patterns.
type Access struct {
	All      bool
	Patterns []string
}

// UnmarshalYAML takes deny, allow or a list of patterns.
func (a *Access) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		*a = Access{}
		return n.Decode(&a.Patterns)
	}
	switch n.Value {
	case "deny":
		*a = Access{}
	case "allow":
		*a = Access{All: true}
	default:
		return fmt.Errorf("line %d: %q isn't deny, allow or a list of patterns of room names", n.Line, n.Value)
	}
	return nil
}

// MarshalYAML is the inverse of UnmarshalYAML.
func (a Access) MarshalYAML() (any, error) {
	switch {
	case a.All:
		return "allow", nil
	case len(a.Patterns) > 0:
		return a.Patterns, nil
	}
	return "deny", nil
}

// Allows reports whether room is allowed to user ("" if nobody is known).
func (a Access) Allows(room, user string) bool {
	if a.All {
		return true
	}
	for _, p := range a.Patterns {
		if before, after, ok := strings.Cut(p, placeholder); ok {
			if user != "" && room == before+user+after {
				return true
			}
		} else if glob(p, room) {
			return true
		}
	}
	return false
}

const placeholder = "{user}"

// checkPattern refuses what could be read in two ways: in "{user}-*" the room
// "a-b-c" would belong to the users a and a-b.
func checkPattern(p string) error {
	switch {
	case p == "":
		return errors.New("a pattern of room names is empty")
	case !utf8.ValidString(p) || len(p) > 255:
		return fmt.Errorf("the pattern %q isn't UTF-8 of at most 255 bytes", p)
	case strings.Count(p, placeholder) > 1:
		return fmt.Errorf("the pattern %q has {user} twice", p)
	case strings.Contains(p, placeholder) && strings.Contains(p, "*"):
		return fmt.Errorf("the pattern %q has both {user} and *: users could reach each other's rooms", p)
	}
	return nil
}

// glob reports whether all of s matches p, where * is any run of characters.
func glob(p, s string) bool {
	head, rest, star := strings.Cut(p, "*")
	if !star {
		return p == s
	}
	s, ok := strings.CutPrefix(s, head)
	if !ok {
		return false
	}
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, part)
		}
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(part):], next
	}
}
