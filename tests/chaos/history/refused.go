package history

import (
	"cmp"
	"math"
	"slices"
)

// refused checks that who was told "superseded" was it: that the message was handed out again before. Hand-outs that nobody has
// seen, since their node or worker was gone by then, show in the attempts of the next one that somebody has.
func (v *checker) refused(messages []*message) {
	began := begins(messages)
	for _, m := range messages {
		for _, h := range m.hands {
			for _, s := range h.settle {
				if s.out != "superseded" {
					continue
				}
				v.Superseded++
				if why := v.unjust(m, h, s, began); why != "" {
					v.wrong(&v.Unjust, "%s %s: fence %d is said to be superseded, though %s: %s", m.queue, m.id, h.Fence, why, story(m))
				}
			}
		}
	}
}

// unjust says why a settlement of a hand-out can't have been superseded; "": it can.
func (v *checker) unjust(m *message, h *hand, s *settlement, began map[*hand]int64) string {
	var next *hand
	until := s.ret
	if i := slices.IndexFunc(m.hands, func(o *hand) bool { return o.Fence > h.Fence }); i >= 0 {
		next = m.hands[i]
		until = max(until, next.At)
	}
	if v.forgets(h.At-late, until) || v.reopened(h.Call, until) {
		return "" // hand-outs, or how many there were, may have been lost
	}
	for _, o := range m.hands {
		for _, other := range o.settle {
			switch {
			case other.out != OK:
			case other.How == "ack" && other.ret < s.At:
				return "it was gone"
			case o == h && other.At > s.ret:
				return "it is settled later"
			case o == h && next == nil && (other.How == "ack" || other.How == "reject"):
				return "it is settled, and was never handed out again"
			}
		}
	}
	if next != nil && next.Attempt == h.Attempt+1 && began[next] > s.ret {
		return "the next one is of later"
	}
	return ""
}

// begins returns the earliest time of each hand-out: it was made after it was asked for, and after all messages were published that
// were handed out before, by the fences.
func begins(messages []*message) map[*hand]int64 {
	type of struct {
		*hand
		published int64
	}
	byQueue := map[string][]of{}
	for _, m := range messages {
		first := int64(math.MaxInt64)
		for _, p := range m.publish {
			first = min(first, p.Call)
		}
		if len(m.publish) == 0 {
			first = 0
		}
		for _, h := range m.hands {
			byQueue[m.queue] = append(byQueue[m.queue], of{h, first})
		}
	}
	began := map[*hand]int64{}
	for _, list := range byQueue {
		slices.SortFunc(list, func(a, b of) int { return cmp.Compare(a.Fence, b.Fence) })
		last := int64(0)
		for _, h := range list {
			last = max(last, h.published, h.Call)
			began[h.hand] = last
		}
	}
	return began
}

// receipts checks those of before a restart of a store that is one process, and doesn't know what it has handed out before:
// they settle nothing.
func (v *checker) receipts(messages []*message) {
	for _, m := range messages {
		for _, h := range m.hands {
			for _, s := range h.settle {
				if !slices.ContainsFunc(v.opened, func(at int64) bool { return h.At < at && at < s.At }) {
					continue
				}
				v.Stale++
				if s.out != "superseded" && s.out != "gone" && s.out != Unknown {
					v.wrong(&v.Twice, "%s %s: fence %d is of before the store was opened, and is answered %s: %s", m.queue, m.id, h.Fence, s.out, story(m))
				}
			}
		}
	}
}

// reopened reports whether the store was opened between two times.
func (v *checker) reopened(from, to int64) bool {
	return slices.ContainsFunc(v.opened, func(at int64) bool { return from < at && at < to })
}
