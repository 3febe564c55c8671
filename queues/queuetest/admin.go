package queuetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/roomcast/roomcast/queues"
)

var adminTests = map[string]func(*suite){
	"configure": func(s *suite) {
		_, err := s.store.Config(s.ctx(), s.name)
		checkErr(s, "before", err, queues.ErrNotFound)
		c := queues.Config{Lease: 7 * time.Second, Rate: 2.5, MaxFailures: -1, Overflow: queues.DropOldest, Durability: "memory"}.WithDefaults()
		s.must(s.store.Configure(s.ctx(), s.name, c))
		got, err := s.store.Config(s.ctx(), s.name)
		s.must(err)
		check(s, "config", got, c)
		names, err := s.store.Queues(s.ctx())
		s.must(err)
		check(s, "listed", slices.Contains(names, s.name), true)
		check(s, "sorted", slices.IsSorted(names), true)
	},
	"change the configuration": func(s *suite) {
		s.configure(queues.Config{MaxLen: 1})
		s.puts("a")
		s.configure(queues.Config{MaxLen: 2, Lease: s.units(3)})
		s.puts("b")
		check(s, "lease", s.expect("a", "b")[0].Lease, s.units(3))
	},
	"delete": func(s *suite) {
		s.configure(queues.Config{})
		s.put(named("id", "a"), draft("b"))
		s.must(s.settle(s.one(), queues.Reject))
		m := s.one()
		checkErr(s, "while one is leased", s.store.Delete(s.ctx(), s.name, false), queues.ErrConflict)
		s.must(s.store.Delete(s.ctx(), s.name, true))
		checkErr(s, "publish", s.try(draft("c")).Err, queues.ErrNotFound)
		checkErr(s, "again", s.store.Delete(s.ctx(), s.name, true), queues.ErrNotFound)
		names, err := s.store.Queues(s.ctx())
		s.must(err)
		check(s, "listed", slices.Contains(names, s.name), false)
		s.configure(queues.Config{})
		s.counts(0, 0, 0, 0, 0)
		check(s, "the id is new", s.put(named("id", "d"))[0].Duplicate, false)
		if err := s.settle(m, queues.Ack); err == nil {
			s.Fatal("a receipt of the deleted queue settled something")
		}
		s.must(s.store.Delete(s.ctx(), s.name, false))
	},
	"purge": func(s *suite) {
		s.configure(queues.Config{})
		late := draft("late")
		late.Delay = s.units(5)
		s.put(draft("a"), keyed("k", "k1"), keyed("k", "k2"), late, draft("b"))
		leased := s.one()
		s.must(s.settle(s.one(), queues.Reject)) // k1
		n := s.purge(false)
		check(s, "purged", n, 3)
		s.counts(0, 0, 1, 0, 1)
		s.pass(6)
		s.expect()
		s.ack(leased)
		check(s, "bytes", s.stats().Bytes, int64(0))
		check(s, "dead ones", s.purge(true), 1)
		s.counts(0, 0, 0, 0, 0)
		s.put(keyed("k", "k3"))
		s.expect("k3")
	},
	"purge behind a leased key": func(s *suite) {
		s.configure(queues.Config{})
		s.put(keyed("k", "k1"), keyed("k", "k2"), keyed("k", "k3"))
		m := s.one()
		check(s, "purged", s.purge(false), 2)
		s.ack(m)
		s.expect()
		s.counts(0, 0, 0, 0, 0)
	},
	"purge many": func(s *suite) {
		s.configure(queues.Config{})
		for range 25 {
			drafts := make([]*queues.Draft, 100)
			for i := range drafts {
				drafts[i] = draft("x")
			}
			s.put(drafts...)
		}
		check(s, "purged", s.purge(false), 2500)
		s.counts(0, 0, 0, 0, 0)
	},
	"redrive": func(s *suite) {
		s.configure(queues.Config{MaxFailures: 1})
		for i := range 4 {
			s.put(named(fmt.Sprintf("id%d", i), fmt.Sprint(i)))
			s.settleAll(queues.Settlement{Ref: s.one().Ref(), Outcome: queues.Nack, Error: "e"})
		}
		n, err := s.store.Redrive(s.ctx(), s.name, 0, []string{"id2", "id9"})
		s.must(err)
		check(s, "by id", n, 1)
		m := s.expect("2")[0]
		check(s, "failures", m.Failures, 0)
		check(s, "attempt", m.Attempt, 1)
		check(s, "id", m.ID, "id2")
		s.settleAll(queues.Settlement{Ref: m.Ref(), Outcome: queues.Nack})
		n, err = s.store.Redrive(s.ctx(), s.name, 2, nil)
		s.must(err)
		check(s, "by number", n, 2)
		s.ack(s.expect("0", "1")...)
		s.counts(0, 0, 0, 0, 2)
		check(s, "the rest", len(s.peek(queues.Dead)), 2)
		n, err = s.store.Redrive(s.ctx(), s.name, 100, nil)
		s.must(err)
		check(s, "all", n, 2)
		s.expect("3", "2")
		_, err = s.store.Redrive(s.ctx(), s.name+"-none", 1, nil)
		checkErr(s, "unknown queue", err, queues.ErrNotFound)
	},
	"redrive of keys": func(s *suite) {
		s.configure(queues.Config{})
		s.put(keyed("k", "k1"), keyed("k", "k2"))
		s.must(s.settle(s.one(), queues.Reject))
		k2 := s.one()
		_, err := s.store.Redrive(s.ctx(), s.name, 1, nil)
		s.must(err)
		s.expect()
		s.counts(0, 0, 1, 1, 0)
		s.ack(k2)
		s.expect("k1")
	},
	"redrive into a full queue": func(s *suite) {
		s.configure(queues.Config{MaxLen: 2})
		s.puts("a", "b")
		for _, m := range s.expect("a", "b") {
			s.must(s.settle(m, queues.Reject))
		}
		s.puts("c")
		n, err := s.store.Redrive(s.ctx(), s.name, 10, nil)
		s.must(err)
		check(s, "moved", n, 1)
		s.counts(2, 0, 0, 0, 1)
	},
	"peek": func(s *suite) {
		s.configure(queues.Config{})
		late := draft("late")
		late.Delay = s.units(50)
		s.put(draft("a"), draft("b"), draft("c"), keyed("k", "k1"), keyed("k", "k2"), late)
		m := s.claimAs("n7", false, queues.Want{Messages: 1, Session: "worker"}).Wants[0].Got[0]
		ready := s.peek(queues.Ready)
		check(s, "ready", len(ready), 3)
		for i, want := range []string{`"b"`, `"c"`, `"k1"`} {
			check(s, "ready", string(ready[i].Payload.JSON), want)
			check(s, "state", ready[i].State, queues.Ready)
			check(s, "attempt", ready[i].Attempt, 0)
		}
		leased := s.peek(queues.Leased)
		check(s, "leased", len(leased), 1)
		check(s, "seq", leased[0].Seq, m.Seq)
		check(s, "node", leased[0].Node+" "+leased[0].Session, "n7 worker")
		check(s, "attempt", leased[0].Attempt, 1)
		if d := leased[0].Until.Sub(m.Stored); d < s.units(9) || d > s.units(30) {
			s.Fatalf("the lease ends after %v", d)
		}
		check(s, "scheduled", string(s.peek(queues.Scheduled)[0].Payload.JSON), `"late"`)
		check(s, "blocked", string(s.peek(queues.Blocked)[0].Payload.JSON), `"k2"`)
		check(s, "dead", len(s.peek(queues.Dead)), 0)
		page, err := s.store.Peek(s.ctx(), s.name, queues.Ready, 1, 1)
		s.must(err)
		check(s, "page", len(page), 1)
		check(s, "page", string(page[0].Payload.JSON), `"c"`)
		page, err = s.store.Peek(s.ctx(), s.name, queues.Ready, 5, 5)
		s.must(err)
		check(s, "beyond", len(page), 0)
		_, err = s.store.Peek(s.ctx(), s.name, "nonsense", 0, 1)
		checkErr(s, "state", err, queues.ErrBadRequest)
		_, err = s.store.Peek(s.ctx(), s.name+"-none", queues.Ready, 0, 1)
		checkErr(s, "unknown queue", err, queues.ErrNotFound)
	},
	"stats": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b", "c")
		s.pass(2)
		if o := s.stats().Oldest; o < s.units(1.9) || o > s.units(20) {
			s.Fatalf("the oldest is %v", o)
		}
		ms := s.expect("a", "b", "c")
		check(s, "oldest", s.stats().Oldest, 0)
		s.ack(ms[0])
		s.must(s.settle(ms[1], queues.Nack))
		s.must(s.settle(ms[2], queues.Release))
		s.expect("c")
		st := s.stats()
		check(s, "published", st.Published, uint64(3))
		check(s, "delivered", st.Delivered, uint64(4))
		check(s, "redelivered", st.Redelivered, uint64(1))
		check(s, "acked", st.Acked, uint64(1))
		check(s, "nacked", st.Nacked, uint64(1))
		check(s, "released", st.Released, uint64(1))
		check(s, "bytes", st.Bytes, int64(6))
		_, err := s.store.Stats(s.ctx(), s.name+"-none")
		checkErr(s, "unknown queue", err, queues.ErrNotFound)
	},
	"unknown queues": func(s *suite) {
		checkErr(s, "pause", s.store.Pause(s.ctx(), s.name, true, true), queues.ErrNotFound)
		_, err := s.store.Purge(s.ctx(), s.name, false)
		checkErr(s, "purge", err, queues.ErrNotFound)
		_, err = s.store.Rebind(s.ctx(), s.name, "s", "n")
		checkErr(s, "rebind", err, queues.ErrNotFound)
	},
	"the secret stays": func(s *suite) {
		a, err := s.store.Secret(s.ctx())
		s.must(err)
		b, err := s.store.Secret(s.ctx())
		s.must(err)
		check(s, "bytes", len(a), 32)
		check(s, "secret", string(a), string(b))
	},
}

// purge purges all.
func (s *suite) purge(dead bool) (total int) {
	s.Helper()
	for {
		n, err := s.store.Purge(s.ctx(), s.name, dead)
		s.must(err)
		if n > 1100 {
			s.Fatalf("%d at once", n)
		}
		if n == 0 {
			return total
		}
		total += n
	}
}

var wakeTests = map[string]func(*suite){
	"a node that waits is told once": func(s *suite) {
		s.configure(queues.Config{})
		l := s.listen("n1")
		s.puts("nobody waits")
		s.quiet(l)
		s.ack(s.one())
		s.claimAs("n1", true, queues.Want{Messages: 5})
		check(s, "waiting", s.stats().Waiting, 1)
		s.puts("a")
		s.told(l, "ready "+s.name)
		s.puts("b")
		s.quiet(l)
		c := s.claimAs("n1", true, queues.Want{Messages: 2})
		check(s, "claimed", text(c.Wants[0].Got), "a b")
		s.puts("c")
		s.quiet(l) // it got all that it wanted
	},
	"only as many nodes as there are messages": func(s *suite) {
		s.configure(queues.Config{})
		listeners := []*listener{s.listen("n1"), s.listen("n2"), s.listen("n3")}
		for _, node := range []string{"n1", "n2", "n3"} {
			s.claimAs(node, true, queues.Want{Messages: 2})
		}
		began := time.Now()
		s.put(draft("a"), draft("b"), draft("c"))
		told := 0
		for range 500 {
			time.Sleep(10 * time.Millisecond)
			for _, l := range listeners {
				if l.take() != "" {
					told++
				}
			}
			if told > 2 && time.Since(began) < 25*time.Millisecond { // later a store may tell the third, since nobody has come
				s.Fatalf("%d nodes were told", told)
			}
			if told >= 2 {
				return
			}
		}
		s.Fatalf("%d nodes were told", told)
	},
	"whatever makes a message ready": func(s *suite) {
		s.configure(queues.Config{})
		l := s.listen("n1")
		wait := func() { s.Helper(); s.claimAs("n1", true, queues.Want{Messages: 100}); l.take() }
		ready := "ready " + s.name

		s.puts("a")
		m := s.one()
		wait()
		s.must(s.settle(m, queues.Release))
		s.told(l, ready)

		m = s.one()
		wait()
		s.settleAll(queues.Settlement{Ref: m.Ref(), Outcome: queues.Nack, Delay: -1})
		s.told(l, ready)

		m = s.one()
		s.must(s.settle(m, queues.Reject))
		wait()
		s.store.Redrive(s.ctx(), s.name, 1, nil)
		s.told(l, ready)
		s.ack(s.one())

		s.put(keyed("k", "k1"), keyed("k", "k2"))
		m = s.one()
		wait()
		s.ack(m)
		s.told(l, ready)
		s.ack(s.one())

		s.must(s.store.Pause(s.ctx(), s.name, false, true))
		wait()
		s.puts("b")
		s.quiet(l)
		s.must(s.store.Pause(s.ctx(), s.name, false, false))
		s.told(l, ready)
		s.one()

		wait()
		s.store.Release(s.ctx(), s.name, "n1", nil)
		time.Sleep(20 * time.Millisecond)
		l.take() // a node that gives all back need not be told

		s.get(9)
		d := draft("late")
		d.Delay = s.units(2)
		s.put(d)
		wait()
		s.pass(3)
		s.sweep()
		s.told(l, ready)
	},
	"a claim that doesn't wait ends waiting": func(s *suite) {
		s.configure(queues.Config{})
		l := s.listen("n1")
		s.claimAs("n1", true, queues.Want{Messages: 1})
		s.claimAs("n1", false, queues.Want{Messages: 1})
		s.puts("a")
		s.quiet(l)
	},
}

var nodeTests = map[string]func(*suite){
	"a node that is silent is lost": func(s *suite) {
		for _, node := range []string{"a", "b"} {
			lost, err := s.store.Beat(s.ctx(), s.name+node)
			s.must(err)
			check(s, "lost", slices.Contains(lost, s.name+"a"), false)
		}
		s.sleep(2 * time.Second)
		_, err := s.store.Beat(s.ctx(), s.name+"b")
		s.must(err)
		s.sleep(1500 * time.Millisecond)
		lost, err := s.store.Beat(s.ctx(), s.name+"b")
		s.must(err)
		check(s, "lost", slices.Contains(lost, s.name+"a"), true)
		check(s, "oneself", slices.Contains(lost, s.name+"b"), false)
		s.must(s.store.Forget(s.ctx(), s.name+"a"))
		lost, err = s.store.Beat(s.ctx(), s.name+"b")
		s.must(err)
		check(s, "forgotten", slices.Contains(lost, s.name+"a"), false)
	},
}
