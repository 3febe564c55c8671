package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Rules says what holds for a queue beyond what holds for all.
type Rules struct {
	Drops  bool // the oldest message is dropped when it is full: nothing is owed
	MaxLen int  // how many messages there may be; 0: any number
	Poison func(id string) bool
}

// Names, for faults, of what isn't a process. Each excuses those that couldn't know better since.

// Net is what is between a node and the store, and with "" the store itself. It excuses nobody, but tells nothing about
// how fast messages are handed out again.
func Net(node string) string { return "net:" + node }

// Front is what is between clients and a node.
func Front(node string) string { return "front:" + node }

// Clock is the store's, which was set to another time: leases that it ended are over, whatever their holders believe.
const Clock = "clock"

// Verdict is what a check has found.
type Verdict struct {
	Messages, Hands, Again, Settled, Unknown int // stored; deliveries; of them not the first; settlements, and those without an answer
	Dead, Redriven, Purged                   int
	Starved                                  time.Duration // for how long processes that were excused had no time from the computer, added up
	Superseded, Stale                        int           // settlements that were refused since the message was handed out again; those of before the store was opened anew
	Forgotten, Undone, Withdrawn             int           // stored, settled, or handed out, shortly before the store's power failed, and lost with it
	Entries, OfTopics, Gaps, Missing         int           // inboxes: received for the first time, those of topics among them; gaps told, and numbers in them

	Lost, Invented, Twice, Unjust, Holders, Disorder, Untold, Overflow, Poison, Paused int
	Examples                                                                           []string

	// How long messages were not with anybody, by what has ended the hand-out before. Calm are those at a time
	// when nothing else was wrong.
	Redelivery, Calm map[string][]time.Duration
}

// Wrong is how many things are wrong.
func (v *Verdict) Wrong() int {
	return v.Lost + v.Invented + v.Twice + v.Unjust + v.Holders + v.Disorder + v.Untold + v.Overflow + v.Poison + v.Paused
}

func (v *Verdict) String() string {
	s := fmt.Sprintf("%d messages, %d hand-outs (%d again), %d settled (%d answers lost), %d superseded (%d receipts of before a restart), %d dead, %d redriven, %d purged; %d inbox entries, %d of topics, %d gaps of %d told\n"+
		"with the power of the store: %d forgotten, %d settlements and %d hand-outs undone; processes had to wait for %v, added up\n"+
		"lost %d, invented or stored twice %d, settled twice or by a stale receipt %d, superseded by nobody %d, two holders %d, out of order per key or topic %d, inbox gaps untold %d, above the cap %d, poison alive %d, done while paused %d",
		v.Messages, v.Hands, v.Again, v.Settled, v.Unknown, v.Superseded, v.Stale, v.Dead, v.Redriven, v.Purged, v.Entries, v.OfTopics, v.Gaps, v.Missing,
		v.Forgotten, v.Undone, v.Withdrawn, v.Starved.Round(time.Millisecond),
		v.Lost, v.Invented, v.Twice, v.Unjust, v.Holders, v.Disorder, v.Untold, v.Overflow, v.Poison, v.Paused)
	for _, e := range v.Examples {
		s += "\n  " + e
	}
	return s
}

func (v *Verdict) wrong(n *int, format string, args ...any) {
	if *n++; *n <= 5 {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// hand is a hand-out as a worker has seen it.
type hand struct {
	Event
	end    int64  // when the worker had it no more, as far as it knew; 0: never
	why    string // settled, revoked, lapsed, or how its connection ended
	lapsed bool   // it was revoked, since its node had let go of it before the store
	settle []*settlement
}

type settlement struct {
	Event        // Settle
	ret   int64  // 0: no answer
	out   string // outcome
}

type message struct {
	queue, id, key string
	n              int
	publish        []Event
	hands          []*hand // by fence
	redrives       []Event
	left           string
}

type messageID struct{ queue, id string }

// checker is what a check knows of the whole history.
type checker struct {
	*Verdict
	rules  map[string]Rules
	faults map[string][]window // by what was hit
	all    []named             // the same, in order
	power  []outage
	opened []int64                    // when a store that is one process was
	admin  map[string]*administration // by queue
}

// Check checks a history. Queues that rules doesn't name have no rules of their own.
func Check(events []Event, rules map[string]Rules) *Verdict {
	v := &checker{Verdict: &Verdict{Redelivery: map[string][]time.Duration{}, Calm: map[string][]time.Duration{}}, rules: rules}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	v.windows(events)
	messages := gather(events)
	v.outages(messages)
	v.admin = administered(events)
	for _, m := range messages {
		v.message(m)
	}
	v.purges()
	v.pauses(messages)
	v.linear(messages)
	v.refused(messages)
	v.receipts(messages)
	v.fences(messages)
	v.holders(messages)
	v.keys(messages)
	v.inboxes(events)
	for i := range events {
		if e := &events[i]; e.Kind == Depth && rules[e.Queue].MaxLen > 0 && e.N > rules[e.Queue].MaxLen {
			v.wrong(&v.Overflow, "%s had %d messages", e.Queue, e.N)
		}
	}
	return v.Verdict
}

// gather sorts events by messages.
func gather(events []Event) []*message {
	byID := map[messageID]*message{}
	var all []*message
	get := func(e *Event) *message {
		id := messageID{e.Queue, e.ID}
		m := byID[id]
		if m == nil {
			m = &message{queue: e.Queue, id: e.ID}
			byID[id] = m
			all = append(all, m)
		}
		return m
	}
	ops := map[string]*settlement{}
	conns := map[string][]*hand{}
	closed := map[string]*Event{}
	find := func(e *Event) *hand {
		for _, h := range byID[messageID{e.Queue, e.ID}].handsOr() {
			if h.Fence == e.Fence && h.Conn == e.Conn {
				return h
			}
		}
		return nil
	}
	for i := range events {
		switch e := &events[i]; e.Kind {
		case Publish:
			m := get(e)
			m.publish, m.key, m.n = append(m.publish, *e), e.Key, e.N
		case Deliver:
			h := &hand{Event: *e}
			if e.Until > 0 {
				h.end, h.why = e.Until, "lapsed"
			}
			m := get(e)
			m.hands = append(m.hands, h)
			if c := closed[e.Conn]; c != nil { // it came as the worker left
				h.ends(max(e.At, c.Until), c.Outcome)
			}
			conns[e.Conn] = append(conns[e.Conn], h)
		case Resumed:
			for _, h := range get(e).hands {
				if h.Fence == e.Fence && len(h.settle) == 0 {
					h.Conn, h.Node, h.end, h.why = e.Conn, e.Node, 0, ""
					conns[e.Conn] = append(conns[e.Conn], h)
				}
			}
		case Killed:
			for _, list := range conns {
				for _, h := range list {
					switch session := h.How == "session"; {
					case h.Who == e.Who && session:
						h.ends(e.At, "grace of a session")
					case h.Who == e.Who, h.Node == e.Who && !session:
						h.ends(e.At, e.Outcome)
					}
				}
			}
		case Settle:
			s := &settlement{Event: *e, out: Unknown}
			ops[e.Op] = s
			m := get(e)
			for _, h := range m.hands {
				if h.Fence == e.Fence {
					h.settle = append(h.settle, s)
					h.ends(e.At, "settled") // on whatever connection
					break
				}
			}
		case Settled:
			if s := ops[e.Op]; s != nil {
				s.ret, s.out = e.At, e.Outcome
			}
		case Revoked:
			if h := find(e); h != nil {
				h.ends(e.At, "revoked")
				h.lapsed = h.why == "revoked" && (e.How == "lapsed" || e.How == "cut_off")
			}
		case Closed:
			for _, h := range conns[e.Conn] {
				if h.Conn == e.Conn {
					h.ends(max(e.At, e.Until), e.Outcome)
				}
			}
			closed[e.Conn] = e
			delete(conns, e.Conn)
		case Left:
			get(e).left = e.Outcome
		case Admin:
			if e.How == Redrive && e.ID != "" {
				m := get(e)
				m.redrives = append(m.redrives, *e)
			}
		}
	}
	for _, m := range all {
		slices.SortStableFunc(m.hands, func(a, b *hand) int { return cmp.Compare(a.Fence, b.Fence) })
	}
	return all
}

func (m *message) handsOr() []*hand {
	if m == nil {
		return nil
	}
	return m.hands
}

func (h *hand) ends(at int64, why string) {
	if h.end == 0 || at < h.end {
		h.end, h.why = at, why
	}
}

// message checks what can be said of a message by itself.
func (v *checker) message(m *message) {
	r, admin := v.rules[m.queue], v.admin[m.queue]
	stored, maybe, kept := false, false, false
	for _, p := range m.publish {
		stored = stored || p.Outcome == OK
		kept = kept || p.Outcome == OK && !v.forgets(p.Call, p.At)
		maybe = maybe || p.mayStore()
	}
	if stored {
		v.Messages++
	}
	v.Hands += len(m.hands)
	v.Again += max(len(m.hands)-1, 0)
	if m.left == "dead" {
		v.Dead++
	}
	for _, e := range m.redrives {
		if e.Outcome == OK {
			v.Redriven++
		}
	}
	if !stored && !maybe && (len(m.hands) > 0 || m.left != "") {
		v.wrong(&v.Invented, "%s %s was never stored, and is there", m.queue, m.id)
	}
	ended := false // or perhaps
	for _, h := range m.hands {
		for _, s := range h.settle {
			if s.out == Unknown {
				v.Unknown++
			}
			if s.How != "ack" && s.How != "reject" {
				continue
			}
			if s.out == OK {
				v.Settled++
			}
			ended = ended || s.How == "ack" && (s.out == OK || s.out == Unknown)
		}
	}
	missing := stored && !ended && m.left == ""
	switch {
	case missing && !kept:
		v.Forgotten++
	case r.Poison != nil && r.Poison(m.id):
		if kept && m.left != "dead" {
			v.wrong(&v.Poison, "%s %s is %q after %d hand-outs", m.queue, m.id, m.left, len(m.hands))
		}
	case missing && admin.mayHavePurged(m):
		v.Purged++
		admin.missing++
	case missing && !r.Drops:
		v.wrong(&v.Lost, "%s %s was stored and never settled, and isn't there after %d hand-outs", m.queue, m.id, len(m.hands))
	}
}

// keys checks that messages of a key were handed out one after the other, in the order in which they were published:
// fences say in which order hand-outs were made.
func (v *checker) keys(messages []*message) {
	type key struct{ queue, key string }
	byKey := map[key][]*message{}
	for _, m := range messages {
		if m.key == "" {
			continue
		}
		kept := *m
		kept.hands = slices.DeleteFunc(slices.Clone(m.hands), func(h *hand) bool { return v.undoes(h) })
		if len(kept.hands) > 0 {
			k := key{m.queue, m.key}
			byKey[k] = append(byKey[k], &kept)
		}
	}
	for k, list := range byKey {
		slices.SortFunc(list, func(a, b *message) int { return cmp.Compare(a.n, b.n) })
		for i := 1; i < len(list); i++ {
			a, b := list[i-1], list[i]
			if last, first := a.hands[len(a.hands)-1].Fence, b.hands[0].Fence; last > first {
				v.wrong(&v.Disorder, "%s: message %d of key %s was handed out (fence %d) before %d had ended (fence %d)", k.queue, b.n, k.key, first, a.n, last)
			}
		}
	}
}
