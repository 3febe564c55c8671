// Package queuetest says what a queues.Store must do. Every store runs it.
package queuetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// Options say how a store is to be tested.
type Options struct {
	// Unit is the time that tests count in: leases are some units, waits a few more. With a real clock it
	// should be well above what a call takes. Default 1 s.
	Unit time.Duration
	// Sleep lets time pass for the store. If nil, its clock is the real one; what fails then because it took
	// longer than the test allows for is tried again, with longer units.
	Sleep func(time.Duration)
	// Parallel runs tests at the same time, which helps where they wait for a real clock.
	Parallel bool
}

// Run tests the stores that open returns; each test opens one, and uses names that no other test has.
func Run(t *testing.T, open func(*testing.T) queues.Store, o Options) {
	if o.Unit == 0 {
		o.Unit = time.Second
	}
	for _, group := range []struct {
		name  string
		tests map[string]func(*suite)
	}{
		{"publish", publishTests}, {"claim", claimTests}, {"settle", settleTests}, {"lease", leaseTests},
		{"order", orderTests}, {"limits", limitTests}, {"admin", adminTests}, {"wake", wakeTests},
		{"inbox", inboxTests}, {"topic", topicTests}, {"node", nodeTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			if o.Parallel {
				t.Parallel()
			}
			names := make([]string, 0, len(group.tests))
			for name := range group.tests {
				names = append(names, name)
			}
			slices.Sort(names)
			for _, name := range names {
				t.Run(name, func(t *testing.T) {
					if o.Parallel {
						t.Parallel()
					}
					run(t, open(t), o, group.tests[name])
				})
			}
		})
	}
}

var unique atomic.Int64

// suite is one test at work: it has one queue, configured by configure, and one inbox's name.
type suite struct {
	*testing.T
	store queues.Store
	unit  time.Duration
	name  string

	clock func(time.Duration) // Options.Sleep
	began time.Time
	slept time.Duration // by the real clock
	last  bool          // it isn't tried again
	after []func()      // Cleanup's
}

// run runs a test, again if it was too slow.
func run(t *testing.T, store queues.Store, o Options, test func(*suite)) {
	unit := o.Unit
	for left := 3; ; left-- {
		s := &suite{T: t, store: store, unit: unit, clock: o.Sleep, name: fmt.Sprintf("q%d", unique.Add(1)), began: time.Now(), last: left == 0}
		if s.run(test) {
			return
		}
		unit *= 2
	}
}

// tooSlow is what a test panics with that fails after it took so much longer than it meant to that this says nothing.
type tooSlow struct{ what string }

// run runs the test once. It returns false if that was too slow.
func (s *suite) run(test func(*suite)) (done bool) {
	defer func() {
		for _, f := range slices.Backward(s.after) {
			f()
		}
	}()
	defer func() {
		if r := recover(); r != nil {
			slow, ok := r.(tooSlow)
			if !ok {
				panic(r)
			}
			s.Logf("tried again with longer units: after %v, %v of them asleep: %s", time.Since(s.began), s.slept, slow.what)
		}
	}()
	test(s)
	return true
}

// Cleanup has f called when the test ends, or is tried again.
func (s *suite) Cleanup(f func()) { s.after = append(s.after, f) }

// Fatalf fails the test, unless it was too slow.
func (s *suite) Fatalf(format string, args ...any) {
	s.Helper()
	s.Fatal(fmt.Sprintf(format, args...))
}

// Fatal fails the test, unless it was too slow.
func (s *suite) Fatal(args ...any) {
	s.Helper()
	if s.clock == nil && !s.last && time.Since(s.began)-s.slept > s.units(0.3) {
		panic(tooSlow{fmt.Sprint(args...)})
	}
	s.T.Fatal(args...)
}

// sleep lets time pass for the store.
func (s *suite) sleep(d time.Duration) {
	if s.clock != nil {
		s.clock(d)
		return
	}
	time.Sleep(d)
	s.slept += d
}

func (s *suite) ctx() context.Context { return s.Context() }

func (s *suite) units(n float64) time.Duration { return time.Duration(n * float64(s.unit)) }

// pass lets n units pass.
func (s *suite) pass(n float64) { s.sleep(s.units(n)) }

// must fails the test if there is an error.
func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func check[T comparable](s *suite, what string, got, want T) {
	s.Helper()
	if got != want {
		s.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func checkErr(s *suite, what string, got error, want *queues.Error) {
	s.Helper()
	code := queues.Code("")
	if want != nil {
		code = want.Code
	}
	if queues.CodeOf(got) != code {
		s.Fatalf("%s: got error %v, want %q", what, got, code)
	}
}

// configure makes the test's queue, with a lease of 10 units unless c has one.
func (s *suite) configure(c queues.Config) {
	s.Helper()
	if c.Lease == 0 {
		c.Lease = s.units(10)
	}
	s.must(c.Validate())
	s.must(s.store.Configure(s.ctx(), s.name, c.WithDefaults()))
}

func draft(text string) *queues.Draft {
	return &queues.Draft{Payload: queues.Payload{JSON: []byte(`"` + text + `"`)}}
}

func keyed(key, text string) *queues.Draft {
	d := draft(text)
	d.Key = key
	return d
}

func named(id, text string) *queues.Draft {
	d := draft(text)
	d.ID = id
	return d
}

func (s *suite) try(drafts ...*queues.Draft) *queues.PublishCall {
	c := &queues.PublishCall{Queue: s.name, Drafts: drafts}
	s.store.Publish(s.ctx(), []*queues.PublishCall{c})
	return c
}

// put publishes drafts, which all must be stored.
func (s *suite) put(drafts ...*queues.Draft) []queues.PublishResult {
	s.Helper()
	c := s.try(drafts...)
	s.must(c.Err)
	check(s, "results", len(c.Results), len(drafts))
	for _, r := range c.Results {
		s.must(r.Err)
	}
	return c.Results
}

// puts publishes messages with these texts.
func (s *suite) puts(texts ...string) {
	s.Helper()
	for _, text := range texts {
		s.put(draft(text))
	}
}

func (s *suite) claimAs(node string, wait bool, wants ...queues.Want) *queues.ClaimCall {
	s.Helper()
	c := &queues.ClaimCall{Queue: s.name, Node: node, Wants: wants, Wait: wait}
	s.store.Claim(s.ctx(), []*queues.ClaimCall{c})
	s.must(c.Err)
	return c
}

// get claims up to n messages for node n1.
func (s *suite) get(n int) []*queues.Message {
	s.Helper()
	return s.claimAs("n1", false, queues.Want{Messages: n}).Wants[0].Got
}

// one claims one message, which there must be.
func (s *suite) one() *queues.Message {
	s.Helper()
	got := s.get(1)
	check(s, "messages", len(got), 1)
	return got[0]
}

// expect claims all there is, which must be messages with these texts in this order, and returns them.
func (s *suite) expect(texts ...string) []*queues.Message {
	s.Helper()
	got := s.get(100)
	check(s, "messages", text(got), strings.Join(texts, " "))
	return got
}

func text(ms []*queues.Message) string {
	texts := make([]string, len(ms))
	for i, m := range ms {
		texts[i] = strings.Trim(string(m.Payload.JSON), `"`)
	}
	return strings.Join(texts, " ")
}

func (s *suite) settleAll(items ...queues.Settlement) []error {
	s.Helper()
	c := &queues.SettleCall{Queue: s.name, Items: items}
	s.store.Settle(s.ctx(), []*queues.SettleCall{c})
	s.must(c.Err)
	check(s, "results", len(c.Results), len(items))
	return c.Results
}

func (s *suite) settle(m *queues.Message, o queues.Outcome) error {
	s.Helper()
	return s.settleAll(queues.Settlement{Ref: m.Ref(), Outcome: o})[0]
}

// ack settles messages, which must go well.
func (s *suite) ack(ms ...*queues.Message) {
	s.Helper()
	for _, m := range ms {
		s.must(s.settle(m, queues.Ack))
	}
}

func (s *suite) extend(node string, d time.Duration, refs ...queues.Ref) []error {
	s.Helper()
	c := &queues.ExtendCall{Queue: s.name, Node: node, For: d, Items: refs}
	s.store.Extend(s.ctx(), []*queues.ExtendCall{c})
	s.must(c.Err)
	return c.Results
}

func (s *suite) stats() queues.Stats {
	s.Helper()
	st, err := s.store.Stats(s.ctx(), s.name)
	s.must(err)
	return st
}

// counts checks how many messages are in which state.
func (s *suite) counts(ready, scheduled, leased, blocked, dead int) {
	s.Helper()
	st := s.stats()
	got := fmt.Sprintf("ready %d, scheduled %d, leased %d, blocked %d, dead %d", st.Ready, st.Scheduled, st.Leased, st.Blocked, st.Dead)
	want := fmt.Sprintf("ready %d, scheduled %d, leased %d, blocked %d, dead %d", ready, scheduled, leased, blocked, dead)
	check(s, "counts", got, want)
	check(s, "len", st.Len(), ready+scheduled+leased+blocked)
}

func (s *suite) peek(state queues.State) []*queues.Info {
	s.Helper()
	infos, err := s.store.Peek(s.ctx(), s.name, state, 0, 100)
	s.must(err)
	return infos
}

// sweep sweeps the queue until there is nothing to do at once.
func (s *suite) sweep() time.Duration {
	s.Helper()
	for {
		next, err := s.store.Sweep(s.ctx(), s.name)
		s.must(err)
		if next != 0 {
			return next
		}
	}
}

// listener writes down what it is told.
type listener struct {
	mu    sync.Mutex
	probe string // what is told of the probe, of which a late one may come
	heard bool
	told  []string
}

func (l *listener) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if text == l.probe {
		l.heard = true
		return
	}
	l.told = append(l.told, text)
}

func (l *listener) hears() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard
}

func (l *listener) Ready(queue string)   { l.add("ready %s", queue) }
func (l *listener) Arrived(inbox string) { l.add("arrived %s", inbox) }
func (l *listener) Missed()              {}
func (l *listener) TakenOver(inbox string, o queues.Owner) {
	l.add("taken over %s %s/%d", inbox, o.Node, o.Number)
}

// take returns what was told and forgets it.
func (l *listener) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.told)
	told := strings.Join(slices.Compact(l.told), ", ")
	l.told = nil
	return told
}

// listen listens as a node until the test ends.
func (s *suite) listen(node string) *listener {
	probe := s.name + "-probe-" + node
	l := &listener{probe: "ready " + probe}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.store.Listen(ctx, node, l)
	}()
	s.Cleanup(func() { cancel(); <-done })
	// A store may need a moment until it hears. This message says that it does.
	s.must(s.store.Configure(s.ctx(), probe, queues.Config{}.WithDefaults()))
	for range 100 {
		c := &queues.ClaimCall{Queue: probe, Node: node, Wants: []queues.Want{{Messages: 100}}, Wait: true}
		s.store.Claim(s.ctx(), []*queues.ClaimCall{c})
		s.store.Publish(s.ctx(), []*queues.PublishCall{{Queue: probe, Drafts: []*queues.Draft{draft("probe")}}})
		time.Sleep(10 * time.Millisecond)
		if l.hears() {
			return l
		}
	}
	s.Fatal("the listener is told nothing")
	return nil
}

// told waits until the listener was told something, and checks what.
func (s *suite) told(l *listener, want string) {
	s.Helper()
	deadline := time.Now().Add(5 * time.Second)
	var got string
	for time.Now().Before(deadline) && got == "" {
		time.Sleep(5 * time.Millisecond)
		got = l.take()
	}
	check(s, "told", got, want)
}

// quiet checks that the listener was told nothing.
func (s *suite) quiet(l *listener) {
	s.Helper()
	time.Sleep(20 * time.Millisecond)
	check(s, "told", l.take(), "")
}
