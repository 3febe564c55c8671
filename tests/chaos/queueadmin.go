package main

import (
	"context"
	"time"

	"github.com/roomcast/roomcast/tests/chaos/history"
)

// admin does to queues what their owners do: it sends dead messages back, purges, and pauses.
type admin struct {
	rec  *history.Recorder
	line *line
}

// run does one thing after another until ctx ends. In the end nothing is paused.
func (a *admin) run(ctx context.Context) {
	defer a.line.close()
	rnd := a.line.rnd
	for ctx.Err() == nil {
		switch rnd.IntN(6) {
		case 0:
			a.redrive(ctx, "jobs")
		case 1:
			a.do(history.Event{Queue: "desk", How: history.Redrive}, map[string]any{"op": "redrive", "n": 1 + rnd.IntN(20)})
		case 2:
			a.do(history.Event{Queue: "desk", How: history.Purge}, map[string]any{"op": "purge"})
		case 3:
			a.pause(history.PausePublish, "publish", time.Duration(rnd.IntN(800))*time.Millisecond)
		case 4:
			a.pause(history.PauseConsume, "consume", time.Duration(rnd.IntN(2000))*time.Millisecond)
		}
		time.Sleep(time.Duration(100+rnd.IntN(500)) * time.Millisecond)
	}
}

// do asks for something, and notes what came of it.
func (a *admin) do(e history.Event, ask map[string]any) bool {
	ask["queue"] = e.Queue
	var answer struct{ N int }
	e.Kind, e.Call = history.Admin, history.Now()
	err := a.line.call(context.Background(), "queue:admin", ask, &answer)
	if err == errNotAsked {
		return false
	}
	e.Outcome, e.N = outcome(err), answer.N
	a.rec.Add(e)
	return err == nil
}

// pause pauses the desk for a while.
func (a *admin) pause(how, what string, d time.Duration) {
	a.do(history.Event{Queue: "desk", How: how}, map[string]any{"op": "pause", what: true})
	time.Sleep(d)
	for !a.do(history.Event{Queue: "desk", How: history.Resume}, map[string]any{"op": "resume"}) {
		time.Sleep(50 * time.Millisecond)
	}
}

// redrive sends some of a queue's poisoned messages back: they have no keys, the order of which would suffer.
func (a *admin) redrive(ctx context.Context, queue string) {
	var answer struct {
		Messages []struct{ ID string }
	}
	if a.line.call(ctx, "queue:peek", map[string]any{"queue": queue, "state": "dead", "n": 100}, &answer) != nil {
		return
	}
	var ids []string
	for _, m := range answer.Messages {
		if poison(m.ID) && a.line.rnd.IntN(3) == 0 && len(ids) < 10 {
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	began := history.Now()
	err := a.line.call(ctx, "queue:admin", map[string]any{"op": "redrive", "queue": queue, "ids": ids}, nil)
	if err == errNotAsked {
		return
	}
	for _, id := range ids {
		a.rec.Add(history.Event{Kind: history.Admin, Queue: queue, How: history.Redrive, ID: id, Call: began, Outcome: outcome(err)})
	}
}
