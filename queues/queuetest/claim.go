package queuetest

import (
	"time"

	"github.com/roomcast/roomcast/queues"
)

var claimTests = map[string]func(*suite){
	"first in, first out": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b", "c", "d")
		first := s.one()
		check(s, "first", text([]*queues.Message{first}), "a")
		rest := s.expect("b", "c", "d")
		fence := first.Fence
		for _, m := range rest {
			if m.Fence <= fence {
				s.Fatalf("fence %d after %d", m.Fence, fence)
			}
			fence = m.Fence
		}
		s.expect()
		s.counts(0, 0, 4, 0, 0)
	},
	"several wants": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b", "c", "d", "e")
		c := s.claimAs("n1", false, queues.Want{Messages: 2, Session: "s1"}, queues.Want{Messages: 0}, queues.Want{Messages: 1}, queues.Want{Messages: 9})
		check(s, "first", text(c.Wants[0].Got), "a b")
		check(s, "second", text(c.Wants[1].Got), "")
		check(s, "third", text(c.Wants[2].Got), "c")
		check(s, "fourth", text(c.Wants[3].Got), "d e")
		infos := s.peek(queues.Leased)
		check(s, "leased", len(infos), 5)
		sessions := map[string]int{}
		for _, in := range infos {
			check(s, "node", in.Node, "n1")
			sessions[in.Session]++
		}
		check(s, "in the session", sessions["s1"], 2)
	},
	"bytes": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("aaaaaaaa", "b", "c") // 10 bytes, then 3 each
		c := s.claimAs("n1", false, queues.Want{Messages: 9, Bytes: 10})
		check(s, "up to the limit", text(c.Wants[0].Got), "aaaaaaaa")
		c = s.claimAs("n1", false, queues.Want{Messages: 9, Bytes: 4})
		check(s, "over it by one message at most", text(c.Wants[0].Got), "b c")
	},
	"bytes of all wants": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("aaaaaaaa", "b", "c", "d") // 10 bytes, then 3 each
		c := &queues.ClaimCall{Queue: s.name, Node: "n1", MaxBytes: 13, Wait: true, Wants: []queues.Want{
			{Messages: 1}, {Messages: 1, Bytes: 9, Session: "s"}, {Messages: 9, Bytes: 9},
		}}
		s.store.Claim(s.ctx(), []*queues.ClaimCall{c})
		s.must(c.Err)
		check(s, "first", text(c.Wants[0].Got), "aaaaaaaa")
		check(s, "second", text(c.Wants[1].Got), "b")
		check(s, "third", text(c.Wants[2].Got), "")
		check(s, "nodes that wait, though there is more", s.stats().Waiting, 0)
		s.counts(2, 0, 2, 0, 0)
		s.expect("c", "d")
	},
	"at most once": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a", "b")
		s.put(keyed("k", "k1"), keyed("k", "k2"))
		c := s.claimAs("n1", false, queues.Want{Messages: 9, AtMostOnce: true})
		check(s, "messages", text(c.Wants[0].Got), "a b k1 k2")
		check(s, "lease", c.Wants[0].Got[0].Lease, time.Duration(0))
		s.counts(0, 0, 0, 0, 0)
		checkErr(s, "settle", s.settle(c.Wants[0].Got[0], queues.Ack), queues.ErrGone)
		check(s, "acked", s.stats().Acked, uint64(4))
		check(s, "bytes", s.stats().Bytes, int64(0))
	},
	"unknown queue": func(s *suite) {
		c := &queues.ClaimCall{Queue: s.name, Node: "n1", Wants: []queues.Want{{Messages: 1}}}
		s.store.Claim(s.ctx(), []*queues.ClaimCall{c})
		checkErr(s, "claim", c.Err, queues.ErrNotFound)
	},
	"when to come again": func(s *suite) {
		s.configure(queues.Config{})
		c := s.claimAs("n1", false, queues.Want{Messages: 1})
		if c.Next >= 0 {
			s.Fatalf("an empty queue says %v", c.Next)
		}
		d := draft("late")
		d.Delay = s.units(5)
		began := time.Now()
		s.put(d)
		c = s.claimAs("n1", false, queues.Want{Messages: 1})
		if least := s.units(5) - time.Since(began) - 2*time.Millisecond; c.Next < least || c.Next > s.units(5) {
			s.Fatalf("before a schedule: %v, at least %v", c.Next, least)
		}
		s.puts("now")
		s.one()
		s.pass(5.5)
		s.expect("late")
		c = s.claimAs("n1", false, queues.Want{Messages: 1})
		if c.Next <= 0 || c.Next > s.units(10) {
			s.Fatalf("before a lease ends: %v", c.Next)
		}
	},
	"a consume rate": func(s *suite) {
		s.configure(queues.Config{Rate: 0.5 / s.unit.Seconds(), Burst: 2, Lease: s.units(100)})
		s.puts("a", "b", "c", "d", "e")
		s.expect("a", "b")
		c := s.claimAs("n1", false, queues.Want{Messages: 9})
		check(s, "over the rate", text(c.Wants[0].Got), "")
		if c.Next <= 0 || c.Next > s.units(2)+time.Millisecond {
			s.Fatalf("next is %v", c.Next)
		}
		s.pass(2.2)
		s.expect("c")
		s.pass(20)
		s.expect("d", "e")
	},
	"paused": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a")
		s.must(s.store.Pause(s.ctx(), s.name, false, true))
		c := s.claimAs("n1", false, queues.Want{Messages: 1})
		check(s, "while paused", len(c.Wants[0].Got), 0)
		if c.Next >= 0 {
			s.Fatalf("next is %v", c.Next)
		}
		s.puts("b")
		check(s, "paused", s.stats().ConsumePaused, true)
		s.must(s.store.Pause(s.ctx(), s.name, true, false))
		checkErr(s, "publish", s.try(draft("c")).Err, queues.ErrPaused)
		s.expect("a", "b")
		s.must(s.store.Pause(s.ctx(), s.name, false, false))
		s.puts("d")
		s.expect("d")
	},
}
