package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/roomcast/roomcast/queues"
)

// model is what a queue should do, said as plainly as possible: a list of messages, and what becomes of each
// as time passes. It knows nothing of lines, heaps and keys in the store.
type model struct {
	cfg     queues.Config
	now     int64
	msgs    []*modelMessage // in the order of their numbers
	ids     map[string]uint64
	fence   uint64
	refs    []queues.Ref // every hand-out that ever was
	settled map[uint64]int
}

type modelMessage struct {
	seq, fence        uint64
	key               string
	priority, size    int
	state             queues.State
	until             int64 // of the state
	expires           int64
	attempt, failures int
	node, session     string
	parked            bool
	active            bool // holds its key
}

func (m *model) find(seq uint64) *modelMessage {
	for _, x := range m.msgs {
		if x.seq == seq {
			return x
		}
	}
	return nil
}

func (m *model) remove(x *modelMessage) {
	m.msgs = slices.DeleteFunc(m.msgs, func(y *modelMessage) bool { return y == x })
	m.unblock(x)
}

// unblock makes the next message of a key ready when x has left.
func (m *model) unblock(x *modelMessage) {
	if x.key == "" || !x.active {
		return
	}
	x.active = false
	if next := m.nextOf(x.key); next != nil {
		next.state, next.active = queues.Ready, true
	}
}

// nextOf returns the blocked message of a key that is first: one that comes back, or the oldest.
func (m *model) nextOf(key string) (next *modelMessage) {
	for _, y := range m.msgs {
		if y.key != key || y.state != queues.Blocked {
			continue
		}
		if next == nil || place2(y) < place2(next) {
			next = y
		}
	}
	return next
}

// place2 orders the blocked messages of a key: those that were handed out wait in front.
func place2(x *modelMessage) uint64 {
	if x.attempt > 0 {
		return x.seq
	}
	return x.seq + 1<<40
}

func (m *model) bury(x *modelMessage) {
	m.unblock(x)
	x.state, x.fence, x.expires = queues.Dead, 0, 0
}

// back puts x where it goes after a hand-out: due is 0 for at once.
func (m *model) back(x *modelMessage, due int64) {
	x.node, x.session, x.parked = "", "", false
	switch {
	case x.failures >= m.cfg.MaxFailures || x.attempt >= m.cfg.MaxAttempts:
		m.bury(x)
	case x.expires > 0 && x.expires <= m.now:
		m.remove(x)
	case due > m.now:
		x.state, x.until = queues.Scheduled, due
		if m.cfg.OnFail == queues.Skip {
			m.unblock(x)
		}
	default:
		m.ready(x)
	}
}

func (m *model) ready(x *modelMessage) {
	x.state = queues.Ready
	if x.key == "" || x.active {
		return
	}
	for _, y := range m.msgs {
		if y != x && y.key == x.key && y.active {
			x.state = queues.Blocked
			return
		}
	}
	x.active = true
}

// pass lets time pass.
func (m *model) pass(ms int64) {
	m.now += ms
	for { // deadlines in their order
		var first *modelMessage
		for _, x := range m.msgs {
			if (x.state == queues.Scheduled || x.state == queues.Leased) && x.until <= m.now &&
				(first == nil || x.until < first.until) {
				first = x
			}
		}
		if first == nil {
			break
		}
		switch {
		case first.state == queues.Scheduled && first.expires > 0 && first.expires <= m.now && first.attempt > 0:
			m.remove(first)
		case first.state == queues.Scheduled:
			m.ready(first)
		case first.parked:
			m.back(first, 0)
		default:
			m.fail(first, 0)
		}
	}
	for _, x := range slices.Clone(m.msgs) {
		if x.expires > 0 && x.expires <= m.now && x.state != queues.Leased && x.state != queues.Dead {
			m.remove(x)
		}
	}
}

func (m *model) fail(x *modelMessage, delay int64) {
	x.failures++
	if delay == 0 {
		delay = m.cfg.Backoff(x.failures, 0.5).Milliseconds()
	}
	m.back(x, m.now+max(delay, 0))
}

func (m *model) count(s queues.State) (n int) {
	for _, x := range m.msgs {
		if x.state == s {
			n++
		}
	}
	return n
}

func (m *model) alive() (n, bytes int) {
	for _, x := range m.msgs {
		if x.state != queues.Dead {
			n++
			bytes += x.size
		}
	}
	return n, bytes
}

// machine runs a ledger beside the model.
type machine struct {
	*model
	kv  Memory
	led *Ledger
}

func newMachine(t *rapid.T) *machine {
	cfg := queues.Config{
		Lease:       10 * time.Second,
		MaxFailures: rapid.SampledFrom([]int{2, 3, -1}).Draw(t, "maxFailures"),
		MaxAttempts: rapid.SampledFrom([]int{4, -1}).Draw(t, "maxAttempts"),
		MaxLen:      rapid.SampledFrom([]int{3, 20}).Draw(t, "maxLen"),
		MaxBytes:    rapid.SampledFrom([]int64{20, 1000}).Draw(t, "maxBytes"),
		OnFail:      rapid.SampledFrom([]queues.OnFail{queues.Block, queues.Skip}).Draw(t, "onFail"),
		BackoffBase: rapid.SampledFrom([]time.Duration{-1, 3 * time.Second}).Draw(t, "backoff"),
		DeadTTL:     -1,
	}.WithDefaults()
	m := &machine{kv: Memory{}, model: &model{cfg: cfg, now: 1_000_000, ids: map[string]uint64{}, settled: map[uint64]int{}}}
	m.load(t)
	m.led.Configure("q", cfg)
	return m
}

func (m *machine) load(t *rapid.T) {
	led, err := Load(m.kv, m.now)
	if err != nil {
		t.Fatal(err)
	}
	led.random = func() float64 { return 0.5 }
	m.led = led
}

func (m *machine) publish(t *rapid.T) {
	d := &queues.Draft{Payload: queues.Payload{JSON: make([]byte, rapid.IntRange(1, 9).Draw(t, "size"))}}
	switch rapid.IntRange(0, 4).Draw(t, "kind") {
	case 0:
		d.Key = rapid.SampledFrom([]string{"k", "l"}).Draw(t, "key")
	case 1:
		d.Priority = rapid.IntRange(0, 3).Draw(t, "priority")
	case 2:
		d.Delay = time.Duration(rapid.IntRange(1, 20).Draw(t, "delay")) * time.Second
	case 3:
		d.ID = strconv.Itoa(rapid.IntRange(0, 5).Draw(t, "id"))
	}
	if rapid.IntRange(0, 3).Draw(t, "ttl") == 0 {
		d.TTL = time.Duration(rapid.IntRange(1, 30).Draw(t, "ttl")) * time.Second
	}
	c := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{d}}
	m.led.Publish(c)
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	r := c.Results[0]
	n, bytes := m.alive()
	seq, known := m.ids[d.ID]
	size := d.Payload.Size()
	switch {
	case known: // the window is longer than the test
		if !r.Duplicate || r.Seq != seq {
			t.Fatalf("id %s is known as %d: %+v", d.ID, seq, r)
		}
	case n >= m.cfg.MaxLen || int64(bytes+size) > m.cfg.MaxBytes:
		if queues.CodeOf(r.Err) != queues.CodeQueueFull {
			t.Fatalf("%d messages of %d bytes are in it: %+v", n, bytes, r)
		}
	default:
		if r.Err != nil || r.Duplicate || len(m.msgs) > 0 && r.Seq <= m.msgs[len(m.msgs)-1].seq {
			t.Fatalf("%+v", r)
		}
		if d.ID != "" {
			m.ids[d.ID] = r.Seq
		}
		x := &modelMessage{seq: r.Seq, key: d.Key, priority: d.Priority, size: size}
		if d.TTL > 0 {
			x.expires = m.now + (d.Delay + d.TTL).Milliseconds()
		}
		m.msgs = append(m.msgs, x)
		if d.Delay > 0 {
			x.state, x.until = queues.Scheduled, m.now+d.Delay.Milliseconds()
		} else {
			m.ready(x)
		}
	}
}

func (m *machine) claim(t *rapid.T) {
	n := rapid.IntRange(1, 4).Draw(t, "n")
	w := queues.Want{Messages: n, Grace: 4 * time.Second, Session: rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "session")}
	node := rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node")
	c := &queues.ClaimCall{Queue: "q", Node: node, Wants: []queues.Want{w}}
	m.led.Claim(c)
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	if got, want := len(c.Wants[0].Got), min(n, m.count(queues.Ready)); got != want {
		t.Fatalf("%d messages, want %d", got, want)
	}
	lowest, last := 3, map[int]uint64{}
	for _, msg := range c.Wants[0].Got {
		x := m.find(msg.Seq)
		if x == nil || x.state != queues.Ready {
			t.Fatalf("message %d was handed out: %+v", msg.Seq, x)
		}
		if msg.Fence <= m.fence || msg.Attempt != x.attempt+1 || msg.Failures != x.failures {
			t.Fatalf("%+v after fence %d, want %+v", msg, m.fence, x)
		}
		if x.priority > lowest {
			t.Fatalf("priority %d after %d", x.priority, lowest)
		}
		if x.attempt == 0 && x.key == "" && x.until == 0 {
			if x.seq < last[x.priority] {
				t.Fatalf("message %d after %d", x.seq, last[x.priority])
			}
			last[x.priority] = x.seq
		}
		lowest, m.fence = x.priority, msg.Fence
		x.state, x.until, x.fence = queues.Leased, m.now+m.cfg.Lease.Milliseconds(), msg.Fence
		x.attempt++
		x.node, x.session, x.parked = node, w.Session, false
		m.refs = append(m.refs, msg.Ref())
	}
	for _, x := range m.msgs {
		if x.state == queues.Ready && x.priority > lowest {
			t.Fatalf("message %d with priority %d was passed over", x.seq, x.priority)
		}
	}
}

func (m *machine) settle(t *rapid.T) {
	if len(m.refs) == 0 {
		t.Skip()
	}
	s := queues.Settlement{
		Ref:     m.refs[len(m.refs)-1-rapid.IntRange(0, min(len(m.refs)-1, 9)).Draw(t, "ref")],
		Outcome: queues.Outcome(rapid.IntRange(int(queues.Ack), int(queues.Park)).Draw(t, "outcome")),
		Delay:   rapid.SampledFrom([]time.Duration{0, -1, 5 * time.Second}).Draw(t, "delay"),
		Grace:   4 * time.Second,
		Node:    rapid.SampledFrom([]string{"", "n1"}).Draw(t, "node"),
	}
	c := &queues.SettleCall{Queue: "q", Items: []queues.Settlement{s}}
	m.led.Settle(c)
	x := m.find(s.Seq)
	want := queues.Code("")
	switch {
	case x == nil || x.state == queues.Dead || x.fence == 0 && x.attempt == 0:
		want = queues.CodeGone
	case x.fence != s.Fence || s.Node != "" && (x.state != queues.Leased || x.node != s.Node):
		want = queues.CodeSuperseded
	}
	got := queues.CodeOf(c.Results[0])
	if x != nil && x.fence == 0 && got == queues.CodeGone {
		want = queues.CodeGone // of a hand-out before a restart: either
	}
	if got != want {
		t.Fatalf("settle %+v: %q, want %q; %+v", s, got, want, x)
	}
	if want != "" {
		return
	}
	switch {
	case s.Outcome == queues.Ack:
		m.remove(x)
		if m.settled[x.seq]++; m.settled[x.seq] > 1 {
			t.Fatalf("message %d was settled twice", x.seq)
		}
	case s.Outcome == queues.Reject:
		m.bury(x)
	case x.state != queues.Leased:
	case s.Outcome == queues.Nack:
		m.fail(x, s.Delay.Milliseconds()+min(int64(s.Delay), 0))
	case s.Outcome == queues.Release || x.session == "":
		m.back(x, 0)
	case s.Outcome == queues.Park:
		x.parked, x.until = true, m.now+s.Grace.Milliseconds()
	}
}

func (m *machine) extend(t *rapid.T) {
	if len(m.refs) == 0 {
		t.Skip()
	}
	ref := m.refs[rapid.IntRange(0, len(m.refs)-1).Draw(t, "ref")]
	c := &queues.ExtendCall{Queue: "q", For: 7 * time.Second, Items: []queues.Ref{ref}}
	m.led.Extend(c)
	x := m.find(ref.Seq)
	ok := x != nil && x.state == queues.Leased && x.fence == ref.Fence
	if (c.Results[0] == nil) != ok {
		t.Fatalf("extend %+v: %v; %+v", ref, c.Results[0], x)
	}
	if ok && !x.parked {
		x.until = m.now + 7000
	}
}

func (m *machine) rebind(t *rapid.T) {
	session := rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "session")
	got, err := m.led.Rebind("q", session, "n2")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, x := range m.msgs {
		if x.state == queues.Leased && x.session == session {
			if n >= len(got) || got[n].Ref() != (queues.Ref{Seq: x.seq, Fence: x.fence}) {
				t.Fatalf("%s has message %d, got %v", session, x.seq, got)
			}
			x.node, x.parked, x.until = "n2", false, m.now+m.cfg.Lease.Milliseconds()
			n++
		}
	}
	if n != len(got) {
		t.Fatalf("%d messages, want %d", len(got), n)
	}
}

func (m *machine) releaseNode(t *rapid.T) {
	n, err := m.led.Release("q", "n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, x := range slices.Clone(m.msgs) {
		if x.state != queues.Leased || x.node != "n1" || x.parked {
			continue
		}
		want++
		if x.session != "" {
			x.parked, x.until = true, m.now+4000
		} else {
			m.back(x, 0)
		}
	}
	if n != want {
		t.Fatalf("released %d, want %d", n, want)
	}
}

func (m *machine) redrive(t *rapid.T) {
	dead, last := m.peek(t, queues.Dead), m.led.queues["q"].seq
	n, err := m.led.Redrive("q", 2, nil)
	if err != nil || n > min(2, len(dead)) {
		t.Fatal(n, err)
	}
	for i, d := range dead[:n] { // the oldest come to the end
		x := m.find(d.Seq)
		if alive, bytes := m.alive(); alive >= m.cfg.MaxLen || int64(bytes+x.size) > m.cfg.MaxBytes {
			t.Fatalf("message %d went into a full queue", x.seq)
		}
		m.remove(x)
		*x = modelMessage{seq: last + uint64(i) + 1, key: x.key, priority: x.priority, size: x.size}
		x.expires = m.led.queues["q"].expiryOf(x.seq)
		m.msgs = append(m.msgs, x)
		m.ready(x)
	}
}

// expiryOf looks a message's end up: the model doesn't remember its TTL.
func (q *queue) expiryOf(seq uint64) (at int64) {
	q.each(func(m *message) {
		if m.seq == seq {
			at = m.times[byExpiry]
		}
	})
	return at
}

func (m *machine) peek(t *rapid.T, s queues.State) []*queues.Info {
	infos, err := m.led.Peek("q", s, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return infos
}

func (m *machine) purge(t *rapid.T) {
	n, err := m.led.Purge("q", false)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, x := range slices.Clone(m.msgs) {
		if x.state != queues.Leased && x.state != queues.Dead {
			m.msgs = slices.DeleteFunc(m.msgs, func(y *modelMessage) bool { return y == x })
			want++
		}
	}
	if n != want {
		t.Fatalf("purged %d, want %d", n, want)
	}
}

// restart ends the process, orderly or not. Leases are gone, and with them the hand-outs.
func (m *machine) restart(t *rapid.T) {
	orderly := rapid.Bool().Draw(t, "orderly")
	if orderly {
		m.led.Close()
	}
	m.load(t)
	m.led.Begin(m.now)
	q := m.led.queues["q"]
	found := map[uint64]*message{}
	q.each(func(x *message) { found[x.seq] = x })
	for _, x := range m.msgs {
		if x.state == queues.Dead {
			continue
		}
		y := found[x.seq]
		if y == nil {
			t.Fatalf("message %d is lost", x.seq)
		}
		if orderly && (int(y.attempt) != x.attempt || int(y.failures) != x.failures) {
			t.Fatalf("message %d had %d attempts and %d failures, now %d and %d", x.seq, x.attempt, x.failures, y.attempt, y.failures)
		}
		if x.attempt > 0 && y.attempt == 0 || int(y.failures) != x.failures {
			t.Fatalf("message %d: attempt %d is %d, failures %d are %d", x.seq, x.attempt, y.attempt, x.failures, y.failures)
		}
		x.attempt, x.fence, x.parked, x.session, x.node = int(y.attempt), 0, false, "", ""
		if x.state == queues.Leased {
			x.state = queues.Ready
		}
	}
	for _, key := range []string{"k", "l"} { // the oldest has its key, except that what was skipped waits by itself
		var first *modelMessage
		for _, x := range m.msgs {
			if x.key != key || x.state == queues.Dead {
				continue
			}
			x.active = false
			if x.state == queues.Scheduled && m.cfg.OnFail == queues.Skip {
				continue
			}
			if first == nil {
				first, x.active = x, true
				if x.state == queues.Blocked {
					x.state = queues.Ready
				}
			} else if x.state != queues.Blocked {
				t.Fatalf("message %d wasn't behind message %d: %+v", x.seq, first.seq, x)
			}
		}
	}
	m.refs = nil
	m.model.pass(0) // what was leased may have expired
}

// check compares the whole state.
func (m *machine) check(t *rapid.T) {
	st, err := m.led.Stats("q")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(st.Ready, st.Scheduled, st.Leased, st.Blocked, st.Dead)
	want := fmt.Sprint(m.count(queues.Ready), m.count(queues.Scheduled), m.count(queues.Leased), m.count(queues.Blocked), m.count(queues.Dead))
	if _, bytes := m.alive(); got != want || st.Bytes != int64(bytes) {
		t.Fatalf("ready, scheduled, leased, blocked, dead: %s, want %s; %d bytes, want %d", got, want, st.Bytes, bytes)
	}
	leased := map[string]int{}
	for _, s := range []queues.State{queues.Ready, queues.Scheduled, queues.Leased, queues.Blocked, queues.Dead} {
		for _, in := range m.peek(t, s) {
			if x := m.find(in.Seq); x == nil || x.state != s {
				t.Fatalf("message %d is %s, want %+v", in.Seq, s, x)
			}
			if s == queues.Leased && in.Key != "" {
				leased[in.Key]++
			}
		}
	}
	for key, n := range leased {
		if n > 1 {
			t.Fatalf("%d messages of key %s are leased", n, key)
		}
	}
	stored := 0
	for _, key := range slices.Sorted(maps.Keys(m.kv)) {
		if key[0] == keyMessage {
			stored++
		}
	}
	if stored != len(m.msgs) {
		t.Fatalf("%d records for %d messages", stored, len(m.msgs))
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"publish":     m.publish,
			"publish 2":   m.publish,
			"claim":       m.claim,
			"settle":      m.settle,
			"settle 2":    m.settle,
			"extend":      m.extend,
			"rebind":      m.rebind,
			"releaseNode": m.releaseNode,
			"redrive":     m.redrive,
			"purge":       m.purge,
			"restart":     m.restart,
			"pass": func(t *rapid.T) {
				ms := int64(rapid.IntRange(1, 12_000).Draw(t, "ms"))
				m.pass(ms)
				m.led.Begin(m.now)
			},
			"": m.check,
		})
	})
}
