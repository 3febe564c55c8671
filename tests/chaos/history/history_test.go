package history

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// good is what was seen of a queue and an inbox that keep their promises.
func good() []Event {
	at := int64(0)
	t := func() int64 { at += 10; return at }
	var list []Event
	add := func(e Event) { e.At = t(); list = append(list, e) }
	for i := range 4 {
		id := fmt.Sprint("m", i+1)
		add(Event{Kind: Publish, Queue: "q", ID: id, Key: "k", N: i + 1, Call: at + 5, Outcome: OK})
	}
	deliver := func(id string, n int, fence uint64, conn string) {
		add(Event{Kind: Deliver, Queue: "q", ID: id, Key: "k", N: n, Fence: fence, Who: "w" + conn, Conn: conn, Node: "n", Call: 1})
	}
	settle := func(id string, fence uint64, conn, how, out string) {
		op := fmt.Sprint(id, fence, how, at)
		add(Event{Kind: Settle, Queue: "q", ID: id, Fence: fence, Conn: conn, Who: "w" + conn, How: how, Op: op})
		add(Event{Kind: Settled, Op: op, Outcome: out})
	}
	deliver("m1", 1, 1, "a")
	settle("m1", 1, "a", "ack", OK)
	deliver("m2", 2, 2, "a")
	add(Event{Kind: Closed, Conn: "a", Who: "wa", Outcome: "socket closed"})
	deliver("m2", 2, 3, "b")
	settle("m2", 2, "c", "ack", "superseded")
	settle("m2", 3, "b", "ack", OK)
	settle("m2", 3, "b", "ack", "gone")
	deliver("m3", 3, 4, "b")
	settle("m3", 4, "b", "nack", OK)
	deliver("m3", 3, 5, "c")
	settle("m3", 5, "c", "reject", OK)
	deliver("m4", 4, 6, "c")
	settle("m4", 6, "c", "ack", OK)
	add(Event{Kind: Left, Queue: "q", ID: "m3", Outcome: "dead"})
	add(Event{Kind: Depth, Queue: "q", N: 4})
	for i := range uint64(5) {
		add(Event{Kind: Send, Queue: "in", ID: fmt.Sprint("e", i+1), Call: at + 5, Outcome: OK, Seq: i + 1})
	}
	add(Event{Kind: Open, Queue: "in", Conn: "o", Epoch: 1})
	add(Event{Kind: Entry, Queue: "in", Conn: "o", Epoch: 1, Seq: 1, ID: "e1"})
	add(Event{Kind: Gap, Queue: "in", Conn: "o", Epoch: 1, Seq: 2, To: 3})
	add(Event{Kind: Entry, Queue: "in", Conn: "o", Epoch: 1, Seq: 4, ID: "e4"})
	add(Event{Kind: Entry, Queue: "in", Conn: "o", Epoch: 1, Seq: 5, ID: "e5"})

	// The rest is of other queues, to which their owners do something.
	plain := func(id string, fence uint64, conn string) {
		add(Event{Kind: Deliver, Queue: "r", ID: id, Fence: fence, Who: "w" + conn, Conn: conn, Node: "n", Call: 1})
	}
	end := func(id string, fence uint64, conn, how, out string) {
		op := fmt.Sprint(id, fence, how, at)
		add(Event{Kind: Settle, Queue: "r", ID: id, Fence: fence, Conn: conn, Who: "w" + conn, How: how, Op: op})
		add(Event{Kind: Settled, Op: op, Outcome: out})
	}
	for _, id := range []string{"d1", "d2", "p1"} {
		add(Event{Kind: Publish, Queue: "r", ID: id, Call: at + 5, Outcome: OK})
	}
	plain("d1", 1, "a2")
	end("d1", 1, "a2", "reject", OK)
	add(Event{Kind: Admin, Queue: "r", How: Redrive, ID: "d1", Call: at + 5, Outcome: OK})
	end("d1", 1, "a2", "reject", "gone")
	plain("d1", 2, "a2")
	end("d1", 2, "a2", "ack", OK)
	plain("d2", 3, "a2")
	end("d2", 3, "a2", "ack", Unknown)
	list = list[:len(list)-1] // no answer
	add(Event{Kind: Admin, Queue: "r", How: Purge, Call: at + 5, N: 1, Outcome: OK})
	add(Event{Kind: Admin, Queue: "r", How: PausePublish, Call: at + 5, Outcome: OK})
	add(Event{Kind: Publish, Queue: "r", ID: "p2", Call: at + 5, Outcome: "paused"})
	add(Event{Kind: Admin, Queue: "r", How: Resume, Call: at + 5, Outcome: OK})
	add(Event{Kind: Publish, Queue: "r", ID: "p3", Call: at + 5, Outcome: OK})
	add(Event{Kind: Admin, Queue: "r", How: PauseConsume, Call: at + 5, Outcome: OK})
	plain("p3", 4, "a2") // it was on its way
	add(Event{Kind: Admin, Queue: "r", How: Resume, Call: at + 5, Outcome: OK})
	end("p3", 4, "a2", "ack", OK)

	add(Event{Kind: Member, Queue: "in2", Key: "t"})
	add(Event{Kind: Open, Queue: "in2", Conn: "o2", Epoch: 1})
	for i := range uint64(3) {
		add(Event{Kind: Topic, Key: "t", ID: fmt.Sprint("t", i+1), Call: at + 5, Outcome: OK, Seq: 10 + i})
		add(Event{Kind: Entry, Queue: "in2", Conn: "o2", Epoch: 1, Seq: i + 1, ID: fmt.Sprint("t", i+1), Key: "t"})
	}

	// The power fails: two were acknowledged shortly before, the settlement of one was too; so was an entry.
	add(Event{Kind: Publish, Queue: "f", ID: "f1", Key: "k", N: 1, Call: at + 5, Outcome: OK})
	add(Event{Kind: Publish, Queue: "f", ID: "f2", Key: "k", N: 2, Call: at + 5, Outcome: OK})
	from := t()
	add(Event{Kind: Publish, Queue: "f", ID: "f3", Call: at + 5, Outcome: OK})
	add(Event{Kind: Deliver, Queue: "f", ID: "f1", Key: "k", N: 1, Fence: 1, Who: "w", Conn: "f", Node: "n", Call: 1})
	add(Event{Kind: Settle, Queue: "f", ID: "f1", Fence: 1, Conn: "f", Who: "w", How: "ack", Op: "f1"})
	add(Event{Kind: Settled, Op: "f1", Outcome: OK})
	add(Event{Kind: Deliver, Queue: "f", ID: "f2", Key: "k", N: 2, Fence: 2, Who: "w", Conn: "f", Node: "n", Call: 1})
	add(Event{Kind: Send, Queue: "in3", ID: "g1", Call: at + 5, Outcome: OK, Seq: 1})
	add(Event{Kind: Open, Queue: "in3", Conn: "o3", Epoch: 1})
	add(Event{Kind: Power, Call: from})
	at += int64(5e9)
	add(Event{Kind: Deliver, Queue: "f", ID: "f1", Key: "k", N: 1, Fence: leap + 1, Who: "w", Conn: "g", Node: "n", Call: 1})
	add(Event{Kind: Settle, Queue: "f", ID: "f1", Fence: leap + 1, Conn: "g", Who: "w", How: "ack", Op: "f1'"})
	add(Event{Kind: Settled, Op: "f1'", Outcome: OK})
	add(Event{Kind: Deliver, Queue: "f", ID: "f2", Key: "k", N: 2, Fence: leap + 2, Who: "w", Conn: "g", Node: "n", Call: 1})
	add(Event{Kind: Settle, Queue: "f", ID: "f2", Fence: leap + 2, Conn: "g", Who: "w", How: "ack", Op: "f2'"})
	add(Event{Kind: Settled, Op: "f2'", Outcome: OK})
	add(Event{Kind: Open, Queue: "in3", Conn: "o4", Epoch: 2})
	return list
}

// TestCheck feeds the checker what must not happen, and sees it reported.
func TestCheck(t *testing.T) {
	is := func(k Kind, id string, fence uint64) func(*Event) bool {
		return func(e *Event) bool { return e.Kind == k && e.ID == id && (fence == 0 || e.Fence == fence) }
	}
	drop := func(which func(*Event) bool) func([]Event) []Event {
		return func(list []Event) (rest []Event) {
			for _, e := range list {
				if !which(&e) {
					rest = append(rest, e)
				}
			}
			return rest
		}
	}
	change := func(which func(*Event) bool, f func(*Event)) func([]Event) []Event {
		return func(list []Event) []Event {
			for i := range list {
				if which(&list[i]) {
					f(&list[i])
				}
			}
			return list
		}
	}
	for name, test := range map[string]struct {
		harm func([]Event) []Event
		seen func(*Verdict) int
	}{
		"nothing": {func(l []Event) []Event { return l }, func(*Verdict) int { return 1 }},
		"a lost message": {func(l []Event) []Event {
			return drop(func(e *Event) bool { return e.ID == "m4" && (e.Kind == Deliver || e.Kind == Settle) })(l)
		}, func(v *Verdict) int { return v.Lost }},
		"a lost dead letter": {drop(is(Left, "m3", 0)), func(v *Verdict) int { return v.Lost }},
		"a double settlement": {change(func(e *Event) bool { return e.Kind == Settled && e.Outcome == "gone" }, func(e *Event) { e.Outcome = OK }),
			func(v *Verdict) int { return v.Twice }},
		"a stale settlement": {change(func(e *Event) bool { return e.Kind == Settled && e.Outcome == "superseded" }, func(e *Event) { e.Outcome = OK }),
			func(v *Verdict) int { return v.Twice }},
		"a hand-out after the settlement": {func(l []Event) []Event {
			return append(l, Event{Kind: Deliver, At: 9000, Call: 8000, Queue: "q", ID: "m1", Fence: 9, Conn: "c", Node: "n"})
		}, func(v *Verdict) int { return v.Twice }},
		"two holders":         {drop(func(e *Event) bool { return e.Kind == Closed }), func(v *Verdict) int { return v.Holders }},
		"one fence twice":     {change(is(Deliver, "m3", 5), func(e *Event) { e.Fence = 4 }), func(v *Verdict) int { return v.Holders }},
		"another's fence":     {change(is(Deliver, "m3", 4), func(e *Event) { e.Fence = 6 }), func(v *Verdict) int { return v.Holders }},
		"a lower fence later": {change(is(Deliver, "p3", 0), func(e *Event) { e.Fence, e.Call = 0, e.At-1 }), func(v *Verdict) int { return v.Holders }},
		"a key out of order":  {change(is(Deliver, "m4", 6), func(e *Event) { e.Fence = 0 }), func(v *Verdict) int { return v.Disorder }},
		"an invention":        {change(is(Publish, "m1", 0), func(e *Event) { e.Outcome = "queue_full" }), func(v *Verdict) int { return v.Invented }},
		"more than there may be": {change(func(e *Event) bool { return e.Kind == Depth }, func(e *Event) { e.N = 11 }),
			func(v *Verdict) int { return v.Overflow }},
		"poison that is gone": {change(func(e *Event) bool { return e.ID == "m4" }, func(e *Event) { e.ID = "m4-poison" }),
			func(v *Verdict) int { return v.Poison }},
		"a silent gap":                      {drop(func(e *Event) bool { return e.Kind == Gap }), func(v *Verdict) int { return v.Untold }},
		"an entry too few":                  {drop(is(Entry, "e5", 0)), func(v *Verdict) int { return v.Untold }},
		"entries exchanged":                 {change(func(e *Event) bool { return e.Kind == Entry && e.Seq > 3 }, func(e *Event) { e.Seq = 9 - e.Seq }), func(v *Verdict) int { return v.Untold }},
		"a dead message that is handed out": {drop(func(e *Event) bool { return e.How == Redrive }), func(v *Verdict) int { return v.Twice }},
		"nobody has purged":                 {drop(func(e *Event) bool { return e.How == Purge }), func(v *Verdict) int { return v.Lost }},
		"more is missing than was purged": {change(func(e *Event) bool { return e.How == Purge }, func(e *Event) { e.N = 0 }),
			func(v *Verdict) int { return v.Lost }},
		"stored while paused": {change(is(Publish, "p2", 0), func(e *Event) { e.Outcome = OK }), func(v *Verdict) int { return v.Paused }},
		"handed out while paused": {change(is(Deliver, "p3", 0), func(e *Event) { e.Call = e.At - 1 }),
			func(v *Verdict) int { return v.Paused }},
		"a topic's entry too few": {drop(func(e *Event) bool { return e.Kind == Entry && e.ID == "t3" }), func(v *Verdict) int { return v.Untold }},
		"a topic out of order": {change(func(e *Event) bool { return e.Kind == Entry && e.Key == "t" && e.Seq < 3 }, func(e *Event) { e.ID = fmt.Sprint("t", 3-e.Seq) }),
			func(v *Verdict) int { return v.Disorder }},
		"a topic's number twice":                    {change(is(Topic, "t2", 0), func(e *Event) { e.Seq = 10 }), func(v *Verdict) int { return v.Invented }},
		"an entry of a topic that nobody published": {drop(is(Topic, "t2", 0)), func(v *Verdict) int { return v.Invented }},
		"lost though the power held":                {drop(func(e *Event) bool { return e.Kind == Power }), func(v *Verdict) int { return v.Lost }},
		"undone though the power held":              {drop(func(e *Event) bool { return e.Kind == Power }), func(v *Verdict) int { return v.Twice }},
		"lost, but long before the power failed": {change(is(Publish, "f3", 0), func(e *Event) { e.At, e.Call = 2, 1 }),
			func(v *Verdict) int { return v.Lost }},
		"undone, but long before the power failed": {func(l []Event) []Event {
			for i := range l {
				if l[i].Kind == Power {
					l[i].Call = l[i].At - 1
				}
			}
			return l
		}, func(v *Verdict) int { return v.Twice }},
		"forgotten, and nobody is told": {drop(func(e *Event) bool { return e.Conn == "o4" }), func(v *Verdict) int { return v.Untold }},
		"an entry twice": {func(l []Event) []Event {
			return append(l, Event{Kind: Entry, At: 9000, Queue: "in", Conn: "o", Epoch: 1, Seq: 6, ID: "e5"})
		}, func(v *Verdict) int { return v.Invented }},
	} {
		rules := map[string]Rules{"q": {MaxLen: 10, Poison: func(id string) bool { return strings.HasSuffix(id, "-poison") }}}
		v := Check(test.harm(good()), rules)
		if (v.Wrong() > 0) != (name != "nothing") || test.seen(v) == 0 {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// Nothing is wrong with what power cuts, purges and redrives explain, and it is counted.
func TestCounts(t *testing.T) {
	v := Check(good(), nil)
	if v.Forgotten != 2 || v.Undone != 1 || v.Purged != 1 || v.Redriven != 1 || v.OfTopics != 3 || v.Gaps != 1 {
		t.Errorf("%s", v)
	}
}

// When the power fails the store may be again what it was shortly before: of a hand-out that is undone nobody knows any more, and who
// had the message before may settle it. That explains no more than what a log explains that was cut off at one place.
func TestUndone(t *testing.T) {
	const ms = int64(1e6)
	hand := func(fence uint64, at int64, who string) Event {
		return Event{Kind: Deliver, Queue: "q", ID: "m", Fence: fence, At: at * ms, Call: (at - 100) * ms, Who: who, Conn: who, Node: "n"}
	}
	op := 0
	settle := func(fence uint64, at int64, how, out string) []Event {
		op++
		e := Event{Kind: Settle, Queue: "q", ID: "m", Fence: fence, At: at * ms, Who: "w", Conn: "w", How: how, Op: fmt.Sprint(op)}
		return []Event{e, {Kind: Settled, Op: e.Op, At: (at + 10) * ms, Outcome: out}}
	}
	power := func(from, to int64) []Event {
		return []Event{
			{Kind: Power, Call: from * ms, At: to * ms},
			{Kind: Fault, Who: Net(""), Call: to * ms, At: (to + 500) * ms, Outcome: "power"},
		}
	}
	join := func(lists ...[]Event) []Event { return slices.Concat(lists...) }
	one := func(e Event) []Event { return []Event{e} }
	newer := join(one(hand(2, 2000, "b")), settle(2, 2100, "ack", OK)) // it has made the older hand-out void
	older := settle(1, 3600, "ack", OK)
	for name, test := range map[string]struct {
		events            []Event
		withdrawn, undone int // if it may be
		wrong             bool
	}{
		"undone":                                 {join(newer, power(1900, 3000), older), 1, 0, false},
		"a hand-out that wasn't settled":         {join(one(hand(2, 2000, "b")), power(1900, 3000), older), 1, 0, false},
		"a dead one":                             {join(one(hand(2, 2000, "b")), settle(2, 2100, "reject", OK), power(1900, 3000), older), 1, 0, false},
		"one that nobody has an answer of":       {join(one(hand(2, 2000, "b")), settle(2, 2100, "ack", Unknown), power(1900, 3000), older), 1, 0, false},
		"seen after the failure":                 {join(one(hand(2, 3050, "b")), power(1900, 3000), older), 1, 0, false},
		"and handed out again":                   {join(newer, power(1900, 3000), settle(1, 3600, "nack", OK), one(hand(leap+9, 3700, "c")), settle(leap+9, 3800, "ack", OK)), 0, 1, false},
		"two failures":                           {join(newer, power(1900, 3000), power(3500, 3700), older, one(hand(leap+9, 3900, "c")), settle(leap+9, 3950, "ack", OK)), 1, 1, false},
		"a redrive, too":                         {join(settle(1, 1500, "reject", OK), one(Event{Kind: Admin, How: Redrive, Queue: "q", ID: "m", Call: 1900 * ms, At: 1950 * ms, Outcome: OK}), newer, power(1880, 3000), one(Event{Kind: Left, Queue: "q", ID: "m", At: 9000 * ms, Outcome: "dead"})), 0, 0, false},
		"the power held":                         {join(newer, older), 0, 0, true},
		"it failed, but all had been synced":     {join(newer, power(1900, 3000)[1:], older), 0, 0, true},
		"it failed long after":                   {join(newer, power(2200, 3000), older), 0, 0, true},
		"it failed before":                       {join(power(1000, 1800), newer, older), 0, 0, true},
		"it failed later":                        {join(newer, older, power(3500, 4000)), 0, 0, true},
		"only the settlement is undone":          {join(newer, power(2050, 3000), older), 0, 0, true},
		"the hand-out is there afterwards":       {join(one(hand(2, 2000, "b")), power(1900, 3000), settle(2, 3200, "nack", OK), older), 0, 0, true},
		"both settle":                            {join(newer, power(1900, 3000), older, settle(2, 3900, "ack", OK)), 0, 0, true},
		"and handed out though it was settled":   {join(newer, power(1900, 3000), older, one(hand(leap+9, 3900, "c"))), 0, 0, true},
		"and settled twice":                      {join(newer, power(1900, 3000), older, settle(1, 3900, "ack", OK)), 0, 0, true},
		"made after the failure":                 {join(one(hand(leap+9, 3100, "b")), power(1900, 3000), older), 0, 0, true},
		"a fence that was issued is issued anew": {join(one(hand(5, 2000, "b")), power(1900, 3000), one(hand(4, 3100, "c"))), 0, 0, true},
		"a failure undoes once":                  {join(newer, power(1900, 3000), one(hand(leap+9, 3100, "c")), settle(leap+9, 3200, "ack", OK), older), 0, 0, true},
	} {
		v := Check(join([]Event{
			{Kind: Publish, Queue: "q", ID: "m", At: 1, Outcome: OK},
			hand(1, 1000, "a"),
			{Kind: Closed, Conn: "a", Who: "a", At: 1200 * ms, Outcome: "socket closed"},
			{Kind: Closed, Conn: "b", Who: "b", At: 3001 * ms, Outcome: "connection lost"},
		}, test.events), nil)
		switch {
		case test.wrong && v.Twice != 1:
			t.Errorf("%s: it isn't seen: %s", name, v)
		case !test.wrong && (v.Wrong() > 0 || v.Withdrawn != test.withdrawn || v.Undone != test.undone):
			t.Errorf("%s: %s", name, v)
		}
	}
}

// Who is told "superseded" was that: there has been another hand-out, perhaps of which nobody knows, or may have been one that was
// lost with the store's power or its process. Nobody noticed when a store said so of valid receipts.
func TestSuperseded(t *testing.T) {
	const ms = int64(1e6)
	op := 0
	join := func(lists ...[]Event) []Event { return slices.Concat(lists...) }
	hand := func(fence uint64, attempt int, asked, at int64) []Event {
		who := fmt.Sprint("w", fence)
		return []Event{
			{Kind: Deliver, Queue: "q", ID: "m", Fence: fence, Attempt: attempt, At: at * ms, Call: asked * ms, Who: who, Conn: who, Node: "n"},
			{Kind: Closed, Conn: who, Who: who, At: (at + 100) * ms, Outcome: "socket closed"},
		}
	}
	settle := func(fence uint64, at int64, how, out string) []Event {
		op++
		e := Event{Kind: Settle, Queue: "q", ID: "m", Fence: fence, At: at * ms, Who: "w", Conn: "w", How: how, Op: fmt.Sprint(op)}
		return []Event{e, {Kind: Settled, Op: e.Op, At: (at + 10) * ms, Outcome: out}}
	}
	other := func(fence uint64, published, at int64) []Event { // another message
		id := fmt.Sprint("o", fence)
		op++
		e := Event{Kind: Settle, Queue: "q", ID: id, Fence: fence, At: at*ms + 1, Who: "o", Conn: "o", How: "ack", Op: fmt.Sprint(op)}
		return []Event{
			{Kind: Publish, Queue: "q", ID: id, Call: published*ms - 1, At: published * ms, Outcome: OK},
			{Kind: Deliver, Queue: "q", ID: id, Fence: fence, Attempt: 1, At: at * ms, Call: 1, Who: "o", Conn: "o", Node: "n"},
			e, {Kind: Settled, Op: e.Op, At: at*ms + 2, Outcome: OK},
		}
	}
	opened := func(at int64) []Event { return []Event{{Kind: Opened, At: at * ms}} }
	power := func(from, to int64) []Event { return []Event{{Kind: Power, Call: from * ms, At: to * ms}} }
	first := hand(10, 1, 1, 1000)
	refused := settle(10, 1500, "ack", "superseded")
	left := []Event{{Kind: Left, Queue: "q", ID: "m", At: 90000 * ms, Outcome: "dead"}}
	done := func(fence uint64, at int64) []Event { return settle(fence, at, "ack", OK) }
	for name, test := range map[string]struct {
		events        []Event
		unjust, stale int
		twice         bool
	}{
		"handed out before":                        {events: join(first, hand(11, 2, 1, 1200), refused, done(11, 2000))},
		"handed out perhaps before":                {events: join(first, refused, hand(11, 2, 1, 1700), done(11, 2000))},
		"to one who came later":                    {events: join(first, refused, hand(11, 2, 1600, 1700), done(11, 2000)), unjust: 1},
		"but another was published in between":     {events: join(first, refused, other(11, 1600, 1650), hand(12, 2, 1, 1700), done(12, 2000)), unjust: 1},
		"and another was published before":         {events: join(first, other(11, 1400, 1650), refused, hand(12, 2, 1, 1700), done(12, 2000))},
		"and another is handed out later":          {events: join(first, refused, other(13, 1600, 1650), hand(12, 2, 1, 1700), done(12, 2000))},
		"a hand-out that nobody has seen":          {events: join(first, refused, hand(12, 3, 1600, 1700), done(12, 2000))},
		"before it was redriven":                   {events: join(first, refused, hand(12, 1, 1600, 1700), done(12, 2000))},
		"and dead, after one that nobody has seen": {events: join(first, refused, left)},
		"settled later":                            {events: join(first, refused, done(10, 1600)), unjust: 1},
		"given back later":                         {events: join(first, refused, settle(10, 1600, "nack", OK), hand(12, 3, 1, 1700), done(12, 2000)), unjust: 1},
		"settled before":                           {events: join(first, done(10, 1100), refused), unjust: 1},
		"settled by the next one before":           {events: join(first, hand(11, 2, 1, 1200), done(11, 1300), refused), unjust: 1},
		"rejected at the same time":                {events: join(first, settle(10, 1505, "reject", OK), refused, left), unjust: 1},
		"the power failed":                         {events: join(first, power(1100, 1550), refused, hand(11, 2, 1600, 1700), done(11, 2000))},
		"the power failed long before":             {events: join(power(1, 2), hand(10, 1, 9000, 9100), settle(10, 9500, "ack", "superseded"), hand(11, 2, 9600, 9700), done(11, 9800)), unjust: 1},
		"the power failed later":                   {events: join(first, refused, hand(11, 2, 1600, 1700), done(11, 1800), power(1900, 2000)), unjust: 1},
		"of before the store was opened":           {events: join(first, opened(1200), refused, hand(11, 2, 1600, 1700), done(11, 2000)), stale: 1},
		"of after it was opened":                   {events: join(opened(900), hand(10, 1, 950, 1000), refused, hand(11, 2, 1600, 1700), done(11, 2000)), unjust: 1},
		"an old receipt, and gone":                 {events: join(first, done(10, 1100), opened(1200), settle(10, 1500, "ack", "gone")), stale: 1},
		"an old receipt without an answer":         {events: join(first, opened(1200), settle(10, 1500, "ack", "superseded"), settle(10, 1600, "ack", Unknown), left), stale: 2},
		"an old receipt settles":                   {events: join(first, opened(1200), done(10, 1500)), stale: 1, twice: true},
		"an old receipt gives back":                {events: join(first, opened(1200), settle(10, 1500, "nack", OK), hand(11, 2, 1, 1700), done(11, 2000)), stale: 1, twice: true},
		"an old receipt is none":                   {events: join(first, opened(1200), settle(10, 1500, "ack", "bad_request"), hand(11, 2, 1, 1700), done(11, 2000)), stale: 1, twice: true},
		"sent before it was opened":                {events: join(first, done(10, 1195), opened(1200))},
	} {
		publish := []Event{{Kind: Publish, Queue: "q", ID: "m", At: 1, Call: 1, Outcome: OK}}
		v := Check(join(publish, test.events), nil)
		if v.Unjust != test.unjust || v.Stale != test.stale || (v.Twice > 0) != test.twice || v.Wrong() != v.Unjust+v.Twice {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// A message was stored, which nobody knew, and purged, before its producer asked again and was told that it is known. It seemed lost.
func TestPurgedUnknown(t *testing.T) {
	for outcome, lost := range map[string]int{Unknown: 0, "unavailable": 0, "paused": 1} {
		v := Check([]Event{
			{Kind: Publish, Queue: "q", ID: "m", Call: 10, At: 50, Outcome: outcome},
			{Kind: Admin, Queue: "q", How: Purge, Call: 20, At: 30, N: 1, Outcome: OK},
			{Kind: Publish, Queue: "q", ID: "m", Call: 60, At: 70, Outcome: OK},
		}, nil)
		if v.Lost != lost || v.Wrong() != lost || v.Purged != 1-lost {
			t.Errorf("%s: %s", outcome, v)
		}
	}
}

// What a topic's entries that never arrived are explained by: a gap between those that did, or that the store's power failed and
// the owner was told since then. Those that may be forgotten took the gaps of others.
func TestMissingEntries(t *testing.T) {
	const s = int64(1e9)
	join := func(lists ...[]Event) []Event { return slices.Concat(lists...) }
	published := func(at int64, number uint64) []Event {
		return []Event{{Kind: Topic, Key: "t", ID: fmt.Sprint("t", number), Call: at*s - 1, At: at * s, Outcome: OK, Seq: number}}
	}
	open := func(at int64, epoch, seq uint64, why string) []Event {
		return []Event{{Kind: Open, Queue: "i", Conn: fmt.Sprint(at), Epoch: epoch, Seq: seq, At: at * s, Outcome: why}}
	}
	entry := func(conn, at int64, epoch, seq, number uint64) []Event {
		return []Event{{Kind: Entry, Queue: "i", Conn: fmt.Sprint(conn), Epoch: epoch, Seq: seq, ID: fmt.Sprint("t", number), Key: "t", At: at * s}}
	}
	gap := func(conn, at int64, epoch, from, to uint64) []Event {
		return []Event{{Kind: Gap, Queue: "i", Conn: fmt.Sprint(conn), Epoch: epoch, Seq: from, To: to, At: at * s}}
	}
	power := []Event{{Kind: Power, Call: 3*s - s/2, At: 3*s + s/2}}
	first := join(open(1, 1, 0, ""), published(2, 1), entry(1, 2, 1, 1, 1))
	for name, test := range map[string]struct {
		events            []Event
		untold, forgotten int
	}{
		"in a gap":               {join(first, published(3, 2), published(3, 3), published(3, 4), gap(1, 4, 1, 2, 3), entry(1, 5, 1, 4, 4)), 0, 0},
		"one more":               {join(first, published(3, 2), published(3, 3), published(3, 4), gap(1, 4, 1, 2, 2), entry(1, 5, 1, 3, 4)), 1, 0},
		"in a gap elsewhere":     {join(first, published(3, 2), published(3, 3), published(3, 4), entry(1, 4, 1, 2, 4), gap(1, 5, 1, 3, 4)), 2, 0},
		"forgotten":              {join(first, published(3, 2), power, open(5, 2, 1, "epoch")), 0, 1},
		"forgotten, and a gap":   {join(first, published(3, 2), power, open(5, 2, 1, "epoch"), published(6, 3), published(6, 4), gap(5, 7, 2, 2, 2), entry(5, 7, 2, 3, 4)), 0, 1},
		"told before":            {join(first, open(2, 2, 1, "epoch"), published(3, 2), power), 1, 0},
		"told of something else": {join(first, published(3, 2), power, open(5, 1, 1, "overflow")), 1, 0},
		"an entry for itself":    {join(first, []Event{{Kind: Send, Queue: "i", ID: "e", At: 3 * s, Call: 3*s - 1, Outcome: OK, Seq: 2}}, published(3, 2), published(3, 4), gap(1, 4, 1, 2, 2), entry(1, 5, 1, 3, 4)), 1, 0},
	} {
		v := Check(join([]Event{{Kind: Member, Queue: "i", Key: "t"}}, test.events), nil)
		if v.Untold != test.untold || v.Wrong() != v.Untold || v.Forgotten != test.forgotten {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// Those of one topic that may be forgotten took the gaps that those of another needed, or not, as the map went.
func TestMissingEntriesOfTwoTopics(t *testing.T) {
	const s = int64(1e9)
	published := func(topic string, at int64, number uint64) Event {
		return Event{Kind: Topic, Key: topic, ID: fmt.Sprint(topic, number), Call: at*s - 1, At: at * s, Outcome: OK, Seq: number}
	}
	entry := func(topic string, conn string, at int64, epoch, seq, number uint64) Event {
		return Event{Kind: Entry, Queue: "i", Conn: conn, Epoch: epoch, Seq: seq, ID: fmt.Sprint(topic, number), Key: topic, At: at * s}
	}
	for range 20 {
		v := Check([]Event{
			{Kind: Member, Queue: "i", Key: "a"}, {Kind: Member, Queue: "i", Key: "b"},
			{Kind: Open, Queue: "i", Conn: "1", Epoch: 1, At: s},
			published("a", 2, 1), published("b", 2, 2), entry("a", "1", 2, 1, 1, 1), entry("b", "1", 2, 1, 2, 2),
			published("a", 3, 3), {Kind: Power, Call: 3*s - s/2, At: 3*s + s/2}, // a3 is forgotten
			published("b", 6, 4), published("a", 6, 5), published("b", 6, 6), // b4 is dropped
			{Kind: Open, Queue: "i", Conn: "2", Epoch: 2, Seq: 2, Outcome: "epoch", At: 7 * s},
			{Kind: Gap, Queue: "i", Conn: "2", Epoch: 2, Seq: 3, To: 3, At: 8 * s},
			entry("a", "2", 8, 2, 4, 5), entry("b", "2", 8, 2, 5, 6),
		}, nil)
		if v.Wrong() > 0 || v.Forgotten != 1 {
			t.Fatal(v)
		}
	}
}

// A second holder is excused by what kept the first from knowing, and only by that. How long a message was with nobody is told
// apart by whether something else was wrong.
func TestFaults(t *testing.T) {
	const s = int64(1e9)
	hands := func(end int64) []Event {
		return []Event{
			{Kind: Publish, Queue: "q", ID: "m", At: 1, Outcome: OK},
			{Kind: Deliver, Queue: "q", ID: "m", Fence: 1, At: 10 * s, Call: 1, Who: "w", Conn: "a", Node: "n"},
			{Kind: Closed, Conn: "a", Who: "w", At: end, Outcome: "worker killed"},
			{Kind: Deliver, Queue: "q", ID: "m", Fence: 2, At: 12 * s, Call: 1, Who: "x", Conn: "b", Node: "o"},
			{Kind: Left, Queue: "q", ID: "m", At: 20 * s, Outcome: "ready"},
		}
	}
	fault := func(who string, from, to int64) Event { return Event{Kind: Fault, Who: who, Call: from, At: to} }
	for _, test := range []struct {
		fault          Event
		holders        int // if the first hand-out ends after the second has begun
		measured, calm int // otherwise
	}{
		{fault("", 1, 2), 1, 1, 1},
		{fault("w", 11*s, 12*s), 0, 1, 1}, // its own end
		{fault("n", 11*s, 13*s), 0, 0, 0},
		{fault(Front("n"), 11*s, 13*s), 0, 0, 0},
		{fault(Clock, 11*s, 13*s), 0, 0, 0},
		{fault(Net("n"), 11*s, 13*s), 1, 0, 0},
		{fault("o", 11*s, 13*s), 1, 0, 0},
		{fault("z", 11*s, 13*s), 1, 1, 0},
		{fault("z", 9*s, 10*s), 1, 1, 1},
		{fault("w", 1*s, 9*s), 1, 1, 1},
		{Event{Kind: Admin, Queue: "q", How: PauseConsume, Call: 5 * s, At: 6 * s, Outcome: OK}, 1, 0, 0}, // and not resumed before
		{Event{Kind: Admin, Queue: "other", How: PauseConsume, Call: 5 * s, At: 6 * s, Outcome: OK}, 1, 1, 1},
	} {
		resumed := Event{Kind: Admin, Queue: test.fault.Queue, How: Resume, Call: 11900 * s / 1000, At: 11950 * s / 1000, Outcome: OK}
		if test.fault.Kind != Admin {
			resumed = Event{}
		}
		v := Check(append(hands(13*s), test.fault, resumed), nil)
		if v.Holders != test.holders || v.Wrong() != v.Holders {
			t.Errorf("%+v: %s", test.fault, v)
		}
		v = Check(append(hands(11*s), test.fault, resumed), nil)
		if n, calm := len(v.Redelivery["worker killed"]), len(v.Calm["worker killed"]); n != test.measured || calm != test.calm || v.Wrong() > 0 {
			t.Errorf("%+v: %d measured, %d calm: %s", test.fault, n, calm, v)
		}
	}
}

// A node that lets go of a message before the store does says so, which may come after the next hand-out, but not much; one
// that was told by the store that it had lost the message was a second holder.
func TestRevoked(t *testing.T) {
	const ms = int64(1e6)
	for _, test := range []struct {
		reason  string
		at      int64
		holders int
	}{
		{"lapsed", 1990 * ms, 0},
		{"lapsed", 2050 * ms, 0},
		{"cut_off", 2050 * ms, 0},
		{"lapsed", 2200 * ms, 1},
		{"lost", 1990 * ms, 0},
		{"lost", 2050 * ms, 1},
	} {
		v := Check([]Event{
			{Kind: Publish, Queue: "q", ID: "m", At: 1, Outcome: OK},
			{Kind: Deliver, Queue: "q", ID: "m", Fence: 1, At: 1000 * ms, Call: 1, Who: "w", Conn: "a", Node: "n"},
			{Kind: Revoked, Queue: "q", ID: "m", Fence: 1, At: test.at, Who: "w", Conn: "a", How: test.reason},
			{Kind: Deliver, Queue: "q", ID: "m", Fence: 2, At: 2000 * ms, Call: 1, Who: "x", Conn: "b", Node: "o"},
			{Kind: Left, Queue: "q", ID: "m", At: 3000 * ms, Outcome: "ready"},
		}, nil)
		if v.Holders != test.holders || v.Wrong() != v.Holders {
			t.Errorf("%+v: %s", test, v)
		}
	}
}

// What was recorded is read, but for a line that was torn.
func TestRead(t *testing.T) {
	dir := t.TempDir()
	r, err := NewRecorder(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	r.Add(Event{Kind: Left, ID: "x"})
	r.Add(Event{Kind: Left, ID: "y"})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "a.history")
	b, _ := os.ReadFile(name)
	for cut, want := range map[int]int{0: 2, 3: 1} {
		if err := os.WriteFile(name, b[:len(b)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if list, err := Read(dir); err != nil || len(list) != want {
			t.Errorf("%d bytes less: %v, %v", cut, list, err)
		}
	}
	if err := os.WriteFile(name, append([]byte("{\n"), b...), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := Read(dir); err == nil {
		t.Error("a line torn in the middle of a file gave", list)
	}
}
