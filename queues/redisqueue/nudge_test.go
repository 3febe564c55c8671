package redisqueue_test

import (
	"context"
	"testing"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// deaf hears of messages and doesn't come for them.
type deaf struct{ ready chan string }

func (d deaf) Ready(queue string)           { d.ready <- queue }
func (deaf) Arrived(string)                 {}
func (deaf) TakenOver(string, queues.Owner) {}
func (d deaf) Missed()                      { d.ready <- "" }

// A message isn't left lying because the node that was told of it is frozen: the next one is told, by the node that has
// published or given it back, and without any other call.
func TestOthersAreToldIfNobodyComes(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Start(t).Client(), redisqueue.Config{})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 3)
	defer func() {
		stop()
		for range 3 {
			<-ended
		}
	}()
	if err := s.Configure(ctx, "q", queues.Config{}.WithDefaults()); err != nil {
		t.Fatal(err)
	}
	claim := func(node string) *queues.ClaimCall {
		c := &queues.ClaimCall{Queue: "q", Node: node, Wait: true, Wants: []queues.Want{{Messages: 1}}}
		s.Claim(ctx, []*queues.ClaimCall{c})
		if c.Err != nil {
			t.Fatal(c.Err)
		}
		return c
	}
	var nodes []deaf
	told := func() {
		t.Helper()
		for _, d := range nodes {
			select {
			case <-d.ready:
			case <-time.After(10 * time.Second):
				t.Fatal("a node was not told")
			}
		}
	}
	for _, name := range []string{"n0", "n1", "n2"} {
		d := deaf{make(chan string, 10)}
		nodes = append(nodes, d)
		go func() { ended <- s.Listen(ctx, name, d) }()
	}
	told() // that they hear
	wait := func() {
		for _, name := range []string{"n0", "n1", "n2"} {
			claim(name)
		}
	}
	wait()
	s.Publish(ctx, []*queues.PublishCall{{Queue: "q", Drafts: []*queues.Draft{{Payload: payload}}}})
	told()

	m := claim("n0").Wants[0].Got[0]
	wait()
	s.Settle(ctx, []*queues.SettleCall{{Queue: "q", Items: []queues.Settlement{{Ref: m.Ref(), Outcome: queues.Release}}}})
	told()
}
