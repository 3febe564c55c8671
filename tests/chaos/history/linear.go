package history

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// What a store does to one message.
type step struct {
	hand  bool // it is handed out; otherwise the hand-out is settled
	fence uint64
	how   string
	out   string
}

// leaseState is what a store knows of one message.
type leaseState struct {
	fence uint64 // of its last hand-out
	over  bool   // settled for good
}

// lease is a message of a queue: each hand-out has a higher fence than those before, only the last can be settled,
// and only once.
var lease = porcupine.Model{
	Init: func() any { return leaseState{} },
	Step: func(state, input, _ any) (bool, any) {
		s, in := state.(leaseState), input.(step)
		switch {
		case in.hand:
			return !s.over && in.fence > s.fence, leaseState{fence: in.fence}
		case in.out == OK:
			final := in.how == "ack" || in.how == "reject"
			return !s.over && in.fence == s.fence, leaseState{in.fence, final}
		case in.out == "gone":
			return true, leaseState{s.fence, true}
		case in.out == Unknown && in.fence == s.fence:
			return true, leaseState{s.fence, true} // done now, or later: then it comes last
		}
		return true, s // refused: nothing has changed
	},
	Equal: func(a, b any) bool { return a == b },
}

// linear checks with porcupine that the hand-outs and settlements of each message fit in one order.
func (v *Verdict) linear(messages []*message) {
	for _, m := range messages {
		if ops := operations(m); len(ops) > 1 && !porcupine.CheckOperations(lease, ops) {
			v.wrong(&v.Twice, "%s %s: no order explains %s", m.queue, m.id, story(m))
		}
	}
}

// operations are what was done to a message. What can't have changed anything is left out, and so is all but the first
// of several acknowledgements of a hand-out without an answer: one explains what all together do.
func operations(m *message) []porcupine.Operation {
	var ops []porcupine.Operation
	add := func(s step, call, ret int64) {
		ops = append(ops, porcupine.Operation{ClientId: len(ops), Input: s, Call: call, Return: ret})
	}
	for _, h := range m.hands {
		add(step{hand: true, fence: h.Fence}, h.Call, h.At)
		unknown := false
		for _, s := range h.settle {
			in := step{fence: s.Fence, how: s.How, out: s.out}
			switch {
			case s.out == OK || s.out == "gone":
				add(in, s.At, s.ret)
			case s.out == Unknown && (s.How == "ack" || s.How == "reject") && !unknown:
				unknown = true
				add(in, s.At, math.MaxInt64)
			}
		}
	}
	return ops
}

// story tells what has happened to a message.
func story(m *message) string {
	type line struct {
		at   int64
		text string
	}
	var list []line
	for _, h := range m.hands {
		list = append(list, line{h.At, "handed to " + h.Who + " " + itoa(h.Fence) + " " + h.How})
		for _, s := range h.settle {
			list = append(list, line{s.At, s.How + " of " + itoa(s.Fence) + " by " + s.Who})
			if s.ret > 0 {
				list = append(list, line{s.ret, s.out + " for " + itoa(s.Fence)})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	out := ""
	for i, l := range list {
		if i > 0 {
			out += " +" + time.Duration(l.at-list[i-1].at).Round(time.Millisecond).String() + ", "
		}
		out += l.text
	}
	return out
}
