package redisqueue

import (
	"cmp"
	"context"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/roomcast/roomcast/queues"
)

// step is how many messages one call of a function looks at or moves.
const step = 500

// Release does queues.WorkStore.Release: it looks for what the node holds, and settles it.
func (s *store) Release(ctx context.Context, queue, node string, except []queues.Ref) (int, error) {
	keep := make(map[queues.Ref]bool, len(except))
	for _, ref := range except {
		keep[ref] = true
	}
	key := s.queueKey(queue)
	found := map[queues.Ref]queues.Settlement{} // a scan may show something twice
	for at := "0"; ; {
		a, err := s.ask(ctx, heldFunction, key, node, at, step)
		if err != nil {
			return 0, err
		}
		at = a.text()
		for a.more() {
			ref := queues.Ref{Seq: a.seq(), Fence: uint64(a.number())}
			session, grace := a.text(), a.millis()
			item := queues.Settlement{Ref: ref, Outcome: queues.Release, Node: node}
			if session != "" && grace > 0 {
				item.Outcome, item.Grace = queues.Park, grace
			}
			if !keep[ref] {
				found[ref] = item
			}
		}
		if err := a.err(); err != nil {
			return 0, err
		}
		if at == "0" {
			break
		}
	}
	items := make([]queues.Settlement, 0, len(found))
	for _, item := range found {
		items = append(items, item)
	}
	// Each goes to the head: the first one is to be the first.
	slices.SortFunc(items, func(a, b queues.Settlement) int { return cmp.Compare(b.Seq, a.Seq) })
	n := 0
	for part := range slices.Chunk(items, step) {
		c := &queues.SettleCall{Queue: queue, Items: part}
		s.Settle(ctx, []*queues.SettleCall{c})
		if c.Err != nil {
			return n, c.Err
		}
		for _, err := range c.Results {
			if err == nil {
				n++
			}
		}
	}
	_, err := s.ask(ctx, unwaitFunction, key, node)
	return n, err
}

// Rebind does queues.WorkStore.Rebind.
func (s *store) Rebind(ctx context.Context, queue, session, node string) ([]*queues.Message, error) {
	a, err := s.ask(ctx, rebindFunction, s.queueKey(queue), session, node)
	if err != nil {
		return nil, err
	}
	lease := a.millis()
	var got []*queues.Message
	for a.more() {
		seq, fence, attempt, failures := a.seq(), a.number(), a.number(), a.number()
		if m, err := parseRecord(queue, seq, []byte(a.text())); err == nil {
			m.Fence, m.Attempt, m.Failures, m.Lease = uint64(fence), int(attempt), int(failures), lease
			got = append(got, m)
		}
	}
	return got, a.err()
}

// cut returns the first KB of s.
func cut(s string) string {
	const most = 1024
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for len(s) > 0 && !utf8.ValidString(s[max(0, len(s)-utf8.UTFMax):]) {
		s = s[:len(s)-1]
	}
	return s
}

// Beat does queues.Store.Beat.
func (s *store) Beat(ctx context.Context, node string) ([]string, error) {
	a, err := s.ask(ctx, beatFunction, s.nodesKey(), node, s.channel(node), silence.Milliseconds())
	if err != nil {
		return nil, err
	}
	var lost []string
	for a.more() {
		lost = append(lost, a.text())
	}
	return lost, a.err()
}

// silence is how long a node may say nothing.
const silence = 3 * time.Second

// Forget does queues.Store.Forget.
func (s *store) Forget(ctx context.Context, node string) error {
	names, err := s.Queues(ctx)
	if err != nil {
		return err
	}
	commands := make([]*command, len(names))
	for i, name := range names {
		commands[i] = &command{function: unwaitFunction, key: s.queueKey(name), args: []any{node}}
	}
	s.run(ctx, commands...)
	for _, c := range commands {
		if _, err := c.answer(); err != nil && queues.CodeOf(err) != queues.CodeNotFound {
			return err
		}
	}
	if err := s.disown(ctx, node); err != nil {
		return err
	}
	if err := s.rdb.ZRem(ctx, s.nodesKey(), node).Err(); err != nil {
		return refusal(err)
	}
	return nil
}
