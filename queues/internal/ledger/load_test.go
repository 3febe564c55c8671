package ledger

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// full returns a store that has one of everything.
func full(t testing.TB) Memory {
	kv := Memory{}
	l, err := Load(kv, 1000)
	if err != nil {
		t.Fatal(err)
	}
	l.Configure("q", queues.Config{MaxFailures: 9}.WithDefaults())
	p := queues.Payload{JSON: []byte("1"), Attachments: [][]byte{{1}}}
	c := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{
		{Payload: p, ID: "a"}, {Payload: p, Key: "k"}, {Payload: p, Key: "k"}, {Payload: p, Delay: time.Hour}, {Payload: p, TTL: time.Hour},
	}}
	l.Publish(c)
	claim := &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 2}}}
	l.Claim(claim)
	got := claim.Wants[0].Got
	l.Settle(&queues.SettleCall{Queue: "q", Items: []queues.Settlement{
		{Ref: got[0].Ref(), Outcome: queues.Reject, Error: "e"}, {Ref: got[1].Ref(), Outcome: queues.Nack, Error: "f"},
	}})
	l.Subscribe("inbox", "topic", queues.InboxLimits{Topics: 9})
	limits := queues.InboxLimits{MaxLen: 9, MaxBytes: 99, TTL: time.Hour, Overflow: queues.DropOldest}
	l.Append(&queues.AppendCall{Inbox: "inbox", Limits: limits, Entries: []*queues.Entry{
		{Payload: p, ID: "x"}, {Payload: p, Topic: "topic", TopicSeq: 4}, {Payload: p},
	}})
	o := queues.Owner{Node: "n", Number: 1}
	opened, _ := l.Open("inbox", o, nil, false, queues.InboxLimits{})
	l.Acknowledge(&queues.AcknowledgeCall{Inbox: "inbox", Owner: o, At: queues.Position{Epoch: opened.Epoch, Seq: 1}})
	return kv
}

// What is on a disk may be anything. It is refused, or it is served; nothing panics or hangs.
func FuzzLoad(f *testing.F) {
	kv := full(f)
	for _, key := range slices.Sorted(maps.Keys(kv)) {
		f.Add([]byte(key), kv[key])
		f.Add([]byte(key), kv[key][:len(kv[key])/2])
		f.Add([]byte(key[:len(key)/2]), kv[key])
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(key) == 0 {
			return
		}
		kv := maps.Clone(kv)
		kv[string(key)] = value
		l, err := Load(kv, 2000)
		if err != nil {
			return
		}
		l.Begin(10_000_000)
		for _, name := range l.Queues() {
			for range 8 {
				if next, _ := l.Sweep(name); next != 0 {
					break
				}
			}
			c := &queues.ClaimCall{Queue: name, Node: "n", Wants: []queues.Want{{Messages: 9}}}
			l.Claim(c)
			for _, m := range c.Wants[0].Got {
				l.Settle(&queues.SettleCall{Queue: name, Items: []queues.Settlement{{Ref: m.Ref(), Outcome: queues.Ack}}})
			}
			l.Peek(name, queues.Dead, 0, 9)
			l.Redrive(name, 9, nil)
			l.Purge(name, false)
		}
		for name := range maps.Clone(l.inboxes) {
			o := queues.Owner{Node: "n", Number: 2}
			opened, _ := l.Open(name, o, nil, false, queues.InboxLimits{Devices: 9})
			l.Read(&queues.ReadCall{Inbox: name, Owner: o, Max: 9})
			l.Acknowledge(&queues.AcknowledgeCall{Inbox: name, Owner: o, At: queues.Position{Epoch: opened.Epoch, Seq: opened.Last}})
		}
		l.Close()
		if _, err := Load(kv, 3000); err != nil {
			t.Fatalf("what was served can't be loaded again: %v", err)
		}
	})
}

// The memory that a line needs is that of what is in it, not of what has ever left it from the middle.
func TestLinesForget(t *testing.T) {
	kv := Memory{}
	l, err := Load(kv, 1000)
	if err != nil {
		t.Fatal(err)
	}
	l.Configure("q", queues.Config{}.WithDefaults())
	now := int64(1000)
	p := queues.Payload{JSON: []byte("1")}
	stays := &queues.Draft{Payload: p}
	l.Publish(&queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{stays, {Payload: p, Key: "k"}}})
	for range 1000 {
		l.Publish(&queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{{Payload: p, TTL: time.Second}, {Payload: p, Key: "k", TTL: time.Second}}})
		now += 2000
		l.Begin(now)
		l.Sweep("q")
	}
	q := l.queues["q"]
	if n := q.ready[0].deque.n; n > 100 {
		t.Errorf("%d places for %d ready messages", n, q.ready[0].n)
	}
	if n := q.keys["k"].waiting.deque.n; n > 100 {
		t.Errorf("%d places for %d blocked messages", n, q.keys["k"].waiting.n)
	}
	if len(q.deadlines.ms)+len(q.expiries.ms)+len(q.touched) != 0 {
		t.Error("heaps aren't empty")
	}
	if len(kv) > 10 {
		t.Errorf("%d keys are left", len(kv))
	}
}

// An inbox whose oldest entry stays while a great many behind it expire doesn't grow for ever.
func TestHolesOfAnInboxAreBounded(t *testing.T) {
	l, err := Load(Memory{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	limits := queues.InboxLimits{MaxLen: 10, MaxBytes: 1 << 20, TTL: 1000 * time.Hour, Overflow: queues.DropOldest}
	p := queues.Payload{JSON: []byte("1")}
	l.Append(&queues.AppendCall{Inbox: "i", Limits: limits, Entries: []*queues.Entry{{Payload: p}}})
	b := l.inboxes["i"]
	for range maxSpan - 1 { // as if they had come and expired
		b.entries = append(b.entries, entry{size: -1})
		b.cursor.last++
	}
	c := &queues.AppendCall{Inbox: "i", Limits: limits, Entries: []*queues.Entry{{Payload: p}}}
	l.Append(c)
	if c.Results[0].Err != nil || c.Dropped != 1 || len(b.entries) > 1 {
		t.Errorf("%+v, %d dropped, %d places", c.Results, c.Dropped, len(b.entries))
	}
}

// An inbox was deleted and made anew after a restart: it had the epoch of the old one if that was ahead of the clock, and who had
// read that took it for the same.
func TestEpochsDontComeAgain(t *testing.T) {
	kv := Memory{}
	o, limits := queues.Owner{Node: "n", Number: 1}, queues.InboxLimits{Devices: 9}
	open := func() queues.Opened {
		l, err := Load(kv, 1000)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, _ = l.Open("another", o, nil, false, limits)
		opened, _ := l.Open("inbox", o, nil, false, limits)
		l.DeleteInbox("inbox")
		return opened
	}
	if first, second := open(), open(); second.Epoch <= first.Epoch {
		t.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
	}
}

// The newest entry of an inbox had expired when the process ended: what came after the restart had the number of a hole, and
// was never read.
func TestHolesAtTheEndAreLoaded(t *testing.T) {
	kv := Memory{}
	l, err := Load(kv, 1000)
	if err != nil {
		t.Fatal(err)
	}
	limits := queues.InboxLimits{MaxLen: 9, MaxBytes: 99, TTL: time.Hour, Devices: 9}
	send := func(l *Ledger, text string, ttl time.Duration) {
		e := &queues.Entry{TTL: ttl, Payload: queues.Payload{JSON: []byte(text)}}
		l.Append(&queues.AppendCall{Inbox: "inbox", Limits: limits, Entries: []*queues.Entry{e}})
	}
	send(l, "1", 0)
	send(l, "2", time.Second)
	l.Begin(3000)
	l.InboxStats("inbox")
	if l, err = Load(kv, 4000); err != nil {
		t.Fatal(err)
	}
	send(l, "3", 0)
	o := queues.Owner{Node: "n", Number: 1}
	_, _ = l.Open("inbox", o, nil, false, limits)
	c := &queues.ReadCall{Inbox: "inbox", Owner: o, Max: 9}
	l.Read(c)
	if len(c.Entries) != 2 || c.Entries[1].Seq != 3 || string(c.Entries[1].Payload.JSON) != "3" || c.Through != 3 {
		t.Errorf("%d entries: %+v", len(c.Entries), c.Entries)
	}
}
