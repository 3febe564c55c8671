package history

import (
	"cmp"
	"slices"
)

// leap is by how much fences leap, at least, when the store comes back after a failure of its power. With it less than half as
// many hand-outs are lost.
const leap = 1 << 20

// fences finds out up to which fence hand-outs may be of the time before each failure of the power.
func (v *checker) outages(messages []*message) {
	for i := range v.power {
		v.power[i].fences = map[string]uint64{}
	}
	for _, m := range messages {
		for _, h := range m.hands {
			i := slices.IndexFunc(v.power, func(w outage) bool { return h.At < w.to })
			if i >= 0 {
				v.power[i].fences[m.queue] = max(v.power[i].fences[m.queue], h.Fence+leap/2)
			}
		}
	}
	for i := 1; i < len(v.power); i++ {
		for queue, fence := range v.power[i-1].fences {
			v.power[i].fences[queue] = max(v.power[i].fences[queue], fence)
		}
	}
}

// fences checks that those of a queue grow: none is issued twice, whatever the message, and a hand-out that was asked for after
// another was seen has a higher one.
func (v *checker) fences(messages []*message) {
	byQueue := map[string][]*hand{}
	for _, m := range messages {
		byQueue[m.queue] = append(byQueue[m.queue], m.hands...)
	}
	for queue, asked := range byQueue {
		issued := map[uint64]string{}
		for _, h := range asked {
			if id, twice := issued[h.Fence]; twice && id != h.ID { // see holders
				v.wrong(&v.Holders, "%s: fence %d is of %s and of %s", queue, h.Fence, id, h.ID)
			}
			issued[h.Fence] = h.ID
		}
		seen := slices.Clone(asked)
		slices.SortFunc(seen, func(a, b *hand) int { return cmp.Compare(a.At, b.At) })
		slices.SortFunc(asked, func(a, b *hand) int { return cmp.Compare(a.Call, b.Call) })
		var last *hand // the highest fence seen when h was asked for
		i := 0
		for _, h := range asked {
			for ; i < len(seen) && seen[i].At < h.Call; i++ {
				if last == nil || seen[i].Fence > last.Fence {
					last = seen[i]
				}
			}
			if last != nil && h.Fence < last.Fence {
				v.wrong(&v.Holders, "%s %s was handed out with fence %d after %s with %d", queue, h.ID, h.Fence, last.ID, last.Fence)
			}
		}
	}
}
