package history

import (
	"cmp"
	"slices"
	"strconv"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// position is where an entry is in an inbox.
type position struct{ epoch, seq uint64 }

func (p position) compare(o position) int {
	return cmp.Or(cmp.Compare(p.epoch, o.epoch), cmp.Compare(p.seq, o.seq))
}

// gaps are the positions that were told to be empty, in order.
type gaps []position

func (g gaps) sort() { slices.SortFunc(g, position.compare) }

// find returns the index of a number, of whatever epoch, or -1.
func (g gaps) find(seq uint64) int {
	return slices.IndexFunc(g, func(p position) bool { return p.seq == seq })
}

// inboxes checks that what is in an inbox arrives: its numbers without holes, except for those that were told; and all
// that was sent.
func (v *checker) inboxes(events []Event) {
	type place struct {
		inbox string
		epoch uint64
		seq   uint64
	}
	type sent struct {
		ok    bool
		kept  bool // not forgotten with the store's power
		maybe bool
		seq   uint64
		when  int64 // it was stored
	}
	conns := map[string]*place{}   // where each connection is
	got := map[place]string{}      // who is where
	where := map[[2]string]place{} // the other way round
	missing := map[place]bool{}
	told := map[string]int64{} // when the owner of an inbox was told last that something may be missing, since the store lost it
	epochs := map[string]uint64{}
	sends := map[[2]string]*sent{}
	for _, e := range events {
		p := conns[e.Conn]
		switch e.Kind {
		case Send:
			s := sends[[2]string{e.Queue, e.ID}]
			if s == nil {
				s = &sent{}
				sends[[2]string{e.Queue, e.ID}] = s
			}
			if e.Outcome == OK {
				if s.ok && s.seq != e.Seq && s.kept {
					v.wrong(&v.Invented, "%s %s was stored as %d and %d", e.Queue, e.ID, s.seq, e.Seq)
				}
				s.ok, s.seq, s.when = true, e.Seq, e.At
				s.kept = s.kept || !v.forgets(e.Call, e.At)
			} else if e.Outcome == Unknown || e.Outcome == "unavailable" {
				s.maybe = true
			}
		case Open:
			conns[e.Conn] = &place{e.Queue, e.Epoch, e.Seq}
			if e.Outcome == "epoch" || epochs[e.Queue] > 0 && epochs[e.Queue] != e.Epoch {
				told[e.Queue] = e.At
			}
			epochs[e.Queue] = e.Epoch
		case Gap:
			if p == nil || e.Seq != p.seq+1 || e.To < e.Seq {
				v.wrong(&v.Untold, "%s: a gap from %d to %d was told after %v", e.Queue, e.Seq, e.To, p)
			}
			v.Gaps++
			for n := e.Seq; n <= e.To; n++ {
				missing[place{e.Queue, e.Epoch, n}] = true
			}
			if p != nil {
				p.seq = e.To
			}
		case Entry:
			if p == nil || e.Epoch != p.epoch || e.Seq != p.seq+1 {
				v.wrong(&v.Untold, "%s: %d of epoch %d came after %v", e.Queue, e.Seq, e.Epoch, p)
			}
			if p != nil {
				p.seq = e.Seq
			}
			here := place{e.Queue, e.Epoch, e.Seq}
			if id, ok := got[here]; !ok {
				v.Entries++
			} else if id != e.ID {
				v.wrong(&v.Invented, "%s: number %d was %s and is %s", e.Queue, e.Seq, id, e.ID)
			}
			got[here] = e.ID
			name := [2]string{e.Queue, e.ID}
			if before, ok := where[name]; ok && (before.epoch == e.Epoch && before.seq != e.Seq) {
				v.wrong(&v.Invented, "%s: %s is there as %d and %d", e.Queue, e.ID, before.seq, e.Seq)
			}
			where[name] = here
		}
	}
	v.Missing = len(missing)
	gone := map[string]gaps{}
	for p := range missing {
		gone[p.inbox] = append(gone[p.inbox], position{p.epoch, p.seq})
	}
	for _, g := range gone {
		g.sort()
	}
	lost := func(inbox string, kept bool, when int64, format string, args ...any) {
		if kept || told[inbox] < when {
			v.wrong(&v.Untold, format, args...)
		} else {
			v.Forgotten++
		}
	}
	for name, s := range sends {
		if _, there := where[name]; s.ok && !there {
			if i := gone[name[0]].find(s.seq); i >= 0 && s.kept {
				gone[name[0]] = slices.Delete(gone[name[0]], i, i+1) // it explains no other
			} else {
				lost(name[0], s.kept, s.when, "%s: %s was stored as %d and never arrived", name[0], name[1], s.seq)
			}
		}
	}
	published := v.topics(events, func(inbox, id string) (position, bool) {
		p, ok := where[[2]string{inbox, id}]
		return position{p.epoch, p.seq}, ok
	}, gone, lost)
	for name, p := range where {
		if s := sends[name]; (s == nil || !s.ok && !s.maybe) && !published[name[1]] {
			v.wrong(&v.Invented, "%s: %s arrived as %d and was never sent", name[0], name[1], p.seq)
		}
	}
}
