package queuetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/roomcast/roomcast/queues"
)

var publishTests = map[string]func(*suite){
	"all of a message comes back": func(s *suite) {
		s.configure(queues.Config{})
		before := s.put(draft("first"))[0]
		d := &queues.Draft{
			ID: "id-1", Headers: map[string]string{"a": "1", "ü": "\x00"}, Priority: 2, TTL: s.units(100),
			Payload: queues.Payload{
				JSON:        []byte(`{"a":{"_placeholder":true,"num":0},"b":{"_placeholder":true,"num":1}}`),
				Attachments: [][]byte{{0, 1, 255}, {}},
			},
		}
		r := s.put(d)[0]
		if r.ID != "id-1" || r.Duplicate || r.Seq <= before.Seq || before.Seq < 1 || before.ID == "" {
			s.Fatalf("got %+v after %+v", r, before)
		}
		m := s.one()
		check(s, "queue", m.Queue, s.name)
		check(s, "id", m.ID, "id-1")
		check(s, "seq", m.Seq, r.Seq)
		check(s, "priority", m.Priority, 2)
		check(s, "headers", len(m.Headers), 2)
		check(s, "header", m.Headers["a"]+m.Headers["ü"], "1\x00")
		check(s, "json", string(m.Payload.JSON), string(d.Payload.JSON))
		check(s, "attachments", len(m.Payload.Attachments), 2)
		check(s, "attachment", string(m.Payload.Attachments[0]), "\x00\x01\xff")
		check(s, "attachment", string(m.Payload.Attachments[1]), "")
		check(s, "attempt", m.Attempt, 1)
		check(s, "failures", m.Failures, 0)
		check(s, "lease", m.Lease, s.units(10))
		check(s, "receipt", m.Receipt(), "")
		if m.Fence == 0 || m.Fence >= 1<<53 || m.Stored.IsZero() {
			s.Fatalf("fence %d, stored %v", m.Fence, m.Stored)
		}
		k := keyed("key", "x")
		s.put(k)
		s.ack(s.one()) // the first
		check(s, "key", s.one().Key, "key")
	},
	"a large message": func(s *suite) {
		s.configure(queues.Config{})
		big := strings.Repeat("x", 1<<20)
		s.put(draft(big))
		check(s, "bytes", s.stats().Bytes, int64(len(big)+2))
		check(s, "payload", text([]*queues.Message{s.one()}), big)
	},
	"unknown queue": func(s *suite) {
		checkErr(s, "publish", s.try(draft("x")).Err, queues.ErrNotFound)
	},
	"several queues at once": func(s *suite) {
		s.configure(queues.Config{})
		calls := []*queues.PublishCall{
			{Queue: s.name, Drafts: []*queues.Draft{draft("a"), draft("b")}},
			{Queue: s.name + "-none", Drafts: []*queues.Draft{draft("c")}},
			{Queue: s.name, Drafts: []*queues.Draft{draft("d")}},
		}
		s.store.Publish(s.ctx(), calls)
		s.must(calls[0].Err)
		checkErr(s, "unknown", calls[1].Err, queues.ErrNotFound)
		s.must(calls[2].Err)
		check(s, "messages", len(s.get(10)), 3)
	},
	"an id is stored once": func(s *suite) {
		s.configure(queues.Config{Dedupe: s.units(10)})
		first := s.put(named("a", "1"))[0]
		s.put(named("b", "2"))
		again := s.put(named("a", "3"))[0]
		check(s, "again", again, queues.PublishResult{ID: "a", Seq: first.Seq, Duplicate: true})
		both := s.put(named("c", "4"), named("c", "5"))
		check(s, "in one batch", both[0].Duplicate, false)
		check(s, "in one batch", both[1], queues.PublishResult{ID: "c", Seq: both[0].Seq, Duplicate: true})
		s.ack(s.expect("1", "2", "4")...)
		check(s, "after it was settled", s.put(named("a", "6"))[0].Duplicate, true)
		check(s, "duplicates", s.stats().Duplicates, uint64(3))
	},
	"an id is forgotten after the window and before its double": func(s *suite) {
		s.configure(queues.Config{Dedupe: s.units(10)})
		s.put(named("start", "0"))
		s.pass(8)
		s.put(named("late", "1"))
		s.pass(9) // in the second window
		check(s, "within the window", s.put(named("late", "2"))[0].Duplicate, true)
		check(s, "within twice the window", s.put(named("start", "3"))[0].Duplicate, true)
		s.pass(4) // in the third
		check(s, "after twice the window", s.put(named("start", "4"))[0].Duplicate, false)
	},
	"no dedupe": func(s *suite) {
		s.configure(queues.Config{Dedupe: -1})
		s.put(named("a", "1"), named("a", "2"))
		s.expect("1", "2")
	},
	"ids that are remembered have a limit": func(s *suite) {
		s.configure(queues.Config{Dedupe: s.units(10), DedupeBytes: 3 * 65})
		s.put(named("a", "1"), named("b", "2"), named("c", "3"))
		r := s.try(named("d", "4"), draft("5"), named("a", "6")).Results
		checkErr(s, "one more id", r[0].Err, queues.ErrQueueFull)
		s.must(r[1].Err)
		check(s, "known", r[2].Duplicate, true)
		s.pass(25)
		s.put(named("d", "7"))
	},
	"a delay": func(s *suite) {
		s.configure(queues.Config{})
		d := draft("late")
		d.Delay = s.units(5)
		s.put(d)
		s.puts("now")
		s.counts(1, 1, 0, 0, 0)
		s.ack(s.expect("now")...)
		s.pass(3)
		s.expect()
		s.pass(3)
		check(s, "attempt", s.expect("late")[0].Attempt, 1)
	},
	"a time": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("clock")
		now := s.expect("clock")[0].Stored
		d, past := draft("at"), draft("past")
		d.At = now.Add(s.units(5))
		past.At = now.Add(-time.Hour)
		s.put(d, past)
		s.expect("past")
		s.pass(3)
		s.expect()
		s.pass(3)
		s.expect("at")
	},
	"delayed messages become ready in the order of their times": func(s *suite) {
		s.configure(queues.Config{})
		for i, text := range []string{"c", "a", "b"} {
			d := draft(text)
			d.Delay = s.units([]float64{3, 1, 2}[i])
			s.put(d)
		}
		s.pass(4)
		s.expect("a", "b", "c")
	},
	"with a claim in one call": func(s *suite) {
		s.configure(queues.Config{})
		s.puts("a")
		c := &queues.PublishCall{Queue: s.name, Drafts: []*queues.Draft{draft("b")},
			Claim: &queues.ClaimCall{Queue: s.name, Node: "n1", Wants: []queues.Want{{Messages: 5}}}}
		s.store.Publish(s.ctx(), []*queues.PublishCall{c})
		s.must(c.Err)
		s.must(c.Claim.Err)
		check(s, "claimed", text(c.Claim.Wants[0].Got), "a b")
		check(s, "lease", c.Claim.Lease, s.units(10))
	},
	"with a claim of what is new": func(s *suite) {
		s.configure(queues.Config{})
		s.put(named("known", "old"), keyed("busy", "first"))
		urgent := draft("urgent")
		urgent.Priority = 3
		whole := named("id", "whole")
		whole.Headers, whole.TTL, whole.Priority = map[string]string{"h": "1"}, s.units(100), 1
		whole.Payload.Attachments = [][]byte{{1}}
		later := draft("later")
		later.Delay = s.units(50)
		c := &queues.PublishCall{Queue: s.name, Drafts: []*queues.Draft{
			named("known", "again"), draft("plain"), keyed("busy", "blocked"), later, whole, keyed("free", "keyed"), urgent,
		}, Claim: &queues.ClaimCall{Queue: s.name, Node: "n1", Wants: []queues.Want{
			{Messages: 1}, {Messages: 2, AtMostOnce: true}, {Session: "s", Grace: time.Second, Messages: 1},
		}}}
		s.store.Publish(s.ctx(), []*queues.PublishCall{c})
		s.must(c.Err)
		s.must(c.Claim.Err)
		check(s, "duplicate", c.Results[0].Duplicate, true)
		wants := c.Claim.Wants
		check(s, "one", text(wants[0].Got), "urgent")
		check(s, "two", text(wants[1].Got), "whole old")
		check(s, "three", text(wants[2].Got), "first")
		m := wants[1].Got[0]
		check(s, "number", m.Seq, c.Results[4].Seq)
		check(s, "message", fmt.Sprint(m.ID, m.Headers, m.Priority, m.Payload.Attachments, m.Attempt, m.Lease, m.Stored.IsZero()),
			"idmap[h:1] 1 [[1]] 1 0s false")
		check(s, "fences", fmt.Sprint(m.Fence-wants[0].Got[0].Fence, wants[2].Got[0].Fence-m.Fence), "1 2")
		s.ack(wants[0].Got[0], wants[2].Got[0]) // "blocked" is behind the others then
		s.counts(3, 1, 0, 0, 0)
		s.expect("plain", "keyed", "blocked")
	},
	"what a key lets go comes behind what is new": func(s *suite) {
		s.configure(queues.Config{})
		s.put(keyed("k", "first"), keyed("k", "second"))
		c := &queues.PublishCall{Queue: s.name, Drafts: []*queues.Draft{draft("new")},
			Claim: &queues.ClaimCall{Queue: s.name, Node: "n1", Wants: []queues.Want{{Messages: 5, AtMostOnce: true}}}}
		s.store.Publish(s.ctx(), []*queues.PublishCall{c})
		s.must(c.Err)
		s.must(c.Claim.Err)
		check(s, "claimed", text(c.Claim.Wants[0].Got), "first new second")
	},
}
