package queuetest

import (
	"strings"

	"github.com/roomcast/roomcast/queues"
)

var settleTests = map[string]func(*suite){
	"ack": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b")
		m := s.one()
		s.ack(m)
		checkErr(s, "again", s.settle(m, queues.Ack), queues.ErrGone)
		checkErr(s, "nack after it", s.settle(m, queues.Nack), queues.ErrGone)
		s.counts(1, 0, 0, 0, 0)
		st := s.stats()
		check(s, "acked", st.Acked, uint64(1))
		check(s, "bytes", st.Bytes, int64(3))
		s.pass(20)
		s.expect("b")
	},
	"with a claim in one call": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b", "c")
		a, b := s.one(), s.one()
		c := &queues.SettleCall{
			Queue: s.name,
			Items: []queues.Settlement{{Ref: b.Ref(), Outcome: queues.Ack}, {Ref: a.Ref(), Outcome: queues.Release}},
			Claim: &queues.ClaimCall{Queue: s.name, Node: "n1", Wants: []queues.Want{{Messages: 5}}},
		}
		s.store.Settle(s.ctx(), []*queues.SettleCall{c})
		s.must(c.Err)
		s.must(c.Claim.Err)
		checkErr(s, "ack", c.Results[0], nil)
		checkErr(s, "release", c.Results[1], nil)
		got := c.Claim.Wants[0].Got
		check(s, "claimed", text(got), "a c")
		check(s, "attempt", got[0].Attempt, 2)
		check(s, "attempt", got[1].Attempt, 1)
		check(s, "lease", c.Claim.Lease, s.units(10))
		checkErr(s, "the old hand-out", s.settle(a, queues.Ack), queues.ErrSuperseded)
		s.ack(got...)
	},
	"unknown": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a")
		m := s.one()
		r := s.settleAll(
			queues.Settlement{Ref: queues.Ref{Seq: 999_999, Fence: m.Fence}, Outcome: queues.Ack},
			queues.Settlement{Ref: queues.Ref{Seq: m.Seq, Fence: m.Fence + 1}, Outcome: queues.Ack},
			queues.Settlement{Ref: queues.Ref{Seq: m.Seq, Fence: 0}, Outcome: queues.Ack},
		)
		checkErr(s, "a message that isn't", r[0], queues.ErrGone)
		checkErr(s, "a fence that isn't", r[1], queues.ErrSuperseded)
		checkErr(s, "no fence", r[2], queues.ErrSuperseded)
		c := &queues.SettleCall{Queue: s.name + "-none", Items: []queues.Settlement{{Ref: m.Ref(), Outcome: queues.Ack}}}
		s.store.Settle(s.ctx(), []*queues.SettleCall{c})
		checkErr(s, "a queue that isn't", c.Err, queues.ErrNotFound)
		s.ack(m)
	},
	"nack waits for the backoff and counts": func(s *suite) {
		s.configure(queues.Config{BackoffBase: s.units(10), BackoffMax: s.units(100), Lease: s.units(100)})
		s.puts("a")
		r := s.settleAll(queues.Settlement{Ref: s.one().Ref(), Outcome: queues.Nack, Error: "no luck"})
		s.must(r[0])
		s.counts(0, 1, 0, 0, 0)
		check(s, "error", s.peek(queues.Scheduled)[0].Error, "no luck")
		s.pass(7)
		s.expect()
		s.pass(6)
		m := s.expect("a")[0]
		check(s, "attempt", m.Attempt, 2)
		check(s, "failures", m.Failures, 1)
		check(s, "redelivered", s.stats().Redelivered, uint64(1))
		s.must(s.settle(m, queues.Nack))
		s.pass(15)
		s.expect()
		s.pass(10)
		check(s, "failures", s.expect("a")[0].Failures, 2)
	},
	"nack with a delay": func(s *suite) {
		s.configure(queues.Config{BackoffBase: s.units(50)})
		s.puts("a", "b")
		ms := s.expect("a", "b")
		r := s.settleAll(
			queues.Settlement{Ref: ms[0].Ref(), Outcome: queues.Nack, Delay: s.units(3)},
			queues.Settlement{Ref: ms[1].Ref(), Outcome: queues.Nack, Delay: -1},
		)
		s.must(r[0])
		s.must(r[1])
		check(s, "at once", s.expect("b")[0].Failures, 1)
		s.pass(4)
		s.expect("a")
	},
	"too many failures": func(s *suite) {
		s.configure(queues.Config{MaxFailures: 3})
		s.put(named("poison", "a"))
		for i := range 3 {
			m := s.one()
			check(s, "failures", m.Failures, i)
			s.settleAll(queues.Settlement{Ref: m.Ref(), Outcome: queues.Nack, Delay: -1, Error: strings.Repeat("e", 2000)})
		}
		s.counts(0, 0, 0, 0, 1)
		d := s.peek(queues.Dead)[0]
		check(s, "reason", d.Reason, queues.DeadFailures)
		check(s, "error", len(d.Error), 1024)
		check(s, "id", d.ID, "poison")
		check(s, "failures", d.Failures, 3)
		check(s, "attempts", d.Attempt, 3)
		check(s, "bytes", s.stats().Bytes, int64(0))
	},
	"too many attempts": func(s *suite) {
		s.configure(queues.Config{MaxAttempts: 3})
		s.puts("a")
		for range 3 {
			s.must(s.settle(s.one(), queues.Release))
		}
		s.counts(0, 0, 0, 0, 1)
		check(s, "reason", s.peek(queues.Dead)[0].Reason, queues.DeadAttempts)
	},
	"no limits": func(s *suite) {
		s.configure(queues.Config{MaxFailures: -1, MaxAttempts: -1})
		s.puts("a")
		for range 30 {
			s.settleAll(queues.Settlement{Ref: s.one().Ref(), Outcome: queues.Nack, Delay: -1})
		}
		check(s, "failures", s.one().Failures, 30)
	},
	"release goes to the head and isn't counted": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b", "c")
		a, b := s.one(), s.one()
		s.must(s.settleAll(queues.Settlement{Ref: b.Ref(), Outcome: queues.Release}, queues.Settlement{Ref: a.Ref(), Outcome: queues.Release})[0])
		m := s.expect("a", "b", "c")[0]
		check(s, "attempt", m.Attempt, 2)
		check(s, "failures", m.Failures, 0)
		checkErr(s, "the old hand-out", s.settle(a, queues.Ack), queues.ErrSuperseded)
		check(s, "released", s.stats().Released, uint64(2))
	},
	"reject": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a")
		c := &queues.SettleCall{Queue: s.name, Items: []queues.Settlement{{Ref: s.one().Ref(), Outcome: queues.Reject, Error: "bad data"}}}
		s.store.Settle(s.ctx(), []*queues.SettleCall{c})
		s.must(c.Results[0])
		check(s, "dead", c.Dead, 1)
		s.counts(0, 0, 0, 0, 1)
		d := s.peek(queues.Dead)[0]
		check(s, "reason", d.Reason, queues.DeadRejected)
		check(s, "error", d.Error, "bad data")
		checkErr(s, "ack of a dead one", s.settle(&d.Message, queues.Ack), queues.ErrGone)
		check(s, "dead-lettered", s.stats().DeadLettered, uint64(1))
	},
	"what was given back stays so": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a")
		m := s.one()
		nack := queues.Settlement{Ref: m.Ref(), Outcome: queues.Nack, Delay: s.units(2)}
		s.must(s.settleAll(nack)[0])
		s.must(s.settleAll(nack)[0]) // a retry of the call
		s.must(s.settle(m, queues.Release))
		s.counts(0, 1, 0, 0, 0)
		check(s, "failures", s.peek(queues.Scheduled)[0].Failures, 1)
	},
	"ack after it was given back": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b", "c", "d")
		ms := s.expect("a", "b", "c", "d")
		s.must(s.settle(ms[0], queues.Release))
		s.must(s.settle(ms[1], queues.Nack))
		s.must(s.settle(ms[2], queues.Release))
		s.ack(ms[0], ms[1])
		s.must(s.settle(ms[2], queues.Reject))
		checkErr(s, "again", s.settle(ms[0], queues.Ack), queues.ErrGone)
		s.ack(ms[3])
		s.counts(0, 0, 0, 0, 1)
		s.pass(20)
		s.expect()
	},
	"only the node that holds it": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a")
		m := s.one()
		item := queues.Settlement{Ref: m.Ref(), Outcome: queues.Release, Node: "n2"}
		checkErr(s, "another node", s.settleAll(item)[0], queues.ErrSuperseded)
		item.Node = "n1"
		s.must(s.settleAll(item)[0])
		checkErr(s, "not any more", s.settleAll(item)[0], queues.ErrSuperseded)
		s.expect("a")
	},
	"several in one call": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b", "c", "d", "e")
		ms := s.expect("a", "b", "c", "d", "e")
		r := s.settleAll(
			queues.Settlement{Ref: ms[0].Ref(), Outcome: queues.Ack},
			queues.Settlement{Ref: ms[1].Ref(), Outcome: queues.Nack},
			queues.Settlement{Ref: ms[0].Ref(), Outcome: queues.Ack},
			queues.Settlement{Ref: ms[2].Ref(), Outcome: queues.Release},
			queues.Settlement{Ref: ms[3].Ref(), Outcome: queues.Reject},
		)
		for i, want := range []*queues.Error{nil, nil, queues.ErrGone, nil, nil} {
			checkErr(s, "result", r[i], want)
		}
		s.counts(1, 1, 1, 0, 1)
	},
}

var leaseTests = map[string]func(*suite){
	"a lease that ends is a failure": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(3), BackoffBase: s.units(5)})
		s.puts("a")
		old := s.one()
		s.pass(1)
		s.expect()
		s.pass(3)
		s.expect() // the backoff
		s.counts(0, 1, 0, 0, 0)
		s.pass(7)
		m := s.expect("a")[0]
		check(s, "attempt", m.Attempt, 2)
		check(s, "failures", m.Failures, 1)
		checkErr(s, "the old hand-out", s.settle(old, queues.Ack), queues.ErrSuperseded)
		check(s, "lapsed", s.stats().Lapsed, uint64(1))
		s.ack(m)
	},
	"an ack after the lease counts until the next hand-out": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(2), BackoffBase: -1})
		s.puts("a", "b")
		ms := s.expect("a", "b")
		s.pass(3)
		s.ack(ms[0])
		s.expect("b")
		checkErr(s, "the other", s.settle(ms[1], queues.Ack), queues.ErrSuperseded)
	},
	"leases that end make dead": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(2), BackoffBase: -1, MaxFailures: 2})
		s.puts("a")
		s.one()
		s.pass(3)
		s.one()
		s.pass(3)
		s.expect()
		s.counts(0, 0, 0, 0, 1)
	},
	"extend": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(4), BackoffBase: -1})
		s.puts("a", "b")
		ms := s.expect("a", "b")
		s.pass(3)
		s.must(s.extend("n1", 0, ms[0].Ref())[0])
		s.pass(2.5)
		m := s.expect("b")[0]
		r := s.extend("n1", s.units(9), ms[0].Ref(), ms[1].Ref(), m.Ref(), queues.Ref{Seq: 99_999, Fence: 1})
		s.must(r[0])
		checkErr(s, "handed out again", r[1], queues.ErrSuperseded)
		s.must(r[2])
		checkErr(s, "unknown", r[3], queues.ErrGone)
		s.pass(7)
		s.expect()
		checkErr(s, "another node's", s.extend("n2", 0, m.Ref())[0], queues.ErrSuperseded)
		s.must(s.extend("", s.units(1), m.Ref())[0])
		s.pass(3.5)
		check(s, "both ended", len(s.get(9)), 2)
		checkErr(s, "after the end", s.extend("n1", 0, ms[0].Ref())[0], queues.ErrSuperseded)
	},
	"extend after the end": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(2), BackoffBase: s.units(50)})
		s.puts("a", "b")
		ms := s.expect("a", "b")
		s.pass(3)
		checkErr(s, "lapsed", s.extend("n1", 0, ms[0].Ref())[0], queues.ErrSuperseded)
		s.ack(ms[1])
		checkErr(s, "settled", s.extend("n1", 0, ms[1].Ref())[0], queues.ErrGone)
	},
	"park keeps it for its session": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(50)})
		s.puts("a", "b", "c")
		c := s.claimAs("n1", false, queues.Want{Messages: 2, Session: "worker", Grace: s.units(4)}, queues.Want{Messages: 1})
		got := append(c.Wants[0].Got, c.Wants[1].Got...)
		for _, m := range got {
			s.must(s.settleAll(queues.Settlement{Ref: m.Ref(), Outcome: queues.Park, Grace: s.units(4), Node: "n1"})[0])
		}
		s.expect("c") // it has no session
		s.pass(2)
		back, err := s.store.Rebind(s.ctx(), s.name, "worker", "n2")
		s.must(err)
		check(s, "back", len(back), 2)
		check(s, "seq", back[0].Seq, got[0].Seq)
		check(s, "fence", back[0].Fence, got[0].Fence)
		check(s, "lease", back[0].Lease, s.units(50))
		check(s, "attempt", back[0].Attempt, 1)
		s.pass(10)
		s.expect()
		checkErr(s, "the old node", s.settleAll(queues.Settlement{Ref: got[0].Ref(), Outcome: queues.Release, Node: "n1"})[0], queues.ErrSuperseded)
		checkErr(s, "the old node", s.extend("n1", 0, got[0].Ref())[0], queues.ErrSuperseded)
		s.must(s.extend("n2", 0, got[0].Ref())[0])
		s.ack(got[0], got[1])
	},
	"what is parked is released after its grace": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(50)})
		s.puts("a", "b")
		m := s.claimAs("n1", false, queues.Want{Messages: 1, Session: "worker"}).Wants[0].Got[0]
		s.must(s.settleAll(queues.Settlement{Ref: m.Ref(), Outcome: queues.Park, Grace: s.units(3)})[0])
		s.pass(1)
		check(s, "leased", s.stats().Leased, 1)
		s.pass(3)
		again := s.expect("a", "b")[0]
		check(s, "failures", again.Failures, 0)
		check(s, "attempt", again.Attempt, 2)
		back, err := s.store.Rebind(s.ctx(), s.name, "worker", "n2")
		s.must(err)
		check(s, "nothing is back", len(back), 0)
	},
	"a session is taken from a node that still has it": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(50)})
		s.puts("a")
		m := s.claimAs("n1", false, queues.Want{Messages: 1, Session: "worker", Grace: s.units(3)}).Wants[0].Got[0]
		back, err := s.store.Rebind(s.ctx(), s.name, "worker", "n2")
		s.must(err)
		check(s, "back", len(back), 1)
		checkErr(s, "park by the old node", s.settleAll(queues.Settlement{Ref: m.Ref(), Outcome: queues.Park, Grace: 1, Node: "n1"})[0], queues.ErrSuperseded)
		n, err := s.store.Release(s.ctx(), s.name, "n1", nil)
		s.must(err)
		check(s, "released", n, 0)
		s.ack(m)
	},
	"a node gives back what it holds": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(50)})
		s.puts("a", "b", "c", "d", "e")
		a := s.one()
		s.one()
		s.claimAs("n1", false, queues.Want{Messages: 1, Session: "worker", Grace: s.units(3)})
		d := s.claimAs("n2", false, queues.Want{Messages: 1}).Wants[0].Got[0]
		n, err := s.store.Release(s.ctx(), s.name, "n1", []queues.Ref{a.Ref()})
		s.must(err)
		check(s, "released", n, 2)
		s.expect("b", "e")
		s.pass(4)
		s.expect("c") // after its grace
		s.ack(a, d)
		_, err = s.store.Release(s.ctx(), s.name+"-none", "n1", nil)
		checkErr(s, "unknown queue", err, queues.ErrNotFound)
	},
	"what a node gives back keeps its order": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b", "c", "d")
		s.get(3)
		_, err := s.store.Release(s.ctx(), s.name, "n1", nil)
		s.must(err)
		s.expect("a", "b", "c", "d")
	},
	"sweep says when": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(4), BackoffBase: -1})
		if next := s.sweep(); next >= 0 {
			s.Fatalf("an empty queue says %v", next)
		}
		s.puts("a")
		s.one()
		if next := s.sweep(); next <= 0 || next > s.units(4) {
			s.Fatalf("with a lease of %v: %v", s.units(4), next)
		}
		s.pass(5)
		s.sweep()
		s.counts(1, 0, 0, 0, 0)
		_, err := s.store.Sweep(s.ctx(), s.name+"-none")
		checkErr(s, "unknown queue", err, queues.ErrNotFound)
	},
	"more leases end than one call can move": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(2), BackoffBase: -1})
		for range 10 {
			drafts := make([]*queues.Draft, 100)
			for i := range drafts {
				drafts[i] = draft("x")
			}
			s.put(drafts...)
		}
		for range 10 {
			check(s, "claimed", len(s.get(100)), 100)
		}
		s.pass(3)
		s.sweep()
		s.counts(1000, 0, 0, 0, 0)
	},
}
