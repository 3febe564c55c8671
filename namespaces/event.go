package namespaces

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
)

// Args are arguments as they came, decoded on demand.
type Args = parser.Args

// Event is something that a client sent.
type Event struct {
	Name   string
	Socket *Socket // that sent it
	Args   Args    // the arguments behind the name

	handler *handler // nil: there is none
	id      int64    // ack id; -1: none asked for
	acked   atomic.Bool
	size    int // bytes that it holds in the mailbox
}

// events are those that were handled and that nobody has kept.
var events = sync.Pool{New: func() any { return new(Event) }}

// Decode decodes the arguments into the pointers, in order. Arguments that the
// client left out leave theirs as they are. []byte fields take binary
// attachments. The error is a *DecodeError.
func (e *Event) Decode(into ...any) error {
	for i, v := range into {
		if err := e.Args.Decode(i, v); err != nil {
			return &DecodeError{e.Name, i, err}
		}
	}
	return nil
}

// WantsAck reports whether the client asked for an ack that wasn't sent yet.
func (e *Event) WantsAck() bool { return e.id >= 0 && !e.acked.Load() }

// Ack answers the event, once. It may be called after the handler has returned.
// It fails with ErrNoAck if no ack was asked for, or it was sent already, and
// as Socket.Emit does if it can't be sent; another Ack may follow then.
func (e *Event) Ack(args ...any) error {
	if e.id < 0 || !e.acked.CompareAndSwap(false, true) {
		return ErrNoAck
	}
	sent := false
	defer func() {
		if !sent { // what can't be encoded, or panics, is no answer: another may follow
			e.acked.Store(false)
		}
	}()
	err := e.answer(args)
	sent = err == nil
	return err
}

func (e *Event) answer(args []any) error {
	s, reg := e.Socket, e.Socket.ns.reg
	if reg.cfg.Codec == parser.JSON {
		b := engine.NewSingle()
		packet, err := parser.EncodeAck(b.Buffer(), s.ns.name, e.id, args...)
		return s.queueDirect(b, packet, err)
	}
	data, err := parser.Marshal(args...)
	if err == nil {
		err = reg.checkAttachments(len(data.Attachments))
	}
	if err != nil {
		return err
	}
	return s.send(&parser.Packet{Type: parser.Ack, Namespace: s.ns.name, ID: e.id, Payload: data})
}

// ackLast is Ack with the value that v points to, as the last thing in the event's turn. It reports
// false if Ack has to do it: the value isn't simple, or there was an ack already.
func (e *Event) ackLast(v any) bool {
	s := e.Socket
	if s.ns.reg.cfg.Codec != parser.JSON || e.acked.Load() {
		return false
	}
	b := engine.NewSingle()
	text, ok := parser.AppendAck(b.Buffer(), s.ns.name, e.id, v)
	if !ok || !e.acked.CompareAndSwap(false, true) {
		b.Release()
		return false
	}
	b.SetText(text)
	s.queueLast(b)
	return true
}

// handler is the program's function for an event.
type handler struct {
	name string // shared by its events, so that a name needn't be copied for each
	run  func(context.Context, *Event) error
	// answers: the event is acked (with nothing) if run returned nil and did
	// not ack itself.
	answers bool
	// private: the program doesn't see the event, only what was decoded from it.
	private bool
}

// Handle registers f for an event, replacing an earlier handler. It decodes
// and acks by itself; an error it returns becomes the ack if one was asked for and not sent.
func (ns *Namespace) Handle(event string, f func(ctx context.Context, e *Event) error) {
	ns.handle(&handler{name: event, run: f})
}

func (ns *Namespace) handle(new *handler) {
	ns.change(func(h *hooks) {
		if h.handlers == nil {
			h.handlers = map[string]*handler{}
		}
		h.handlers[new.name] = new
	})
}

// HandleOther registers f for the events that have no handler.
func (ns *Namespace) HandleOther(f func(ctx context.Context, e *Event) error) {
	ns.change(func(h *hooks) { h.other = f })
}

// On registers f for an event with one argument of type T. Its handlers for one
// socket run one after the other, in the order of the events; f may wait, also for acks of the same
// socket. An argument that doesn't fit T is answered with an error and reported
// (see OnError), the connection lives on. If the client asked for an ack, it
// gets one without arguments when f returns nil, else {ok:false, code, message}.
func On[T any](ns *Namespace, event string, f func(ctx context.Context, s *Socket, v T) error) {
	run := func(ctx context.Context, e *Event) error {
		var v T
		if err := e.Args.Decode(0, &v); err != nil {
			return &DecodeError{e.Name, 0, err}
		}
		return f(ctx, e.Socket, v)
	}
	ns.handle(&handler{name: event, run: run, answers: true, private: true})
}

// OnAck is On for a handler that answers: the ack carries its result.
func OnAck[T, R any](ns *Namespace, event string, f func(ctx context.Context, s *Socket, v T) (R, error)) {
	exchanges := sync.Pool{New: func() any { return new(exchange[T, R]) }}
	run := func(ctx context.Context, e *Event) error {
		x := exchanges.Get().(*exchange[T, R])
		if err := e.Args.Decode(0, &x.in); err != nil {
			return &DecodeError{e.Name, 0, err}
		}
		var err error
		x.out, err = f(ctx, e.Socket, x.in)
		if err == nil && e.id >= 0 && !e.ackLast(&x.out) {
			err = e.Ack(x.out)
		}
		*x = exchange[T, R]{}
		exchanges.Put(x)
		return err
	}
	ns.handle(&handler{name: event, run: run, private: true})
}

// exchange is where the argument of a handler is decoded to, and what it answers
// is encoded from. It is pooled; the handler gets and gives values.
type exchange[T, R any] struct {
	in  T
	out R
}

// dispatch runs everything that belongs to an event. An event may have come while the
// middlewares ran, and they may have refused its socket.
func (s *Socket) dispatch(e *Event) {
	if !s.heard.Load() {
		return
	}
	ns := s.ns
	hooks := ns.hooks.Load()
	ctx := s.Context()
	for _, f := range hooks.any {
		ns.report(s, ns.guard("OnAny", func() error { f(ctx, e); return nil }))
	}
	err := s.handleEvent(ctx, hooks, e)
	if err != nil {
		ns.reg.stats.handlerErrors.Add(1)
		if e.WantsAck() {
			told := ns.guard("the answer to "+quote(e.Name), func() error { return e.Ack(answerTo(err)) })
			if told != nil {
				_ = e.Ack(answerTo(told))
			}
		}
		ns.report(s, err)
	} else if e.handler != nil && e.handler.answers && e.WantsAck() {
		_ = e.Ack()
	}
	if err == nil && e.handler != nil && e.handler.private && len(hooks.any)+len(hooks.useEvent) == 0 {
		*e = Event{}
		events.Put(e)
	}
}

func (s *Socket) handleEvent(ctx context.Context, hooks *hooks, e *Event) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = s.ns.reg.panicked("handler of "+quote(e.Name), v)
		}
	}()
	for _, f := range hooks.useEvent {
		if err := f(ctx, e); err != nil {
			return err
		}
	}
	if len(hooks.useEvent) > 0 { // they may have renamed it
		e.handler = hooks.handlers[e.Name]
	}
	switch {
	case e.handler != nil:
		return e.handler.run(ctx, e)
	case hooks.other != nil:
		return hooks.other(ctx, e)
	}
	s.ns.reg.stats.unhandled.Add(1)
	return nil
}
