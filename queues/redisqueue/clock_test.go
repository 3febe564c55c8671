package redisqueue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// Redis' clock is set to another time. All nodes that had beaten before seemed lost when it was set forward, so that what they
// held was given to others; when it was set back, one that was lost wasn't missed for as long as that.
func TestClockIsSetAndNodesBeat(t *testing.T) {
	t.Parallel()
	server := redistest.StartWithClock(t)
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	beat := func(name string) []string {
		t.Helper()
		lost, err := n.Beat(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return lost
	}
	for _, to := range []time.Duration{time.Hour, 0, -time.Hour} {
		beat("a")
		beat("b")
		server.SetClock(to)
		expect(t, fmt.Sprintf("lost after %v", to), len(beat("a")), 0)
		for i := 1; ; i++ { // from now on b is silent
			if lost := beat("a"); len(lost) > 0 {
				expect(t, "lost", fmt.Sprint(lost), "[b]")
				break
			}
			if i > 100 {
				t.Fatalf("never lost after %v", to)
			}
			server.SetClock(to + time.Duration(i)*time.Second)
		}
	}
}

// The clock is set back, and an entry is sent again that was stored in a window of ids that hasn't come yet: it was stored twice.
func TestClockIsSetBackAndIDsAreKnown(t *testing.T) {
	t.Parallel()
	server := redistest.StartWithClock(t)
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	e := *anEntry
	e.ID = "id"
	first := n.send(&e).Results[0]
	server.SetClock(-time.Duration(time.Now().Unix()%300+1) * time.Second)
	again := n.send(&e).Results[0]
	expect(t, "duplicate", again.Duplicate, true)
	expect(t, "number", again.Seq, first.Seq)
}

// The clock is set back: no more ids were taken, for as long as that, once there were as many as may be.
func TestClockIsSetBackAndIDsAreForgotten(t *testing.T) {
	t.Parallel()
	server := redistest.StartWithClock(t)
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{Dedupe: time.Minute, DedupeBytes: 100})
	publish := func(id string) error {
		d := text(id)
		d.ID = id
		return n.publish(d).Results[0].Err
	}
	expectCode(t, "first", publish("a"), "")
	expectCode(t, "second", publish("b"), queues.CodeQueueFull)
	server.SetClock(-time.Hour)
	expectCode(t, "second", publish("b"), queues.CodeQueueFull)
	server.SetClock(-time.Hour + 3*time.Minute)
	expectCode(t, "second", publish("b"), "")
}

// The clock is set back: nothing was handed out, for as long as that, of a queue with a rate.
func TestClockIsSetBackAndRateGoesOn(t *testing.T) {
	t.Parallel()
	server := redistest.StartWithClock(t)
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{Rate: 1, Burst: 1})
	n.publish(text("a"), text("b"))
	expect(t, "claimed", len(n.claim(9)), 1)
	server.SetClock(-time.Hour)
	expect(t, "claimed", len(n.claim(9)), 0)
	server.SetClock(-time.Hour + 2*time.Second)
	expect(t, "claimed", len(n.claim(9)), 1)
}

// Leases end by Redis' clock only, and are as long as they are by it.
func TestClockIsSetAndLeasesEnd(t *testing.T) {
	t.Parallel()
	server := redistest.StartWithClock(t)
	n := node{t, open(t, server.Client(), redisqueue.Config{})}
	n.configure(queues.Config{BackoffBase: time.Millisecond, BackoffMax: time.Millisecond})
	n.publish(text("a"))
	first := n.claim(1)[0]
	server.SetClock(-time.Minute)
	expect(t, "leased", n.stats().Leased, 1)
	server.SetClock(time.Minute)
	expect(t, "leased", n.stats().Leased, 0)
	var second []*queues.Message
	eventually(t, "it is handed out again", func() bool { second = n.claim(1); return len(second) == 1 })
	if second[0].Fence <= first.Fence {
		t.Errorf("fence %d after %d", second[0].Fence, first.Fence)
	}
	expectCode(t, "the first receipt", n.settle(first.Ref(), queues.Ack), queues.CodeSuperseded)
	expectCode(t, "the second", n.settle(second[0].Ref(), queues.Ack), "")
}
