package config

import (
	"math"
	"strings"
)

// QueueRules say who may do what with a queue.
type QueueRules struct{ Publish, Consume, Inspect, Admin Users }

// QueueRules returns who may do what with a queue: for each right, what the most specific of the items says that says
// anything of it. It is nil if no item's name matches.
func (c *Config) QueueRules(queue string) *QueueRules {
	var publish, consume, inspect, admin choice
	found := false
	for i := range c.Queues {
		q := &c.Queues[i]
		if at := specificity(q.Name, queue); at > 0 {
			found = true
			publish.weigh(q.Publish, at)
			consume.weigh(q.Consume, at)
			inspect.weigh(q.Inspect, at)
			admin.weigh(q.Admin, at)
		}
	}
	if !found {
		return nil
	}
	return &QueueRules{publish.users, consume.users, inspect.users, admin.users}
}

// RulesOf returns what the most specific of the rules says of an inbox or topic; fields of which none says anything are nil.
func (in *Inboxes) RulesOf(name string) InboxRule {
	var open, send, subscribe choice
	for i := range in.Rules {
		r := &in.Rules[i]
		if at := specificity(r.Name, name); at > 0 {
			open.weigh(r.Open, at)
			send.weigh(r.Send, at)
			subscribe.weigh(r.Subscribe, at)
		}
	}
	return InboxRule{Name: name, Open: open.users, Send: send.users, Subscribe: subscribe.users}
}

// choice is the most specific answer so far, of equals the first.
type choice struct {
	users Users
	at    int
}

func (c *choice) weigh(u Users, at int) {
	if u != nil && at > c.at {
		c.users, c.at = u, at
	}
}

// specificity says how closely a pattern, or name, is about a name: not at all is 0, more characters are more, and the name itself
// is most.
func specificity(pattern, name string) int {
	switch {
	case !glob(pattern, name):
		return 0
	case !isPattern(pattern):
		return math.MaxInt
	}
	return 1 + len(pattern) - strings.Count(pattern, "*")
}

func isPattern(name string) bool { return strings.Contains(name, "*") }
