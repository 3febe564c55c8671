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
	do    action
	fence uint64
	how   string
	out   string
	// The failures that may undo it are numbers from to until. Failures are those that matter for a message, in order.
	from, until int
}

// life is what a store knows of one message.
type life struct {
	fence uint64 // of its last hand-out
	old   uint64 // fences up to this are of another life: before it was redriven
	end   end
}

// leaseState is life, and what a failure of the power makes of it: the log of the store is cut off somewhere, so that all that
// was done since then is undone, hand-outs too. A fence isn't issued twice, even so.
type leaseState struct {
	life
	issued uint64 // the highest fence of all hand-outs
	past   []life // what may be again when the power fails next
	failed int    // how often it has
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
			if in.do == fails {
				then := []any{leaseState{life: s.life, issued: s.issued, failed: s.failed + 1}}
				for _, before := range s.past {
					then = append(then, leaseState{life: before, issued: s.issued, failed: s.failed + 1})
				}
				return then
			}
			if in.do == hands {
				if in.fence <= s.issued {
					return nil
				}
				s.issued = in.fence
			}
			var then []any
			for _, next := range s.after(in, forgettable) {
				n := leaseState{life: next, issued: s.issued, failed: s.failed}
				if in.from <= s.failed && s.failed < in.until { // else it is safe, and so is all before it
					n.past = s.past
					if next != s.life && !slices.Contains(s.past, s.life) {
						n.past = append(slices.Clip(s.past), s.life)
					}
				}
				then = append(then, n)
			}
			return then
		},
		Equal: func(a, b any) bool {
			s, t := a.(leaseState), b.(leaseState)
			return s.life == t.life && s.issued == t.issued && s.failed == t.failed && slices.Equal(s.past, t.past)
		},
	}
	return model.ToModel()
}

// after returns what a message may be after a step; nothing if there is no such step.
func (l life) after(in step, forgettable bool) []life {
	same := []life{l}
	last := l.end == alive && in.fence == l.fence
	switch in.do {
	case hands:
		if l.end != alive {
			return nil
		}
		return []life{{in.fence, l.old, alive}}
	case revives:
		if l.end == over {
			return same
		}
		return append(same, life{l.fence, l.fence, alive})
	}
	switch in.out {
	case OK:
		if !last {
			return nil
		}
		switch in.how {
		case "ack":
			l.end = over
		case "reject":
			l.end = dead
		}
	case "gone":
		if l.end == alive && in.fence > l.old && !forgettable {
			l.end = dead
		}
	case Unknown:
		if !last {
			return same
		}
		l.end = over // done now, or later: then it comes last
		if in.how == "reject" {
			l.end = dead
		}
	}
	return []life{l} // the same if it was refused
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
	var undo []func(*outage) bool // says of each whether a failure may undo it
	add := func(s step, call, ret int64, undone func(*outage) bool) {
		if undone == nil {
			undone = func(w *outage) bool { return w.from < ret && w.to > call }
		}
		ops = append(ops, porcupine.Operation{ClientId: len(ops), Input: s, Call: call, Return: ret})
		undo = append(undo, undone)
	}
	first, last, end := int64(math.MaxInt64), int64(0), int64(0) // end of it, perhaps; hand-out; and what was seen
	var settled []*settlement                                    // it was over then
	for _, h := range m.hands {
		add(step{do: hands, fence: h.Fence}, h.Call, h.At, h.undone)
		last = max(last, h.At)
		unknown := false
		for _, s := range h.settle {
			in := step{do: settles, fence: s.Fence, how: s.How, out: s.out}
			ends := s.How == "ack" || s.How == "reject"
			switch {
			case s.out == OK || s.out == "gone":
				add(in, s.At, s.ret, nil)
				end = max(end, s.ret)
			case s.out == Unknown && ends && !unknown:
				unknown = true
				add(in, s.At, math.MaxInt64, nil)
			default:
				continue
			}
			first = min(first, s.At)
			if s.out == OK && ends {
				settled = append(settled, s)
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
			add(step{do: revives}, e.Call, ret, nil)
		}
	}
	ops = v.failures(ops, undo, max(last, end))
	v.undone(m, settled, last)
	return ops
}

// failures adds those of the power that may have undone any of ops, of which the last was seen at a time, and tells each which
// they are: undo says so.
func (v *checker) failures(ops []porcupine.Operation, undo []func(*outage) bool, last int64) []porcupine.Operation {
	n := len(undo)
	steps := make([]step, n)
	for i := range steps {
		steps[i] = ops[i].Input.(step)
	}
	number := 0
	for i := range v.power {
		w := &v.power[i]
		if w.from > last {
			break
		}
		matters := false
		for k := range steps {
			if undo[k](w) {
				if steps[k].until == 0 {
					steps[k].from = number
				}
				steps[k].until = number + 1
				matters = true
			}
		}
		if matters {
			number++
			ops = append(ops, porcupine.Operation{ClientId: len(ops), Input: step{do: fails}, Call: w.to, Return: w.to + 1})
		}
	}
	for i := range steps {
		ops[i].Input = steps[i]
	}
	return ops
}

// undone counts what failures of the power have certainly undone: settlements, after which the message was handed out again, and
// hand-outs, after which an earlier one was settled.
func (v *checker) undone(m *message, settled []*settlement, last int64) {
	settlement, handout := false, false
	for _, s := range settled {
		settlement = settlement || s.At < last && v.forgets(s.At, s.ret)
		for _, h := range m.hands {
			handout = handout || h.Fence > s.Fence && h.At < s.At
		}
	}
	if settlement {
		v.Undone++
	}
	if handout {
		v.Withdrawn++
	}
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
