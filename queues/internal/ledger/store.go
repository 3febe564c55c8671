package ledger

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// Store makes a queues.Store of a ledger that Do guards; only Close is left to others.
type Store struct {
	// Do runs f with the ledger to itself, after Begin, and returns when what f did
	// is durable. Its error says that it may not be.
	Do func(ctx context.Context, f func(*Ledger)) error

	mu        sync.Mutex
	listeners map[string]queues.Listener
}

// Tell tells the nodes what happened.
func (s *Store) Tell(events []Event) {
	for _, e := range events {
		s.mu.Lock()
		l := s.listeners[e.Node]
		s.mu.Unlock()
		switch {
		case l == nil:
		case e.Queue != "":
			l.Ready(e.Queue)
		case e.Owner != queues.Owner{}:
			l.TakenOver(e.Inbox, e.Owner)
		default:
			l.Arrived(e.Inbox)
		}
	}
}

// Listen does queues.Store.Listen.
func (s *Store) Listen(ctx context.Context, node string, l queues.Listener) error {
	s.mu.Lock()
	if s.listeners == nil {
		s.listeners = map[string]queues.Listener{}
	}
	s.listeners[node] = l
	s.mu.Unlock()
	l.Missed()
	<-ctx.Done()
	s.mu.Lock()
	if s.listeners[node] == l {
		delete(s.listeners, node)
	}
	s.mu.Unlock()
	return ctx.Err()
}

// Publish does queues.WorkStore.Publish.
func (s *Store) Publish(ctx context.Context, calls []*queues.PublishCall) {
	err := s.Do(ctx, func(l *Ledger) {
		for _, c := range calls {
			l.Publish(c)
		}
	})
	if err != nil {
		for _, c := range calls {
			c.Results, c.Err = nil, err
			if c.Claim != nil {
				c.Claim.Err = err
			}
		}
	}
}

// Claim does queues.WorkStore.Claim.
func (s *Store) Claim(ctx context.Context, calls []*queues.ClaimCall) {
	err := s.Do(ctx, func(l *Ledger) {
		for _, c := range calls {
			l.Claim(c)
		}
	})
	if err != nil {
		for _, c := range calls {
			c.Err = err
			for i := range c.Wants {
				c.Wants[i].Got = nil
			}
		}
	}
}

// Settle does queues.WorkStore.Settle.
func (s *Store) Settle(ctx context.Context, calls []*queues.SettleCall) {
	err := s.Do(ctx, func(l *Ledger) {
		for _, c := range calls {
			l.Settle(c)
		}
	})
	if err != nil {
		for _, c := range calls {
			c.Results, c.Err = nil, err
			if c.Claim != nil {
				c.Claim.Err = err
			}
		}
	}
}

// Extend does queues.WorkStore.Extend.
func (s *Store) Extend(ctx context.Context, calls []*queues.ExtendCall) {
	err := s.Do(ctx, func(l *Ledger) {
		for _, c := range calls {
			l.Extend(c)
		}
	})
	if err != nil {
		for _, c := range calls {
			c.Results, c.Err = nil, err
		}
	}
}

// answer runs a call that has one result.
func answer[T any](ctx context.Context, s *Store, f func(*Ledger) (T, error)) (T, error) {
	var v T
	var err error
	if failed := s.Do(ctx, func(l *Ledger) { v, err = f(l) }); failed != nil {
		return *new(T), failed
	}
	return v, err
}

// run runs a call that has none.
func run(ctx context.Context, s *Store, f func(*Ledger) error) error {
	_, err := answer(ctx, s, func(l *Ledger) (struct{}, error) { return struct{}{}, f(l) })
	return err
}

// Sweep does queues.WorkStore.Sweep.
func (s *Store) Sweep(ctx context.Context, queue string) (time.Duration, error) {
	return answer(ctx, s, func(l *Ledger) (time.Duration, error) { return l.Sweep(queue) })
}

// Release does queues.WorkStore.Release.
func (s *Store) Release(ctx context.Context, queue, node string, except []queues.Ref) (int, error) {
	return answer(ctx, s, func(l *Ledger) (int, error) { return l.Release(queue, node, except) })
}

// Rebind does queues.WorkStore.Rebind.
func (s *Store) Rebind(ctx context.Context, queue, session, node string) ([]*queues.Message, error) {
	return answer(ctx, s, func(l *Ledger) ([]*queues.Message, error) { return l.Rebind(queue, session, node) })
}

// Configure does queues.AdminStore.Configure.
func (s *Store) Configure(ctx context.Context, queue string, c queues.Config) error {
	return run(ctx, s, func(l *Ledger) error { return l.Configure(queue, c) })
}

// Config does queues.AdminStore.Config.
func (s *Store) Config(ctx context.Context, queue string) (queues.Config, error) {
	return answer(ctx, s, func(l *Ledger) (queues.Config, error) { return l.Config(queue) })
}

// Queues does queues.AdminStore.Queues.
func (s *Store) Queues(ctx context.Context) ([]string, error) {
	return answer(ctx, s, func(l *Ledger) ([]string, error) { return l.Queues(), nil })
}

// Delete does queues.AdminStore.Delete.
func (s *Store) Delete(ctx context.Context, queue string, force bool) error {
	return run(ctx, s, func(l *Ledger) error { return l.Delete(queue, force) })
}

// Pause does queues.AdminStore.Pause.
func (s *Store) Pause(ctx context.Context, queue string, publish, consume bool) error {
	return run(ctx, s, func(l *Ledger) error { return l.Pause(queue, publish, consume) })
}

// Purge does queues.AdminStore.Purge.
func (s *Store) Purge(ctx context.Context, queue string, dead bool) (int, error) {
	return answer(ctx, s, func(l *Ledger) (int, error) { return l.Purge(queue, dead) })
}

// Redrive does queues.AdminStore.Redrive.
func (s *Store) Redrive(ctx context.Context, queue string, n int, ids []string) (int, error) {
	return answer(ctx, s, func(l *Ledger) (int, error) { return l.Redrive(queue, n, ids) })
}

// Peek does queues.AdminStore.Peek.
func (s *Store) Peek(ctx context.Context, queue string, state queues.State, offset, n int) ([]*queues.Info, error) {
	return answer(ctx, s, func(l *Ledger) ([]*queues.Info, error) { return l.Peek(queue, state, offset, n) })
}

// Stats does queues.AdminStore.Stats.
func (s *Store) Stats(ctx context.Context, queue string) (queues.Stats, error) {
	return answer(ctx, s, func(l *Ledger) (queues.Stats, error) { return l.Stats(queue) })
}

// Append does queues.InboxStore.Append.
func (s *Store) Append(ctx context.Context, calls []*queues.AppendCall) {
	err := s.Do(ctx, func(l *Ledger) {
		for _, c := range calls {
			l.Append(c)
		}
	})
	if err != nil {
		for _, c := range calls {
			c.Results, c.Err = nil, err
		}
	}
}

// Open does queues.InboxStore.Open.
func (s *Store) Open(ctx context.Context, inbox string, owner queues.Owner, since *queues.Position, mirror bool, limits queues.InboxLimits) (queues.Opened, error) {
	return answer(ctx, s, func(l *Ledger) (queues.Opened, error) { return l.Open(inbox, owner, since, mirror, limits) })
}

// Read does queues.InboxStore.Read.
func (s *Store) Read(ctx context.Context, calls []*queues.ReadCall) {
	err := s.Do(ctx, func(l *Ledger) {
		for _, c := range calls {
			l.Read(c)
		}
	})
	if err != nil {
		for _, c := range calls {
			c.Entries, c.Err = nil, err
		}
	}
}

// Acknowledge does queues.InboxStore.Acknowledge.
func (s *Store) Acknowledge(ctx context.Context, calls []*queues.AcknowledgeCall) {
	err := s.Do(ctx, func(l *Ledger) {
		for _, c := range calls {
			l.Acknowledge(c)
		}
	})
	if err != nil {
		for _, c := range calls {
			c.Err = err
		}
	}
}

// CloseInbox does queues.InboxStore.CloseInbox.
func (s *Store) CloseInbox(ctx context.Context, inbox string, owner queues.Owner) error {
	return run(ctx, s, func(l *Ledger) error { l.CloseInbox(inbox, owner); return nil })
}

// DeleteInbox does queues.InboxStore.DeleteInbox.
func (s *Store) DeleteInbox(ctx context.Context, inbox string) error {
	return run(ctx, s, func(l *Ledger) error { l.DeleteInbox(inbox); return nil })
}

// SweepInboxes does queues.InboxStore.SweepInboxes.
func (s *Store) SweepInboxes(ctx context.Context, after string, idle time.Duration) (string, error) {
	return answer(ctx, s, func(l *Ledger) (string, error) { return l.SweepInboxes(after, idle), nil })
}

// Subscribe does queues.InboxStore.Subscribe.
func (s *Store) Subscribe(ctx context.Context, inbox, topic string, limits queues.InboxLimits) error {
	return run(ctx, s, func(l *Ledger) error { return l.Subscribe(inbox, topic, limits) })
}

// Unsubscribe does queues.InboxStore.Unsubscribe.
func (s *Store) Unsubscribe(ctx context.Context, inbox, topic string) error {
	return run(ctx, s, func(l *Ledger) error { l.Unsubscribe(inbox, topic); return nil })
}

// Members does queues.InboxStore.Members.
func (s *Store) Members(ctx context.Context, topic, after string, n int) (inboxes []string, next string, err error) {
	err = s.Do(ctx, func(l *Ledger) { inboxes, next = l.Members(topic, after, n) })
	return inboxes, next, err
}

// InboxStats does queues.InboxStore.InboxStats.
func (s *Store) InboxStats(ctx context.Context, inbox string) (queues.InboxStats, error) {
	return answer(ctx, s, func(l *Ledger) (queues.InboxStats, error) { return l.InboxStats(inbox), nil })
}

// Beat does queues.Store.Beat.
func (s *Store) Beat(ctx context.Context, node string) ([]string, error) {
	return answer(ctx, s, func(l *Ledger) ([]string, error) { return l.Beat(node), nil })
}

// Forget does queues.Store.Forget.
func (s *Store) Forget(ctx context.Context, node string) error {
	return run(ctx, s, func(l *Ledger) error { l.Forget(node); return nil })
}

// Secret does queues.Store.Secret.
func (s *Store) Secret(ctx context.Context) ([]byte, error) {
	return answer(ctx, s, func(l *Ledger) ([]byte, error) { return slices.Clone(l.Secret()), nil })
}
