package config

import (
	"strings"
	"testing"
)

func TestWarnings(t *testing.T) {
	const safe = "listen: 127.0.0.1:1\nnamespaces: [{name: /a, auth: none}]\n"
	const roles = "listen: 127.0.0.1:1\nnamespaces: [{name: /a, queues: true}]\ndata: d\nauth: {issuer: i, audience: a, roles: r, keys: [{secret_file: a}]}\n"
	for _, tt := range []struct {
		name string
		yaml string
		args []string
		want string // the setting that is warned of; "" for none
	}{
		{"safe", safe, nil, ""},
		{"demo", "", []string{"--demo"}, ""},
		{"demo for all", "", []string{"--demo", "--listen=:3000"}, "demo"},
		{"nothing to join", "listen: 127.0.0.1:1", nil, "namespaces"},
		{"no TLS", "namespaces: [{name: /a, auth: none}]", nil, "tls"},
		{"behind a proxy", "trusted_proxies: [10.0.0.0/8]\nnamespaces: [{name: /a, auth: none}]", nil, ""},
		{"open internals", safe + "internal_listen: :9", nil, "internal_listen"},
		{"every origin", safe + "origins: [\"*\"]", nil, "origins"},
		{"every proxy", safe + "trusted_proxies: [\"::/0\"]", nil, "trusted_proxies"},
		{"JSONP", safe + "jsonp: true", nil, "jsonp"},
		{"JSONP with a cookie", safe + "jsonp: true\ncookie: io", nil, "cookie"},
		{"any issuer", safe + "auth: {audience: a, keys: [{secret_file: a}]}", nil, "auth.issuer"},
		{"any audience", safe + "auth: {issuer: a, keys: [{secret_file: a}]}", nil, "auth.audience"},
		{"several nodes", safe + "redis: redis://h", nil, ""},
		{"a password for all to see", safe + "redis: redis://:p@h", nil, "redis"},
		{"recovery without a log", safe + "redis: redis://h\nadapter: classic", nil, "recovery"},
		{"requests through Redis", safe + "redis: redis://h\ncluster_listen: off", nil, "cluster_listen"},
		{"an adapter to nobody", safe + "adapter: sharded", nil, "adapter"},
		{"an address for nobody", safe + "advertise: h:1", nil, "cluster_listen"},
		{"users and roles", roles + `queues: [{name: q, publish: [ann, "role:api", "user:7", "room:1", "role", "*"]}]`, nil, ""},
		{"a misspelt role", roles + `queues: [{name: q}, {name: "q.*", admin: ["rle:ops"]}]`, nil, "queues[1]"},
		{"roles", roles + `inboxes: {send: ["roles:ops"]}`, nil, "inboxes.send"},
		{"a rule's misspelt role", roles + `inboxes: {rules: [{name: "a*", open: ["ROLE:ops"]}]}`, nil, "inboxes.rules[0]"},
		{"open to all", "listen: 127.0.0.1:1\nnamespaces: [{name: /a, auth: none, join: allow}]", nil, "namespaces"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.yaml, nil, tt.args)
			if err != nil {
				t.Fatal(err)
			}
			warnings := c.Warnings()
			if tt.want == "" {
				if len(warnings) > 0 {
					t.Errorf("got %q", warnings)
				}
				return
			}
			for _, w := range warnings {
				if strings.HasPrefix(w, tt.want+":") {
					return
				}
			}
			t.Errorf("no warning of %s in %q", tt.want, warnings)
		})
	}
}
