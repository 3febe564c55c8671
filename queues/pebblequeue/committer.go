package pebblequeue

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/internal/ledger"
)

// op is something to do with the ledger.
type op struct {
	f    func(*ledger.Ledger)
	done chan error
}

var ops = sync.Pool{New: func() any { return &op{done: make(chan error, 1)} }}

// commit is a group of operations on its way to the disk.
type commit struct {
	ops    []*op
	batch  *pebble.Batch // nil: there was nothing to write
	events []ledger.Event
	err    error
}

// maxGroup is how many operations are committed together, at most.
const maxGroup = 1024

// do has the committer run f. The caller may give up waiting before it has run; then it runs all the same.
func (s *Store) do(ctx context.Context, f func(*ledger.Ledger)) error {
	if ctx.Err() != nil {
		return queues.ErrUnavailable
	}
	o := ops.Get().(*op)
	o.f = f
	s.mu.Lock()
	if s.closing || s.failed != nil {
		err := refusal(s.failed)
		s.mu.Unlock()
		return err
	}
	s.waiting = append(s.waiting, o)
	first := len(s.waiting) == 1
	s.mu.Unlock()
	if first {
		s.poke()
	}
	// f writes to what the caller has, so the caller must not go before it has run. That is a matter of one
	// write to the disk.
	err := <-o.done
	o.f = nil
	ops.Put(o)
	return err
}

func (s *Store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// commitLoop runs operations, many at a time, and hands what they have written to the log. While a group is
// being synced the next one is run and written, and the one after gathers.
func (s *Store) commitLoop() {
	defer close(s.groups)
	for range s.wake {
		for {
			runtime.Gosched() // who is about to ask for something does so first
			s.mu.Lock()
			group := s.waiting
			s.waiting = make([]*op, 0, len(group))
			closing := s.closing
			s.mu.Unlock()
			if len(group) == 0 && closing {
				s.groups <- s.run([]*op{{f: (*ledger.Ledger).Close, done: make(chan error, 1)}})
				return
			}
			if len(group) == 0 {
				break
			}
			for part := range slices.Chunk(group, maxGroup) {
				s.groups <- s.run(part)
			}
		}
	}
}

// run runs operations and writes what they have changed.
func (s *Store) run(group []*op) *commit {
	c := &commit{ops: group}
	if c.err = s.failure(); c.err != nil {
		return c
	}
	defer s.caught(func(err error) { c.err = err })
	s.state.Begin(s.clock().UnixMilli())
	for _, o := range group {
		o.f(s.state)
	}
	c.events = s.state.Events()
	if c.err = s.kv.err; c.err != nil {
		c.err = s.fail(c.err)
		return c
	}
	if c.batch = s.kv.take(); c.batch != nil {
		if err := s.db.ApplyNoSyncWait(c.batch, pebble.Sync); err != nil {
			c.err = s.fail(err)
		}
		s.kv.trim()
	}
	return c
}

// syncLoop waits until groups are on disk, and lets their callers go on.
func (s *Store) syncLoop() {
	defer close(s.done)
	for c := range s.groups {
		if c.err == nil && c.batch != nil {
			if err := c.batch.SyncWait(); err != nil {
				c.err = s.fail(err)
			}
			c.batch.Close()
		}
		if c.err == nil {
			c.err = s.failure()
		}
		if c.err == nil {
			s.Tell(c.events)
		}
		for i, o := range c.ops {
			o.done <- c.err
			c.ops[i] = nil
		}
	}
}

func (s *Store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return refusal(s.failed)
	}
	return nil
}

// refusal is what callers get of a store that has failed, or is closed if failed is nil.
func refusal(failed error) error {
	if failed == nil {
		return queues.ErrUnavailable
	}
	return &queues.Error{Code: queues.CodeUnavailable, Message: queues.ErrUnavailable.Message, RetryAfter: queues.ErrUnavailable.RetryAfter, Cause: failed}
}

// caught, deferred, ends the store where the database says that it can't go on, and tells then what callers get.
func (s *Store) caught(then func(error)) {
	if p := recover(); p != nil {
		msg, ok := p.(fatal)
		if !ok {
			panic(p)
		}
		then(s.fail(errors.New(string(msg))))
	}
}

// fail ends the store: nobody knows what is on disk, so nothing more is promised. It returns what callers get.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	first := s.failed == nil
	if first {
		s.failed = fmt.Errorf("restart the server when the disk is well: %w", err)
	}
	err = refusal(s.failed)
	s.mu.Unlock()
	if first {
		// As text: slog would write the stack that Pebble's errors have.
		s.log.Error("queues: the store has failed", "error", s.failed.Error())
	}
	return err
}
