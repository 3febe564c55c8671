package redisqueue_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/roomcast/roomcast/internal/redistest"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
	"github.com/roomcast/roomcast/queues/queuetest"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// TestSameAsLedger does the same to the store in Redis and to one in memory, which internal/ledger compares with a
// model: both must answer the same, and have the same afterwards. No time passes that matters, since Redis' clock can't be set.
func TestSameAsLedger(t *testing.T) {
	t.Parallel()
	store := open(t, redistest.Start(t).Client(), redisqueue.Config{})
	var runs atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		p := &pair{rt: rt, t: t, name: fmt.Sprint("q", runs.Add(1)), stores: [2]queues.Store{memqueue.New(memqueue.Config{}), store}}
		p.configure(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"publish": p.publish, "publish 2": p.publish, "publish 3": p.publish,
			"claim": p.claim, "claim 2": p.claim, "settle": p.settle, "settle 2": p.settle, "settle 3": p.settle,
			"extend": p.extend, "rebind": p.rebind, "release": p.release, "pause": p.pause, "purge": p.purge,
			"redrive": p.redrive, "configure": p.configure, "delete": p.remove, "sweep": p.sweep,
			"": p.compare,
		})
	})
}

// Redis' clock passes as the model's does.
func TestInboxModel(t *testing.T) {
	t.Parallel()
	server := redistest.StartWithClock(t)
	ahead := time.Duration(0)
	queuetest.InboxModel(t, open(t, server.Client(), redisqueue.Config{}), func(d time.Duration) {
		ahead += d
		server.SetClock(ahead)
	}, nil)
}

// pair is two stores with one queue each. Messages are known by their data: numbers may differ.
type pair struct {
	t      *testing.T
	rt     *rapid.T
	name   string
	stores [2]queues.Store
	texts  int
	given  [][2]queues.Ref // all hand-outs
	last   string          // what was done
}

// both runs f for each store and compares what it returns.
func (p *pair) both(what string, f func(i int, s queues.Store) string) {
	p.last = what
	a, b := f(0, p.stores[0]), f(1, p.stores[1])
	if a != b {
		p.rt.Fatalf("%s:\nin memory %s\nin Redis  %s", what, a, b)
	}
}

const far = 1000 * time.Hour

func (p *pair) configure(t *rapid.T) {
	c := queues.Config{
		Lease: far, BackoffBase: rapid.SampledFrom([]time.Duration{-1, far}).Draw(t, "backoff"), BackoffMax: far,
		MaxFailures: rapid.SampledFrom([]int{2, 3, -1}).Draw(t, "maxFailures"),
		MaxAttempts: rapid.SampledFrom([]int{4, -1}).Draw(t, "maxAttempts"),
		MaxLen:      rapid.SampledFrom([]int{4, 30}).Draw(t, "maxLen"),
		MaxBytes:    rapid.SampledFrom([]int64{60, 1000}).Draw(t, "maxBytes"),
		Overflow:    rapid.SampledFrom([]queues.Overflow{queues.RejectNew, queues.DropOldest}).Draw(t, "overflow"),
		OnFail:      rapid.SampledFrom([]queues.OnFail{queues.Block, queues.Skip}).Draw(t, "onFail"),
		DeadMax:     rapid.SampledFrom([]int{2, 100}).Draw(t, "deadMax"),
		TTL:         rapid.SampledFrom([]time.Duration{0, far}).Draw(t, "ttl"),
		DedupeBytes: rapid.SampledFrom([]int64{300, -1}).Draw(t, "dedupeBytes"),
		MaxPayload:  -1,
	}.WithDefaults()
	p.both(fmt.Sprintf("configure %+v", c), func(_ int, s queues.Store) string {
		return fmt.Sprint(s.Configure(p.t.Context(), p.name, c))
	})
}

func (p *pair) publish(t *rapid.T) {
	var drafts []*queues.Draft
	for range rapid.IntRange(1, 4).Draw(t, "drafts") {
		p.texts++
		size := rapid.IntRange(0, 12).Draw(t, "size")
		d := &queues.Draft{Payload: queues.Payload{JSON: fmt.Appendf(nil, "%q", fmt.Sprint(p.texts, strings.Repeat(".", size)))}}
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0, 1:
			d.Key = rapid.SampledFrom([]string{"k", "l"}).Draw(t, "key")
		case 2:
			d.Priority = rapid.IntRange(0, 3).Draw(t, "priority")
		case 3:
			d.Delay = far
		}
		if rapid.IntRange(0, 3).Draw(t, "named") == 0 {
			d.ID = fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "id"))
		}
		drafts = append(drafts, d)
	}
	claim := rapid.IntRange(0, 3).Draw(t, "claims") == 0
	wants := p.wants(t)
	var got [2][]queues.Want
	p.both(fmt.Sprintf("publish %d, claim %v", len(drafts), claim), func(i int, s queues.Store) string {
		c := &queues.PublishCall{Queue: p.name, Drafts: drafts}
		if claim {
			c.Claim = &queues.ClaimCall{Queue: p.name, Node: "n1", Wants: slices.Clone(wants)}
		}
		s.Publish(p.t.Context(), []*queues.PublishCall{c})
		out := fmt.Sprint(queues.CodeOf(c.Err), " ", c.Dropped)
		for i, r := range c.Results {
			out += fmt.Sprint(" ", r.ID == drafts[i].ID || drafts[i].ID == "", r.Duplicate, queues.CodeOf(r.Err))
		}
		if claim && c.Err == nil {
			got[i] = c.Claim.Wants
			out += gotten(c.Claim)
		}
		return out
	})
	p.keep(got)
}

func (p *pair) wants(t *rapid.T) []queues.Want {
	wants := make([]queues.Want, rapid.IntRange(1, 3).Draw(t, "wants"))
	for i := range wants {
		wants[i] = queues.Want{
			Messages:   rapid.IntRange(0, 3).Draw(t, "messages"),
			Bytes:      rapid.SampledFrom([]int{0, 0, 8}).Draw(t, "bytes"),
			AtMostOnce: rapid.IntRange(0, 9).Draw(t, "once") == 0,
		}
		if !wants[i].AtMostOnce {
			wants[i].Session = rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "session")
			wants[i].Grace = far
		}
	}
	return wants
}

func gotten(c *queues.ClaimCall) string {
	out := fmt.Sprint(" ", queues.CodeOf(c.Err), c.Lease, c.Next < 0)
	for _, w := range c.Wants {
		out += " |"
		for _, m := range w.Got {
			out += fmt.Sprint(" ", string(m.Payload.JSON), m.Attempt, m.Failures, m.Key, m.Priority, m.Lease)
		}
	}
	return out
}

func (p *pair) keep(got [2][]queues.Want) {
	for i, w := range got[0] {
		for j, m := range w.Got {
			p.given = append(p.given, [2]queues.Ref{m.Ref(), got[1][i].Got[j].Ref()})
		}
	}
}

func (p *pair) claim(t *rapid.T) {
	wants := p.wants(t)
	node := rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node")
	bytes := rapid.SampledFrom([]int{0, 0, 20}).Draw(t, "of all")
	var got [2][]queues.Want
	p.both(fmt.Sprintf("claim %+v", wants), func(i int, s queues.Store) string {
		c := &queues.ClaimCall{Queue: p.name, Node: node, Wants: slices.Clone(wants), MaxBytes: bytes}
		s.Claim(p.t.Context(), []*queues.ClaimCall{c})
		got[i] = c.Wants
		return gotten(c)
	})
	p.keep(got)
}

// any picks a hand-out, rather a late one.
func (p *pair) any(t *rapid.T) [2]queues.Ref {
	if len(p.given) == 0 {
		t.Skip()
	}
	return p.given[len(p.given)-1-rapid.IntRange(0, min(len(p.given)-1, 9)).Draw(t, "ref")]
}

func (p *pair) settle(t *rapid.T) {
	type item struct {
		refs [2]queues.Ref
		queues.Settlement
	}
	var items []item
	for range rapid.IntRange(1, 4).Draw(t, "items") {
		items = append(items, item{p.any(t), queues.Settlement{
			Outcome: queues.Outcome(rapid.IntRange(int(queues.Ack), int(queues.Park)).Draw(t, "outcome")),
			Delay:   rapid.SampledFrom([]time.Duration{0, -1, far}).Draw(t, "delay"),
			Grace:   far,
			Error:   rapid.SampledFrom([]string{"", "e1", "e2"}).Draw(t, "error"),
			Node:    rapid.SampledFrom([]string{"", "", "n1"}).Draw(t, "node"),
		}})
	}
	p.both(fmt.Sprintf("settle %+v", items), func(i int, s queues.Store) string {
		c := &queues.SettleCall{Queue: p.name}
		for _, it := range items {
			it.Ref = it.refs[i]
			c.Items = append(c.Items, it.Settlement)
		}
		s.Settle(p.t.Context(), []*queues.SettleCall{c})
		return fmt.Sprint(queues.CodeOf(c.Err), c.Dead, codes(c.Results))
	})
}

func codes(errs []error) (codes []queues.Code) {
	for _, err := range errs {
		codes = append(codes, queues.CodeOf(err))
	}
	return codes
}

func (p *pair) extend(t *rapid.T) {
	refs := p.any(t)
	node := rapid.SampledFrom([]string{"", "n1"}).Draw(t, "node")
	p.both(fmt.Sprintf("extend %v by %q", refs, node), func(i int, s queues.Store) string {
		c := &queues.ExtendCall{Queue: p.name, Node: node, For: far, Items: refs[i : i+1]}
		s.Extend(p.t.Context(), []*queues.ExtendCall{c})
		return fmt.Sprint(queues.CodeOf(c.Err), codes(c.Results))
	})
}

func (p *pair) rebind(t *rapid.T) {
	session := rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "session")
	p.both("rebind "+session, func(i int, s queues.Store) string {
		ms, err := s.Rebind(p.t.Context(), p.name, session, "n2")
		out := fmt.Sprint(queues.CodeOf(err))
		for _, m := range ms {
			at := slices.IndexFunc(p.given, func(r [2]queues.Ref) bool { return r[i] == m.Ref() })
			out += fmt.Sprint(" ", at, m.Attempt)
		}
		return sortedWords(out)
	})
}

func sortedWords(text string) string {
	words := strings.Fields(text)
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (p *pair) release(t *rapid.T) {
	node := rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node")
	var except [][2]queues.Ref
	for range rapid.IntRange(0, 2).Draw(t, "except") {
		except = append(except, p.any(t))
	}
	p.both(fmt.Sprintf("release %s but %v", node, except), func(i int, s queues.Store) string {
		var refs []queues.Ref
		for _, r := range except {
			refs = append(refs, r[i])
		}
		n, err := s.Release(p.t.Context(), p.name, node, refs)
		return fmt.Sprint(n, queues.CodeOf(err))
	})
}

func (p *pair) pause(t *rapid.T) {
	publish, consume := rapid.IntRange(0, 3).Draw(t, "publish") == 0, rapid.IntRange(0, 3).Draw(t, "consume") == 0
	p.both(fmt.Sprint("pause ", publish, consume), func(_ int, s queues.Store) string {
		return fmt.Sprint(s.Pause(p.t.Context(), p.name, publish, consume))
	})
}

func (p *pair) purge(t *rapid.T) {
	dead := rapid.Bool().Draw(t, "dead")
	p.both(fmt.Sprint("purge ", dead), func(_ int, s queues.Store) string {
		n, err := s.Purge(p.t.Context(), p.name, dead)
		return fmt.Sprint(n, err)
	})
}

func (p *pair) redrive(t *rapid.T) {
	n := rapid.IntRange(1, 3).Draw(t, "n")
	var ids []string
	if rapid.Bool().Draw(t, "by id") {
		ids = []string{"0", "1", "2"}
	}
	p.both(fmt.Sprint("redrive ", n, ids), func(_ int, s queues.Store) string {
		n, err := s.Redrive(p.t.Context(), p.name, n, ids)
		return fmt.Sprint(n, err)
	})
}

func (p *pair) remove(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "really") > 0 {
		t.Skip()
	}
	force := rapid.Bool().Draw(t, "force")
	p.both(fmt.Sprint("delete ", force), func(_ int, s queues.Store) string {
		err := s.Delete(p.t.Context(), p.name, force)
		if err == nil {
			p.given = nil // the numbers of the next queue of that name may be others' here and there
		}
		return string(queues.CodeOf(err))
	})
	p.configure(t)
}

func (p *pair) sweep(*rapid.T) {
	p.both("sweep", func(_ int, s queues.Store) string {
		next, err := s.Sweep(p.t.Context(), p.name)
		return fmt.Sprint(next > 0, err)
	})
}

// compare compares all that there is.
func (p *pair) compare(t *rapid.T) {
	last := p.last
	for _, state := range []queues.State{queues.Ready, queues.Scheduled, queues.Leased, queues.Blocked, queues.Dead} {
		p.both(last+", then what is "+string(state), func(_ int, s queues.Store) string {
			infos, err := s.Peek(p.t.Context(), p.name, state, 0, 1000)
			if err != nil {
				return err.Error()
			}
			var lines []string
			for _, in := range infos {
				lines = append(lines, fmt.Sprintf("%s key=%s p=%d attempt=%d failures=%d %s/%s %s %q %v", in.Payload.JSON, in.Key, in.Priority,
					in.Attempt, in.Failures, in.Node, in.Session, in.Reason, in.Error, in.Until.IsZero()))
			}
			if state != queues.Ready && state != queues.Dead {
				slices.Sort(lines) // what they are due by differs by what a call takes, and numbers do
			}
			return "\n" + strings.Join(lines, "\n")
		})
	}
	p.both(last+", then the numbers", func(_ int, s queues.Store) string {
		st, err := s.Stats(p.t.Context(), p.name)
		st.Oldest = 0
		return fmt.Sprintf("%+v %v", st, err)
	})
	p.last = last
}

func TestInboxBrokers(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var stores []queues.Store
	for range 3 {
		stores = append(stores, open(t, server.Client(), redisqueue.Config{}))
	}
	queuetest.InboxBrokers(t, stores, true)
}
