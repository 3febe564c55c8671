package history

import (
	"cmp"
	"math"
	"slices"
)

// entry was published to a topic.
type entry struct {
	id     string
	number uint64
	kept   bool // not forgotten with the store's power
	when   int64
}

// absent is an entry that hasn't arrived in an inbox, and those of its topic between which it would have.
type absent struct {
	*entry
	topic         string
	after, before position
}

// order has first what must be explained, before what may be forgotten, and then what can be explained by least.
func (a absent) order(b absent) int {
	if a.kept != b.kept {
		if a.kept {
			return -1
		}
		return 1
	}
	return a.before.compare(b.before)
}

// topics checks that what was published to a topic arrives in each inbox that is a member, in the order of its numbers, or was
// told to be missing there: between those of the topic that have arrived. find says where something is, gone what is missing and
// not explained otherwise. It returns the ids of all that was published, perhaps.
func (v *checker) topics(events []Event, find func(inbox, id string) (position, bool), gone map[string]gaps,
	lost func(inbox string, kept bool, when int64, format string, args ...any)) map[string]bool {
	members := map[string][]string{}
	topics := map[string][]*entry{}
	byID := map[string]*entry{}
	published := map[string]bool{}
	for _, e := range events {
		switch {
		case e.Kind == Member:
			members[e.Key] = append(members[e.Key], e.Queue)
		case e.Kind != Topic:
		case e.Outcome == OK:
			published[e.ID] = true
			p := byID[e.ID]
			if p == nil {
				p = &entry{id: e.ID, number: e.Seq}
				byID[e.ID] = p
				topics[e.Key] = append(topics[e.Key], p)
			} else if p.number != e.Seq && p.kept {
				v.wrong(&v.Invented, "topic %s: %s was stored as %d and %d", e.Key, e.ID, p.number, e.Seq)
			}
			p.number, p.when = e.Seq, e.At
			p.kept = p.kept || !v.forgets(e.Call, e.At)
		case e.Outcome == Unknown || e.Outcome == "unavailable":
			published[e.ID] = true
		}
	}
	missing := map[string][]absent{} // by inbox
	for topic, list := range topics {
		slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.number, b.number) })
		for i := 1; i < len(list); i++ {
			if a, b := list[i-1], list[i]; a.number == b.number {
				v.wrong(&v.Invented, "topic %s: %s and %s were stored as %d", topic, a.id, b.id, a.number)
			}
		}
		for _, inbox := range members[topic] {
			var last *entry
			var at position // of last
			since := len(missing[inbox])
			before := func(next position) {
				for i := range missing[inbox][since:] {
					missing[inbox][since+i].before = next
				}
				since = len(missing[inbox])
			}
			for _, p := range list {
				here, ok := find(inbox, p.id)
				if !ok {
					missing[inbox] = append(missing[inbox], absent{entry: p, topic: topic, after: at})
					continue
				}
				v.OfTopics++
				if last != nil && here.epoch == at.epoch && here.seq < at.seq {
					v.wrong(&v.Disorder, "%s: %s of topic %s, number %d, came as %d, and %s, number %d, as %d",
						inbox, last.id, topic, last.number, at.seq, p.id, p.number, here.seq)
				}
				before(here)
				last, at = p, here
			}
			before(position{math.MaxUint64, 0})
		}
	}
	for inbox, list := range missing {
		slices.SortStableFunc(list, absent.order)
		for _, p := range list {
			i := slices.IndexFunc(gone[inbox], func(g position) bool { return g.compare(p.after) > 0 && g.compare(p.before) < 0 })
			if i >= 0 {
				gone[inbox] = slices.Delete(gone[inbox], i, i+1)
			} else {
				lost(inbox, p.kept, p.when, "%s: %s, number %d of topic %s, never arrived", inbox, p.id, p.number, p.topic)
			}
		}
	}
	return published
}
