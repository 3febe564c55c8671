package adapters

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/rooms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a Local that notes what is delivered to it.
type recorder struct {
	Local
	got     []Entry
	flushes int
}

func (r *recorder) Deliver(op *Op, at Offset) { r.got = append(r.got, Entry{at, op}) }
func (r *recorder) Flush()                    { r.flushes++ }

func event(room string, n int) *Op {
	p, _ := parser.MarshalEvent("e", n)
	op := &Op{Kind: Emit, Data: p}
	if room != "" {
		op.Target = rooms.Target{Rooms: []string{room}}
	}
	return op
}

func open(t *testing.T, d Memory) (*recorder, Adapter, Log) {
	t.Helper()
	r := &recorder{}
	a, err := d.Open("/", r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(context.Background()) })
	log, _ := a.(Log)
	return r, a, log
}

func TestAlone(t *testing.T) {
	_, a, log := open(t, Memory{})
	if log != nil {
		t.Error("a log without Keep")
	}
	if n, err := a.Nodes(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
	for r, err := range a.Request(t.Context(), &Op{Kind: Fetch}) {
		t.Error(r, err)
	}
}

func TestLogOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, log := open(t, Memory{Keep: time.Minute})
		ctx := t.Context()
		for i := range 10 {
			if i%3 == 0 {
				time.Sleep(time.Millisecond)
			}
			if err := log.Append(ctx, event("", i)); err != nil {
				t.Fatal(err)
			}
		}
		if len(r.got) != 10 || r.flushes != 10 {
			t.Fatalf("%d delivered, %d flushes", len(r.got), r.flushes)
		}
		for i := range 9 {
			if r.got[i].At.Compare(r.got[i+1].At) >= 0 {
				t.Errorf("%v before %v", r.got[i].At, r.got[i+1].At)
			}
		}
		for i := -1; i < 10; i++ {
			var at Offset
			if i >= 0 {
				at = r.got[i].At
			}
			after, err := log.After(ctx, at, 3)
			want := min(3, 9-i)
			if err != nil || len(after.Entries) != want || after.Last != (i >= 6) {
				t.Fatalf("after event %d: %+v, %v", i, after, err)
			}
			if want > 0 && after.End != after.Entries[want-1].At || want == 0 && after.End != at {
				t.Errorf("after event %d: up to %v", i, after.End)
			}
			for j, e := range after.Entries {
				if e != r.got[i+1+j] {
					t.Errorf("after event %d: %v at %d", i, e, j)
				}
			}
		}
	})
}

func TestLogTrimmed(t *testing.T) {
	for name, d := range map[string]Memory{
		"by number": {Keep: time.Minute, MaxEvents: 4},
		"by bytes":  {Keep: time.Minute, MaxBytes: 4*eventOverhead + 100},
		"by age":    {Keep: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _, log := open(t, d)
				ctx := t.Context()
				for i := range 6 {
					log.Append(ctx, event("", i))
				}
				if d.Keep == time.Second {
					time.Sleep(2 * time.Second)
					for i := range 4 {
						log.Append(ctx, event("", i))
					}
				}
				n := len(r.got)
				if _, err := log.After(ctx, r.got[n-6].At, 1); !errors.Is(err, ErrTrimmed) {
					t.Errorf("a gap was not told: %v", err)
				}
				// The last event that was dropped: nothing after it is missing.
				if after, err := log.After(ctx, r.got[n-5].At, 9); err != nil || len(after.Entries) != 4 {
					t.Errorf("%d events, %v", len(after.Entries), err)
				}
			})
		})
	}
}

func save(log Log, s *Session, keep time.Duration) { log.Save(s, keep, func(error) {}) }

func TestSessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, log := open(t, Memory{Keep: time.Minute})
		l := a.(*memoryLog)
		ctx := t.Context()
		for i := range 3 {
			save(log, &Session{Private: fmt.Sprint(i)}, time.Minute)
			time.Sleep(10 * time.Second)
		}
		save(log, &Session{Private: "1"}, 0) // ended on purpose
		if _, err := log.Take(ctx, "1"); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		log.Append(ctx, event("", 1))
		time.Sleep(31 * time.Second)
		if _, err := log.Take(ctx, "0"); !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		if s, err := log.Take(ctx, "2"); err != nil || s.Private != "2" {
			t.Error(s, err)
		}
		// Nothing happens any more: all goes by itself.
		time.Sleep(5 * time.Minute)
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.sessions)+len(l.events)+len(l.expiring)+l.bytes != 0 || l.timer != nil {
			t.Errorf("left: %d sessions, %d events, %d bytes, timer %v", len(l.sessions), len(l.events), l.bytes, l.timer)
		}
	})
}

func TestOffsetText(t *testing.T) {
	for _, o := range []Offset{{}, {1, 0}, {1763850000000, 7}, {1<<64 - 1, 1<<64 - 1}} {
		if p, ok := ParseOffset(o.String()); !ok || p != o {
			t.Errorf("%v came back as %v, %v", o, p, ok)
		}
	}
	for _, s := range []string{"", "1", "-", "1-", "-1", "01-0", "1-00", "+1-0", "1-0-0", "a-b", "18446744073709551616-0", "1-0\n", " 1-0"} {
		if o, ok := ParseOffset(s); ok {
			t.Errorf("%q was taken as %v", s, o)
		}
	}
}

func FuzzParseOffset(f *testing.F) {
	f.Add("1763850000000-7")
	f.Fuzz(func(t *testing.T, s string) {
		if o, ok := ParseOffset(s); ok && o.String() != s {
			t.Errorf("%q came back as %q", s, o)
		}
	})
}

// TestWants: an event is for a session by the rooms it was in at the event's
// place in the log, not by those it was in at the end.
func TestWants(t *testing.T) {
	at := func(n uint64) Offset { return Offset{n, 0} }
	s := Session{From: at(2), Stays: []Stay{{"own", at(2), Offset{}}, {"a", at(4), at(6)}, {"a", at(8), Offset{}}}}
	entry := func(n uint64, op *Op) Entry { return Entry{at(n), op} }
	except := func(op *Op, rooms ...string) *Op { op.Target.Except = rooms; return op }
	volatile := event("", 0)
	volatile.Volatile = true
	for i, test := range []struct {
		e    Entry
		want bool
	}{
		{entry(1, event("", 0)), false}, // before it connected
		{entry(2, event("", 0)), false},
		{entry(3, event("", 0)), true},
		{entry(3, event("own", 0)), true},
		{entry(3, event("a", 0)), false}, // before it joined
		{entry(5, event("a", 0)), true},
		{entry(6, event("a", 0)), true},
		{entry(7, event("a", 0)), false}, // after it left
		{entry(9, event("a", 0)), true},
		{entry(5, except(event("", 0), "a")), false},
		{entry(7, except(event("", 0), "a")), true},
		{entry(9, except(event("a", 0), "own")), false},
		{entry(9, volatile), false},
		{entry(9, &Op{Kind: Ask}), false},
	} {
		if got := s.Wants(test.e); got != test.want {
			t.Errorf("%d: %v", i, got)
		}
	}
	if got := fmt.Sprint(s.Rooms()); got != "[own a]" {
		t.Error(got)
	}
}
