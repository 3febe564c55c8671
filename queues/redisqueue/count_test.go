package redisqueue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// Nodes count inboxes together, learn within a second that there is room again, and what was miscounted is put right by
// whoever looks at all.
func TestInboxesAreCountedTogether(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client()
	a, b := node{t, open(t, rdb, redisqueue.Config{})}, node{t, open(t, rdb, redisqueue.Config{})}
	put := func(n node, i int) error {
		c := &queues.AppendCall{Inbox: fmt.Sprint("i", i), Entries: []*queues.Entry{anEntry}, Limits: queues.InboxLimits{MaxLen: 9, MaxBytes: 99, Inboxes: 4}}
		n.Append(t.Context(), []*queues.AppendCall{c})
		if c.Err != nil {
			t.Fatal(c.Err)
		}
		return c.Results[0].Err
	}
	sweep := func(n node) {
		for after := ""; ; {
			next, err := n.SweepInboxes(t.Context(), after, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if after = next; after == "" {
				return
			}
		}
	}
	for i, n := range []node{a, a, b, a} {
		expect(t, "below", put(n, i), nil)
	}
	for i := range 3 {
		expect(t, "a knows", put(a, 9), error(queues.ErrInboxes))
		expect(t, "what is there", put(b, i), nil)
	}
	expect(t, "b, which knew of three", put(b, 4), nil)
	expect(t, "b knows", put(b, 9), error(queues.ErrInboxes))

	if err := rdb.Set(t.Context(), "roomcast:inboxes", 1, 0).Err(); err != nil { // as if Redis had lost what was written last
		t.Fatal(err)
	}
	sweep(b)
	expect(t, "counted", rdb.Get(t.Context(), "roomcast:inboxes").Val(), "5")
	expect(t, "and b knows", put(b, 9), error(queues.ErrInboxes))
	for i := range 2 {
		if err := b.DeleteInbox(t.Context(), fmt.Sprint("i", i)); err != nil {
			t.Fatal(err)
		}
	}
	for put(a, 0) != nil { // until it looks
		time.Sleep(10 * time.Millisecond)
	}
	expect(t, "full again", put(a, 9), error(queues.ErrInboxes))
}
