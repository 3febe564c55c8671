package config

import "testing"

const ruled = `
data: /var/lib/roomcast
auth: {roles: roles}
queues:
  - {name: orders.new, consume: [ann]}
  - {name: orders.closed, publish: deny}
  - {name: "orders.*", publish: ["role:api", bob], consume: ["role:worker-*"]}
  - {name: "*.new", publish: [eve], inspect: allow}
  - {name: "*", admin: ["role:admin"]}
inboxes:
  send: [hub]
  topics: [news]
  rules:
    - {name: "shop-*", send: ["role:dispatch"], open: ["role:support"]}
    - {name: shop-7, send: deny}
    - {name: "team.*", subscribe: ["role:staff"]}
`

func TestQueueRules(t *testing.T) {
	c, err := load(t, ruled, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	who := func(queue string) map[string]Users {
		r := c.QueueRules(queue)
		return map[string]Users{"publish": r.Publish, "consume": r.Consume, "inspect": r.Inspect, "admin": r.Admin}
	}
	for _, test := range []struct {
		queue, right, user, role string
		want                     bool
	}{
		{"orders.old", "publish", "ann", "api", true},
		{"orders.old", "publish", "bob", "", true},
		{"orders.old", "publish", "ann", "", false},
		{"orders.old", "publish", "ann", "apis", false},
		{"orders.old", "publish", "role:api", "", false}, // a user's name is no role
		{"orders.old", "publish", "", "", false},
		{"orders.old", "consume", "ann", "worker-3", true},
		{"orders.old", "inspect", "ann", "", false},
		{"orders.old", "admin", "ann", "admin", true}, // from "*"
		{"orders.new", "publish", "eve", "", false},   // orders.* has more characters than *.new
		{"orders.new", "publish", "ann", "api", true}, // the name itself says nothing of it
		{"orders.new", "consume", "ann", "", true},
		{"orders.new", "consume", "bob", "worker-1", false}, // the name itself says who
		{"orders.new", "inspect", "bob", "", true},
		{"orders.closed", "publish", "bob", "api", false}, // deny is an answer
		{"orders", "publish", "bob", "api", false},
		{"orders", "admin", "", "admin", true},
	} {
		var roles []string
		if test.role != "" {
			roles = []string{"other", test.role}
		}
		if got := who(test.queue)[test.right].Allow(test.user, roles); got != test.want {
			t.Errorf("%s to %s by %q with role %q: %v", test.right, test.queue, test.user, test.role, got)
		}
	}
	var made []string
	for _, q := range c.Declared() {
		made = append(made, q.Name)
	}
	if len(made) != 2 || made[0] != "orders.new" || made[1] != "orders.closed" {
		t.Errorf("the settings make %v", made)
	}
	c.Queues = c.Queues[:4]
	if c.QueueRules("orders") != nil {
		t.Error("a queue of which no item says anything has rules")
	}
}

func TestInboxRules(t *testing.T) {
	c, err := load(t, ruled, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	shop := c.Inboxes.RulesOf("shop-1/till")
	if !shop.Send.Allow("x", []string{"dispatch"}) || shop.Send.Allow("hub", nil) || !shop.Open.Allow("x", []string{"support"}) || shop.Subscribe != nil {
		t.Errorf("%+v", shop)
	}
	if seven := c.Inboxes.RulesOf("shop-7"); seven.Send.Allow("x", []string{"dispatch"}) || !seven.Open.Allow("x", []string{"support"}) {
		t.Errorf("%+v", seven)
	}
	if team := c.Inboxes.RulesOf("team.a"); !team.Subscribe.Allow("x", []string{"staff"}) || team.Subscribe.Allow("x", nil) || team.Send != nil {
		t.Errorf("%+v", team)
	}
	if none := c.Inboxes.RulesOf("ada"); none.Open != nil || none.Send != nil || none.Subscribe != nil {
		t.Errorf("%+v", none)
	}
}
