package queuetest

import (
	"fmt"

	"github.com/roomcast/roomcast/queues"
)

var orderTests = map[string]func(*suite){
	"higher priorities first": func(s *suite) {
		s.configure(queues.Config{})
		for i, p := range []int{1, 0, 3, 2, 3, 0} {
			d := draft(fmt.Sprintf("%c%d", 'a'+i, p))
			d.Priority = p
			s.put(d)
		}
		first := s.one()
		check(s, "first", text([]*queues.Message{first}), "c3")
		s.must(s.settle(first, queues.Release))
		s.expect("c3", "e3", "d2", "a1", "b0", "f0")
	},
	"one of a key at a time": func(s *suite) {
		s.configure(queues.Config{})
		s.put(keyed("k", "k1"), keyed("k", "k2"), draft("x"), keyed("l", "l1"), keyed("k", "k3"))
		s.counts(3, 0, 0, 2, 0)
		ms := s.expect("k1", "x", "l1")
		s.ack(ms[1], ms[2])
		s.expect()
		s.ack(ms[0])
		k2 := s.expect("k2")[0]
		s.put(keyed("k", "k4"))
		s.ack(k2)
		s.ack(s.expect("k3")...)
		s.ack(s.expect("k4")...)
		s.put(keyed("k", "k5"))
		s.expect("k5")
	},
	"keys take turns": func(s *suite) {
		s.configure(queues.Config{})
		s.put(keyed("k", "k1"), keyed("k", "k2"), keyed("k", "k3"), keyed("l", "l1"), keyed("m", "m1"))
		s.ack(s.one())
		check(s, "then", text([]*queues.Message{s.one()}), "l1")
		check(s, "then", text([]*queues.Message{s.one()}), "m1")
		check(s, "then", text([]*queues.Message{s.one()}), "k2")
	},
	"a failed message blocks its key": func(s *suite) {
		s.configure(queues.Config{MaxFailures: 2})
		s.put(keyed("k", "k1"), keyed("k", "k2"))
		s.settleAll(queues.Settlement{Ref: s.one().Ref(), Outcome: queues.Nack, Delay: s.units(3)})
		s.expect()
		s.counts(0, 1, 0, 1, 0)
		s.pass(4)
		m := s.expect("k1")[0]
		s.settleAll(queues.Settlement{Ref: m.Ref(), Outcome: queues.Nack}) // dead now
		s.ack(s.expect("k2")...)
		s.counts(0, 0, 0, 0, 1)
	},
	"a failed message lets its key go on": func(s *suite) {
		s.configure(queues.Config{OnFail: queues.Skip, Lease: s.units(100)})
		s.put(keyed("k", "k1"), keyed("k", "k2"), keyed("k", "k3"))
		s.settleAll(queues.Settlement{Ref: s.one().Ref(), Outcome: queues.Nack, Delay: s.units(3)})
		k2 := s.expect("k2")[0]
		s.pass(4)
		s.expect() // k1 waits again, in front of k3
		s.counts(0, 0, 1, 2, 0)
		s.ack(k2)
		s.ack(s.expect("k1")...)
		s.ack(s.expect("k3")...)
		s.put(keyed("k", "k4"))
		s.settleAll(queues.Settlement{Ref: s.one().Ref(), Outcome: queues.Nack, Delay: s.units(1)})
		s.pass(2)
		s.ack(s.expect("k4")...)
		s.counts(0, 0, 0, 0, 0)
	},
	"a failed message that is tried again at once lets nothing pass": func(s *suite) {
		for _, c := range []queues.Config{{OnFail: queues.Skip, BackoffBase: -1}, {OnFail: queues.Skip}, {OnFail: queues.Block}} {
			s.configure(c)
			s.put(keyed("k", "k1"), keyed("k", "k2"))
			nack := queues.Settlement{Ref: s.one().Ref(), Outcome: queues.Nack, Delay: -1}
			if c.BackoffBase < 0 {
				nack.Delay = 0 // the queue has none
			}
			s.must(s.settleAll(nack)[0])
			s.counts(1, 0, 0, 1, 0)
			s.ack(s.expect("k1")...)
			s.ack(s.expect("k2")...)
		}
	},
	"release keeps the order of a key": func(s *suite) {
		s.configure(queues.Config{})
		s.put(keyed("k", "k1"), keyed("k", "k2"), draft("x"))
		s.must(s.settle(s.one(), queues.Release))
		ms := s.expect("k1", "x")
		s.must(s.settle(ms[0], queues.Reject))
		s.expect("k2")
	},
	"a lease that ends keeps the order of a key": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(2), BackoffBase: s.units(2)})
		s.put(keyed("k", "k1"), keyed("k", "k2"))
		s.one()
		s.pass(3)
		s.expect()
		s.pass(2.5)
		s.ack(s.expect("k1")...)
		s.expect("k2")
	},
	"a key whose message expires goes on": func(s *suite) {
		s.configure(queues.Config{})
		short := keyed("k", "k1")
		short.TTL = s.units(2)
		behind := keyed("k", "k3")
		behind.TTL = s.units(2)
		s.put(short, keyed("k", "k2"), behind, keyed("k", "k4"))
		s.pass(3)
		s.ack(s.expect("k2")...)
		s.ack(s.expect("k4")...)
		s.counts(0, 0, 0, 0, 0)
	},
	"many keys": func(s *suite) {
		s.configure(queues.Config{Lease: s.units(1000)})
		const keys, each = 50, 6
		for n := range each {
			var drafts []*queues.Draft
			for k := range keys {
				drafts = append(drafts, keyed(fmt.Sprint(k), fmt.Sprint(n)))
			}
			s.put(drafts...)
		}
		for n := range each {
			ms := s.get(2 * keys)
			check(s, "messages", len(ms), keys)
			for _, m := range ms {
				check(s, "place", string(m.Payload.JSON), fmt.Sprintf("%q", fmt.Sprint(n)))
			}
			s.ack(ms...)
		}
	},
}

var limitTests = map[string]func(*suite){
	"length": func(s *suite) {
		s.configure(queues.Config{MaxLen: 3})
		r := s.try(draft("a"), draft("b"), draft("c"), draft("d")).Results
		s.must(r[2].Err)
		checkErr(s, "one too many", r[3].Err, queues.ErrQueueFull)
		check(s, "refused", s.stats().Refused, uint64(1))
		m := s.one()
		checkErr(s, "leased ones count", s.try(draft("d")).Results[0].Err, queues.ErrQueueFull)
		s.ack(m)
		s.puts("d")
		s.must(s.settle(s.one(), queues.Reject)) // dead ones don't
		s.puts("e")
		checkErr(s, "one too many", s.try(draft("f")).Results[0].Err, queues.ErrQueueFull)
		late := draft("late")
		late.Delay = s.units(9)
		checkErr(s, "delayed ones count", s.try(late).Results[0].Err, queues.ErrQueueFull)
	},
	"bytes": func(s *suite) {
		s.configure(queues.Config{MaxBytes: 10})
		s.puts("aaa", "bbb") // 5 bytes each
		checkErr(s, "one byte too many", s.try(&queues.Draft{Payload: queues.Payload{JSON: []byte("1")}}).Results[0].Err, queues.ErrQueueFull)
		s.ack(s.one())
		checkErr(s, "one byte too many", s.try(draft("cccc")).Results[0].Err, queues.ErrQueueFull)
		s.put(&queues.Draft{Payload: queues.Payload{JSON: []byte("[1]"), Attachments: [][]byte{{1}, {2}}}})
	},
	"a full queue knows its ids": func(s *suite) {
		s.configure(queues.Config{MaxLen: 1})
		s.put(named("a", "1"))
		check(s, "duplicate", s.put(named("a", "1"))[0].Duplicate, true)
		checkErr(s, "refused", s.try(named("b", "2")).Results[0].Err, queues.ErrQueueFull)
		s.ack(s.one())
		check(s, "refused ids aren't known", s.put(named("b", "2"))[0].Duplicate, false)
	},
	"drop the oldest": func(s *suite) {
		s.configure(queues.Config{MaxLen: 3, Overflow: queues.DropOldest})
		s.puts("a", "b", "c")
		a := s.one()
		c := s.try(draft("d"), draft("e"))
		s.must(c.Results[1].Err)
		check(s, "dropped", c.Dropped, 2)
		s.ack(a)
		ms := s.expect("d", "e")
		s.puts("f")
		checkErr(s, "leased ones stay", s.try(draft("g"), draft("h")).Results[1].Err, nil)
		m := s.expect("h")[0]
		r := s.try(draft("i")).Results
		checkErr(s, "all are leased", r[0].Err, queues.ErrQueueFull)
		s.ack(ms...)
		s.ack(m)
		check(s, "dropped", s.stats().Dropped, uint64(4))
		check(s, "bytes", s.stats().Bytes, int64(0))
	},
	"drop the lowest priority": func(s *suite) {
		s.configure(queues.Config{MaxLen: 2, Overflow: queues.DropOldest})
		high, low := draft("high"), draft("low")
		high.Priority = 3
		s.put(high, low)
		s.puts("x")
		s.expect("high", "x")
	},
	"drop for bytes": func(s *suite) {
		s.configure(queues.Config{MaxBytes: 12, Overflow: queues.DropOldest})
		s.puts("a", "b", "c", "d") // 3 bytes each
		c := s.try(draft("eeeee"))
		s.must(c.Results[0].Err)
		check(s, "dropped", c.Dropped, 3)
		c = s.try(draft("fffffffffffff"))
		checkErr(s, "never fits", c.Results[0].Err, queues.ErrQueueFull)
		check(s, "dropped for nothing", c.Dropped, 0)
		s.expect("d", "eeeee")
	},
	"dropping lets a key go on": func(s *suite) {
		s.configure(queues.Config{MaxLen: 2, Overflow: queues.DropOldest})
		s.put(keyed("k", "k1"), keyed("k", "k2"))
		s.puts("x")
		s.expect("k2", "x")
	},
	"time to live": func(s *suite) {
		s.configure(queues.Config{TTL: s.units(5)})
		short, long := draft("short"), draft("long")
		short.TTL, long.TTL = s.units(2), s.units(20)
		s.put(draft("a"), short, long)
		s.pass(3)
		a := s.expect("a", "long")[0]
		s.must(s.settle(a, queues.Release))
		s.pass(3)
		s.expect()
		s.sweep()
		s.counts(0, 0, 1, 0, 0)
		check(s, "expired", s.stats().Expired, uint64(2))
	},
	"what is leased doesn't expire": func(s *suite) {
		s.configure(queues.Config{TTL: s.units(2), Lease: s.units(20)})
		s.puts("a", "b")
		ms := s.expect("a", "b")
		s.pass(3)
		s.sweep()
		s.ack(ms[0])
		s.must(s.settle(ms[1], queues.Release))
		s.expect()
		s.counts(0, 0, 0, 0, 0)
	},
	"expired ones may become dead": func(s *suite) {
		s.configure(queues.Config{TTL: s.units(2), DeadLetterExpired: true})
		s.puts("a")
		s.pass(3)
		s.expect()
		s.sweep()
		s.counts(0, 0, 0, 0, 1)
		check(s, "reason", s.peek(queues.Dead)[0].Reason, queues.DeadExpired)
		s.store.Redrive(s.ctx(), s.name, 10, nil)
		s.pass(1)
		s.expect("a") // its time began anew
	},
	"the time of a delayed one begins when it is ready": func(s *suite) {
		s.configure(queues.Config{})
		d := draft("a")
		d.Delay, d.TTL = s.units(4), s.units(3)
		s.put(d)
		s.pass(5)
		s.expect("a")
	},
	"sweep expires without consumers": func(s *suite) {
		s.configure(queues.Config{})
		for range 6 {
			drafts := make([]*queues.Draft, 100)
			for i := range drafts {
				drafts[i] = draft("x")
				drafts[i].TTL = s.units(2)
			}
			s.put(drafts...)
		}
		s.puts("stays")
		s.pass(3)
		s.sweep()
		s.counts(1, 0, 0, 0, 0)
		s.expect("stays")
	},
	"dead letters have limits": func(s *suite) {
		s.configure(queues.Config{DeadMax: 3, DeadTTL: s.units(10)})
		for i := range 5 {
			s.puts(fmt.Sprint(i))
			s.must(s.settle(s.one(), queues.Reject))
		}
		dead := s.peek(queues.Dead)
		check(s, "kept", len(dead), 3)
		check(s, "the newest", string(dead[0].Payload.JSON), `"2"`)
		if dead[0].Until.IsZero() {
			s.Fatal("no end")
		}
		s.pass(11)
		s.sweep()
		s.counts(0, 0, 0, 0, 0)
	},
}
