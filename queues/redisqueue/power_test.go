package redisqueue_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// logOf waits until a server has written its log anew, as the store asks it to after each start, and returns the file
// to which it appends.
func logOf(n node, server *redistest.Server) string {
	n.Helper()
	eventually(n, "the log is written anew", func() bool {
		n.publish()
		text := server.Client().Info(n.Context(), "persistence").Val()
		return !strings.Contains(text, "aof_last_rewrite_time_sec:-1") && strings.Contains(text, "aof_rewrite_in_progress:0")
	})
	var names []string
	eventually(n, "there is one", func() bool {
		names, _ = filepath.Glob(filepath.Join(server.Dir(), "appendonlydir", "*.incr.aof"))
		return len(names) == 1
	})
	return names[0]
}

func lengthOf(t testing.TB, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// Power fails, and what was not synced is gone: a message that was handed out and one that was stored. Receipts of
// the former are void and not those of something that was settled; the number, and so the name, of the latter isn't given to
// another message, which its consumers would take for one that they know.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always") // so that it is known what was written when
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{})
	n.publish(text("a"))
	n.send(anEntry)
	o := n.openInbox(nil)
	log := logOf(n, server)
	synced := lengthOf(t, log)
	m := n.claim(1)[0]
	lost := n.publish(text("b")).Results[0]
	n.claim(1)
	n.send(anEntry)
	server.Kill()
	if err := os.Truncate(log, synced); err != nil {
		t.Fatal(err)
	}
	server.Restart()

	expectCode(t, "a hand-out that was lost", n.settle(m.Ref(), queues.Ack), queues.CodeSuperseded)
	c := &queues.ExtendCall{Queue: "q", Items: []queues.Ref{m.Ref()}}
	n.Extend(t.Context(), []*queues.ExtendCall{c})
	expectCode(t, "its lease", c.Results[0], queues.CodeSuperseded)
	next := n.publish(text("c")).Results[0]
	if next.ID == lost.ID || next.Seq <= lost.Seq {
		t.Errorf("%s, number %d, after %s, number %d", next.ID, next.Seq, lost.ID, lost.Seq)
	}
	again := n.claim(9)
	expect(t, "messages", len(again), 2)
	expect(t, "the first", again[0].Seq, m.Seq)
	if again[0].Fence <= m.Fence {
		t.Errorf("fence %d after %d", again[0].Fence, m.Fence)
	}
	expect(t, "reason", n.openInbox(&queues.Position{Epoch: o.Epoch, Seq: 2}).Reason, queues.LostEpoch)
}

// Power fails, and a hand-out that was lost is undone, settled or not: its receipt settles nothing, and who had the message before
// may settle it. If that one's receipt were void, the message would be processed once more, and so would all that are being
// worked on whenever Redis is restarted, though nothing is lost (TestRestart).
func TestPowerLossUndoesAHandOut(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{})
	n.publish(text("a"), text("b"), text("c"))
	log := logOf(n, server)
	before := n.claim(3)
	synced := lengthOf(t, log)
	for _, m := range before {
		expectCode(t, "release", n.settle(m.Ref(), queues.Release), "")
	}
	lost := map[uint64]*queues.Message{}
	for _, m := range n.claim(3) {
		lost[m.Seq] = m
	}
	expectCode(t, "an old receipt", n.settle(before[0].Ref(), queues.Ack), queues.CodeSuperseded)
	expectCode(t, "ack", n.settle(lost[before[0].Seq].Ref(), queues.Ack), "")
	server.Kill()
	if err := os.Truncate(log, synced); err != nil {
		t.Fatal(err)
	}
	server.Restart()

	for _, m := range before {
		expectCode(t, "a hand-out that was lost", n.settle(lost[m.Seq].Ref(), queues.Ack), queues.CodeSuperseded)
	}
	for _, m := range before[:2] {
		expectCode(t, "the one before", n.settle(m.Ref(), queues.Ack), "")
		expectCode(t, "a hand-out that was lost", n.settle(lost[m.Seq].Ref(), queues.Ack), queues.CodeGone)
	}
	expectCode(t, "the one before", n.settle(before[2].Ref(), queues.Release), "")
	again := n.claim(3)
	expect(t, "messages", len(again), 1)
	if again[0].Fence <= lost[again[0].Seq].Fence {
		t.Errorf("fence %d after %d", again[0].Fence, lost[again[0].Seq].Fence)
	}
	expectCode(t, "an old receipt", n.settle(before[2].Ref(), queues.Ack), queues.CodeSuperseded)
}

// Power fails, and Redis has lost the last beat of a node, but not that of another: the node, which had taken messages again at
// once, seemed lost to the other, which gave them to somebody else.
func TestPowerLossUndoesABeat(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	beat := func(name string) []string {
		t.Helper()
		lost, err := n.Beat(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return lost
	}
	silent := func(name string, d time.Duration) { // that is all that Redis knows
		t.Helper()
		at := redis.Z{Score: float64(time.Now().Add(-d).UnixMilli()), Member: name}
		if err := server.Client().ZAdd(t.Context(), "roomcast:nodes", at).Err(); err != nil {
			t.Fatal(err)
		}
	}
	beat("a")
	beat("b")
	silent("a", 2*time.Second)
	silent("b", 3500*time.Millisecond)
	server.Kill()
	server.Restart()
	expect(t, "lost", fmt.Sprint(beat("a")), "[]")
	expect(t, "lost", fmt.Sprint(beat("a")), "[]")
	silent("b", 3500*time.Millisecond)
	expect(t, "lost", fmt.Sprint(beat("a")), "[b]")
}

// Power fails, and all that was ever done to a queue is lost with it, but the queue isn't: its first numbers were given again. Inboxes
// know what came of a topic by those of an internal queue.
func TestPowerLossOfTheFirst(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{})
	log := logOf(n, server)
	names := []string{"r", "$r"}
	for _, name := range names {
		if err := n.Configure(t.Context(), name, queues.Config{}.WithDefaults()); err != nil {
			t.Fatal(err)
		}
	}
	synced := lengthOf(t, log)
	handOut := func(queue string) *queues.Message {
		t.Helper()
		c := &queues.PublishCall{Queue: queue, Drafts: []*queues.Draft{text("a")}, Claim: &queues.ClaimCall{Queue: queue, Node: "n", Wants: []queues.Want{{Messages: 1}}}}
		n.Publish(t.Context(), []*queues.PublishCall{c})
		if c.Err != nil || len(c.Claim.Wants[0].Got) != 1 {
			t.Fatal(c.Err, c.Claim)
		}
		return c.Claim.Wants[0].Got[0]
	}
	lost := []*queues.Message{handOut(names[0]), handOut(names[1])}
	server.Kill()
	if err := os.Truncate(log, synced); err != nil {
		t.Fatal(err)
	}
	server.Restart()
	for i, name := range names {
		if m := handOut(name); m.Seq <= lost[i].Seq || m.Fence <= lost[i].Fence || m.ID == lost[i].ID {
			t.Errorf("%s: %s, number %d, fence %d, after %s, number %d, fence %d", name, m.ID, m.Seq, m.Fence, lost[i].ID, lost[i].Seq, lost[i].Fence)
		}
	}
}

// Power fails again before anything is synced, and the clock is set back: nothing of what was done in between is known, or tells by
// the time. Messages got the same numbers, and so names, and their hand-outs the same receipts.
func TestPowerLossTwice(t *testing.T) {
	t.Parallel()
	server := redistest.StartWithClock(t, "--appendonly", "yes", "--appendfsync", "always")
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{})
	n.publish(text("a"), text("b"))
	logOf(n, server)
	log, synced := filepath.Join(server.Dir(), "appendonlydir"), filepath.Join(t.TempDir(), "synced")
	server.Kill()
	if err := os.CopyFS(synced, os.DirFS(log)); err != nil {
		t.Fatal(err)
	}
	receipts, names := map[queues.Ref]bool{}, map[string]bool{}
	for range 2 {
		server.Restart()
		server.SetClock(-time.Hour)
		for _, m := range n.claim(2) {
			receipts[m.Ref()] = true
		}
		names[n.publish(text("c")).Results[0].ID] = true
		server.Kill()
		if err := errors.Join(os.RemoveAll(log), os.CopyFS(log, os.DirFS(synced))); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "receipts of two messages, each handed out twice", len(receipts), 4)
	expect(t, "names of two messages", len(names), 2)
}

// Power fails, and a settlement is lost, but not the hand-out: the message came again only when the lease ended that nobody had any
// more, and until then nothing else of its key.
func TestPowerLossOfASettlement(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{Lease: time.Hour})
	log := logOf(n, server)
	b := startBroker(t, open(t, server.Client(), redisqueue.Config{}), "b")
	defer b.Close(t.Context())
	got := make(chan *queues.Message, 9)
	c, err := b.Consume(t.Context(), "q", queues.ConsumerConfig{Prefetch: 5, Deliver: func(ms []*queues.Message) {
		for _, m := range ms {
			got <- m
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	n.publish(text("a"))
	m := <-got
	synced := lengthOf(t, log)
	expectCode(t, "ack", b.Settle(t.Context(), queues.Settled{Receipt: m.Receipt(), Outcome: queues.Ack})[0], "")
	server.Kill()
	if err := os.Truncate(log, synced); err != nil {
		t.Fatal(err)
	}
	server.Restart()
	again := <-got
	expect(t, "number", again.Seq, m.Seq)
	expect(t, "attempt", again.Attempt, 2)
	expect(t, "failures", again.Failures, 0)
}

// Power fails in the middle of a write, wherever that is: what a function does is there or isn't, as a whole. Redis applied half
// of it after another restart, when its log hadn't been written anew.
func TestTornLog(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{})
	seed := rand.Uint64()
	t.Log("seed ", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	stored, settled := 0, 0
	for i := range 5 {
		keyed := text("k")
		keyed.Key = "k"
		n.publish(text("a"), keyed, keyed)
		stored += 3
		for _, m := range n.claim(2) {
			expectCode(t, "ack", n.settle(m.Ref(), queues.Ack), "")
			settled++
		}
		log := logOf(n, server)
		safe := lengthOf(t, log)
		var maybe int
		if i%2 == 0 {
			maybe = len(n.publish(text("b"), keyed, text("c")).Results)
		} else {
			n.claim(3)
		}
		server.Kill()
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		cut := safe + random.Int64N(int64(len(b))-safe)
		whole := bytes.Count(b[safe:cut], []byte("\r\nEXEC\r\n"))
		if err := os.Truncate(log, cut); err != nil {
			t.Fatal(err)
		}
		server.Restart()
		if whole > 0 { // all that was written by then is there
			stored += maybe
		}
		n.Release(t.Context(), "q", "n", nil)
		st := n.stats()
		expect(t, fmt.Sprintf("messages after cut %d of %d", cut-safe, int64(len(b))-safe), st.Ready+st.Blocked, stored-settled)
	}
	for {
		ms := n.claim(100)
		if len(ms) == 0 {
			break
		}
		for _, m := range ms {
			expectCode(t, "ack", n.settle(m.Ref(), queues.Ack), "")
			settled++
		}
	}
	expect(t, "settled", settled, stored)
}

// An inbox counts more entries than there are: dropping the oldest kept Redis busy for ever.
func TestInboxWithLessThanItSays(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	n := node{t, open(t, rdb, redisqueue.Config{})}
	for range 1000 {
		n.send(anEntry)
	}
	if err := rdb.LTrim(t.Context(), "roomcast:{i:i}", 0, 0).Err(); err != nil {
		t.Fatal(err)
	}
	n.send(anEntry)
	st, err := n.InboxStats(t.Context(), "i")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "entries", st.Len, 1)
	n.openInbox(nil)
	expect(t, "entries", len(n.read(anOwner).Entries), 1)
}
