package redisqueue_test

import (
	"context"
	"testing"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// TestSlotOnItsWay: the slot of a queue and that of an inbox move to another server of a cluster, key by key, while they are in
// use. Functions once went on where a part of the keys was, and made the others anew there, so that what the queue had was split.
func TestSlotOnItsWay(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	n := node{t, open(t, cluster.Client(), redisqueue.Config{})}
	n.configure(queues.Config{BackoffBase: time.Hour, Lease: 10 * time.Minute})
	named, keyed, later := text("a"), text("b"), text("c")
	named.ID, keyed.Key, later.Delay = "id", "key", time.Hour
	n.publish(named, keyed, text("b2"), later, text("d"), text("e"), text("f"))
	m := n.claim(3)
	expectCode(t, "nack", n.settle(m[0].Ref(), queues.Nack), "")
	expectCode(t, "reject", n.settle(m[1].Ref(), queues.Reject), "")
	n.send(anEntry)
	o := n.openInbox(nil)
	numbers := func() queues.Stats {
		st := n.stats()
		st.Oldest = 0
		return st
	}
	before := numbers()

	refused := func(what string, f func(*store)) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		s := &store{Store: n.Store, ctx: ctx}
		f(s)
		expectCode(t, what, s.err, queues.CodeUnavailable)
	}
	for _, slot := range []struct {
		key string
		ops map[string]func(*store)
	}{
		{"roomcast:{q:q}", map[string]func(*store){
			"publish": func(s *store) {
				c := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{text("x")}}
				s.Publish(s.ctx, []*queues.PublishCall{c})
				s.err = c.Err
			},
			"claim": func(s *store) {
				c := &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 9}}, Wait: true}
				s.Claim(s.ctx, []*queues.ClaimCall{c})
				s.err = c.Err
			},
			"settle": func(s *store) {
				c := &queues.SettleCall{Queue: "q", Items: []queues.Settlement{{Ref: m[2].Ref(), Outcome: queues.Ack}}}
				s.Settle(s.ctx, []*queues.SettleCall{c})
				s.err = c.Err
			},
			"sweep": func(s *store) { _, s.err = s.Sweep(s.ctx, "q") },
		}},
		{"roomcast:{i:i}", map[string]func(*store){
			"append": func(s *store) {
				c := &queues.AppendCall{Inbox: "i", Entries: []*queues.Entry{anEntry}}
				s.Append(s.ctx, []*queues.AppendCall{c})
				s.err = c.Err
			},
			"read": func(s *store) {
				c := &queues.ReadCall{Inbox: "i", Owner: anOwner, Max: 9}
				s.Read(s.ctx, []*queues.ReadCall{c})
				s.err = c.Err
			},
		}},
	} {
		from := cluster.Owner(slot.key)
		to := cluster.Nodes[0]
		if to == from {
			to = cluster.Nodes[1]
		}
		move := cluster.StartMove(slot.key, to)
		for steps := 0; ; steps++ {
			for what, f := range slot.ops {
				refused(what, f)
			}
			if !move.Step(1) {
				if steps < 2 {
					t.Fatalf("%s had %d keys: nothing is shown", slot.key, steps)
				}
				break
			}
		}
		move.End()
	}

	expect(t, "numbers", numbers(), before)
	expectCode(t, "ack", n.settle(m[2].Ref(), queues.Ack), "")
	left := n.claim(9)
	expect(t, "left", len(left), 3)
	expectCode(t, "read", n.read(anOwner).Err, queues.CodeConflict) // the other server has another history, as after a failover
	if now := n.openInbox(nil).Epoch; now <= o.Epoch {
		t.Fatalf("epoch %d after %d", now, o.Epoch)
	}
	expect(t, "entries", len(n.read(anOwner).Entries), 1)
}

// store is a store with which one thing is tried.
type store struct {
	queues.Store
	ctx context.Context
	err error
}
