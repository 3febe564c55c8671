package namespaces

import (
	"context"
	"fmt"
	"time"

	"github.com/roomcast/roomcast/parser"
)

// Answer is what a client has acked with.
type Answer struct {
	Socket string // id of the socket
	Args   Args   // of the ack
}

// Decode decodes the ack's arguments into the pointers, in order.
func (a *Answer) Decode(into ...any) error {
	for i, v := range into {
		if err := a.Args.Decode(i, v); err != nil {
			return &DecodeError{"ack", i, err}
		}
	}
	return nil
}

// Waiter is who wants to know of an ack.
type Waiter interface {
	// Acked is told what the client has acked with, or why there is no ack: ErrDisconnected, or
	// what is wrong with it. Then args mean nothing. It is called once, and must not block: it may be the reader of the connection who calls.
	Acked(s *Socket, args Args, err error)
}

// expected is an ack that somebody waits for.
type expected struct {
	w       Waiter
	ordered bool // w is told after the handlers of what came before
}

// resolve hands an ack to who waits for it, or the error for which it isn't taken.
// Unknown, late and second acks are ignored, as officially.
func (s *Socket) resolve(p *parser.Packet, err error) {
	s.mu.Lock()
	x := s.acks[p.ID]
	delete(s.acks, p.ID)
	s.mu.Unlock()
	if x.w == nil {
		s.ns.reg.stats.lateAcks.Add(1)
		return
	}
	switch {
	case !x.ordered:
		x.w.Acked(s, p.Args(), err)
	case s.mail().rests():
		s.ns.report(s, s.ns.guard("Acked", func() error { x.w.Acked(s, p.Args(), err); return nil }))
	default:
		s.ackLater(x.w, p.Args(), err)
	}
}

// ackLater tells w of an ack behind what the mailbox has.
func (s *Socket) ackLater(w Waiter, args Args, err error) {
	s.mu.Lock()
	s.callbacks++
	s.mu.Unlock()
	s.putCallback("Acked", func() { w.Acked(s, args, err) })
}

// putCallback has f run in the socket's mailbox; it is one of s.callbacks until then.
func (s *Socket) putCallback(what string, f func()) {
	s.mail().put(func() {
		s.mu.Lock()
		s.callbacks--
		s.mu.Unlock()
		s.ns.report(s, s.ns.guard(what, func() error { f(); return nil }))
	})
	s.mail().start(s)
}

// Expect sends an event and has w told of the ack, without a time limit. Unlike EmitAck's function w is told without waiting for its
// turn, but not before the socket's handlers of what the client sent before the ack are done. Unexpect takes id. The ack
// counts as pending (Limits.PendingAcks). w isn't told anything if Expect fails.
func (s *Socket) Expect(w Waiter, event string, args ...any) (id int64, err error) {
	if id, err = s.expect(-1, expected{w, true}); err != nil {
		return 0, err
	}
	if err := s.sendEvent(id, event, args); err != nil && s.unexpect(id, w) {
		return 0, err
	}
	return id, nil // the socket may have gone meanwhile, of which w was told
}

// Unexpect forgets an ack: w isn't told of it any more, unless it is being told.
func (s *Socket) Unexpect(id int64, w Waiter) { s.unexpect(id, w) }

// expect registers who wants to know of an ack. With id < 0 the socket's next id is taken.
func (s *Socket) expect(id int64, x expected) (int64, error) {
	id, err := s.register(id, x)
	if err == ErrTooManyAcks {
		s.ns.reg.stats.rejected("acks")
	}
	return id, err
}

func (s *Socket) register(id int64, x expected) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load() >= closing {
		return 0, ErrDisconnected
	}
	if len(s.acks)+s.callbacks >= s.ns.reg.cfg.Limits.PendingAcks {
		return 0, ErrTooManyAcks
	}
	if id < 0 {
		id = int64(s.nextAck)
		s.nextAck = (s.nextAck + 1) & (1<<30 - 1)
	}
	if s.acks == nil {
		s.acks = map[int64]expected{}
	}
	s.acks[id] = x
	return id, nil
}

// unexpect forgets a pending ack, and reports whether it was pending.
func (s *Socket) unexpect(id int64, w Waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending := s.acks[id].w == w
	if pending {
		delete(s.acks, id)
	}
	return pending
}

// outcome is an ack, or why there is none.
type outcome struct {
	socket *Socket
	args   Args
	err    error
}

// outcomes is a Waiter that passes on to a channel with room for all.
type outcomes chan outcome

func (c outcomes) Acked(s *Socket, args Args, err error) { c <- outcome{s, args, err} }

// Call sends an event and waits for the client's ack, until ctx ends: its
// deadline is the ack's timeout (Config.AckTimeout if there is none). A
// handler may call the socket that it runs for. The error is ErrAckTimeout, ErrDisconnected,
// ErrTooManyAcks, or says why the event can't be sent.
func (s *Socket) Call(ctx context.Context, event string, args ...any) (*Answer, error) {
	c := make(outcomes, 1)
	id, err := s.expect(-1, expected{w: c})
	if err != nil {
		return nil, err
	}
	defer s.unexpect(id, c)
	if err := s.sendEvent(id, event, args); err != nil {
		return nil, err
	}
	defer s.await()()
	timeout, stop := s.ns.reg.ackTimer(ctx)
	defer stop()
	select {
	case o := <-c:
		if o.err != nil {
			return nil, o.err
		}
		return &Answer{s.id, o.args}, nil
	case <-timeout:
		return nil, ErrAckTimeout
	case <-ctx.Done():
		if s.state.Load() >= closing { // ctx may be, or come from, the socket's own
			return nil, ErrDisconnected
		}
		return nil, ackError(ctx)
	}
}

// EmitAck is Call for who doesn't want to wait: f is called once, with the answer or
// the error, in turn with the socket's handlers. The ack counts as pending until then
// (Limits.PendingAcks). f isn't called if EmitAck fails.
func (s *Socket) EmitAck(f func(*Answer, error), event string, args ...any) error {
	w := &callback{s: s, f: f}
	id, err := s.expect(-1, expected{w: w})
	if err != nil {
		return err
	}
	if timeout := s.ns.reg.cfg.AckTimeout; timeout > 0 {
		s.mu.Lock()
		w.timer = time.AfterFunc(timeout, func() {
			s.unexpect(id, w)
			w.Acked(s, Args{}, ErrAckTimeout)
		})
		s.mu.Unlock()
	}
	if err := s.sendEvent(id, event, args); err != nil {
		s.unexpect(id, w)
		if w.forget() {
			return err
		}
		// The socket has gone meanwhile, and f was called.
	}
	return nil
}

// callback is a Waiter that runs f in the socket's mailbox, once.
type callback struct {
	s     *Socket
	f     func(*Answer, error)
	timer *time.Timer
}

func (w *callback) Acked(s *Socket, args Args, err error) {
	if err != nil {
		w.settle(nil, err)
	} else {
		w.settle(&Answer{s.id, args}, nil)
	}
}

// forget reports whether f was not called; it won't be then.
func (w *callback) forget() bool {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if w.f == nil {
		return false
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.f = nil
	return true
}

func (w *callback) settle(a *Answer, err error) {
	s := w.s
	s.mu.Lock()
	f, timer := w.f, w.timer
	w.f = nil
	if f != nil {
		s.callbacks++
	}
	s.mu.Unlock()
	if f == nil {
		return
	}
	if timer != nil {
		timer.Stop()
	}
	s.putCallback("ack callback", func() { f(a, err) })
}

// await tells the connection that a handler is about to wait for its client: what was
// gathered is written, and the reader keeps reading. The result takes it back.
func (s *Socket) await() func() {
	s.client.sess.Push()
	s.client.waiting.Add(1)
	return func() { s.client.waiting.Add(-1) }
}

// ackTimer returns a channel that fires after the default timeout if ctx has no
// deadline, else nil.
func (reg *Registry) ackTimer(ctx context.Context) (<-chan time.Time, func()) {
	if _, ok := ctx.Deadline(); ok {
		return nil, func() {}
	}
	t := time.NewTimer(reg.cfg.AckTimeout)
	return t.C, func() { t.Stop() }
}

// ackError says why ctx ended the wait for an ack.
func ackError(ctx context.Context) error {
	if ctx.Err() == context.DeadlineExceeded {
		return ErrAckTimeout
	}
	return fmt.Errorf("server: wait for ack: %w", context.Cause(ctx))
}
