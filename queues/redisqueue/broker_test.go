package redisqueue_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

func startBroker(t testing.TB, s queues.Store, name string) *queues.Broker {
	t.Helper()
	b, err := queues.NewBroker(t.Context(), queues.BrokerConfig{Store: s, Node: name, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What a node holds that is cut off from Redis goes to another one, and its inboxes can be opened there.
func TestNodeIsLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := startProxy(t, server.Addr)
	lost := startBroker(t, open(t, newClient(t, p.addr), redisqueue.Config{}), "lost")
	defer lost.Close(t.Context())
	other := startBroker(t, open(t, server.Client(), redisqueue.Config{}), "other")
	defer other.Close(t.Context())
	if err := lost.Configure(t.Context(), "q", queues.Config{}); err != nil {
		t.Fatal(err)
	}
	held := make(chan *queues.Message, 9)
	consume := func(b *queues.Broker) {
		t.Helper()
		c, err := b.Consume(t.Context(), "q", queues.ConsumerConfig{Prefetch: 5, Deliver: func(ms []*queues.Message) {
			for _, m := range ms {
				held <- m
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		c.Start()
	}
	consume(lost)
	if _, err := other.PublishOne(t.Context(), "q", text("a")); err != nil {
		t.Fatal(err)
	}
	first := <-held
	expect(t, "attempt", first.Attempt, 1)
	consume(other)
	p.cut("")
	second := <-held // in some 4 s, long before the lease ends
	expect(t, "number", second.Seq, first.Seq)
	expect(t, "attempt", second.Attempt, 2)
	expectCode(t, "settle", other.Settle(t.Context(), queues.Settled{Receipt: second.Receipt(), Outcome: queues.Ack})[0], "")
	expectCode(t, "settle", other.Settle(t.Context(), queues.Settled{Receipt: first.Receipt(), Outcome: queues.Ack})[0], queues.CodeGone)
	p.cut(server.Addr)
}

// Redis is another one: the owner of an inbox is told to open it again.
func TestInboxIsAnother(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	b := startBroker(t, open(t, server.Client(), redisqueue.Config{}), "n")
	defer b.Close(t.Context())
	closed := make(chan error, 1)
	in, _, err := b.OpenInbox(t.Context(), "i", queues.InboxConfig{Window: 9, Closed: func(err error) { closed <- err }})
	if err != nil {
		t.Fatal(err)
	}
	in.Start()
	server.Kill()
	server.Restart()
	expectCode(t, "closed", <-closed, queues.CodeConflict)
}

// Two nodes work on a queue while their connections break all the time. What was published is settled once.
func TestConnectionsBreak(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rdb := server.Client()
	const nodes, each = 2, 400
	var (
		mu        sync.Mutex
		published = map[uint64]string{}
		ids       = map[string]uint64{}
		settled   = map[uint64]int{}
		fences    = map[uint64]uint64{} // the last one of each message
		unknown   int
	)
	fail := func(format string, args ...any) { t.Errorf(format, args...) }
	var consuming, publishing sync.WaitGroup
	stop := make(chan struct{})
	for i := range nodes {
		n := node{t, open(t, newClient(t, server.Addr), redisqueue.Config{})}
		if i == 0 {
			n.configure(queues.Config{Lease: time.Second, BackoffBase: -1, MaxFailures: -1, MaxAttempts: -1})
		}
		publishing.Go(func() {
			for j := range each {
				d := text(fmt.Sprint(i, "-", j))
				d.ID = fmt.Sprint(i, "-", j)
				for {
					c := n.publish(d)
					if c.Err != nil {
						expectCode(t, "publish", c.Err, queues.CodeUnavailable)
						continue
					}
					mu.Lock()
					seq := c.Results[0].Seq
					if id, ok := published[seq]; ok && id != d.ID {
						fail("number %d is %s and %s", seq, id, d.ID)
					}
					if old, ok := ids[d.ID]; ok && old != seq {
						fail("%s is number %d and %d", d.ID, old, seq)
					}
					published[seq], ids[d.ID] = d.ID, seq
					mu.Unlock()
					break
				}
			}
		})
		consuming.Go(func() {
			name := fmt.Sprint("n", i)
			for {
				c := &queues.ClaimCall{Queue: "q", Node: name, Wants: []queues.Want{{Messages: 1 + rand.IntN(20)}}}
				n.Claim(t.Context(), []*queues.ClaimCall{c})
				if c.Err != nil {
					continue // what was got lapses
				}
				got := c.Wants[0].Got
				if len(got) == 0 {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
					}
				}
				call := &queues.SettleCall{Queue: "q"}
				mu.Lock()
				for _, m := range got {
					if m.Fence <= fences[m.Seq] {
						fail("number %d has fence %d after %d", m.Seq, m.Fence, fences[m.Seq])
					}
					fences[m.Seq] = m.Fence
					call.Items = append(call.Items, queues.Settlement{Ref: m.Ref(), Outcome: queues.Ack})
				}
				mu.Unlock()
				n.Settle(t.Context(), []*queues.SettleCall{call})
				mu.Lock()
				if call.Err != nil {
					unknown += len(call.Items)
				}
				for k, err := range call.Results {
					if err == nil {
						settled[call.Items[k].Seq]++
					}
				}
				mu.Unlock()
			}
		})
	}
	killing := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		for {
			select {
			case <-killing:
				return
			case <-time.After(time.Duration(1+rand.IntN(8)) * time.Millisecond):
				rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			}
		}
	})
	publishing.Wait()
	close(killing)
	killer.Wait()
	n := node{t, open(t, rdb, redisqueue.Config{})}
	eventually(t, "all is settled", func() bool {
		st := n.stats()
		return st.Len() == 0
	})
	close(stop)
	consuming.Wait()
	lost := 0
	for seq := range published {
		if settled[seq] == 0 {
			lost++
		}
		if settled[seq] > 1 {
			t.Errorf("number %d was settled %d times", seq, settled[seq])
		}
	}
	if lost > unknown {
		t.Errorf("%d messages were never settled, and only of %d nobody knows", lost, unknown)
	}
	st := n.stats()
	expect(t, "stored", st.Published, nodes*each)
	expect(t, "acknowledged", st.Acked, nodes*each)
}

// A function that fails halfway leaves counters behind that are wrong: nothing may be stuck because of that.
// It was found with a settlement of nothing.
func TestCountersAreHealed(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	n := node{t, open(t, rdb, redisqueue.Config{})}
	n.configure(queues.Config{Lease: 10 * time.Millisecond, BackoffBase: -1})
	n.publish(text("a"), text("b"))
	n.claim(2)
	time.Sleep(20 * time.Millisecond)
	c := &queues.SettleCall{Queue: "q"}
	n.Settle(t.Context(), []*queues.SettleCall{c})
	expectCode(t, "settle nothing", c.Err, "")
	e := &queues.ExtendCall{Queue: "q", Node: "n"}
	n.Extend(t.Context(), []*queues.ExtendCall{e})
	expectCode(t, "extend nothing", e.Err, "")
	expect(t, "ready", n.stats().Ready, 2)

	rdb.RPush(t.Context(), "roomcast:{q:q}:ready0", "77")
	rdb.HSet(t.Context(), "roomcast:{q:q}:messages", "77", rdb.HGet(t.Context(), "roomcast:{q:q}:messages", "1").Val())
	if _, err := n.Sweep(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	expect(t, "ready", n.stats().Ready, 3)
	expect(t, "claimed", len(n.claim(9)), 3)
}

// TestWokenWithoutConsumer: a node whose consumers have gone doesn't keep the turn that it was
// waiting for: otherwise a message lay until the node that has a consumer looked by itself.
func TestWokenWithoutConsumer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	nodes := make([]*queues.Broker, 3)
	for i := range nodes {
		nodes[i] = startBroker(t, open(t, server.Client(), redisqueue.Config{}), fmt.Sprint("node", i))
		defer nodes[i].Close(t.Context())
	}
	if err := nodes[0].Configure(t.Context(), "q", queues.Config{}); err != nil {
		t.Fatal(err)
	}
	waiting := func(n int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			st, err := nodes[0].Stats(t.Context(), "q")
			if err == nil && st.Waiting == n {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d nodes wait, want %d (%v)", st.Waiting, n, err)
			}
		}
	}
	var consumers []*queues.Consumer
	got := make(chan *queues.Message, 1)
	for _, b := range nodes {
		c, err := b.Consume(t.Context(), "q", queues.ConsumerConfig{Deliver: func(ms []*queues.Message) { got <- ms[0] }})
		if err != nil {
			t.Fatal(err)
		}
		c.Start()
		consumers = append(consumers, c)
	}
	waiting(3)
	consumers[0].Close()
	consumers[2].Close()
	waiting(1) // they say so
	if _, err := nodes[2].PublishOne(t.Context(), "q", text("a")); err != nil {
		t.Fatal(err)
	}
	<-got
}

// A node listens with one connection, however many queues and inboxes it has consumers of.
func TestOneConnectionListens(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	b := startBroker(t, open(t, rdb, redisqueue.Config{}), "n")
	defer b.Close(t.Context())
	got := make(chan string, 20)
	for i := range 10 {
		name := fmt.Sprint("q", i)
		if err := b.Configure(t.Context(), name, queues.Config{}); err != nil {
			t.Fatal(err)
		}
		c, err := b.Consume(t.Context(), name, queues.ConsumerConfig{Deliver: func(ms []*queues.Message) { got <- ms[0].Queue }})
		if err != nil {
			t.Fatal(err)
		}
		c.Start()
		in, _, err := b.OpenInbox(t.Context(), name, queues.InboxConfig{Deliver: func(ms []*queues.InboxMessage) { got <- ms[0].Inbox }})
		if err != nil {
			t.Fatal(err)
		}
		in.Start()
	}
	other := node{t, open(t, rdb, redisqueue.Config{})}
	for i := range 10 {
		other.Publish(t.Context(), []*queues.PublishCall{{Queue: fmt.Sprint("q", i), Drafts: []*queues.Draft{text("a")}}})
		other.Append(t.Context(), []*queues.AppendCall{{Inbox: fmt.Sprint("q", i), Limits: queues.InboxLimits{MaxLen: 9, MaxBytes: 999, Topics: 9, Devices: 9}, Entries: []*queues.Entry{anEntry}}})
	}
	for range 20 {
		<-got
	}
	clients := rdb.Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").String()
	if n := strings.Count(clients, "id="); n != 1 {
		t.Errorf("%d connections listen:\n%s", n, clients)
	}
}
