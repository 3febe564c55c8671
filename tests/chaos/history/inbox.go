package history

import "strconv"

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

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
		at    place
	}
	conns := map[string]*place{}   // where each connection is
	got := map[place]string{}      // who is where
	where := map[[2]string]place{} // the other way round
	missing := map[place]bool{}
	told := map[string]bool{} // inboxes whose owners were told that something may be missing
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
				if s.ok && s.at.seq != e.Seq && s.kept {
					v.wrong(&v.Invented, "%s %s was stored as %d and %d", e.Queue, e.ID, s.at.seq, e.Seq)
				}
				s.ok, s.at.seq = true, e.Seq
				s.kept = s.kept || !v.forgets(e.Call, e.At)
			} else if e.Outcome == Unknown || e.Outcome == "unavailable" {
				s.maybe = true
			}
		case Open:
			conns[e.Conn] = &place{e.Queue, e.Epoch, e.Seq}
			if e.Outcome != "" || epochs[e.Queue] > 0 && epochs[e.Queue] != e.Epoch {
				told[e.Queue] = true
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
	gone := map[string]map[uint64]bool{}
	for p := range missing {
		if gone[p.inbox] == nil {
			gone[p.inbox] = map[uint64]bool{}
		}
		gone[p.inbox][p.seq] = true
	}
	lost := func(name string, kept bool, format string, args ...any) {
		if kept || !told[name] {
			v.wrong(&v.Untold, format, args...)
		} else {
			v.Forgotten++
		}
	}
	for name, s := range sends {
		if _, there := where[name]; s.ok && !there {
			if gone[name[0]][s.at.seq] {
				delete(gone[name[0]], s.at.seq) // it explains no other
			} else {
				lost(name[0], s.kept, "%s: %s was stored as %d and never arrived", name[0], name[1], s.at.seq)
			}
		}
	}
	published := v.topics(events, func(inbox, id string) (epoch, seq uint64, ok bool) {
		p, ok := where[[2]string{inbox, id}]
		return p.epoch, p.seq, ok
	}, func(inbox string) int { return len(gone[inbox]) }, lost)
	for name, p := range where {
		if s := sends[name]; (s == nil || !s.ok && !s.maybe) && !published[name[1]] {
			v.wrong(&v.Invented, "%s: %s arrived as %d and was never sent", name[0], name[1], p.seq)
		}
	}
}
