package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/roomcast/roomcast/tests/chaos/history"
)

// line is a connection that is made anew when it has ended, at another node maybe.
type line struct {
	name  string
	nodes []string
	rnd   *rand.Rand
	w     *wire
}

func (l *line) call(ctx context.Context, event string, in, v any) error {
	if l.w == nil {
		w, err := dial(ctx, l.nodes[l.rnd.IntN(len(l.nodes))], l.name, l.name)
		if err != nil {
			return errNotAsked
		}
		l.w = w
	}
	err := l.w.call(event, in, v)
	if no := refused(""); err != nil && !errors.As(err, &no) {
		l.close()
	}
	return err
}

func (l *line) close() {
	if l.w != nil {
		l.w.close()
		l.w = nil
	}
}

// errNotAsked says that nothing was sent.
var errNotAsked = errors.New("not connected")

func outcome(err error) string {
	if no := refused(""); errors.As(err, &no) {
		return string(no)
	} else if err != nil {
		return history.Unknown
	}
	return history.OK
}

// produce publishes until ctx ends, and what was begun until it is known to be stored. Keys are a producer's own, so
// that the order is known.
func produce(ctx context.Context, rec *history.Recorder, l *line, perSecond float64) {
	defer l.close()
	numbers := map[string]int{}
	last := 0
	var outcomes struct {
		Results []struct {
			OK   bool
			Code string
		}
	}
	next := time.Now()
	for ctx.Err() == nil {
		queue := "jobs"
		switch k := l.rnd.IntN(20); {
		case k == 0:
			queue = "small"
		case k == 1:
			queue = "ring"
		case k == 2:
			queue = "brief"
		case k == 3:
			queue = "desk"
		}
		size := 1
		if l.rnd.IntN(4) == 0 {
			size += l.rnd.IntN(15)
		}
		var list []map[string]any
		var events []history.Event
		for range size {
			last++
			e := history.Event{Kind: history.Publish, Queue: queue, ID: l.name + "-" + strconv.Itoa(last)}
			d := letter{}
			m := map[string]any{}
			switch k := l.rnd.IntN(1000); {
			case k < 3 && (queue == "jobs" || queue == "desk"):
				d.Poison = "fails"
				if k == 0 {
					d.Poison = "kills"
				}
				e.ID += "-poison"
			case queue == "desk": // who comes back from the dead comes last
			case k < 400:
				e.Key = fmt.Sprint(l.name, "/", l.rnd.IntN(6))
				numbers[queue+e.Key]++
				e.N = numbers[queue+e.Key]
				d.N = e.N
				m["key"] = e.Key
			case k < 420:
				m["delay"] = l.rnd.IntN(500)
			}
			m["id"], m["data"] = e.ID, d
			list, events = append(list, m), append(events, e)
		}
		for try := 0; len(list) > 0; try++ {
			began := history.Now()
			outcomes.Results = nil
			err := l.call(context.WithoutCancel(ctx), "queue:publish", map[string]any{"queue": queue, "messages": list}, &outcomes)
			var again []map[string]any
			var rest []history.Event
			if err == errNotAsked {
				again, rest = list, events
			} else {
				for i, e := range events {
					e.Call, e.Outcome = began, outcome(err)
					if err == nil && !outcomes.Results[i].OK {
						e.Outcome = outcomes.Results[i].Code
					}
					rec.Add(e)
					// What is refused since the queue is full is given up in the end, but for keys: order is only theirs.
					if e.Outcome != history.OK && (e.Outcome != "queue_full" || try < 3) {
						again, rest = append(again, list[i]), append(rest, events[i])
					}
				}
			}
			list, events = again, rest
			if len(list) > 0 {
				time.Sleep(time.Duration(20+l.rnd.IntN(80)) * time.Millisecond)
			}
		}
		next = next.Add(time.Duration(float64(size) / perSecond * float64(time.Second)))
		if d := time.Until(next); d > 0 {
			time.Sleep(d)
		} else if d < -time.Second {
			next = time.Now()
		}
	}
}

// The inboxes, and the topics: each inbox is a member of one or both.
var (
	inboxes = []string{"in0", "in1", "in2", "in3", "in4", "in5"}
	topics  = []string{"news", "sport"}
)

// members are the inboxes that are members of a topic.
func members(topic string) (list []string) {
	for i, inbox := range inboxes {
		if (i+len(topic))%3 > 0 {
			list = append(list, inbox)
		}
	}
	return list
}

// subscribe makes inboxes members of topics.
func subscribe(ctx context.Context, rec *history.Recorder, l *line) error {
	for _, topic := range topics {
		for _, inbox := range members(topic) {
			for {
				err := l.call(ctx, "inbox:subscribe", map[string]any{"topic": topic, "inbox": inbox}, nil)
				if err == nil {
					break
				}
				if ctx.Err() != nil {
					return fmt.Errorf("subscribe: %w", err)
				}
			}
			rec.Add(history.Event{Kind: history.Member, Queue: inbox, Key: topic})
		}
	}
	return nil
}

// send sends to inboxes and topics until ctx ends.
func send(ctx context.Context, rec *history.Recorder, there *arrivals, l *line, every time.Duration) {
	defer l.close()
	for n := 0; ctx.Err() == nil; n++ {
		to := []string{inboxes[l.rnd.IntN(len(inboxes))]}
		if l.rnd.IntN(3) == 0 {
			to = inboxes
		}
		id := l.name + "-" + strconv.Itoa(n)
		ask := map[string]any{"id": id, "data": map[string]any{"n": n}}
		topic := ""
		if l.rnd.IntN(4) == 0 {
			topic = topics[l.rnd.IntN(len(topics))]
			ask["topic"] = topic
		} else {
			ask["to"] = to
		}
		for {
			began := history.Now()
			var answer struct {
				Seqs    map[string]uint64
				Refused map[string]string
				Tseq    uint64
			}
			err := l.call(context.WithoutCancel(ctx), "inbox:send", ask, &answer)
			if err != errNotAsked && topic != "" {
				rec.Add(history.Event{Kind: history.Topic, Key: topic, ID: id, Call: began, Outcome: outcome(err), Seq: answer.Tseq})
				for _, inbox := range members(topic) {
					if err == nil {
						there.sent(inbox, id)
					}
				}
			} else if err != errNotAsked {
				for _, name := range to {
					e := history.Event{Kind: history.Send, Queue: name, ID: id, Call: began, Outcome: outcome(err), Seq: answer.Seqs[name]}
					if code := answer.Refused[name]; code != "" {
						e.Outcome = code
					}
					rec.Add(e)
					if e.Outcome == history.OK {
						there.sent(name, id)
					}
				}
			}
			if err == nil && len(answer.Refused) == 0 {
				break
			}
			time.Sleep(time.Duration(20+l.rnd.IntN(80)) * time.Millisecond)
		}
		time.Sleep(time.Duration(l.rnd.Int64N(int64(2 * every))))
	}
}

// owner opens an inbox, reads for a while and leaves, again and again until ctx ends. When calm is closed, it stays.
type owner struct {
	name  string
	nodes []string
	rec   *history.Recorder
	there *arrivals
	rnd   *rand.Rand
	calm  <-chan struct{}
	epoch uint64
	seq   uint64 // what it has processed
}

func (o *owner) run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = o.open(ctx)
		select {
		case <-o.calm:
			time.Sleep(50 * time.Millisecond)
		case <-ctx.Done():
		case <-time.After(time.Duration(o.rnd.IntN(2500)) * time.Millisecond):
		}
	}
}

func (o *owner) open(ctx context.Context) error {
	w, err := dial(ctx, o.nodes[o.rnd.IntN(len(o.nodes))], o.name, o.name)
	if err != nil {
		return err
	}
	if o.rnd.IntN(4) > 0 { // else the next one takes over from it
		defer w.close()
	} else {
		defer time.AfterFunc(2*time.Second, w.close)
	}
	type place struct {
		Epoch, Seq, From, To uint64
		ID, Topic            string
	}
	ready, closed := make(chan struct{}), make(chan struct{})
	type entry struct {
		place
		ack func(...any)
	}
	in := make(chan entry, 1000)
	w.listen(func(event string, data json.RawMessage, ack func(...any)) {
		<-ready
		var p place
		_ = json.Unmarshal(data, &p)
		switch event {
		case "inbox:message":
			o.rec.Add(history.Event{Kind: history.Entry, Queue: o.name, Conn: w.id, Epoch: p.Epoch, Seq: p.Seq, ID: p.ID, Key: p.Topic})
			o.there.arrived(o.name, p.ID)
			in <- entry{p, ack}
		case "inbox:gap":
			o.rec.Add(history.Event{Kind: history.Gap, Queue: o.name, Conn: w.id, Epoch: p.Epoch, Seq: p.From, To: p.To})
		case "inbox:closed":
			select {
			case <-closed:
			default:
				close(closed)
			}
		}
	})
	ask := map[string]any{"inbox": o.name, "prefetch": 1 + o.rnd.IntN(64)}
	if o.epoch > 0 && o.rnd.IntN(2) == 0 {
		ask["since"] = map[string]any{"epoch": o.epoch, "seq": o.seq}
	}
	var answer struct {
		Epoch, Acked uint64
		Reason       string
	}
	if err := w.call("inbox:open", ask, &answer); err != nil {
		close(ready)
		w.close()
		return err
	}
	o.rec.Add(history.Event{Kind: history.Open, Queue: o.name, Conn: w.id, Epoch: answer.Epoch, Seq: answer.Acked, Outcome: answer.Reason})
	o.epoch = answer.Epoch
	close(ready)
	stay := time.NewTimer(time.Duration(200+o.rnd.IntN(3000)) * time.Millisecond)
	defer stay.Stop()
	leave := stay.C
	calm := o.calm
	for {
		select {
		case e := <-in:
			if e.Epoch == o.epoch {
				o.seq = max(o.seq, e.Seq)
			}
			e.ack()
		case <-leave:
			return nil
		case <-calm:
			leave, calm = nil, nil
		case <-w.ended:
			return errEnded
		case <-closed:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}
