package history

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// What a store does to one message.
type action int

const (
	hands   action = iota // it is handed out
	settles               // a hand-out is settled
	revives               // if it is dead, it may be ready again: a redrive
	fails                 // the power fails
)

type step struct {
	do     action
	fence  uint64
	how    string
	out    string
	undone bool // may be undone when the power fails
}

// leaseState is what a store knows of one message.
type leaseState struct {
	fence uint64 // of its last hand-out
	old   uint64 // fences up to this are of another life: before it was redriven
	end   end
	soft  bool // the end may be undone when the power fails
}

type end int

const (
	alive end = iota
	dead      // or acknowledged by somebody who has got no answer
	over
)

// lease is a message of a queue: each hand-out has a higher fence than those before, only the last can be settled,
// and only once, unless it is dead and comes back.
func lease(forgettable bool) porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{leaseState{}} },
		Step: func(state, input, _ any) []any {
			s, in := state.(leaseState), input.(step)
			same := []any{s}
			last := s.end == alive && in.fence == s.fence
			switch in.do {
			case hands:
				if s.end != alive || in.fence <= s.fence {
					return nil
				}
				s.fence = in.fence
				return []any{s}
			case revives:
				if s.end == over {
					return same
				}
				return append(same, leaseState{fence: s.fence, old: s.fence})
			case fails:
				if s.end == alive || !s.soft {
					return same
				}
				return append(same, leaseState{fence: s.fence, old: s.old})
			}
			switch in.out {
			case OK:
				if !last {
					return nil
				}
				switch in.how {
				case "ack":
					s.end, s.soft = over, in.undone
				case "reject":
					s.end, s.soft = dead, in.undone
				}
				return []any{s}
			case "gone":
				if s.end == alive && in.fence > s.old && !forgettable {
					s.end = dead
				}
				return []any{s}
			case Unknown:
				if !last {
					return same
				}
				s.end, s.soft = over, in.undone // done now, or later: then it comes last
				if in.how == "reject" {
					s.end = dead
				}
				return []any{s}
			}
			return same // refused: nothing has changed
		},
		Equal: func(a, b any) bool { return a == b },
	}
	return model.ToModel()
}

// linear checks with porcupine that the hand-outs and settlements of each message fit in one order.
func (v *checker) linear(messages []*message) {
	kept, forgettable := lease(false), lease(true)
	for _, m := range messages {
		ops := v.operations(m)
		if len(ops) < 2 {
			continue
		}
		model := kept
		if slices.ContainsFunc(m.publish, func(p Event) bool { return v.forgets(p.Call, p.At) }) {
			model = forgettable
		}
		if !porcupine.CheckOperations(model, ops) {
			v.wrong(&v.Twice, "%s %s: no order explains %s", m.queue, m.id, story(m))
		}
	}
}

// operations are what was done to a message. What can't have changed anything is left out, and so is all but the first
// of several acknowledgements of a hand-out without an answer: one explains what all together do.
func (v *checker) operations(m *message) []porcupine.Operation {
	var ops []porcupine.Operation
	add := func(s step, call, ret int64) {
		ops = append(ops, porcupine.Operation{ClientId: len(ops), Input: s, Call: call, Return: ret})
	}
	first, last := int64(math.MaxInt64), int64(0) // end of it, perhaps; and hand-out
	undone := int64(math.MaxInt64)                // a settlement that may be
	for _, h := range m.hands {
		add(step{do: hands, fence: h.Fence}, h.Call, h.At)
		last = max(last, h.At)
		unknown := false
		for _, s := range h.settle {
			ret := s.ret
			if s.out == Unknown {
				ret = math.MaxInt64
			}
			in := step{do: settles, fence: s.Fence, how: s.How, out: s.out, undone: overlaps(v.power, s.At, ret)}
			switch {
			case s.out == OK || s.out == "gone":
				add(in, s.At, ret)
			case s.out == Unknown && (s.How == "ack" || s.How == "reject") && !unknown:
				unknown = true
				add(in, s.At, ret)
			default:
				continue
			}
			first = min(first, s.At)
			if in.undone && s.out == OK && (s.How == "ack" || s.How == "reject") {
				undone = min(undone, s.At)
			}
		}
	}
	if first < last {
		redrives := m.redrives
		if a := v.admin[m.queue]; a != nil {
			redrives = slices.Concat(redrives, a.redrives)
		}
		for _, e := range redrives {
			if e.At < first || e.Call > last {
				continue
			}
			ret := e.At
			if e.Outcome != OK {
				ret = math.MaxInt64
			}
			add(step{do: revives}, e.Call, ret)
		}
		for _, w := range v.power {
			if w.to > first && w.from < last {
				add(step{do: fails}, w.to, w.to+1)
			}
		}
	}
	if undone < last {
		v.Undone++
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
