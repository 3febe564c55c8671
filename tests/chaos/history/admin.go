package history

import (
	"math"
	"slices"
)

// administration is what was done to a queue as a whole.
type administration struct {
	purges, redrives           []Event  // redrives of any
	publishPaused, consumption []window // certainly paused
	idle                       []window // consumption may have been paused
	missing                    int      // messages that only a purge can have deleted
}

// administered gathers what was done to queues.
func administered(events []Event) map[string]*administration {
	all := map[string]*administration{}
	since := map[string]*Event{} // pauses that are on
	idle := map[string]int64{}   // since when consumption may be paused
	for i := range events {
		e := &events[i]
		if e.Kind != Admin {
			continue
		}
		a := all[e.Queue]
		if a == nil {
			a = &administration{}
			all[e.Queue] = a
		}
		switch e.How {
		case Redrive:
			if e.ID == "" {
				a.redrives = append(a.redrives, *e)
			}
		case Purge:
			a.purges = append(a.purges, *e)
		case PausePublish, PauseConsume:
			if e.Outcome == OK {
				since[e.Queue] = e
			}
			if e.How == PauseConsume && idle[e.Queue] == 0 {
				idle[e.Queue] = e.Call
			}
		case Resume: // with or without an answer: it may have been done from its call on
			if from := idle[e.Queue]; from != 0 && e.Outcome == OK {
				a.idle = append(a.idle, window{from, e.At})
				delete(idle, e.Queue)
			}
			p := since[e.Queue]
			if p == nil || e.Call <= p.At {
				continue
			}
			delete(since, e.Queue)
			if p.How == PausePublish {
				a.publishPaused = append(a.publishPaused, window{p.At, e.Call})
			} else {
				a.consumption = append(a.consumption, window{p.At, e.Call})
			}
		}
	}
	return all
}

// mayHavePurged reports whether a purge can have met a message.
func (a *administration) mayHavePurged(m *message) bool {
	if a == nil {
		return false
	}
	for _, p := range a.purges {
		done := p.At
		if p.Outcome == Unknown || p.Outcome == "unavailable" {
			done = math.MaxInt64
		} else if p.Outcome != OK {
			continue
		}
		for _, e := range m.publish {
			if e.mayStore() && e.Call < done { // known only later, perhaps
				return true
			}
		}
	}
	return false
}

// purges checks that no more is missing than purges have told, if all have, and nothing was wrong meanwhile: a purge that
// was sent again since its answer was lost tells only of the rest.
func (v *checker) purges() {
	for queue, a := range v.admin {
		for _, e := range a.redrives {
			v.Redriven += e.N
		}
		told := 0
		for _, p := range a.purges {
			if p.Outcome != OK || v.forgets(p.Call, p.At) || slices.ContainsFunc(v.all, func(w named) bool { return w.from < p.At && w.to > p.Call }) {
				told = math.MaxInt
				break
			}
			told += p.N
		}
		if a.missing > told {
			v.wrong(&v.Lost, "%s: %d messages are missing, and %d were purged", queue, a.missing, told)
		}
	}
}

// pauses checks that nothing was stored, and nobody who came then was given anything, while that was paused. Only what
// was begun and ended meanwhile tells.
func (v *checker) pauses(messages []*message) {
	during := func(list []window, call, at int64) bool {
		for _, w := range list {
			if w.from < call && at < w.to && !v.forgets(w.from, w.to) {
				return true
			}
		}
		return false
	}
	for _, m := range messages {
		a := v.admin[m.queue]
		if a == nil {
			continue
		}
		for _, p := range m.publish {
			if p.Outcome == OK && during(a.publishPaused, p.Call, p.At) {
				v.wrong(&v.Paused, "%s %s was stored while publishing was paused", m.queue, m.id)
			}
		}
		for _, h := range m.hands {
			if during(a.consumption, h.Call, h.At) {
				v.wrong(&v.Paused, "%s %s was handed out (fence %d) while consuming was paused", m.queue, m.id, h.Fence)
			}
		}
	}
}
