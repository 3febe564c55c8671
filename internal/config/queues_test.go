package config

import (
	"strings"
	"testing"
)

func TestQueueSettings(t *testing.T) {
	c, err := load(t, `
data: /var/lib/roomcast
queues:
  - name: orders.new
    publish: [shop-*]
    consume: allow
    lease: 1m
    max_len: 10
    overflow: drop-oldest
inboxes:
  send: [hub]
  topics: [news, "team:{user}"]
namespaces:
  - {name: /, auth: none, queues: true}
`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	q := c.Queues[0]
	for user, want := range map[string]bool{"shop-1": true, "shop-": true, "hub": false, "": false} {
		if q.Publish.Allow(user, nil) != want {
			t.Errorf("publish by %q: %v", user, !want)
		}
	}
	if !q.Consume.Allow("", nil) || q.Admin.Allow("hub", nil) || !c.Inboxes.Send.Allow("hub", nil) {
		t.Errorf("%+v", q)
	}
	if !c.Inboxes.Topics.Allows("team:ada", "ada") || c.Inboxes.Topics.Allows("team:ada", "bob") {
		t.Error("topics")
	}
	if c.Store() != "embedded" || !c.Namespaces[0].Queues || int(q.MaxLen) != 10 {
		t.Errorf("%+v", c)
	}
}

func TestWhereQueuesAre(t *testing.T) {
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{nil, ""},
		{[]string{"--demo"}, "memory"},
		{[]string{"--demo", "--data", "d"}, "embedded"},
		{[]string{"--redis", "redis://h"}, "redis"},
		{[]string{"--redis", "redis://h", "--data", "d", "--queue-store", "redis"}, "redis"},
		{[]string{"--redis", "redis://h", "--data", "d", "--queue-store", "embedded"}, "embedded"},
	} {
		c, err := load(t, "", nil, test.flags)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Store(); got != test.want {
			t.Errorf("%v: %q, want %q", test.flags, got, test.want)
		}
	}
}

func TestQueueMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"{redis: redis://h, data: d}":                                                  "queue_store: with both data and redis",
		"queue_store: embedded":                                                        "needs data",
		"queue_store: redis":                                                           "needs redis",
		"queues: [{name: q}]":                                                          "need data",
		"{data: d, queues: [{name: a b}]}":                                             "isn't a name",
		"{data: d, queues: [{name: a}, {name: a}]}":                                    "there twice",
		"{data: d, queues: [{name: a, overflow: x}]}":                                  "overflow must be",
		"{data: d, queues: [{name: a, publish: everybody}]}":                           "isn't deny, allow or a list",
		"{data: d, queues: [{name: a, publsh: allow}]}":                                "did you mean publish",
		`{data: d, queues: [{name: "a*", lease: 1s, publish: allow}]}`:                 "makes no queue",
		`{data: d, queues: [{name: "a*"}]}`:                                            "says nothing",
		`{data: d, queues: [{name: "a?*", publish: allow}]}`:                           "isn't a pattern",
		`{data: d, queues: [{name: "a*", publish: deny}, {name: "a*", admin: allow}]}`: "there twice",
		`{data: d, queues: [{name: a, publish: ["role:api"]}]}`:                        "queues[0]: role:… needs auth.roles",
		`{data: d, queues: [{name: a, publish: ["role:"]}]}`:                           "1 to 255 bytes",
		`{data: d, inboxes: {send: ["role:api"]}}`:                                     "inboxes.send: role:… needs auth.roles",
		`{data: d, inboxes: {rules: [{name: a, open: ["role:api"]}]}}`:                 "inboxes.rules[0]: role:… needs auth.roles",
		"{data: d, inboxes: {rules: [{name: a b, open: allow}]}}":                      "isn't a name or pattern",
		"{data: d, inboxes: {rules: [{name: a}]}}":                                     "says nothing",
		"{data: d, inboxes: {rules: [{name: a, open: deny}, {name: a, send: deny}]}}":  "there twice",
		"{data: d, inboxes: {rules: [{name: a, opne: deny}]}}":                         "did you mean open",
		"{api_token: short}":                                                           "at least 32",
		"{data: d, inboxes: {overflow: explode}}":                                      "inboxes.overflow",
		`{data: d, inboxes: {topics: ["{user}-*"]}}`:                                   "both {user} and *",
		"{data: d, queues: [{name: a, rate: -1}]}":                                     "can't be negative",
		"{data: d, queues: [{name: a, durability: forever}]}":                          "durability must be",
		"{data: d, queues: [{name: a, on_fail: cry}]}":                                 "on_fail must be",
		"{api_token: 01234567890123456789012345678901, api_token_file: f}":             "or api_token_file",
	} {
		_, err := load(t, text, nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
