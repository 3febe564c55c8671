package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Users says who may do something: nobody (the zero value), everybody whom the
// namespace admits, or users whose names match one of the patterns, or one of whose roles does:
// role:api is for users with the role api. It is nil where nothing is said.
type Users []string

// everybody is Users of allow.
var everybody = Users{"*"}

// rolePrefix begins patterns of roles.
const rolePrefix = "role:"

// UnmarshalYAML takes deny, allow or a list of patterns of users' names and roles.
func (u *Users) UnmarshalYAML(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.SequenceNode:
		var list []string
		if err := n.Decode(&list); err != nil {
			return err
		}
		for _, p := range list {
			if p == "" || p == rolePrefix || len(p) > 255 {
				return fmt.Errorf("line %d: a pattern of users' names or roles must have 1 to 255 bytes", n.Line)
			}
		}
		*u = append(Users{}, list...)
	case n.Value == "deny":
		*u = Users{}
	case n.Value == "allow":
		*u = everybody
	default:
		return fmt.Errorf("line %d: %q isn't deny, allow or a list of patterns of users' names and roles", n.Line, n.Value)
	}
	return nil
}

// MarshalYAML is the inverse of UnmarshalYAML.
func (u Users) MarshalYAML() (any, error) {
	switch {
	case len(u) == 0:
		return "deny", nil
	case u.all():
		return "allow", nil
	}
	return []string(u), nil
}

func (u Users) all() bool { return len(u) == 1 && u[0] == "*" }

// Allow reports whether a user with these roles is among them, "" being somebody unknown.
func (u Users) Allow(user string, roles []string) bool {
	if u.all() {
		return true
	}
	for _, p := range u {
		if role, ok := strings.CutPrefix(p, rolePrefix); ok {
			if slices.ContainsFunc(roles, func(of string) bool { return glob(role, of) }) {
				return true
			}
		} else if user != "" && glob(p, user) {
			return true
		}
	}
	return false
}

// likeRole reports whether a pattern of users' names looks as if a role was meant, such as rle:api. It can be a name all the same.
func likeRole(p string) bool {
	word, _, ok := strings.Cut(p, ":")
	return ok && word+":" != rolePrefix && distance(strings.ToLower(strings.TrimSpace(word))+":", rolePrefix) <= 1
}

// roles reports whether any of the patterns is one of roles.
func (u Users) roles() bool {
	return slices.ContainsFunc(u, func(p string) bool { return strings.HasPrefix(p, rolePrefix) })
}
