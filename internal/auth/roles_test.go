package auth

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roomcast/roomcast/internal/config"
)

func TestRoles(t *testing.T) {
	many := make([]string, 101)
	for i := range many {
		many[i] = "r"
	}
	for _, test := range []struct {
		setting string
		claims  map[string]any
		want    []string // nil: the token is refused
	}{
		{"roles", map[string]any{"roles": []string{"api", "a b"}}, []string{"api", "a b"}},
		{"scope", map[string]any{"scope": " api  worker "}, []string{"api", "worker"}},
		{"realm.roles", map[string]any{"realm": map[string]any{"roles": []string{"api"}}}, []string{"api"}},
		{"https://x.example/roles", map[string]any{"https://x.example/roles": "api"}, []string{"api"}},
		{"https://x.example/roles", map[string]any{}, []string{}},
		{"realm.roles", map[string]any{"realm": map[string]any{}}, []string{}},
		{"", map[string]any{"roles": 5}, []string{}},
		{"roles", map[string]any{"roles": 5}, nil},
		{"roles", map[string]any{"roles": []any{"api", 5}}, nil},
		{"roles", map[string]any{"roles": map[string]any{"api": true}}, nil},
		{"realm.roles", map[string]any{"realm": "api"}, nil},
		{"roles", map[string]any{"roles": []string{""}}, nil},
		{"roles", map[string]any{"roles": strings.Repeat("x", 129)}, nil},
		{"roles", map[string]any{"roles": many}, nil},
	} {
		v, err := New(config.Auth{Keys: []config.Key{{Secret: secret}}, Leeway: config.Duration(time.Second), MaxToken: 8 << 10, Roles: test.setting})
		if err != nil {
			t.Fatal(err)
		}
		u, err := v.Verify(sign(t, "HS256", "", []byte(secret), test.claims))
		if test.want == nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s of %v: %v, %v", test.setting, test.claims, u.Roles, err)
			}
		} else if err != nil || !slices.Equal(u.Roles, test.want) || u.ID != "ann" {
			t.Errorf("%s of %v: %+v, %v", test.setting, test.claims, u, err)
		}
	}
}
