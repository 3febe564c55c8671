package redisqueue_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// node is a store in the hands of a test.
type node struct {
	testing.TB
	queues.Store
}

func (n node) configure(c queues.Config) {
	n.Helper()
	if err := n.Configure(n.Context(), "q", c.WithDefaults()); err != nil {
		n.Fatal(err)
	}
}

func (n node) publish(drafts ...*queues.Draft) *queues.PublishCall {
	n.Helper()
	c := &queues.PublishCall{Queue: "q", Drafts: drafts}
	n.Publish(n.Context(), []*queues.PublishCall{c})
	return c
}

func (n node) claim(most int) []*queues.Message {
	n.Helper()
	c := &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: most}}}
	n.Claim(n.Context(), []*queues.ClaimCall{c})
	if c.Err != nil {
		n.Fatal(c.Err)
	}
	return c.Wants[0].Got
}

func (n node) settle(ref queues.Ref, o queues.Outcome) error {
	c := &queues.SettleCall{Queue: "q", Items: []queues.Settlement{{Ref: ref, Outcome: o}}}
	n.Settle(n.Context(), []*queues.SettleCall{c})
	if c.Err != nil {
		return c.Err
	}
	return c.Results[0]
}

func (n node) stats() queues.Stats {
	n.Helper()
	st, err := n.Stats(n.Context(), "q")
	if err != nil {
		n.Fatal(err)
	}
	return st
}

var anEntry = &queues.Entry{Payload: queues.Payload{JSON: []byte("1")}}

func (n node) send(entries ...*queues.Entry) *queues.AppendCall {
	n.Helper()
	c := &queues.AppendCall{Inbox: "i", Entries: entries, Limits: queues.InboxLimits{MaxLen: 1000, MaxBytes: 1 << 20, Overflow: queues.DropOldest}}
	n.Append(n.Context(), []*queues.AppendCall{c})
	if c.Err != nil {
		n.Fatal(c.Err)
	}
	return c
}

func (n node) read(o queues.Owner) *queues.ReadCall {
	c := &queues.ReadCall{Inbox: "i", Owner: o, Max: 1000}
	n.Read(n.Context(), []*queues.ReadCall{c})
	return c
}

var anOwner = queues.Owner{Node: "n", Number: 1}

func (n node) openInbox(since *queues.Position) queues.Opened {
	n.Helper()
	o, err := n.Open(n.Context(), "i", anOwner, since, false, queues.InboxLimits{})
	if err != nil {
		n.Fatal(err)
	}
	return o
}

func text(s string) *queues.Draft {
	return &queues.Draft{Payload: queues.Payload{JSON: []byte(`"` + s + `"`)}}
}

func expect[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func expectCode(t testing.TB, what string, err error, want queues.Code) {
	t.Helper()
	expect(t, what+": code of \""+fmt.Sprint(err)+"\"", queues.CodeOf(err), want)
}

func newClient(t testing.TB, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// eventually calls f until it is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: ", what)
		}
	}
}

func TestLibraryIsLoadedAgain(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	n := node{t, open(t, rdb, redisqueue.Config{})}
	n.configure(queues.Config{})
	if err := rdb.FunctionFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	// All of a pipeline come back with an error.
	calls := []*queues.PublishCall{
		{Queue: "q", Drafts: []*queues.Draft{text("a")}}, {Queue: "q", Drafts: []*queues.Draft{text("b")}},
		{Queue: "none", Drafts: []*queues.Draft{text("c")}},
	}
	n.Publish(t.Context(), calls)
	expectCode(t, "publish", calls[0].Err, "")
	expectCode(t, "publish", calls[1].Err, "")
	expectCode(t, "publish", calls[2].Err, queues.CodeNotFound)
	expect(t, "claimed", len(n.claim(9)), 2)
	expect(t, "published", n.stats().Published, 2)
}

// Nodes of several versions share a server: who comes first takes the library of the version before away, and who still needs one
// has it given back.
func TestLibrariesOfTwoVersions(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	give := func(name string) {
		t.Helper()
		library := "#!lua name=roomcast_queues_" + name + "\nredis.register_function('roomcast_queues_" + name + "_publish', function() return 1 end)"
		if err := rdb.FunctionLoad(t.Context(), library).Err(); err != nil {
			t.Fatal(err)
		}
	}
	give("old")
	if err := rdb.FunctionLoad(t.Context(), "#!lua name=other\nredis.register_function('other', function() return 1 end)").Err(); err != nil {
		t.Fatal(err)
	}
	n := node{t, open(t, rdb, redisqueue.Config{})}
	libraries := func() (names []string) {
		t.Helper()
		all, err := rdb.FunctionList(t.Context(), redis.FunctionListQuery{}).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			names = append(names, l.Name)
		}
		slices.Sort(names)
		return names
	}
	own := libraries()
	if len(own) != 2 || own[0] != "other" || own[1] == "roomcast_queues_old" {
		t.Fatalf("libraries: %q", own)
	}
	give("newer")
	open(t, rdb, redisqueue.Config{})
	expect(t, "libraries", len(libraries()), 3) // nobody takes a newer one away just because it starts
	if err := rdb.FunctionDelete(t.Context(), own[1]).Err(); err != nil {
		t.Fatal(err)
	}
	n.configure(queues.Config{})
	n.publish(text("a"))
	expect(t, "libraries", len(libraries()), 3)
	expect(t, "claimed", len(n.claim(1)), 1)
}

// The rules that docs/queues.md gives for a user of Redis are enough.
func TestACL(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	rules := strings.Fields("~roomcast:* &roomcast:* +@read +@write +@pubsub +@connection +@transaction +fcall +function|list +function|load +function|delete +info +time +wait +bgrewriteaof")
	args := []any{"acl", "setuser", "app", "reset", "on", ">secret"}
	for _, r := range rules {
		args = append(args, r)
	}
	if err := server.Client().Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "app", Password: "secret", DisableIdentity: true})
	defer rdb.Close()
	n := node{t, open(t, rdb, redisqueue.Config{})}
	var l told
	ctx, cancel := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	listening.Go(func() { n.Listen(ctx, "n", &l) })
	defer func() {
		cancel()
		listening.Wait()
	}()
	eventually(t, "listening", func() bool { return l.missed.Load() > 0 })
	n.configure(queues.Config{})
	named := text("a")
	named.ID, named.Key = "id", "key"
	expectCode(t, "publish", n.publish(named, text("b"), text("c")).Err, "")
	m := n.claim(3)
	expectCode(t, "ack", n.settle(m[0].Ref(), queues.Ack), "")
	expectCode(t, "nack", n.settle(m[1].Ref(), queues.Nack), "")
	expectCode(t, "reject", n.settle(m[2].Ref(), queues.Reject), "")
	if _, err := n.Redrive(t.Context(), "q", 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Beat(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	n.send(anEntry)
	n.openInbox(nil)
	expect(t, "entries", len(n.read(anOwner).Entries), 1)
	if err := n.Delete(t.Context(), "q", true); err != nil {
		t.Fatal(err)
	}
	log, err := server.Client().Do(t.Context(), "acl", "log").Slice()
	if err != nil || len(log) > 0 {
		t.Fatalf("refused: %v, %v", log, err)
	}
}

// What makes room is possible when there is none: for what would need more the server refuses the whole call.
func TestServerIsFull(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	n := node{t, open(t, rdb, redisqueue.Config{})}
	n.configure(queues.Config{})
	n.publish(text("a"), text("b"), text("c"), text("d"))
	m := n.claim(3)
	if err := rdb.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	expectCode(t, "publish", n.publish(text("e")).Err, queues.CodeQueueFull)
	expectCode(t, "ack", n.settle(m[0].Ref(), queues.Ack), "")
	expectCode(t, "reject", n.settle(m[1].Ref(), queues.Reject), "")
	expectCode(t, "nack", n.settle(m[2].Ref(), queues.Nack), "")
	expect(t, "claimed", len(n.claim(1)), 1)
	st := n.stats()
	expect(t, "acked", st.Acked, 1)
	expect(t, "dead", st.Dead, 1)
	expect(t, "left", st.Len(), 2)
}

// Every reply is lost once: nothing is done twice, and everything is answered as if it had not been lost.
func TestLostReplies(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := startProxy(t, server.Addr)
	n := node{t, open(t, newClient(t, p.addr), redisqueue.Config{})}
	n.configure(queues.Config{})
	lose := func() { p.swallow.Store(1) }
	n.send() // the inbox is known

	lose()
	named := text("b")
	named.ID = "id"
	c := n.publish(text("a"), named)
	expectCode(t, "publish", c.Err, "")
	expect(t, "results", fmt.Sprint(c.Results), "[{~1 1 false <nil>} {id 2 false <nil>}]")
	lose()
	c = &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{text("c")}, Claim: &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 1}, {Messages: 1}}}}
	n.Publish(t.Context(), []*queues.PublishCall{c})
	expectCode(t, "publish", c.Err, "")
	expect(t, "number", c.Results[0].Seq, 3)
	expect(t, "claimed at once", len(c.Claim.Wants[0].Got)+len(c.Claim.Wants[1].Got), 2)
	expect(t, "message", c.Claim.Wants[1].Got[0].ID, "id")
	lose()
	m := n.claim(5)
	expect(t, "claimed", len(m), 1)
	expect(t, "number", m[0].Seq, 3)
	expect(t, "leased", n.stats().Leased, 3)
	lose()
	expectCode(t, "ack", n.settle(m[0].Ref(), queues.Ack), "")
	expectCode(t, "ack again", n.settle(m[0].Ref(), queues.Ack), queues.CodeGone)
	lose()
	expectCode(t, "nack", n.settle(c.Claim.Wants[0].Got[0].Ref(), queues.Nack), "")
	st := n.stats()
	expect(t, "stats", fmt.Sprint(st.Published, st.Duplicates, st.Delivered, st.Acked, st.Nacked, st.Leased), "3 0 3 1 1 1")
	lose()
	settle := &queues.SettleCall{
		Queue: "q", Items: []queues.Settlement{{Ref: c.Claim.Wants[1].Got[0].Ref(), Outcome: queues.Release}},
		Claim: &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 5}}},
	}
	n.Settle(t.Context(), []*queues.SettleCall{settle})
	expectCode(t, "release", settle.Err, "")
	expect(t, "released", settle.Results[0], nil)
	expect(t, "claimed again", fmt.Sprint(len(settle.Claim.Wants[0].Got), settle.Claim.Wants[0].Got[0].Attempt), "1 2")
	expect(t, "delivered", n.stats().Delivered, 4)
	lose()
	expect(t, "entry", n.send(anEntry, anEntry).Results[1].Seq, 2)
	n.openInbox(nil)
	expect(t, "entries", len(n.read(anOwner).Entries), 2)
	lose()
	c = &queues.PublishCall{
		Queue: "q", Drafts: []*queues.Draft{text("new"), text("newer"), text("newest")},
		Claim: &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 1}, {Messages: 5}}},
	}
	n.Publish(t.Context(), []*queues.PublishCall{c})
	expectCode(t, "publish", c.Err, "")
	first, others := c.Claim.Wants[0].Got, c.Claim.Wants[1].Got
	expect(t, "what is new", string(first[0].Payload.JSON)+string(others[0].Payload.JSON)+string(others[1].Payload.JSON), `"new""newer""newest"`)
	expect(t, "fence", others[1].Fence, first[0].Fence+2)
	expectCode(t, "ack", n.settle(others[1].Ref(), queues.Ack), "")
	// Lost again and again: nobody knows.
	p.swallow.Store(1000)
	expectCode(t, "publish", n.publish(text("d")).Err, queues.CodeUnavailable)
	p.swallow.Store(0)
	expect(t, "published", n.stats().Published, 7)
}

// A claim whose reply was lost, for consumers at most once and others, is answered with what was leased: each has its own
// messages, with the fences that they were leased with. Those at most once are gone, which is what it means.
func TestLostReplyOfAMixedClaim(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	p := startProxy(t, server.Addr)
	n := node{t, open(t, newClient(t, p.addr), redisqueue.Config{})}
	claim := func() *queues.ClaimCall {
		return &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{
			{Messages: 1, AtMostOnce: true}, {Messages: 2}, {Messages: 1, AtMostOnce: true}, {Messages: 1},
		}}
	}
	drafts := []*queues.Draft{text("a"), text("b"), text("c"), text("d"), text("e")}
	n.configure(queues.Config{})
	n.publish(text("first"))
	expectCode(t, "ack", n.settle(n.claim(1)[0].Ref(), queues.Ack), "")
	for name, do := range map[string]func() *queues.ClaimCall{
		"alone": func() *queues.ClaimCall {
			n.publish(drafts...)
			c := claim()
			p.swallow.Store(1)
			n.Claim(t.Context(), []*queues.ClaimCall{c})
			return c
		},
		"with a publish": func() *queues.ClaimCall {
			c := claim()
			p.swallow.Store(1)
			n.Publish(t.Context(), []*queues.PublishCall{{Queue: "q", Drafts: drafts, Claim: c}})
			return c
		},
	} {
		before := n.stats()
		c := do()
		expectCode(t, name, c.Err, "")
		got := ""
		for _, w := range c.Wants {
			for _, m := range w.Got {
				got += string(m.Payload.JSON)
			}
			got += " "
		}
		expect(t, name, got, ` "b""c"  "e" `)
		st := n.stats()
		expect(t, name+": delivered, acked, leased", fmt.Sprint(st.Delivered-before.Delivered, st.Acked-before.Acked, st.Leased), "5 2 3")
		for _, m := range slices.Concat(c.Wants[1].Got, c.Wants[3].Got) {
			expectCode(t, name+": ack of "+string(m.Payload.JSON), n.settle(m.Ref(), queues.Ack), "")
		}
		st = n.stats()
		expect(t, name+": left", st.Len(), 0)
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{})
	server.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	c := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{text("a")}}
	n.Publish(ctx, []*queues.PublishCall{c})
	expectCode(t, "frozen", c.Err, queues.CodeUnavailable)
	server.Thaw()
	server.Kill()
	expectCode(t, "gone", n.publish(text("a")).Err, queues.CodeUnavailable)
	if e, ok := errors.AsType[*queues.Error](n.publish(text("a")).Err); !ok || strings.Contains(e.Message, "127.0.0.1") || e.Cause == nil {
		t.Errorf("clients are told %+v", e)
	}
	_, err := n.Beat(t.Context(), "n")
	expectCode(t, "gone", err, queues.CodeUnavailable)
	expectCode(t, "gone", n.read(anOwner).Err, queues.CodeUnavailable)
	if _, err := redisqueue.Open(t.Context(), server.Client(), redisqueue.Config{}); err == nil {
		t.Fatal("a store of a server that isn't there")
	}
	server.Restart()
	n.configure(queues.Config{})
	expectCode(t, "back", n.publish(text("a")).Err, "")
}

func TestRestart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{Durability: redisqueue.Fsync})
	c := n.publish(text("a"), text("b"), text("c"))
	expectCode(t, "durable", c.Results[0].Err, "")
	m := n.claim(2)
	n.send(anEntry, anEntry)
	o := n.openInbox(nil)
	server.Kill()
	server.Restart()
	// The leases hold, and so do the receipts.
	expectCode(t, "ack", n.settle(m[0].Ref(), queues.Ack), "")
	rest := n.claim(9)
	expect(t, "messages", len(rest), 1)
	if rest[0].Fence < m[1].Fence+1<<20 {
		t.Fatalf("fence %d after %d: fences that were lost could be issued again", rest[0].Fence, m[1].Fence)
	}
	// Nobody knows that nothing of the inbox was lost.
	expectCode(t, "read", n.read(anOwner).Err, queues.CodeConflict)
	again := n.openInbox(&queues.Position{Epoch: o.Epoch, Seq: 1})
	expect(t, "reason", again.Reason, queues.LostEpoch)
	expect(t, "entries", len(n.read(anOwner).Entries), 2)
	if again.Epoch <= o.Epoch {
		t.Fatalf("epoch %d after %d", again.Epoch, o.Epoch)
	}
}

func TestAllIsLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{})
	n.publish(text("a"))
	m := n.claim(1)
	numbered := func() uint64 {
		if err := n.Configure(t.Context(), "$x", queues.Config{}.WithDefaults()); err != nil {
			t.Fatal(err)
		}
		c := &queues.PublishCall{Queue: "$x", Drafts: []*queues.Draft{text("a")}}
		n.Publish(t.Context(), []*queues.PublishCall{c})
		return c.Results[0].Seq
	}
	number := numbered()
	n.send(anEntry)
	o := n.openInbox(nil)
	server.Kill()
	server.Restart()
	expectCode(t, "publish", n.publish(text("b")).Err, queues.CodeNotFound)
	n.configure(queues.Config{})
	n.publish(text("b"))
	again := n.claim(1)
	expect(t, "number", again[0].Seq, m[0].Seq)
	if again[0].Fence <= m[0].Fence {
		t.Fatalf("fence %d after %d", again[0].Fence, m[0].Fence)
	}
	expectCode(t, "an old receipt", n.settle(m[0].Ref(), queues.Ack), queues.CodeSuperseded)
	expectCode(t, "read", n.read(anOwner).Err, queues.CodeConflict)
	if again := numbered(); again <= number {
		t.Fatalf("number %d of an internal queue after %d: inboxes that are elsewhere would know it already", again, number)
	}
	n.send(anEntry)
	expect(t, "reason", n.openInbox(&queues.Position{Epoch: o.Epoch, Seq: 1}).Reason, queues.LostEpoch)
}

// A replica takes over that hasn't got all: it must not issue the same fences and numbers for other things unnoticed.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	host, port, _ := net.SplitHostPort(primary.Addr)
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	p := startProxy(t, primary.Addr)
	n := node{t, open(t, newClient(t, p.addr), redisqueue.Config{})}
	n.configure(queues.Config{Durability: redisqueue.Replica})
	eventually(t, "the replica has all", func() bool {
		c := n.publish(text("a"))
		return c.Err == nil && c.Results[0].Err == nil
	})
	n.configure(queues.Config{Durability: redisqueue.Memory})
	n.send(anEntry)
	o := n.openInbox(nil)
	eventually(t, "the replica has all", func() bool {
		return primary.Client().Do(t.Context(), "WAIT", 1, 100).Val() == int64(1) || n.publish(text("z")).Err == nil && replica.Client().Exists(t.Context(), "roomcast:{i:i}").Val() == 1
	})
	time.Sleep(50 * time.Millisecond)
	if err := replica.Client().Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	// What happens now, the replica doesn't get.
	lost := n.claim(1)[0]
	n.send(anEntry)
	read := n.read(anOwner)
	expect(t, "entries", len(read.Entries), 2)
	p.cut(replica.Addr)
	primary.Kill()
	eventually(t, "no broken connection is left", func() bool {
		_, err := n.Stats(t.Context(), "q")
		return err == nil
	})

	m := n.claim(1)[0]
	expect(t, "number", m.Seq, lost.Seq)
	if m.Fence <= lost.Fence {
		t.Fatalf("fence %d after %d", m.Fence, lost.Fence)
	}
	expectCode(t, "a receipt of what was lost", n.settle(lost.Ref(), queues.Ack), queues.CodeSuperseded)
	n.send(anEntry) // number 2 again, with something else
	c := &queues.AcknowledgeCall{Inbox: "i", Owner: anOwner, At: queues.Position{Epoch: o.Epoch, Seq: 2}}
	n.Acknowledge(t.Context(), []*queues.AcknowledgeCall{c})
	expectCode(t, "ack", c.Err, queues.CodeConflict)
	expectCode(t, "read", n.read(anOwner).Err, queues.CodeConflict)
	expect(t, "reason", n.openInbox(&queues.Position{Epoch: o.Epoch, Seq: 2}).Reason, queues.LostEpoch)
	expect(t, "entries", len(n.read(anOwner).Entries), 2)
}

func TestEvictionIsRefused(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru").Client()
	_, err := redisqueue.Open(t.Context(), rdb, redisqueue.Config{})
	if err == nil || !strings.Contains(err.Error(), "allkeys-lru") {
		t.Fatal("got error ", err)
	}
}

func TestMemoryIsFull(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory", "8mb")
	n := node{t, open(t, server.Client(), redisqueue.Config{MemoryShare: 0.8})}
	n.configure(queues.Config{})
	big := text(strings.Repeat("x", 50_000))
	var refused *queues.PublishCall
	eventually(t, "full", func() bool {
		refused = n.publish(big, big, big)
		return refused.Err != nil || refused.Results[2].Err != nil
	})
	expect(t, "publish", refused.Err, error(queues.ErrStoreFull))
	full := n.Store.(interface{ Full() bool }).Full
	eventually(t, "it says so", full)
	// What is there can still be worked on, and that helps.
	for {
		m := n.claim(10)
		if len(m) == 0 {
			break
		}
		for _, m := range m {
			expectCode(t, "ack", n.settle(m.Ref(), queues.Ack), "")
		}
	}
	eventually(t, "not full any more, and it says so without a publish", func() bool { return !full() })
	expectCode(t, "publish", n.publish(big).Err, "")
}

func TestDurability(t *testing.T) {
	t.Parallel()
	primary := redistest.Start(t)
	n := node{t, open(t, primary.Client(), redisqueue.Config{ConfirmTimeout: 300 * time.Millisecond})}
	err := n.Configure(t.Context(), "q", queues.Config{Durability: redisqueue.Fsync}.WithDefaults())
	expectCode(t, "fsync without a disk", err, queues.CodeBadRequest)
	_, err = redisqueue.Open(t.Context(), primary.Client(), redisqueue.Config{Durability: redisqueue.Fsync})
	if err == nil {
		t.Fatal("fsync without a disk")
	}
	n.configure(queues.Config{Durability: redisqueue.Replica})
	d := text("a")
	d.ID = "id"
	first := n.publish(d)
	expectCode(t, "no replica", first.Results[0].Err, queues.CodeNotDurable)
	expect(t, "stored", n.stats().Ready, 1)

	host, port, _ := net.SplitHostPort(primary.Addr)
	redistest.Start(t, "--replicaof", host+" "+port)
	eventually(t, "durable", func() bool {
		r := n.publish(d).Results[0]
		expect(t, "duplicate", r.Duplicate, true)
		expect(t, "number", r.Seq, first.Results[0].Seq)
		return r.Err == nil
	})
	// A store that doesn't know the level of the queue yet.
	other := node{t, open(t, primary.Client(), redisqueue.Config{})}
	expectCode(t, "durable", other.publish(text("b")).Results[0].Err, "")
	expect(t, "stored", n.stats().Ready, 2)
}

// told is a listener that counts.
type told struct{ ready, arrived, takenOver, missed atomic.Int32 }

func (t *told) Ready(string)                   { t.ready.Add(1) }
func (t *told) Arrived(string)                 { t.arrived.Add(1) }
func (t *told) TakenOver(string, queues.Owner) { t.takenOver.Add(1) }
func (t *told) Missed()                        { t.missed.Add(1) }

func TestListenerConnectsAgain(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	n := node{t, open(t, rdb, redisqueue.Config{})}
	n.configure(queues.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	var l told
	var listening sync.WaitGroup
	listening.Go(func() { n.Listen(ctx, "n", &l) })
	defer listening.Wait()
	defer cancel()
	subscribed := func() bool { return rdb.PubSubNumSub(t.Context(), "roomcast:node:n").Val()["roomcast:node:n"] == 1 }
	eventually(t, "listens", subscribed)
	if err := rdb.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "missed", func() bool { return l.missed.Load() > 0 })
	eventually(t, "ready", func() bool { // it may have connected more than once
		c := &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 100}}, Wait: true}
		n.Claim(t.Context(), []*queues.ClaimCall{c})
		expectCode(t, "claim", c.Err, "")
		expectCode(t, "publish", n.publish(text("a")).Err, "")
		return l.ready.Load() > 0
	})
}
