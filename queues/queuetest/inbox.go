package queuetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/roomcast/roomcast/queues"
)

func entry(text string) *queues.Entry {
	return &queues.Entry{Payload: queues.Payload{JSON: []byte(`"` + text + `"`)}}
}

func (s *suite) limits() queues.InboxLimits {
	return queues.InboxLimits{MaxLen: 100, MaxBytes: 1 << 20, TTL: s.units(1000), Overflow: queues.DropOldest, Topics: 10, Devices: 10}
}

// send appends entries to an inbox.
func (s *suite) send(inbox string, limits queues.InboxLimits, entries ...*queues.Entry) *queues.AppendCall {
	s.Helper()
	c := &queues.AppendCall{Inbox: inbox, Limits: limits, Entries: entries}
	s.store.Append(s.ctx(), []*queues.AppendCall{c})
	s.must(c.Err)
	check(s, "results", len(c.Results), len(entries))
	return c
}

// sends appends entries with these texts to the test's inbox, one by one.
func (s *suite) sends(texts ...string) {
	s.Helper()
	for _, text := range texts {
		s.must(s.send(s.name, s.limits(), entry(text)).Results[0].Err)
	}
}

var owner1, owner2 = queues.Owner{Node: "n1", Number: 1}, queues.Owner{Node: "n2", Number: 7}

func (s *suite) open(o queues.Owner, since *queues.Position, mirror bool) queues.Opened {
	s.Helper()
	opened, err := s.store.Open(s.ctx(), s.name, o, since, mirror, s.limits())
	s.must(err)
	return opened
}

func (s *suite) read(o queues.Owner, after uint64, n int) *queues.ReadCall {
	c := &queues.ReadCall{Inbox: s.name, Owner: o, After: after, Max: n}
	s.store.Read(s.ctx(), []*queues.ReadCall{c})
	return c
}

// expectEntries reads all after a number and checks it: numbers and texts, such as "1a 2b".
func (s *suite) expectEntries(o queues.Owner, after uint64, want string) *queues.ReadCall {
	s.Helper()
	c := s.read(o, after, 100)
	s.must(c.Err)
	check(s, "entries", entries(c), want)
	return c
}

func entries(c *queues.ReadCall) string {
	var texts []string
	for _, m := range c.Entries {
		texts = append(texts, fmt.Sprint(m.Seq)+strings.Trim(string(m.Payload.JSON), `"`))
	}
	return strings.Join(texts, " ")
}

func (s *suite) acknowledge(o queues.Owner, epoch, seq uint64) *queues.AcknowledgeCall {
	c := &queues.AcknowledgeCall{Inbox: s.name, Owner: o, At: queues.Position{Epoch: epoch, Seq: seq}}
	s.store.Acknowledge(s.ctx(), []*queues.AcknowledgeCall{c})
	return c
}

func (s *suite) inboxLen() int {
	s.Helper()
	st, err := s.store.InboxStats(s.ctx(), s.name)
	s.must(err)
	return st.Len
}

var inboxTests = map[string]func(*suite){
	"in order, and deleted when acknowledged": func(s *suite) {
		s.sends("a", "b", "c")
		o := s.open(owner1, nil, false)
		if o.Epoch == 0 || o.Epoch >= 1<<53 {
			s.Fatalf("epoch %d", o.Epoch)
		}
		check(s, "opened", o, queues.Opened{Epoch: o.Epoch, First: 1, Last: 3, Recovered: true})
		c := s.expectEntries(owner1, 0, "1a 2b 3c")
		check(s, "through", c.Through, uint64(3))
		check(s, "epoch", c.Entries[0].Epoch, o.Epoch)
		s.expectEntries(owner1, 2, "3c")
		a := s.acknowledge(owner1, o.Epoch, 2)
		s.must(a.Err)
		check(s, "acked", a.Acked, uint64(2))
		s.expectEntries(owner1, 0, "3c")
		check(s, "kept", s.inboxLen(), 1)
		a = s.acknowledge(owner1, o.Epoch, 1)
		s.must(a.Err)
		check(s, "acked", a.Acked, uint64(2))
		s.must(s.acknowledge(owner1, o.Epoch, 3).Err)
		s.expectEntries(owner1, 0, "")
		s.sends("d")
		s.expectEntries(owner1, 3, "4d")
	},
	"all of an entry comes back": func(s *suite) {
		e := &queues.Entry{ID: "id", Headers: map[string]string{"a": "b"}, Payload: queues.Payload{JSON: []byte(`{"x":1}`), Attachments: [][]byte{{0, 255}}}}
		c := s.send(s.name, s.limits(), e)
		o := s.open(owner1, nil, false)
		check(s, "epoch", c.Epoch, o.Epoch)
		m := s.read(owner1, 0, 9).Entries[0]
		check(s, "entry", fmt.Sprintln(m.Inbox == s.name, m.ID, m.Seq, m.Headers, string(m.Payload.JSON), m.Payload.Attachments, m.Stored.IsZero()),
			"true id 1 map[a:b] {\"x\":1} [[0 255]] false\n")
	},
	"in pages": func(s *suite) {
		s.sends("a", "b", "c", "d")
		s.open(owner1, nil, false)
		c := s.read(owner1, 0, 2)
		check(s, "page", entries(c), "1a 2b")
		check(s, "through", c.Through, uint64(2))
		check(s, "last", c.Last, uint64(4))
		c = &queues.ReadCall{Inbox: s.name, Owner: owner1, After: 1, Max: 9, MaxBytes: 4}
		s.store.Read(s.ctx(), []*queues.ReadCall{c})
		check(s, "by bytes", entries(c), "2b 3c")
	},
	"an id is stored once": func(s *suite) {
		e := entry("a")
		e.ID = "x"
		check(s, "first", s.send(s.name, s.limits(), e).Results[0], queues.AppendResult{Seq: 1, Made: true})
		check(s, "second", s.send(s.name, s.limits(), entry("b"), e).Results[1], queues.AppendResult{Seq: 1, Duplicate: true})
		s.open(owner1, nil, false)
		s.expectEntries(owner1, 0, "1a 2b")
	},
	"several inboxes at once": func(s *suite) {
		calls := []*queues.AppendCall{
			{Inbox: s.name, Limits: s.limits(), Entries: []*queues.Entry{entry("a"), entry("b")}},
			{Inbox: s.name + "-2", Limits: s.limits(), Entries: []*queues.Entry{entry("c")}},
		}
		s.store.Append(s.ctx(), calls)
		s.must(calls[0].Err)
		s.must(calls[1].Err)
		check(s, "seq", calls[0].Results[1].Seq, uint64(2))
		check(s, "seq", calls[1].Results[0].Seq, uint64(1))
	},
	"resumed where the client was": func(s *suite) {
		s.sends("a", "b", "c")
		o := s.open(owner1, nil, false)
		again := s.open(owner2, &queues.Position{Epoch: o.Epoch, Seq: 2}, false)
		check(s, "opened", again, queues.Opened{Epoch: o.Epoch, Acked: 2, First: 3, Last: 3, Recovered: true})
		s.expectEntries(owner2, 2, "3c")
		older := s.open(owner1, &queues.Position{Epoch: o.Epoch, Seq: 1}, false) // it was acknowledged elsewhere
		check(s, "opened", older, queues.Opened{Epoch: o.Epoch, Acked: 2, First: 3, Last: 3, Recovered: true})
	},
	"another epoch": func(s *suite) {
		s.sends("a", "b")
		o := s.open(owner1, nil, false)
		check(s, "opened", s.open(owner1, &queues.Position{Epoch: o.Epoch + 1, Seq: 1}, false),
			queues.Opened{Epoch: o.Epoch, First: 1, Last: 2, Reason: queues.LostEpoch})
		check(s, "a number that never was", s.open(owner1, &queues.Position{Epoch: o.Epoch, Seq: 9}, false).Reason, queues.LostEpoch)
		checkErr(s, "ack", s.acknowledge(owner1, o.Epoch+1, 1).Err, queues.ErrConflict)
		checkErr(s, "ack", s.acknowledge(owner1, o.Epoch, 3).Err, queues.ErrConflict)
		s.expectEntries(owner1, 0, "1a 2b")
	},
	"overflow drops the oldest and says so": func(s *suite) {
		limits := s.limits()
		limits.MaxLen = 3
		for i, text := range []string{"a", "b", "c", "d", "e"} {
			c := s.send(s.name, limits, entry(text))
			s.must(c.Results[0].Err)
			check(s, "dropped", c.Dropped, max(0, min(i-2, 1)))
		}
		o := s.open(owner1, nil, false)
		check(s, "opened", o, queues.Opened{Epoch: o.Epoch, First: 3, Last: 5, Reason: queues.LostOverflow})
		s.expectEntries(owner1, 0, "3c 4d 5e")
		o = s.open(owner1, &queues.Position{Epoch: o.Epoch, Seq: 1}, false)
		check(s, "since before the gap", o.Reason, queues.LostOverflow)
		o = s.open(owner1, &queues.Position{Epoch: o.Epoch, Seq: 2}, false)
		check(s, "since behind the gap", o.Recovered, true)
		st, err := s.store.InboxStats(s.ctx(), s.name)
		s.must(err)
		check(s, "stats", fmt.Sprint(st.Len, st.Bytes, st.Last, st.Acked, st.Owners), "3 9 5 2 1")
	},
	"overflow of bytes": func(s *suite) {
		limits := s.limits()
		limits.MaxBytes = 9
		s.send(s.name, limits, entry("a"), entry("b"), entry("c"))
		check(s, "dropped", s.send(s.name, limits, entry("dd")).Dropped, 2)
		c := s.send(s.name, limits, entry("eeeeeeee"))
		checkErr(s, "never fits", c.Results[0].Err, queues.ErrQueueFull)
		check(s, "dropped", c.Dropped, 0)
		s.open(owner1, nil, false)
		s.expectEntries(owner1, 0, "3c 4dd")
	},
	"overflow may refuse": func(s *suite) {
		limits := s.limits()
		limits.MaxLen, limits.Overflow = 2, queues.RejectNew
		c := s.send(s.name, limits, entry("a"), entry("b"), entry("c"))
		s.must(c.Results[1].Err)
		checkErr(s, "one too many", c.Results[2].Err, queues.ErrQueueFull)
		o := s.open(owner1, nil, false)
		s.must(s.acknowledge(owner1, o.Epoch, 1).Err)
		check(s, "no gap in the numbers", s.send(s.name, limits, entry("d")).Results[0].Seq, uint64(3))
	},
	"what expires leaves a gap": func(s *suite) {
		short := entry("x")
		short.TTL = s.units(2)
		s.send(s.name, s.limits(), short, entry("b"), short, entry("d"), short)
		s.pass(3)
		o := s.open(owner1, nil, false)
		check(s, "opened", o, queues.Opened{Epoch: o.Epoch, First: 2, Last: 5, Reason: queues.LostExpired})
		c := s.expectEntries(owner1, 0, "2b 4d")
		check(s, "through", c.Through, uint64(5))
		check(s, "kept", s.inboxLen(), 2)
		s.must(s.acknowledge(owner1, o.Epoch, 5).Err)
		check(s, "recovered", s.open(owner1, nil, false).Recovered, true)
		s.sends("f")
		s.expectEntries(owner1, 5, "6f")
	},
	// It counted, as long as something older was there: what was sent was refused, or what was there dropped.
	"what has expired takes no room": func(s *suite) {
		short, limits := entry("x"), s.limits()
		short.TTL, limits.MaxLen, limits.Overflow = s.units(2), 2, queues.RejectNew
		s.send(s.name, limits, entry("a"), short)
		s.pass(3)
		s.must(s.send(s.name, limits, entry("b")).Results[0].Err)
		checkErr(s, "one too many", s.send(s.name, limits, entry("c")).Results[0].Err, queues.ErrQueueFull)
		s.open(owner1, nil, false)
		s.expectEntries(owner1, 0, "1a 3b")
	},
	"what expires while it is open": func(s *suite) {
		s.open(owner1, nil, false)
		short := entry("x")
		short.TTL = s.units(2)
		s.send(s.name, s.limits(), short, entry("b"))
		s.pass(3)
		check(s, "through", s.expectEntries(owner1, 0, "2b").Through, uint64(2))
	},
	"all may expire": func(s *suite) {
		limits := s.limits()
		limits.TTL = s.units(2)
		s.send(s.name, limits, entry("a"), entry("b"))
		s.pass(3)
		s.sweepInboxes(s.units(1000))
		o := s.open(owner1, nil, false)
		check(s, "opened", o, queues.Opened{Epoch: o.Epoch, First: 3, Last: 2, Reason: queues.LostExpired})
		check(s, "through", s.expectEntries(owner1, 0, "").Through, uint64(2))
	},
	"one owner": func(s *suite) {
		l1, l2 := s.listen("n1"), s.listen("n2")
		s.sends("a")
		o := s.open(owner1, nil, false)
		s.open(owner2, nil, false)
		s.told(l1, "taken over "+s.name+" n1/1")
		checkErr(s, "read", s.read(owner1, 0, 1).Err, queues.ErrTakenOver)
		checkErr(s, "ack", s.acknowledge(owner1, o.Epoch, 1).Err, queues.ErrTakenOver)
		s.expectEntries(owner2, 0, "1a")
		s.must(s.store.CloseInbox(s.ctx(), s.name, owner1)) // nothing of it
		s.sends("b")
		s.told(l2, "arrived "+s.name)
		s.must(s.store.CloseInbox(s.ctx(), s.name, owner2))
		checkErr(s, "read", s.read(owner2, 0, 1).Err, queues.ErrTakenOver)
		s.sends("c")
		s.quiet(l2)
		s.quiet(l1)
	},
	"opened again by its owner": func(s *suite) {
		l := s.listen("n1")
		s.open(owner1, nil, false)
		s.open(owner1, nil, false)
		s.quiet(l)
		s.sends("a")
		s.expectEntries(owner1, 0, "1a")
	},
	"mirrors": func(s *suite) {
		l1, l2 := s.listen("n1"), s.listen("n2")
		o := s.open(owner1, nil, true)
		s.open(owner2, nil, true)
		s.expectEntries(owner1, 0, "")
		s.expectEntries(owner2, 0, "")
		s.sends("a", "b")
		s.told(l1, "arrived "+s.name)
		s.told(l2, "arrived "+s.name)
		s.expectEntries(owner1, 0, "1a 2b")
		s.must(s.acknowledge(owner1, o.Epoch, 1).Err)
		c := s.expectEntries(owner2, 0, "2b")
		check(s, "the cursor is shared", c.Acked, uint64(1))
		s.open(queues.Owner{Node: "n1", Number: 2}, nil, false)
		s.told(l1, "taken over "+s.name+" n1/1")
		s.told(l2, "taken over "+s.name+" n2/7")
		s.open(owner2, nil, true) // takes over from one that isn't a mirror
		s.told(l1, "taken over "+s.name+" n1/2")
	},
	"owners are told": func(s *suite) {
		l := s.listen("n1")
		s.open(owner1, nil, false)
		s.expectEntries(owner1, 0, "")
		s.sends("a")
		s.told(l, "arrived "+s.name)
		s.expectEntries(owner1, 0, "1a")
		s.sends("b")
		s.told(l, "arrived "+s.name)
	},
	"delete": func(s *suite) {
		l := s.listen("n1")
		s.must(s.store.Subscribe(s.ctx(), s.name, s.name+"-topic", s.limits()))
		s.sends("a")
		o := s.open(owner1, nil, false)
		s.pass(0.1)
		s.must(s.store.DeleteInbox(s.ctx(), s.name))
		s.told(l, "taken over "+s.name+" n1/1")
		s.must(s.store.DeleteInbox(s.ctx(), s.name))
		members, _, err := s.store.Members(s.ctx(), s.name+"-topic", "", 10)
		s.must(err)
		check(s, "members", len(members), 0)
		s.sends("b")
		again := s.open(owner1, &queues.Position{Epoch: o.Epoch, Seq: 1}, false)
		check(s, "reason", again.Reason, queues.LostEpoch)
		s.expectEntries(owner1, 0, "1b")
	},
	"only so many devices": func(s *suite) {
		user, limits := s.name, s.limits()
		limits.Devices = 3
		device := func(i int) string { return fmt.Sprintf("%s/d%d", user, i) }
		put := func(inbox string) error { return s.send(inbox, limits, entry("a")).Results[0].Err }
		open := func(inbox string) error {
			_, err := s.store.Open(s.ctx(), inbox, owner1, nil, false, limits)
			return err
		}
		subscribe := func(inbox string) error { return s.store.Subscribe(s.ctx(), inbox, user+"-topic", limits) }
		s.must(open(device(1)))
		s.must(subscribe(device(2)))
		s.must(put(device(3)))
		for range 2 {
			check(s, "append to a fourth", put(device(4)), error(queues.ErrDevices))
			check(s, "open a fourth", open(device(4)), error(queues.ErrDevices))
			check(s, "subscribe a fourth", subscribe(device(4)), error(queues.ErrDevices))
		}
		st, err := s.store.InboxStats(s.ctx(), device(4))
		s.must(err)
		check(s, "the fourth", st, queues.InboxStats{})
		members, _, err := s.store.Members(s.ctx(), user+"-topic", "", 10)
		s.must(err)
		check(s, "members", fmt.Sprint(members), fmt.Sprintf("[%s]", device(2)))
		for i := range 3 { // those that are there are used as before
			s.must(put(device(i + 1)))
			s.must(open(device(i + 1)))
			s.must(subscribe(device(i + 1)))
		}
		s.must(put(user)) // the principal's own doesn't count, nor do others'
		s.must(put(user + "2/d1"))

		s.must(s.store.DeleteInbox(s.ctx(), device(2)))
		s.must(put(device(4)))
		check(s, "a fifth", put(device(5)), error(queues.ErrDevices))
		s.must(s.store.Unsubscribe(s.ctx(), device(1), user+"-topic"))
		o, err := s.store.Open(s.ctx(), device(1), owner1, nil, false, limits)
		s.must(err)
		c := &queues.AcknowledgeCall{Inbox: device(1), Owner: owner1, At: queues.Position{Epoch: o.Epoch, Seq: o.Last}}
		s.store.Acknowledge(s.ctx(), []*queues.AcknowledgeCall{c})
		s.must(c.Err)
		s.must(s.store.CloseInbox(s.ctx(), device(1), owner1))
		s.pass(4)
		s.sweepInboxes(s.units(3)) // forgets the first
		s.must(put(device(5)))
		check(s, "a sixth", put(device(6)), error(queues.ErrDevices))
	},
	"only so many inboxes": func(s *suite) {
		limits := s.limits()
		limits.Inboxes = 3
		name := func(i int) string { return fmt.Sprint(s.name, "-", i) }
		s.Cleanup(func() {
			for i := range 6 {
				_ = s.store.DeleteInbox(context.Background(), name(i+1))
			}
		})
		put := func(i int) error { return s.send(name(i), limits, entry("a")).Results[0].Err }
		open := func(i int) (queues.Opened, error) { return s.store.Open(s.ctx(), name(i), owner1, nil, false, limits) }
		subscribe := func(i int) error { return s.store.Subscribe(s.ctx(), name(i), s.name+"-topic", limits) }
		o, err := open(1)
		s.must(err)
		s.must(subscribe(2))
		s.must(put(3))
		full := func(i int) {
			s.Helper()
			_, err := open(i)
			check(s, "open", err, error(queues.ErrInboxes))
			check(s, "append", put(i), error(queues.ErrInboxes))
			check(s, "subscribe", subscribe(i), error(queues.ErrInboxes))
			st, err := s.store.InboxStats(s.ctx(), name(i))
			s.must(err)
			check(s, "it", st, queues.InboxStats{})
		}
		full(4)
		for i := range 3 { // those that are there are used as before
			_, err := open(i + 1)
			s.must(errors.Join(err, put(i+1), subscribe(i+1)))
		}
		s.must(s.store.DeleteInbox(s.ctx(), name(2)))
		s.must(s.store.DeleteInbox(s.ctx(), name(2)))
		s.must(put(4))
		full(5)
		s.must(s.store.Unsubscribe(s.ctx(), name(1), s.name+"-topic"))
		c := &queues.AcknowledgeCall{Inbox: name(1), Owner: owner1, At: queues.Position{Epoch: o.Epoch, Seq: 1}}
		s.store.Acknowledge(s.ctx(), []*queues.AcknowledgeCall{c})
		s.must(c.Err)
		s.must(s.store.CloseInbox(s.ctx(), name(1), owner1))
		s.pass(4)
		s.sweepInboxes(s.units(3)) // forgets the first
		s.must(put(5))
		full(6)
		limits.Inboxes = 0
		s.must(put(6))
	},
	"an entry for an inbox that is there": func(s *suite) {
		for _, inbox := range []string{s.name, s.name + "/d"} {
			existing := entry("b")
			existing.Existing = true
			existing.ID = "x"
			c := s.send(inbox, s.limits(), existing, existing)
			checkErr(s, "before", c.Results[0].Err, queues.ErrNotFound)
			checkErr(s, "before", c.Results[1].Err, queues.ErrNotFound)
			st, err := s.store.InboxStats(s.ctx(), inbox)
			s.must(err)
			check(s, "it", st, queues.InboxStats{})
			r := s.send(inbox, s.limits(), existing, entry("a"), existing).Results
			checkErr(s, "before, in one call", r[0].Err, queues.ErrNotFound)
			check(s, "the one that makes it", r[1], queues.AppendResult{Seq: 1, Made: true})
			check(s, "behind it", r[2], queues.AppendResult{Seq: 2})
			_, err = s.store.Open(s.ctx(), inbox, owner1, nil, false, s.limits())
			s.must(err)
			read := &queues.ReadCall{Inbox: inbox, Owner: owner1, Max: 9}
			s.store.Read(s.ctx(), []*queues.ReadCall{read})
			check(s, "entries", entries(read), "1a 2b")
			check(s, "whose", read.Entries[1].Inbox+read.Entries[1].ID, inbox+"x")
		}
	},
	"unused inboxes go": func(s *suite) {
		o := s.open(owner1, nil, false)
		s.pass(4)
		s.sweepInboxes(s.units(3))
		check(s, "while it is open", s.open(owner1, nil, false).Epoch, o.Epoch)
		s.sends("a")
		s.must(s.store.CloseInbox(s.ctx(), s.name, owner1))
		s.pass(4)
		s.sweepInboxes(s.units(3))
		check(s, "while it isn't empty", s.open(owner1, nil, false).Epoch, o.Epoch)
		s.must(s.acknowledge(owner1, o.Epoch, 1).Err)
		s.must(s.store.CloseInbox(s.ctx(), s.name, owner1))
		s.sweepInboxes(s.units(3))
		s.pass(4)
		s.sweepInboxes(s.units(3))
		if s.open(owner1, nil, false).Epoch == o.Epoch {
			s.Fatal("it is still there")
		}
	},
	"a node that is forgotten owns nothing": func(s *suite) {
		s.open(queues.Owner{Node: s.name + "n", Number: 1}, nil, false)
		s.must(s.store.Forget(s.ctx(), s.name+"n"))
		checkErr(s, "read", s.read(queues.Owner{Node: s.name + "n", Number: 1}, 0, 1).Err, queues.ErrTakenOver)
	},
	"many entries": func(s *suite) {
		limits := s.limits()
		limits.MaxLen = 5000
		for range 10 {
			var es []*queues.Entry
			for range 100 {
				es = append(es, entry("x"))
			}
			s.send(s.name, limits, es...)
		}
		o := s.open(owner1, nil, false)
		s.must(s.acknowledge(owner1, o.Epoch, 990).Err)
		check(s, "left", len(s.read(owner1, 0, 100).Entries), 10)
		s.must(s.acknowledge(owner1, o.Epoch, 1000).Err)
		check(s, "left", s.inboxLen(), 0)
	},
}

func (s *suite) sweepInboxes(idle time.Duration) {
	s.Helper()
	after := ""
	for {
		var err error
		after, err = s.store.SweepInboxes(s.ctx(), after, idle)
		s.must(err)
		if after == "" {
			return
		}
	}
}

var topicTests = map[string]func(*suite){
	"members": func(s *suite) {
		topic := s.name + "-topic"
		for i := range 25 {
			inbox := fmt.Sprintf("%s-%02d", s.name, i)
			s.must(s.store.Subscribe(s.ctx(), inbox, topic, s.limits()))
			s.must(s.store.Subscribe(s.ctx(), inbox, topic, s.limits())) // again
		}
		s.must(s.store.Unsubscribe(s.ctx(), s.name+"-03", topic))
		s.must(s.store.Unsubscribe(s.ctx(), s.name+"-03", topic))
		s.must(s.store.Unsubscribe(s.ctx(), s.name+"-none", topic))
		var all []string
		after, pages := "", 0
		for {
			members, next, err := s.store.Members(s.ctx(), topic, after, 10)
			s.must(err)
			all = append(all, members...)
			pages++
			if after = next; after == "" {
				break
			}
		}
		slices.Sort(all)
		all = slices.Compact(all)
		check(s, "members", len(all), 24)
		check(s, "the one that left", slices.Contains(all, s.name+"-03"), false)
		members, next, err := s.store.Members(s.ctx(), s.name+"-none", "", 10)
		s.must(err)
		check(s, "of a topic that isn't", len(members)+len(next), 0)
	},
	"a limit": func(s *suite) {
		limits := s.limits()
		limits.Topics = 2
		subscribe := func(topic string) error { return s.store.Subscribe(s.ctx(), s.name, topic, limits) }
		s.must(subscribe("t1"))
		s.must(subscribe("t2"))
		checkErr(s, "one too many", subscribe("t3"), queues.ErrQueueFull)
		s.must(subscribe("t2"))
		s.must(s.store.Unsubscribe(s.ctx(), s.name, "t2"))
		s.must(subscribe("t3"))
		st, err := s.store.InboxStats(s.ctx(), s.name)
		s.must(err)
		check(s, "topics", st.Topics, 2)
	},
	"fan-out is done once": func(s *suite) {
		topic := func(name string, seq uint64, text string) *queues.Entry {
			e := entry(text)
			e.Topic, e.TopicSeq = name, seq
			return e
		}
		check(s, "not a member", s.send(s.name, s.limits(), topic("t", 1, "x")).Results[0], queues.AppendResult{Skipped: true})
		s.must(s.store.Subscribe(s.ctx(), s.name, "t", s.limits()))
		s.must(s.store.Subscribe(s.ctx(), s.name, "u", s.limits()))
		r := s.send(s.name, s.limits(), topic("t", 5, "a"), topic("t", 5, "a"), topic("t", 4, "z"), topic("u", 3, "b"), topic("t", 6, "c"), topic("v", 7, "x")).Results
		for i, want := range []queues.AppendResult{{Seq: 1}, {Duplicate: true}, {Duplicate: true}, {Seq: 2}, {Seq: 3}, {Skipped: true}} {
			check(s, fmt.Sprint("result ", i), r[i], want)
		}
		s.open(owner1, nil, false)
		c := s.expectEntries(owner1, 0, "1a 2b 3c")
		check(s, "topic", c.Entries[1].Topic, "u")
		s.must(s.store.Unsubscribe(s.ctx(), s.name, "t"))
		check(s, "not a member any more", s.send(s.name, s.limits(), topic("t", 9, "x")).Results[0].Skipped, true)
	},
	// Inboxes that had a later entry took it for one that they had.
	"an entry that died and is redriven comes to the end": func(s *suite) {
		first, second := s.name+"-1", s.name+"-2"
		for _, inbox := range []string{first, second} {
			s.must(s.store.Subscribe(s.ctx(), inbox, "t", s.limits()))
		}
		s.name = "$" + s.name
		s.configure(queues.Config{})
		named := keyed("t", "b")
		named.ID = "id"
		s.put(keyed("t", "a"), named, keyed("t", "c"))
		pass := func(inbox string, m *queues.Message) queues.AppendResult {
			e := &queues.Entry{Topic: "t", TopicSeq: m.Seq, Payload: m.Payload}
			if m.ID == "id" {
				e.ID = m.ID
			}
			return s.send(inbox, s.limits(), e).Results[0]
		}
		for _, n := range []uint64{1, 2} { // a and b reach one of two members
			m := s.one()
			check(s, "the first", pass(first, m), queues.AppendResult{Seq: n})
			s.must(s.settle(m, queues.Reject))
		}
		c := s.one()
		check(s, "the first", pass(first, c), queues.AppendResult{Seq: 3})
		check(s, "the second", pass(second, c), queues.AppendResult{Seq: 1})
		s.ack(c)

		n, err := s.store.Redrive(s.ctx(), s.name, 2, nil)
		s.must(err)
		check(s, "redriven", n, 2)
		a := s.expect("a")[0]
		check(s, "number", a.Seq > c.Seq, true)
		check(s, "a, which the second lacks", pass(second, a), queues.AppendResult{Seq: 2})
		check(s, "a, which the first has", pass(first, a), queues.AppendResult{Seq: 4})
		s.ack(a)
		b := s.expect("b")[0]
		check(s, "b, which the second lacks", pass(second, b), queues.AppendResult{Seq: 3})
		check(s, "b, which the first knows by its id", pass(first, b), queues.AppendResult{Seq: 2, Duplicate: true})
		s.ack(b)
	},
	"members stay, though their inboxes are empty and unused": func(s *suite) {
		s.must(s.store.Subscribe(s.ctx(), s.name, s.name+"-topic", s.limits()))
		s.pass(4)
		s.sweepInboxes(s.units(3))
		members, _, err := s.store.Members(s.ctx(), s.name+"-topic", "", 10)
		s.must(err)
		check(s, "members", len(members), 1)
	},
}
