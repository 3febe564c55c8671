package queueapi_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server/queueapi"
	"github.com/roomcast/roomcast/server/servertest"
)

// TestAnything has clients do anything with a queue, several things at the same time, and looks each time that all has come to
// rest: nobody has more than its credit, or what another has; nothing waits while somebody could take it; and the store thinks that
// they have what they have. What clients had that are gone is free at once.
func TestAnything(t *testing.T) {
	seeds := 8
	if n, err := strconv.Atoi(os.Getenv("ROOMCAST_ROUNDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			run(t, queueapi.Config{MaxConsumers: 4}, func(t *testing.T, b *bench) {
				w := &world{T: t, b: b, rnd: rand.New(rand.NewPCG(uint64(seed), 1)), byEvent: map[string]*taker{}, holder: map[string]*letterOf{}, done: map[string]bool{}}
				w.live()
			})
		})
	}
}

// world is clients that do anything.
type world struct {
	*testing.T
	b       *bench
	rnd     *rand.Rand
	log     []string
	clients []*someone
	byEvent map[string]*taker    // by the event's name, which each has for itself
	holder  map[string]*letterOf // by message
	sent    int
	came    int             // clients
	done    map[string]bool // what can't come again
	parked  time.Time       // until when a session may have something

	// Since all was at rest.
	busy    map[*someone]bool
	ending  map[*taker]bool
	ended   []*letterOf // settled
	settled map[*servertest.Event]bool
	changed map[*taker]bool // its credit
}

type someone struct {
	*client
	number int
	takers []*taker
}

// taker is a consumer as its client sees it.
type taker struct {
	who       *someone
	cancelled bool
	opened    reply
	event     string
	prefetch  int
	most      int // prefetch, or the one before while that may still count
	batch     int
	once      bool
	session   string
	noRenew   bool
	draining  bool
	has       map[string]*letterOf // by receipt
}

// letterOf is a message that a taker has.
type letterOf struct {
	message
	of *taker
	e  *servertest.Event // nil: resumed
	in []*letterOf       // the batch that it is in
}

func (w *world) n(n int) int { return w.rnd.IntN(n) }

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
	if len(w.log) > 30 {
		w.log = w.log[1:]
	}
}

func (w *world) wrong(format string, args ...any) {
	w.Helper()
	w.Fatalf("%s\nafter: %s", fmt.Sprintf(format, args...), strings.Join(w.log, "\n       "))
}

func (w *world) live() {
	if err := w.b.broker.Configure(w.Context(), "q", queues.Config{
		Lease: 10 * time.Second, MaxFailures: -1, MaxAttempts: -1, BackoffBase: -1,
	}); err != nil {
		w.Fatal(err)
	}
	for range 150 {
		var at sync.WaitGroup
		w.busy, w.ending, w.ended = map[*someone]bool{}, map[*taker]bool{}, nil
		w.settled, w.changed = map[*servertest.Event]bool{}, map[*taker]bool{}
		var acts []func()
		for range 1 + w.n(4) {
			if do := w.act(); do != nil {
				acts = append(acts, do)
			}
		}
		for _, do := range acts {
			at.Go(do)
		}
		at.Wait()
		w.rest()
		if w.n(3) == 0 {
			d := time.Duration(w.n(4000)) * time.Millisecond
			w.note("%v pass", d)
			time.Sleep(d)
			w.rest()
		}
	}
	for _, c := range w.clients {
		c.Close()
	}
	time.Sleep(3 * time.Second) // the grace of sessions
	st := w.stats()
	if st.Leased > 0 {
		w.wrong("when all are gone %d messages are leased", st.Leased)
	}
	last := w.b.client("last")
	last.must("queue:consume", m{"queue": "q", "prefetch": 100})
	for {
		synctest.Wait()
		if last.Pending() == 0 {
			break
		}
		last.Expect("queue:message").Ack()
	}
	time.Sleep(time.Minute)
	st = w.stats()
	if st.Len() != 0 || int(st.Acked)+st.Dead != w.sent {
		w.wrong("at the end: %+v; %d were sent", st, w.sent)
	}
}

func (w *world) stats() queues.Stats {
	st, err := w.b.broker.Stats(w.Context(), "q")
	if err != nil {
		w.Fatal(err)
	}
	return st
}

// act chooses something to do, and notes what follows from it.
func (w *world) act() func() {
	if len(w.clients) == 0 || w.n(20) == 0 && len(w.clients) < 4 {
		c := &someone{client: w.b.client("w"), number: w.came}
		w.came++
		w.clients = append(w.clients, c)
		return nil
	}
	c := w.clients[w.n(len(w.clients))]
	k := w.n(20)
	if k == 19 && w.n(8) == 0 && !w.busy[c] {
		return w.leave(c)
	}
	w.busy[c] = true
	switch {
	case k < 4:
		return w.publish(c)
	case k < 6:
		return w.consume(c)
	case k < 9 && len(c.takers) > 0:
		return w.credit(c.takers[w.n(len(c.takers))])
	case k < 10 && len(c.takers) > 0 && w.n(2) == 0:
		return w.cancel(c.takers[w.n(len(c.takers))])
	case k < 17:
		return w.answer(c)
	}
	return w.settle(c)
}

func (w *world) publish(c *someone) func() {
	var list []any
	for range 1 + w.n(6) {
		w.sent++
		d := m{"id": fmt.Sprint("m", w.sent), "data": w.sent}
		if w.n(3) == 0 {
			d["key"] = fmt.Sprint("k", w.n(2))
		}
		list = append(list, d)
	}
	w.note("%d are published", len(list))
	return func() { c.must("queue:publish", m{"queue": "q", "messages": list}) }
}

func (w *world) consume(c *someone) func() {
	if len(c.takers) >= 3 {
		return nil
	}
	k := &taker{who: c, event: fmt.Sprint("event", len(w.byEvent)), prefetch: w.n(5), has: map[string]*letterOf{}}
	k.most = k.prefetch
	ask := m{"queue": "q", "event": k.event, "prefetch": k.prefetch}
	switch w.n(6) {
	case 0:
		k.batch = 1 + w.n(4)
		ask["batch"] = m{"max": k.batch, "waitMs": w.n(2) * w.n(3000)}
	case 1:
		k.once = true
		ask["mode"] = "at-most-once"
	case 2:
		k.session = fmt.Sprint("s", c.number, "-", w.n(2))
		ask["session"], ask["graceMs"] = k.session, 2000
		for _, other := range w.byEvent { // one is taken over, and not of interest here
			if other.session == k.session {
				return nil
			}
		}
	case 3:
		k.noRenew = true
		ask["renew"] = false
	}
	w.byEvent[k.event] = k
	c.takers = append(c.takers, k)
	w.note("%s: %v", k.event, ask)
	return func() { k.opened = c.must("queue:consume", ask) }
}

func (w *world) credit(k *taker) func() {
	if k.opened.Consumer == 0 || k.draining || w.changed[k] {
		return nil
	}
	w.changed[k] = true
	k.prefetch = w.n(6)
	k.most = max(k.most, k.prefetch)
	w.note("%s: credit %d", k.event, k.prefetch)
	ask := m{"consumer": k.opened.Consumer, "prefetch": k.prefetch}
	return func() { k.who.ask("queue:credit", ask) }
}

func (w *world) cancel(k *taker) func() {
	if k.opened.Consumer == 0 || k.draining {
		return nil
	}
	drain := w.n(2) == 0
	w.note("%s: cancel, drain %v", k.event, drain)
	k.draining, w.ending[k] = true, true
	return func() {
		k.who.must("queue:cancel", m{"consumer": k.opened.Consumer, "drain": drain})
		k.cancelled = !drain
	}
}

// leave ends a client: what it had is nobody's, or its sessions'.
func (w *world) leave(c *someone) func() {
	w.clients = slices.DeleteFunc(w.clients, func(o *someone) bool { return o == c })
	for _, k := range c.takers {
		w.note("%s leaves", k.event)
		w.ending[k] = true
	}
	return c.Close
}

// some returns a message that a client has, and takes it from it.
func (w *world) some(c *someone, which func(*letterOf) bool) *letterOf {
	var all []*letterOf
	for _, k := range c.takers {
		for _, r := range slices.Sorted(maps.Keys(k.has)) {
			if l := k.has[r]; which(l) {
				all = append(all, l)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[w.n(len(all))]
}

// drop says that a message is settled.
func (w *world) drop(l *letterOf, ended bool) {
	delete(l.of.has, l.R)
	if w.holder[l.ID] == l {
		delete(w.holder, l.ID)
	}
	if ended {
		w.ended = append(w.ended, l)
	}
}

// answer acks an event.
func (w *world) answer(c *someone) func() {
	l := w.some(c, func(l *letterOf) bool { return !w.settled[l.e] && !l.of.noRenew })
	if l == nil {
		return nil
	}
	var left []*letterOf // of a batch
	for _, o := range l.in {
		if l.of.has[o.R] == o {
			left = append(left, o)
		}
	}
	k := w.n(8)
	if l.of.batch == 0 || k < 5 {
		verdict := []any{nil, m{"nack": true, "delay": 0}, m{"release": true}, m{"reject": true}}[[]int{0, 0, 0, 0, 0, 1, 2, 3}[k]]
		for _, o := range left {
			w.drop(o, k < 5 || k == 7)
		}
		w.note("%s: %d of %s are answered %v", l.of.event, len(left), l.ID, verdict)
		return func() {
			if verdict == nil {
				l.e.Ack()
			} else {
				l.e.Ack(verdict)
			}
		}
	}
	for _, o := range left {
		w.drop(o, o != l || k == 7)
	}
	verdict := []any{m{"nack": []m{{"id": l.ID, "delay": 0}}}, m{"release": []string{l.ID}}, m{"reject": []m{{"id": l.ID}}}}[k-5]
	w.note("%s: a batch of %d is answered %v", l.of.event, len(left), verdict)
	return func() { l.e.Ack(verdict) }
}

// settle settles by receipt, perhaps from another client.
func (w *world) settle(c *someone) func() {
	l := w.some(c, func(l *letterOf) bool { return !l.of.noRenew })
	if l == nil {
		return nil
	}
	w.settled[l.e] = true
	k := w.n(4)
	ask := []m{{"ack": []string{l.R}}, {"ack": []string{l.R}}, {"release": []string{l.R}}, {"nack": []m{{"r": l.R, "delay": 0}}}}[k]
	w.drop(l, k < 2)
	by := w.clients[w.n(len(w.clients))]
	w.busy[by] = true
	w.note("%s: %s is settled by its receipt: %v", l.of.event, l.ID, ask)
	return func() {
		if r := by.must("queue:settle", ask); !w.ending[l.of] && !strings.Contains(string(r.Results), `"ok"`) {
			w.Errorf("%s: %s", l.ID, r.Results)
		}
	}
}

// rest waits until nothing happens any more, takes what has come, and looks whether all is as it has to be.
func (w *world) rest() {
	synctest.Wait()
	for _, k := range w.byEvent { // whoever has gone, or was cancelled, has nothing
		gone := !slices.Contains(w.clients, k.who)
		if gone || k.cancelled {
			if k.session != "" && w.ending[k] { // also what it has settled too late, or was on its way
				w.parked = time.Now().Add(2100 * time.Millisecond)
			}
			for _, l := range k.has {
				w.drop(l, false)
			}
			if !gone {
				w.forget(k)
			}
		}
	}
	for _, l := range w.ended {
		w.done[l.ID] = w.done[l.ID] || !w.ending[l.of]
	}
	var events []*servertest.Event
	for _, c := range w.clients {
		for c.Pending() > 0 {
			events = append(events, c.Next())
		}
	}
	for _, revoked := range []bool{true, false} { // which comes before somebody else gets it
		for _, e := range events {
			if (e.Name == "queue:revoked") == revoked {
				w.event(e)
			}
		}
	}
	w.look()
}

func (w *world) forget(k *taker) {
	k.who.takers = slices.DeleteFunc(k.who.takers, func(o *taker) bool { return o == k })
}

// event notes what a client is told.
func (w *world) event(e *servertest.Event) {
	if e.Name == "queue:revoked" {
		var v struct{ Receipts []string }
		e.Decode(&v)
		for _, k := range w.byEvent {
			for _, r := range v.Receipts {
				if l := k.has[r]; l != nil {
					w.note("%s: %s is revoked", k.event, l.ID)
					w.drop(l, false)
				}
			}
		}
		return
	}
	k := w.byEvent[e.Name]
	if k == nil {
		w.wrong("what is %s?", e.Name)
	}
	var ms []message
	if k.batch > 0 {
		e.Decode(&ms)
	} else {
		ms = make([]message, 1)
		e.Decode(&ms[0])
	}
	var in []*letterOf
	if k.cancelled {
		return // they were on their way, and are somebody else's by now
	}
	for _, v := range ms {
		if w.done[v.ID] {
			w.wrong("%s gets %s, which was settled", k.event, v.ID)
		}
		if k.once {
			w.done[v.ID] = true
			continue
		}
		if other := w.holder[v.ID]; other != nil {
			w.wrong("%s gets %s, which %s has", k.event, v.ID, other.of.event)
		}
		l := &letterOf{message: v, of: k, e: e}
		in = append(in, l)
		k.has[v.R], w.holder[v.ID] = l, l
	}
	for _, l := range in {
		l.in = in
	}
	w.note("%s: gets %d, first %s", k.event, len(ms), ms[0].ID)
}

// look looks at the whole when nothing happens.
func (w *world) look() {
	w.Helper()
	st := w.stats()
	held, hidden, could := 0, time.Now().Before(w.parked), ""
	for _, k := range w.byEvent {
		held += len(k.has)
		if len(k.has) > k.most && !k.once {
			w.wrong("%s has %d, and may have %d", k.event, len(k.has), k.most)
		}
		if k.batch == 0 { // one may wait, since when there was more credit
			k.most = max(k.prefetch, len(k.has))
		}
		gone := !slices.Contains(w.clients, k.who)
		hidden = hidden || k.batch > 0 && !gone
		if !gone && !k.draining && k.opened.Consumer > 0 && k.batch == 0 && len(k.has) < k.prefetch {
			could = k.event
		}
	}
	if st.Ready > 0 && could != "" {
		w.wrong("%d are ready, and %s could take one", st.Ready, could)
	}
	if st.Leased < held || st.Leased > held && !hidden {
		w.wrong("%d are leased, and %d are with somebody", st.Leased, held)
	}
}
