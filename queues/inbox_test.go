package queues_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

func newStore() queues.Store { return memqueue.New(memqueue.Config{}) }

// reader has an inbox open and writes down what it is told.
type reader struct {
	*queues.Inbox
	opened queues.Opened
	t      *testing.T
	mu     sync.Mutex
	told   []string
}

func (n *node) open(inbox string, c queues.InboxConfig) *reader {
	n.t.Helper()
	r := &reader{t: n.t}
	add := func(format string, args ...any) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.told = append(r.told, fmt.Sprintf(format, args...))
	}
	c.Deliver = func(ms []*queues.InboxMessage) {
		for _, m := range ms {
			add("%d%s", m.Seq, strings.Trim(string(m.Payload.JSON), `"`))
		}
	}
	c.Gap = func(from, to uint64) { add("gap %d-%d", from, to) }
	c.Closed = func(err error) { add("closed %s", queues.CodeOf(err)) }
	var err error
	if r.Inbox, r.opened, err = n.OpenInbox(n.t.Context(), inbox, c); err != nil {
		n.t.Fatal(err)
	}
	r.Start()
	return r
}

func (r *reader) expect(want string) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.told, " "); got != want {
		r.t.Fatalf("got %q, want %q", got, want)
	}
	r.told = nil
}

func (r *reader) position(seq uint64) queues.Position {
	return queues.Position{Epoch: r.Epoch(), Seq: seq}
}

// upTo acknowledges, and returns up to where all is processed then.
func (r *reader) upTo(seq uint64) (uint64, error) {
	type answer struct {
		acked uint64
		err   error
	}
	ch := make(chan answer, 1)
	r.AckUpTo(r.position(seq), func(acked uint64, err error) { ch <- answer{acked, err} })
	a := <-ch
	return a.acked, a.err
}

func entry(text string) *queues.Entry {
	return &queues.Entry{Payload: queues.Payload{JSON: []byte(`"` + text + `"`)}}
}

func (n *node) send(inbox string, texts ...string) {
	n.t.Helper()
	for _, text := range texts {
		sent, err := n.InboxSend(n.t.Context(), entry(text), inbox)
		if err == nil {
			err = sent[0].Err
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
}

func TestInbox(t *testing.T) {
	run(t, queues.BrokerConfig{}, func(t *testing.T, n *node) {
		n.send("ann", "a", "b")
		r := n.open("ann", queues.InboxConfig{Window: 3})
		r.expect("1a 2b")
		n.send("ann", "c", "d", "e")
		r.expect("3c")
		r.Ack(2) // out of order: it frees room, and is deleted with the first
		r.expect("4d")
		if st, _ := n.InboxStats(t.Context(), "ann"); st.Len != 5 || st.Acked != 0 {
			t.Errorf("%+v", st)
		}
		r.Ack(1)
		r.expect("5e")
		if st, _ := n.InboxStats(t.Context(), "ann"); st.Len != 3 || st.Acked != 2 {
			t.Errorf("%+v", st)
		}
		r.Ack(1) // again
		r.Ack(99)
		if acked, err := r.upTo(4); acked != 4 || err != nil {
			t.Error(acked, err)
		}
		_, err := r.upTo(9)
		expectCode(t, err, queues.CodeConflict)
		if acked, err := r.upTo(2); acked != 4 || err != nil {
			t.Error(acked, err)
		}
		r.Close(t.Context())
		n.send("ann", "f")
		r.expect("")
		again := n.open("ann", queues.InboxConfig{Since: &queues.Position{Epoch: r.Epoch(), Seq: 5}})
		again.expect("6f")
		if !again.opened.Recovered {
			t.Error("not recovered")
		}
	})
}

func TestInboxOnAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		n1, n2 := start(t, store, queues.BrokerConfig{}), start(t, store, queues.BrokerConfig{})
		r1 := n1.open("ann", queues.InboxConfig{})
		n2.send("ann", "a")
		r1.expect("1a")
		r2 := n2.open("ann", queues.InboxConfig{})
		r1.expect("closed taken_over")
		r2.expect("1a")
		_, err := r1.upTo(1)
		expectCode(t, err, queues.CodeTakenOver)
		n1.send("ann", "b")
		r2.expect("2b")
		r1.expect("")
	})
}

func TestInboxMirrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		n1, n2 := start(t, store, queues.BrokerConfig{}), start(t, store, queues.BrokerConfig{})
		r1 := n1.open("ann", queues.InboxConfig{Mirror: true, Window: 2})
		r2 := n2.open("ann", queues.InboxConfig{Mirror: true, Window: 2})
		n1.send("ann", "a", "b", "c", "d")
		r1.expect("1a 2b")
		r2.expect("1a 2b")
		r1.Ack(1)
		r1.Ack(2)
		r1.expect("3c 4d")
		r2.expect("")
		r2.Ack(1)
		r2.Ack(2)
		r2.expect("3c 4d") // no gap
		r1.Ack(3)
		r1.Ack(4)
		n1.send("ann", "e", "f")
		r1.expect("5e 6f")
		r1.Ack(5)
		r1.Ack(6)
		n1.send("ann", "g")
		r1.expect("7g")
		r2.expect("")
		r2.Ack(3)
		r2.Ack(4)
		r2.expect("gap 5-6 7g") // it missed them, and nobody said so
	})
}

// muted is a store that doesn't tell who has lost an inbox.
type muted struct {
	queues.Store
	queues.Listener
}

func (s *muted) Listen(ctx context.Context, node string, l queues.Listener) error {
	s.Listener = l
	return s.Store.Listen(ctx, node, s)
}

func (s *muted) TakenOver(string, queues.Owner) {}

// TestTakenOverUnheard: who had no room, and didn't hear that its inbox was taken over, was never told, since it didn't read.
func TestTakenOverUnheard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		deaf := &muted{Store: store}
		n1, n2 := start(t, deaf, queues.BrokerConfig{}), start(t, store, queues.BrokerConfig{})
		full := n1.open("ann", queues.InboxConfig{Window: 1})
		stalled := n1.open("ben", queues.InboxConfig{Open: func() bool { return false }})
		n2.send("ann", "a", "b")
		n2.send("ben", "a", "b")
		full.expect("1a")
		n2.open("ann", queues.InboxConfig{})
		n2.open("ben", queues.InboxConfig{})
		full.expect("")
		deaf.Missed()
		full.expect("closed taken_over")
		stalled.expect("closed taken_over")
	})
}

// TestMirrorsAcknowledgeTogether: what one mirror had acknowledged behind what the other acknowledged stayed in the store.
func TestMirrorsAcknowledgeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		n1, n2 := start(t, store, queues.BrokerConfig{}), start(t, store, queues.BrokerConfig{})
		r1 := n1.open("ann", queues.InboxConfig{Mirror: true})
		r2 := n2.open("ann", queues.InboxConfig{Mirror: true})
		n1.send("ann", "a", "b")
		r1.expect("1a 2b")
		r2.expect("1a 2b")
		r2.Ack(2)
		r1.Ack(1)
		synctest.Wait()
		n1.send("ann", "c")
		r2.expect("3c")
		if st, err := store.InboxStats(t.Context(), "ann"); err != nil || st.Acked != 2 || st.Len != 1 {
			t.Errorf("%+v, %v", st, err)
		}
	})
}

func TestInboxGaps(t *testing.T) {
	run(t, queues.BrokerConfig{Inbox: queues.InboxLimits{MaxLen: 3}}, func(t *testing.T, n *node) {
		n.send("ann", "a", "b", "c", "d", "e")
		r := n.open("ann", queues.InboxConfig{Window: 2})
		if r.opened.Recovered || r.opened.Reason != queues.LostOverflow {
			t.Errorf("%+v", r.opened)
		}
		r.expect("gap 1-2 3c 4d")
		short := entry("x")
		short.TTL = time.Second
		if _, err := n.InboxSend(t.Context(), short, "ann"); err != nil { // 3c goes
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		r.Ack(3)
		r.expect("5e")
		r.Ack(4)
		r.expect("gap 6-6")
		r.Ack(5)
		synctest.Wait()
		if st, _ := n.InboxStats(t.Context(), "ann"); st.Len != 0 || st.Acked != 6 {
			t.Errorf("%+v", st)
		}
	})
}

// What a topic had for a full inbox that refuses was lost, and nobody was told.
func TestTopicsMakeRoomInFullInboxes(t *testing.T) {
	run(t, queues.BrokerConfig{Inbox: queues.InboxLimits{MaxLen: 2, Overflow: queues.RejectNew}}, func(t *testing.T, n *node) {
		expectCode(t, n.Subscribe(t.Context(), "ann", "news"), "")
		n.send("ann", "a", "b")
		sent, err := n.InboxSend(t.Context(), entry("c"), "ann")
		expectCode(t, err, "")
		expectCode(t, sent[0].Err, queues.CodeQueueFull)
		_, err = n.TopicPublish(t.Context(), "news", entry("d"))
		expectCode(t, err, "")
		time.Sleep(time.Second)
		r := n.open("ann", queues.InboxConfig{})
		if r.opened.Reason != queues.LostOverflow {
			t.Errorf("%+v", r.opened)
		}
		r.expect("gap 1-1 2b 3d")
	})
}

func TestInboxSendToMany(t *testing.T) {
	run(t, queues.BrokerConfig{Inbox: queues.InboxLimits{MaxLen: 1, Overflow: queues.RejectNew}}, func(t *testing.T, n *node) {
		n.send("bob", "x")
		e := entry("a")
		e.ID = "once"
		for i := range 2 {
			sent, err := n.InboxSend(t.Context(), e, "ann", "bob", "ann/phone")
			if err != nil {
				t.Fatal(err)
			}
			expectCode(t, sent[0].Err, "")
			expectCode(t, sent[1].Err, queues.CodeQueueFull)
			if sent[0].Seq != 1 || sent[0].Duplicate != (i == 1) || sent[2].Inbox != "ann/phone" || sent[2].Seq != 1 {
				t.Errorf("%+v", sent)
			}
		}
		for _, name := range []string{"", "a b", "a/b/c", "/a", "a/", "$x"} {
			_, err := n.InboxSend(t.Context(), e, name)
			expectCode(t, err, queues.CodeBadRequest)
		}
		_, err := n.InboxSend(t.Context(), nil, "ann")
		expectCode(t, err, queues.CodeBadRequest)
		_, err = n.TopicPublish(t.Context(), "news", nil)
		expectCode(t, err, queues.CodeBadRequest)
	})
}

func TestTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		n1, n2 := start(t, store, queues.BrokerConfig{}), start(t, store, queues.BrokerConfig{})
		for i := range 1200 { // more than one page
			if err := n1.Subscribe(t.Context(), fmt.Sprintf("shop%d", i), "news"); err != nil {
				t.Fatal(err)
			}
		}
		r := n2.open("shop7", queues.InboxConfig{})
		e := entry("a")
		e.ID, e.Headers = "once", map[string]string{"h": "1"}
		seq, err := n1.TopicPublish(t.Context(), "news", e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := n1.TopicPublish(t.Context(), "news", e)
		if err != nil || again != seq {
			t.Error(again, err)
		}
		other, err := n1.TopicPublish(t.Context(), "sports", e) // another topic's id is another id
		if err != nil || other == seq {
			t.Error(other, err)
		}
		for i := range 50 {
			if _, err := n2.TopicPublish(t.Context(), "news", entry(fmt.Sprint("-", i))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		var want strings.Builder
		want.WriteString("1a")
		for i := range 31 {
			fmt.Fprintf(&want, " %d-%d", i+2, i)
		}
		r.expect(want.String())
		for _, i := range []int{0, 499, 500, 1199} {
			if st, _ := n1.InboxStats(t.Context(), fmt.Sprintf("shop%d", i)); st.Len != 51 || st.Last != 51 {
				t.Errorf("shop%d: %+v", i, st)
			}
		}
		if err := n1.Unsubscribe(t.Context(), "shop0", "news"); err != nil {
			t.Fatal(err)
		}
		n1.TopicPublish(t.Context(), "news", entry("last"))
		time.Sleep(time.Second)
		if st, _ := n1.InboxStats(t.Context(), "shop0"); st.Len != 51 {
			t.Errorf("%+v", st)
		}
	})
}

// A fan-out that stops half-way is finished, and nobody gets anything twice.
func TestFanOutIsFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &halfway{Store: newStore()}
		n := start(t, store, queues.BrokerConfig{})
		for i := range 1200 {
			if err := n.Subscribe(t.Context(), fmt.Sprintf("shop%d", i), "news"); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			if _, err := n.TopicPublish(t.Context(), "news", entry(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		for i := range 1200 {
			if st, _ := n.InboxStats(t.Context(), fmt.Sprintf("shop%d", i)); st.Last != 3 {
				t.Fatalf("shop%d: %+v", i, st)
			}
		}
		if store.failures == 0 {
			t.Error("nothing failed")
		}
	})
}

// halfway fails some appends, after they were done half.
type halfway struct {
	queues.Store
	mu       sync.Mutex
	n        int
	failures int
}

func (h *halfway) Append(ctx context.Context, calls []*queues.AppendCall) {
	h.mu.Lock()
	h.n++
	fail := h.n%4 == 2
	h.mu.Unlock()
	if !fail {
		h.Store.Append(ctx, calls)
		return
	}
	h.Store.Append(ctx, calls[:len(calls)/2])
	h.mu.Lock()
	h.failures++
	h.mu.Unlock()
	for _, c := range calls[len(calls)/2:] {
		c.Err = queues.ErrUnavailable
	}
}

// TestFanOutPastABrokenInbox: others get an entry, and once, though one inbox can't have it; that has it, before later ones,
// when it can. The queue of the topics stays as it must be.
func TestFanOutPastABrokenInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &broken{Store: newStore(), inbox: "shop3"}
		// As it may have been left by somebody.
		if err := store.Configure(t.Context(), "$fanout", queues.Config{MaxFailures: 1}.WithDefaults()); err != nil {
			t.Fatal(err)
		}
		n := start(t, store, queues.BrokerConfig{})
		for i := range 700 {
			if err := n.Subscribe(t.Context(), fmt.Sprintf("shop%d", i), "news"); err != nil {
				t.Fatal(err)
			}
		}
		publish := func(text string) {
			if _, err := n.TopicPublish(t.Context(), "news", entry(text)); err != nil {
				t.Fatal(err)
			}
		}
		publish("a")
		publish("b")
		time.Sleep(time.Hour)
		for _, shop := range []string{"shop0", "shop4", "shop699"} {
			if st, _ := n.InboxStats(t.Context(), shop); st.Last != 1 {
				t.Errorf("%s: %+v", shop, st)
			}
		}
		store.heal()
		time.Sleep(time.Minute)
		for _, shop := range []string{"shop0", "shop3", "shop699"} {
			n.open(shop, queues.InboxConfig{}).expect("1a 2b")
		}
		expectCode(t, n.Configure(t.Context(), "$fanout", queues.Config{MaxFailures: 1}), queues.CodeBadRequest)
		expectCode(t, n.Delete(t.Context(), "$fanout", true), queues.CodeBadRequest)
		if st, err := n.Stats(t.Context(), "$fanout"); err != nil || st.Dead != 0 || st.Len() != 0 {
			t.Errorf("%+v %v", st, err)
		}
	})
}

// broken is a store one of whose inboxes takes nothing.
type broken struct {
	queues.Store
	mu    sync.Mutex
	inbox string
}

func (b *broken) heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inbox = ""
}

func (b *broken) Append(ctx context.Context, calls []*queues.AppendCall) {
	b.mu.Lock()
	inbox := b.inbox
	b.mu.Unlock()
	for _, c := range calls {
		if c.Inbox == inbox {
			c.Err = queues.ErrUnavailable
		} else {
			b.Store.Append(ctx, []*queues.AppendCall{c})
		}
	}
}
