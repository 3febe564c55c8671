package history

import (
	"cmp"
	"slices"
	"time"
)

// window is a time in which something was wrong.
type window struct{ from, to int64 }

// named is a window with what was hit.
type named struct {
	window
	who string
}

// outage is a failure of the store's power: a window in which something may have been lost.
type outage struct {
	window
	fences map[string]uint64 // by queue: all hand-outs since then have higher ones
}

func overlaps(list []window, from, to int64) bool {
	return slices.ContainsFunc(list, func(w window) bool { return w.from < to && w.to > from })
}

// windows gathers what was wrong, and when.
func (v *checker) windows(events []Event) {
	v.faults = map[string][]window{}
	for _, e := range events {
		switch {
		case e.Kind == Fault && e.Call > 0 && e.Who != "":
			w := window{e.Call, e.At}
			v.faults[e.Who] = append(v.faults[e.Who], w)
			v.all = append(v.all, named{w, e.Who})
			if e.Outcome == Starving {
				v.Starved += time.Duration(e.At - e.Call)
			}
		case e.Kind == Power:
			v.power = append(v.power, outage{window: window{e.Call, e.At}})
		case e.Kind == Opened:
			v.opened = append(v.opened, e.At)
		}
	}
	slices.SortFunc(v.all, func(a, b named) int { return cmp.Compare(a.from, b.from) })
}

// forgets reports whether what was begun and answered at these times may have been lost with the store's power.
func (v *checker) forgets(call, at int64) bool {
	return slices.ContainsFunc(v.power, func(w outage) bool { return w.from < at+1 && w.to > call })
}

// late is how long a message may be on its way from a store that has lost its power to a worker.
const late = int64(8 * time.Second)

// undone reports whether a hand-out may have been lost in a failure of the power, which may be over when the worker sees it.
func (h *hand) undone(w *outage) bool {
	most, known := w.fences[h.Queue]
	return w.from < h.At && w.to > max(h.Call, h.At-late) && (h.Fence <= most || !known)
}

// undoes reports whether a hand-out may have been lost in any failure of the power.
func (v *checker) undoes(h *hand) bool {
	return slices.ContainsFunc(v.power, func(w outage) bool { return h.undone(&w) })
}

// holders checks that nobody gets a message while another believes to have it, unless that one couldn't
// know better, since it, its node, or what is between them, was stopped.
func (v *checker) holders(messages []*message) {
	for _, m := range messages {
		for i := 1; i < len(m.hands); i++ {
			a, b := m.hands[i-1], m.hands[i]
			switch {
			case a.Fence == b.Fence:
				v.wrong(&v.Holders, "%s %s was handed out twice with fence %d", m.queue, m.id, a.Fence)
			case a.end > 0 && a.end <= b.At:
				v.again(m.queue, a, b)
			case a.lapsed && a.end < b.At+onTheWay: // its node let go before
			case v.renewed(a, b), slices.ContainsFunc([]string{a.Who, a.Node, Front(a.Node), Clock}, func(who string) bool {
				return overlaps(v.faults[who], a.At, b.At)
			}):
			default:
				v.wrong(&v.Holders, "%s %s was given to %s (fence %d) while %s had it (fence %d, for %v, then %q %v later)", m.queue, m.id, b.Who, b.Fence,
					a.Who, a.Fence, time.Duration(b.At-a.At), a.why, time.Duration(a.end-b.At))
			}
		}
	}
}

// renewed reports whether the power has failed while a was with somebody, so that the store may have forgotten that its lease
// was renewed; or b was given to somebody just before, and forgotten.
func (v *checker) renewed(a, b *hand) bool {
	return slices.ContainsFunc(v.power, func(w outage) bool { return w.from < b.At && w.to > max(a.At, b.At-late) })
}

// onTheWay is how long a word that something was revoked may be, when that of its next hand-out is there at once.
const onTheWay = int64(100 * time.Millisecond)

// before is how long before a hand-out ends nothing may have been wrong, for the time until the next one to be that of calm.
const before = int64(500 * time.Millisecond)

// again notes how long it took from a's end to b, unless the queue may have been paused meanwhile.
func (v *checker) again(queue string, a, b *hand) {
	if a.end <= a.At || b.Attempt > a.Attempt+1 {
		return // it came as its worker left; or somebody who was stopped had it between them, which has its own time
	}
	if d := v.admin[queue]; d != nil && overlaps(d.idle, a.end, b.At) {
		return
	}
	took := time.Duration(b.At - a.end)
	own := func(who string) bool {
		return a.why == "node killed" && who == a.Node || a.why == "worker killed" && who == a.Who
	}
	hit := slices.ContainsFunc([]string{a.Node, Net(a.Node), Front(a.Node), b.Node, Net(b.Node), Front(b.Node), b.Who, Net(""), Clock}, func(who string) bool {
		return !own(who) && overlaps(v.faults[who], a.end, b.At)
	})
	if hit {
		return
	}
	v.Redelivery[a.why] = append(v.Redelivery[a.why], took)
	for _, w := range v.all {
		if w.from < b.At && w.to > a.end-before && !own(w.who) {
			return
		}
	}
	v.Calm[a.why] = append(v.Calm[a.why], took)
}
