package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Queue is one work queue, or rules for all whose names match its own.
type Queue struct {
	Name    string `koanf:"name" yaml:"name,omitempty" help:"Its name, of A-Z a-z 0-9 . _ : and -. With * (any run of characters) it is a pattern: a rule for all queues that match it, which makes none."`
	Publish Users  `koanf:"publish" yaml:"publish,omitempty" help:"Who may publish: deny (the default), allow (everybody in a namespace with queues), or patterns of users and roles such as [shop-*, \"role:api\"]."`
	Consume Users  `koanf:"consume" yaml:"consume,omitempty" help:"Who may consume; likewise."`
	Inspect Users  `koanf:"inspect" yaml:"inspect,omitempty" help:"Who may see its numbers and messages."`
	Admin   Users  `koanf:"admin" yaml:"admin,omitempty" help:"Who may pause, purge and redrive it."`

	Lease             Duration `koanf:"lease" yaml:"lease,omitempty" help:"Time that a consumer has a message, unless it is alive. Default: 30s."`
	MaxFailures       Count    `koanf:"max_failures" yaml:"max_failures,omitempty" help:"Failures that make a message dead. Default: 5."`
	MaxAttempts       Count    `koanf:"max_attempts" yaml:"max_attempts,omitempty" help:"Hand-outs that make a message dead. Default: 20."`
	BackoffBase       Duration `koanf:"backoff_base" yaml:"backoff_base,omitempty" help:"Delay after the first failure; it doubles. Default: 1s."`
	BackoffMax        Duration `koanf:"backoff_max" yaml:"backoff_max,omitempty" help:"Longest delay. Default: 5m."`
	MaxLen            Count    `koanf:"max_len" yaml:"max_len,omitempty" help:"Messages that it holds. Default: 1000000."`
	MaxBytes          Size     `koanf:"max_bytes" yaml:"max_bytes,omitempty" help:"Bytes that they have. Default: 256MiB."`
	Overflow          string   `koanf:"overflow" yaml:"overflow,omitempty" help:"What happens beyond: reject (the default) or drop-oldest."`
	TTL               Duration `koanf:"ttl" yaml:"ttl,omitempty" help:"Time that a message may wait. Default: forever."`
	DeadLetterExpired bool     `koanf:"dead_letter_expired" yaml:"dead_letter_expired,omitempty" help:"Keep expired messages as dead ones."`
	DeadTTL           Duration `koanf:"dead_ttl" yaml:"dead_ttl,omitempty" help:"Time that dead messages are kept. Default: 336h."`
	DeadMax           Count    `koanf:"dead_max" yaml:"dead_max,omitempty" help:"Dead messages that are kept. Default: 100000."`
	OnFail            string   `koanf:"on_fail" yaml:"on_fail,omitempty" help:"What a failed message does to those of its key: block (the default) or skip."`
	Dedupe            Duration `koanf:"dedupe" yaml:"dedupe,omitempty" help:"Time that ids of messages are remembered. Default: 5m."`
	DedupeBytes       Size     `koanf:"dedupe_bytes" yaml:"dedupe_bytes,omitempty" help:"Bytes of ids that are remembered, of 64 and its length for each; more messages with ids are refused. Default: 64MiB."`
	Rate              float64  `koanf:"rate" yaml:"rate,omitempty" help:"Messages per second that all consumers together get. Default: no limit."`
	Burst             Count    `koanf:"burst" yaml:"burst,omitempty" help:"How many of them at once. Default: 1."`
	PublishRate       float64  `koanf:"publish_rate" yaml:"publish_rate,omitempty" help:"Messages per second that each user may publish through one node. Default: no limit."`
	PublishBurst      Count    `koanf:"publish_burst" yaml:"publish_burst,omitempty" help:"How many of them at once. Default: those of a second."`
	MaxConsumers      Count    `koanf:"max_consumers" yaml:"max_consumers,omitempty" help:"Consumers that each user may have on one node. Default: 1000."`
	MaxPayload        Size     `koanf:"max_payload" yaml:"max_payload,omitempty" help:"Largest data of a message. Default: 256KiB."`
	MaxProcessing     Duration `koanf:"max_processing" yaml:"max_processing,omitempty" help:"Time that a living consumer may have a message. Default: 30m."`
	Durability        string   `koanf:"durability" yaml:"durability,omitempty" help:"In Redis, when a publish is acknowledged: memory, replica or fsync. Default: queue_durability."`
}

// Inboxes bounds the inboxes, and says who may send to them.
type Inboxes struct {
	Send     Users       `koanf:"send" help:"Who may send to inboxes and topics of which no rule says it: deny, allow or patterns of users and roles."`
	Topics   Access      `koanf:"topics" help:"Topics that users may subscribe their inboxes to, if no rule says who may: deny, allow or patterns such as [news, \"team:*\"]."`
	Rules    []InboxRule `koanf:"rules" help:"Who may do what with inboxes and topics of certain names."`
	MaxLen   Count       `koanf:"max_len" off:"true" help:"Entries that an inbox holds."`
	MaxBytes Size        `koanf:"max_bytes" off:"true" help:"Bytes that they have."`
	TTL      Duration    `koanf:"ttl" off:"true" help:"Time that an entry waits."`
	Overflow string      `koanf:"overflow" help:"What happens to an entry that doesn't fit: drop-oldest (the owner is told of the gap) or reject. What comes from topics always drops the oldest."`

	MaxPayload Size     `koanf:"max_payload" off:"true" help:"Largest data of an entry."`
	MaxTopics  Count    `koanf:"max_topics" off:"true" help:"Topics that an inbox may be subscribed to."`
	MaxDevices Count    `koanf:"max_devices" off:"true" help:"Inboxes that each user may have for devices, beside the own one."`
	Max        Count    `koanf:"max" off:"true" help:"Inboxes that there may be of all users; in Redis they are counted with some delay."`
	NewPerHour Count    `koanf:"new_per_hour" off:"true" help:"Inboxes that each user may have made per hour through one node, by sending to names that have none yet, or by opening or subscribing them; the own ones don't count, and all who have no name are one user."`
	SendRate   Count    `koanf:"send_rate" off:"true" help:"Entries per second that each user may send through one node: one for each inbox that is named, and one for a topic."`
	SendBurst  Count    `koanf:"send_burst" help:"How many of them at once."`
	Idle       Duration `koanf:"idle" off:"true" help:"Time after which an inbox that nobody has used, empty and without topics, is forgotten."`
}

// InboxRule says who may do what with the inboxes and topics that a name or pattern matches.
type InboxRule struct {
	Name      string `koanf:"name" yaml:"name,omitempty" help:"Name of an inbox, of a device's (user/device) or of a topic, or a pattern such as shop-*; the most specific one counts."`
	Open      Users  `koanf:"open" yaml:"open,omitempty" help:"Who may open these inboxes, and subscribe them to topics, besides the users whose they are."`
	Send      Users  `koanf:"send" yaml:"send,omitempty" help:"Who may send to them. Default: inboxes.send."`
	Subscribe Users  `koanf:"subscribe" yaml:"subscribe,omitempty" help:"Who may subscribe an inbox to these topics. Default: inboxes.topics."`
}

var (
	queueName    = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)
	queuePattern = regexp.MustCompile(`^[A-Za-z0-9._:*-]{1,128}$`)
	inboxPattern = regexp.MustCompile(`^[A-Za-z0-9._:/*-]{1,128}$`)
)

// Declared returns the queues that the settings make: those of its items that aren't patterns.
func (c *Config) Declared() (list []*Queue) {
	for i := range c.Queues {
		if q := &c.Queues[i]; !isPattern(q.Name) {
			list = append(list, q)
		}
	}
	return list
}

// Store returns where queues are: embedded, redis, memory, or "" if there are none.
func (c *Config) Store() string {
	switch {
	case c.QueueStore != "":
		return c.QueueStore
	case c.Data != "":
		return "embedded"
	case c.Redis != "":
		return "redis"
	case c.Demo:
		return "memory"
	}
	return ""
}

func (c *Config) validateQueues(bad func(string, ...any)) {
	if c.QueueStore != "" {
		oneOf(bad, "queue_store", c.QueueStore, "embedded", "redis", "memory")
	}
	switch {
	case c.Redis != "" && c.Data != "" && c.QueueStore == "":
		bad("queue_store: with both data and redis, say where the queues are: embedded (on this node alone) or redis")
	case c.QueueStore == "embedded" && c.Data == "":
		bad("queue_store: embedded needs data, the folder")
	case c.QueueStore == "redis" && c.Redis == "":
		bad("queue_store: redis needs redis")
	}
	if c.Store() == "" && len(c.Queues) > 0 {
		bad("queues: need data (a folder on this node) or redis, to be kept in")
	}
	if c.APIToken != "" && c.APITokenFile != "" {
		bad("api_token: set it, or api_token_file")
	}
	if c.APIToken != "" && len(c.APIToken) < minSecret {
		bad("api_token: has %d bytes; at least %d are needed (openssl rand -hex 32)", len(c.APIToken), minSecret)
	}
	oneOf(bad, "queue_durability", c.QueueDurability, "memory", "replica", "fsync")
	if c.QueueMemory > 100 {
		bad("queue_memory: is %d percent of what there is", c.QueueMemory)
	}
	seen := map[string]bool{}
	for i := range c.Queues {
		q := &c.Queues[i]
		if err := q.check(); err != nil {
			bad("queues[%d]: %w", i, err)
		}
		if seen[q.Name] {
			bad("queues[%d]: %s is there twice", i, q.Name)
		}
		seen[q.Name] = true
		c.validateRoles(bad, fmt.Sprintf("queues[%d]", i), q.Publish, q.Consume, q.Inspect, q.Admin)
	}
	c.validateInboxRules(bad)
	oneOf(bad, "inboxes.overflow", c.Inboxes.Overflow, "drop-oldest", "reject")
	for _, p := range c.Inboxes.Topics.Patterns {
		if err := checkPattern(p); err != nil {
			bad("inboxes.topics: %w", err)
		}
	}
}

func (c *Config) validateInboxRules(bad func(string, ...any)) {
	c.validateRoles(bad, "inboxes.send", c.Inboxes.Send)
	seen := map[string]bool{}
	for i, r := range c.Inboxes.Rules {
		at := fmt.Sprintf("inboxes.rules[%d]", i)
		switch {
		case !inboxPattern.MatchString(r.Name):
			bad("%s: %q isn't a name or pattern of 1 to 128 of A-Z a-z 0-9 . _ : - / and *", at, r.Name)
		case seen[r.Name]:
			bad("%s: %s is there twice", at, r.Name)
		case r.Open == nil && r.Send == nil && r.Subscribe == nil:
			bad("%s: says nothing of %s; set open, send or subscribe", at, r.Name)
		}
		seen[r.Name] = true
		c.validateRoles(bad, at, r.Open, r.Send, r.Subscribe)
	}
}

// validateRoles refuses roles where nobody can have one.
func (c *Config) validateRoles(bad func(string, ...any), at string, lists ...Users) {
	if c.Auth.Roles == "" && slices.ContainsFunc(lists, Users.roles) {
		bad("%s: %s… needs auth.roles, the claim of tokens that has the roles of a user", at, rolePrefix)
	}
}

func (q *Queue) check() error {
	if isPattern(q.Name) {
		return q.checkPattern()
	}
	switch {
	case !queueName.MatchString(q.Name):
		return fmt.Errorf("%q isn't a name of 1 to 128 of A-Z a-z 0-9 . _ : and -", q.Name)
	case q.Overflow != "" && q.Overflow != "reject" && q.Overflow != "drop-oldest":
		return errors.New("overflow must be reject or drop-oldest")
	case q.OnFail != "" && q.OnFail != "block" && q.OnFail != "skip":
		return errors.New("on_fail must be block or skip")
	case q.Durability != "" && q.Durability != "memory" && q.Durability != "replica" && q.Durability != "fsync":
		return errors.New("durability must be memory, replica or fsync")
	case q.Rate < 0 || q.PublishRate < 0:
		return errors.New("rate and publish_rate can't be negative")
	}
	return nil
}

// checkPattern checks an item that is a rule for queues.
func (q *Queue) checkPattern() error {
	rule := Queue{Name: q.Name, Publish: q.Publish, Consume: q.Consume, Inspect: q.Inspect, Admin: q.Admin}
	switch {
	case !queuePattern.MatchString(q.Name):
		return fmt.Errorf("%q isn't a pattern of 1 to 128 of A-Z a-z 0-9 . _ : - and *", q.Name)
	case !reflect.DeepEqual(rule, *q):
		return fmt.Errorf("%s is a pattern, which makes no queue: it can have publish, consume, inspect and admin only", q.Name)
	case q.Publish == nil && q.Consume == nil && q.Inspect == nil && q.Admin == nil:
		return fmt.Errorf("%s says nothing; set publish, consume, inspect or admin", q.Name)
	}
	return nil
}

func (c *Config) queueWarnings(warn func(string, ...any)) {
	store := c.Store()
	used := false
	for _, n := range c.Namespaces {
		used = used || n.Queues
	}
	switch {
	case used && store == "":
		warn("namespaces: queues needs data or redis; without, clients are told that there are none")
	case !used && len(c.Queues) > 0:
		warn("queues: no namespace has queues: true, so only the JSON API reaches them")
	case store == "memory" && !c.Demo:
		warn("queue_store: what is in queues is gone when the program ends")
	case store == "embedded" && c.Redis != "":
		warn("queue_store: each node has queues of its own; clients of other nodes don't see them")
	}
	for _, q := range c.Queues {
		if strings.TrimSpace(q.Durability) != "" && store != "redis" {
			warn("queues: durability of %s has no effect: what the folder data acknowledges is on disk", q.Name)
		}
	}
	c.roleWarnings(warn)
}

// roleWarnings tells of users whose names look like roles that are misspelt.
func (c *Config) roleWarnings(warn func(string, ...any)) {
	look := func(at string, lists ...Users) {
		for _, p := range slices.Concat(lists...) {
			if likeRole(p) {
				warn("%s: %q is a user's name; roles begin with %s", at, p, rolePrefix)
			}
		}
	}
	for i, q := range c.Queues {
		look(fmt.Sprintf("queues[%d]", i), q.Publish, q.Consume, q.Inspect, q.Admin)
	}
	look("inboxes.send", c.Inboxes.Send)
	for i, r := range c.Inboxes.Rules {
		look(fmt.Sprintf("inboxes.rules[%d]", i), r.Open, r.Send, r.Subscribe)
	}
}
