package queues

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Handle gives a consumer, which has no Deliver function, a handler, and starts it. It decodes the data of each message as
// JSON into a T (a Payload is left as it is) and runs f, as many at a time as the consumer's prefetch.
//
// What f returns settles the message: nil is Ack, an error Nack with the queue's backoff. RetryAfter, ReturnMessage and
// RejectMessage make errors that say otherwise. Data that isn't a T, and a panic, are errors too; the first is
// rejected. ctx ends when the message isn't the consumer's any more.
func Handle[T any](c *Consumer, f func(ctx context.Context, m *Message, v T) error) error {
	return c.handle(func(ctx context.Context, m *Message) error {
		var v T
		if p, ok := any(&v).(*Payload); ok {
			*p = m.Payload
		} else if err := json.Unmarshal(m.Payload.JSON, &v); err != nil {
			return RejectMessage(fmt.Errorf("decode: %w", err))
		}
		return f(ctx, m, v)
	})
}

// verdict is an error that says how a hand-out ends.
type verdict struct {
	error
	outcome Outcome
	delay   time.Duration
}

func (v *verdict) Unwrap() error { return v.error }

// RetryAfter makes an error of a handler that has the message tried again after d, at once if d is 0.
func RetryAfter(d time.Duration, err error) error {
	if d <= 0 {
		d = -1
	}
	return &verdict{cause(err), Nack, d}
}

// ReturnMessage makes an error of a handler that gives the message back to the head of the queue, uncounted.
func ReturnMessage(err error) error { return &verdict{cause(err), Release, 0} }

// RejectMessage makes an error of a handler that makes the message dead.
func RejectMessage(err error) error { return &verdict{cause(err), Reject, 0} }

func cause(err error) error {
	if err == nil {
		return errors.New("no reason given")
	}
	return err
}

// handler runs a function for the messages of a consumer.
type handler struct {
	c      *Consumer
	run    func(context.Context, *Message) error
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	queue   []*Message
	running map[Ref]context.CancelFunc
	workers int
	stopped bool
	idle    *sync.Cond
}

func (c *Consumer) handle(run func(context.Context, *Message) error) error {
	if c.cfg.Deliver != nil {
		return Refuse(CodeConflict, "the consumer has a Deliver function")
	}
	h := &handler{c: c, run: run, running: map[Ref]context.CancelFunc{}}
	h.idle = sync.NewCond(&h.mu)
	h.ctx, h.cancel = context.WithCancel(c.lane.b.ctx)
	if !c.handler.CompareAndSwap(nil, h) {
		h.cancel()
		return Refuse(CodeConflict, "the consumer has a handler")
	}
	c.Start()
	return nil
}

func (h *handler) deliver(ms []*Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return
	}
	h.queue = append(h.queue, ms...)
	for h.workers < min(len(h.queue)+len(h.running), maxPrefetch) {
		h.workers++
		go h.work()
	}
}

// waiting returns how many messages are there and not done with.
func (h *handler) waiting() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.queue) + len(h.running)
}

// work handles messages until there are none.
func (h *handler) work() {
	for {
		h.mu.Lock()
		if len(h.queue) == 0 {
			h.workers--
			h.idle.Broadcast()
			h.mu.Unlock()
			return
		}
		m := h.queue[0]
		h.queue = h.queue[1:]
		ctx, cancel := context.WithCancel(h.ctx)
		h.running[m.Ref()] = cancel
		h.mu.Unlock()

		err := h.try(ctx, m)
		cancel()
		h.mu.Lock()
		delete(h.running, m.Ref())
		stopped := h.stopped
		h.mu.Unlock()
		if h.c.cfg.AtMostOnce {
			h.c.lane.kick()
			continue
		}
		if stopped && err != nil {
			continue // it was given back
		}
		outcome, delay, text := Ack, time.Duration(0), ""
		if err != nil {
			outcome, text = Nack, err.Error()
			if v := (*verdict)(nil); errors.As(err, &v) {
				outcome, delay = v.outcome, v.delay
			}
		}
		h.c.Settle(m, outcome, delay, text, nil)
	}
}

func (h *handler) try(ctx context.Context, m *Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			h.c.lane.b.log.Error("queues: a handler panicked", "queue", m.Queue, "id", m.ID, "panic", p)
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return h.run(ctx, m)
}

// revoke ends the contexts of messages, and forgets those that haven't begun.
func (h *handler) revoke(ms []*Message) {
	gone := make(map[Ref]bool, len(ms))
	for _, m := range ms {
		gone[m.Ref()] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := h.queue[:0:0]
	for _, m := range h.queue {
		if !gone[m.Ref()] {
			kept = append(kept, m)
		}
	}
	h.queue = kept
	for ref := range gone {
		if cancel := h.running[ref]; cancel != nil {
			cancel()
		}
	}
}

// stop ends all contexts, and forgets what hasn't begun.
func (h *handler) stop() {
	h.mu.Lock()
	h.stopped = true
	h.queue = nil
	h.mu.Unlock()
	h.cancel()
}

// wait returns when no handler runs.
func (h *handler) wait() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.workers > 0 {
		h.idle.Wait()
	}
}
