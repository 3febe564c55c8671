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

// Verdict is what a check has found.
type Verdict struct {
	Messages, Hands, Again, Settled, Unknown int // stored; deliveries; of them not the first; settlements, and those without an answer
	Dead                                     int
	Entries, Gaps, Missing                   int // inboxes: received for the first time; gaps told, and numbers in them

	Lost, Invented, Twice, Holders, Disorder, Untold, Overflow, Poison int
	Examples                                                           []string
	Redelivery                                                         map[string][]time.Duration // by what has ended the hand-out before
}

// Wrong is how many things are wrong.
func (v *Verdict) Wrong() int {
	return v.Lost + v.Invented + v.Twice + v.Holders + v.Disorder + v.Untold + v.Overflow + v.Poison
}

func (v *Verdict) String() string {
	s := fmt.Sprintf("%d messages, %d hand-outs (%d again), %d settled (%d answers lost), %d dead; %d inbox entries, %d gaps of %d told\n"+
		"lost %d, invented or stored twice %d, settled twice or by a stale receipt %d, two holders %d, out of order per key %d, inbox gaps untold %d, above the cap %d, poison alive %d",
		v.Messages, v.Hands, v.Again, v.Settled, v.Unknown, v.Dead, v.Entries, v.Gaps, v.Missing,
		v.Lost, v.Invented, v.Twice, v.Holders, v.Disorder, v.Untold, v.Overflow, v.Poison)
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
	left           string
}

type messageID struct{ queue, id string }

// Check checks a history. Queues that rules doesn't name have no rules of their own.
func Check(events []Event, rules map[string]Rules) *Verdict {
	v := &Verdict{Redelivery: map[string][]time.Duration{}}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	messages := gather(events)
	for _, m := range messages {
		v.message(m, rules[m.queue])
	}
	v.linear(messages)
	v.holders(messages, pauses(events))
	v.keys(messages)
	v.inboxes(events)
	for i := range events {
		if e := &events[i]; e.Kind == Depth && rules[e.Queue].MaxLen > 0 && e.N > rules[e.Queue].MaxLen {
			v.wrong(&v.Overflow, "%s had %d messages", e.Queue, e.N)
		}
	}
	return v
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
func (v *Verdict) message(m *message, r Rules) {
	stored, maybe := false, false
	for _, p := range m.publish {
		stored = stored || p.Outcome == OK
		maybe = maybe || p.Outcome == Unknown || p.Outcome == "unavailable"
	}
	if stored {
		v.Messages++
	}
	v.Hands += len(m.hands)
	v.Again += max(len(m.hands)-1, 0)
	if m.left == "dead" {
		v.Dead++
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
	if r.Poison != nil && r.Poison(m.id) {
		if stored && m.left != "dead" {
			v.wrong(&v.Poison, "%s %s is %q after %d hand-outs", m.queue, m.id, m.left, len(m.hands))
		}
		return
	}
	if stored && !ended && m.left == "" && !r.Drops {
		v.wrong(&v.Lost, "%s %s was stored and never settled, and isn't there after %d hand-outs", m.queue, m.id, len(m.hands))
	}
}

// window is a time in which something was stopped, so that it, or what is connected to it, couldn't know better.
type window struct{ from, to int64 }

func pauses(events []Event) map[string][]window {
	all := map[string][]window{}
	for _, e := range events {
		if e.Kind == Fault && e.Call > 0 && e.Who != "" {
			all[e.Who] = append(all[e.Who], window{e.Call, e.At})
		}
	}
	return all
}

// holders checks that nobody gets a message while another believes to have it, unless that one couldn't
// know better since it, or its node, was stopped.
func (v *Verdict) holders(messages []*message, stopped map[string][]window) {
	for _, m := range messages {
		for i := 1; i < len(m.hands); i++ {
			a, b := m.hands[i-1], m.hands[i]
			if a.Fence == b.Fence {
				v.wrong(&v.Holders, "%s %s was handed out twice with fence %d", m.queue, m.id, a.Fence)
				continue
			}
			if a.end > 0 && a.end <= b.At {
				// Between them it may have been handed to somebody who was stopped: that has its own time.
				if a.end > a.At && b.Attempt <= a.Attempt+1 && !slices.ContainsFunc([]string{a.Node, Net(a.Node), b.Node, Net(b.Node), Net("")}, func(what string) bool {
					return !(a.why == "node killed" && what == a.Node) && overlaps(stopped[what], a.end, b.At)
				}) {
					v.Redelivery[a.why] = append(v.Redelivery[a.why], time.Duration(b.At-a.end))
				}
				continue
			}
			if !overlaps(stopped[a.Who], a.At, b.At) && !overlaps(stopped[a.Node], a.At, b.At) {
				v.wrong(&v.Holders, "%s %s was given to %s (fence %d) while %s had it (fence %d, for %v, then %q %v later)", m.queue, m.id, b.Who, b.Fence,
					a.Who, a.Fence, time.Duration(b.At-a.At), a.why, time.Duration(a.end-b.At))
			}
		}
	}
}

// Net is the name, for faults, of what is between a node and the store, and with "" of the store itself. They
// excuse nobody, but tell nothing about how fast messages are handed out again.
func Net(node string) string { return "net:" + node }

func overlaps(list []window, from, to int64) bool {
	return slices.ContainsFunc(list, func(w window) bool { return w.from < to && w.to > from })
}

// keys checks that messages of a key were handed out one after the other, in the order in which they were published:
// fences say in which order hand-outs were made.
func (v *Verdict) keys(messages []*message) {
	type key struct{ queue, key string }
	byKey := map[key][]*message{}
	for _, m := range messages {
		if m.key != "" && len(m.hands) > 0 {
			k := key{m.queue, m.key}
			byKey[k] = append(byKey[k], m)
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
