package history

import (
	"cmp"
	"slices"
)

// topics checks that what was published to a topic arrives in each inbox that is a member, in the order of its numbers. find
// says where something is, gaps how many numbers of an inbox were told to be lost that nothing else explains. It returns
// the ids of all that was published, perhaps.
func (v *checker) topics(events []Event, find func(inbox, id string) (epoch, seq uint64, ok bool), gaps func(inbox string) int,
	lost func(inbox string, kept bool, format string, args ...any)) map[string]bool {
	type entry struct {
		id     string
		number uint64
		kept   bool
	}
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
			p.number = e.Seq
			p.kept = p.kept || !v.forgets(e.Call, e.At)
		case e.Outcome == Unknown || e.Outcome == "unavailable":
			published[e.ID] = true
		}
	}
	for topic, list := range topics {
		slices.SortFunc(list, func(a, b *entry) int { return cmp.Compare(a.number, b.number) })
		for _, inbox := range members[topic] {
			excuse := gaps(inbox)
			var last *entry
			var lastEpoch, lastSeq uint64
			for _, p := range list {
				epoch, seq, ok := find(inbox, p.id)
				switch {
				case ok:
					v.OfTopics++
					if last != nil && epoch == lastEpoch && seq < lastSeq {
						v.wrong(&v.Disorder, "%s: %s of topic %s, number %d, came as %d, and %s, number %d, as %d",
							inbox, last.id, topic, last.number, lastSeq, p.id, p.number, seq)
					}
					last, lastEpoch, lastSeq = p, epoch, seq
				case excuse > 0:
					excuse--
				default:
					lost(inbox, p.kept, "%s: %s, number %d of topic %s, never arrived", inbox, p.id, p.number, topic)
				}
			}
		}
	}
	return published
}
