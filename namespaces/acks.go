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

// waiter is who wants to know of an ack. Its methods must not block.
type waiter interface {
	ack(s *Socket, args Args)
	fail(s *Socket, err error)
}

// resolve hands an ack to who waits for it, or the error for which it isn't taken.
// Unknown, late and second acks are ignored, as officially.
func (s *Socket) resolve(p *parser.Packet, err error) {
	s.mu.Lock()
	w := s.acks[p.ID]
	delete(s.acks, p.ID)
	s.mu.Unlock()
	if w == nil {
		s.ns.reg.stats.lateAcks.Add(1)
		return
	}
	if err != nil {
		w.fail(s, err)
	} else {
		w.ack(s, p.Args())
	}
}

// expect registers w for an ack. With id < 0 the socket's next id is taken.
func (s *Socket) expect(id int64, w waiter) (int64, error) {
	id, err := s.register(id, w)
	if err == ErrTooManyAcks {
		s.ns.reg.stats.rejected("acks")
	}
	return id, err
}

func (s *Socket) register(id int64, w waiter) (int64, error) {
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
		s.acks = map[int64]waiter{}
	}
	s.acks[id] = w
	return id, nil
}

// unexpect forgets a pending ack.
func (s *Socket) unexpect(id int64, w waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.acks[id] == w {
		delete(s.acks, id)
	}
}

// outcome is an ack, or why there is none.
type outcome struct {
	socket *Socket
	args   Args
	err    error
}

// outcomes is a waiter that passes on to a channel with room for all.
type outcomes chan outcome

func (c outcomes) ack(s *Socket, args Args)  { c <- outcome{s, args, nil} }
func (c outcomes) fail(s *Socket, err error) { c <- outcome{s, Args{}, err} }

// Call sends an event and waits for the client's ack, until ctx ends: its
// deadline is the ack's timeout (Config.AckTimeout if there is none). A
// handler may call the socket that it runs for. The error is ErrAckTimeout, ErrDisconnected,
// ErrTooManyAcks, or says why the event can't be sent.
func (s *Socket) Call(ctx context.Context, event string, args ...any) (*Answer, error) {
	c := make(outcomes, 1)
	id, err := s.expect(-1, c)
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
	_, err := s.ask(f, s.ns.reg.cfg.AckTimeout, event, args)
	return err
}

// Ask is EmitAck without a time limit: for acks that say that work is done. cancel
// forgets the ack; f isn't called after it, unless it is being called.
func (s *Socket) Ask(f func(*Answer, error), event string, args ...any) (cancel func(), err error) {
	return s.ask(f, 0, event, args)
}

// ask waits for an ack without a limit if timeout is zero.
func (s *Socket) ask(f func(*Answer, error), timeout time.Duration, event string, args []any) (cancel func(), err error) {
	w := &callback{s: s, f: f}
	id, err := s.expect(-1, w)
	if err != nil {
		return nil, err
	}
	if timeout > 0 {
		s.mu.Lock()
		w.timer = time.AfterFunc(timeout, func() {
			s.unexpect(id, w)
			w.fail(s, ErrAckTimeout)
		})
		s.mu.Unlock()
	}
	if err := s.sendEvent(id, event, args); err != nil {
		s.unexpect(id, w)
		if w.forget() {
			return nil, err
		}
		// The socket has gone meanwhile, and f was called.
	}
	return func() {
		s.unexpect(id, w)
		w.forget()
	}, nil
}

// callback is a waiter that runs f in the socket's mailbox, once.
type callback struct {
	s     *Socket
	f     func(*Answer, error)
	timer *time.Timer
}

func (w *callback) ack(s *Socket, args Args)  { w.settle(&Answer{s.id, args}, nil) }
func (w *callback) fail(s *Socket, err error) { w.settle(nil, err) }

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
	s.mail().put(func() {
		s.mu.Lock()
		s.callbacks--
		s.mu.Unlock()
		s.ns.report(s, s.ns.guard("ack callback", func() error { f(a, err); return nil }))
	})
	s.mail().start(s)
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
