package history

import (
	"fmt"
	"os"
	"path/filepath"
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
		"two holders":        {drop(func(e *Event) bool { return e.Kind == Closed }), func(v *Verdict) int { return v.Holders }},
		"one fence twice":    {change(is(Deliver, "m3", 5), func(e *Event) { e.Fence = 4 }), func(v *Verdict) int { return v.Holders }},
		"a key out of order": {change(is(Deliver, "m4", 6), func(e *Event) { e.Fence = 0 }), func(v *Verdict) int { return v.Disorder }},
		"an invention":       {change(is(Publish, "m1", 0), func(e *Event) { e.Outcome = "queue_full" }), func(v *Verdict) int { return v.Invented }},
		"more than there may be": {change(func(e *Event) bool { return e.Kind == Depth }, func(e *Event) { e.N = 11 }),
			func(v *Verdict) int { return v.Overflow }},
		"poison that is gone": {change(func(e *Event) bool { return e.ID == "m4" }, func(e *Event) { e.ID = "m4-poison" }),
			func(v *Verdict) int { return v.Poison }},
		"a silent gap":      {drop(func(e *Event) bool { return e.Kind == Gap }), func(v *Verdict) int { return v.Untold }},
		"an entry too few":  {drop(is(Entry, "e5", 0)), func(v *Verdict) int { return v.Untold }},
		"entries exchanged": {change(func(e *Event) bool { return e.Kind == Entry && e.Seq > 3 }, func(e *Event) { e.Seq = 9 - e.Seq }), func(v *Verdict) int { return v.Untold }},
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
