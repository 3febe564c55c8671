package namespaces

import (
	"context"
	"fmt"
	"iter"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/parser"
)

// local is a namespace as its adapter sees it.
type local struct{ ns *Namespace }

var (
	_ adapters.Local    = local{}
	_ adapters.Rooms    = local{}
	_ adapters.Gatherer = local{}
)

// Apply does op on the sockets of this node. It doesn't wait for anything.
func (l local) Apply(op *adapters.Op) {
	ns := l.ns
	switch op.Kind {
	case adapters.Emit:
		ns.broadcast(op)
	case adapters.Join:
		for s := range ns.index.Select(op.Target).All() {
			if err := s.join(op.Rooms, false); err != nil && err != ErrDisconnected {
				ns.report(s, err)
			}
		}
	case adapters.Leave:
		for s := range ns.index.Select(op.Target).All() {
			s.leave(op.Rooms, false)
		}
	case adapters.Disconnect:
		for s := range ns.index.Select(op.Target).All() {
			s.disconnect(op.Close, false)
		}
	case adapters.ServerEmit:
		if e := ns.serverEvent(op.Data); e != nil {
			ns.runServerEvent(e)
		}
	}
}

// Gather queues an event for its local receivers until Flush.
func (l local) Gather(op *adapters.Op) {
	ns := l.ns
	ns.order.Lock()
	defer ns.order.Unlock()
	ns.fanOut(op, delivery{}, &ns.fan)
}

// HasRoom reports whether a socket of this node is in the room.
func (l local) HasRoom(name string) bool { return l.ns.index.Len(name) > 0 }

// RoomNames returns all rooms of this node.
func (l local) RoomNames() []string { return l.ns.index.Names() }

// runServerEvent runs a handler after those of earlier server events, not on
// the adapter's goroutine: it may wait for what that has to bring.
func (ns *Namespace) runServerEvent(e *ServerEvent) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if len(ns.events) >= ns.reg.cfg.Limits.WaitingEvents {
		ns.reg.log.Error("too many server events wait for their handlers: one was dropped", "namespace", ns.name, "event", e.Name)
		return
	}
	ns.events = append(ns.events, e)
	if len(ns.events) > 1 {
		return
	}
	ns.reg.running.begin()
	go func() {
		defer ns.reg.running.end()
		for e := e; e != nil; {
			e.run(context.Background())
			ns.mu.Lock()
			ns.events = ns.events[1:]
			if e = nil; len(ns.events) > 0 {
				e = ns.events[0]
			}
			ns.mu.Unlock()
		}
	}()
}

// Answer does op and yields what this node has to say.
func (l local) Answer(ctx context.Context, op *adapters.Op) iter.Seq[adapters.Reply] {
	return func(yield func(adapters.Reply) bool) {
		switch op.Kind {
		case adapters.Fetch:
			yield(adapters.Reply{Clients: -1, Sockets: l.ns.describe(op.Target)})
		case adapters.Ask:
			l.answerAsk(ctx, op, yield)
		case adapters.ServerAsk:
			if e := l.ns.serverEvent(op.Data); e != nil {
				e.run(ctx)
				if e.answered {
					yield(adapters.Reply{Clients: -1, Data: e.answer})
				}
			}
		}
	}
}

func (l local) answerAsk(ctx context.Context, op *adapters.Op, yield func(adapters.Reply) bool) {
	q := l.ns.askLocal(op)
	defer q.end()
	if !yield(adapters.Reply{Clients: len(q.sockets)}) {
		return
	}
	for range q.sockets {
		select {
		case o := <-q.outcomes:
			if o.err == nil && !yield(adapters.Reply{Clients: -1, Data: o.args.Payload()}) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// ServerEvent is an event that another node has sent with ServerSideEmit.
type ServerEvent struct {
	Name string
	Args Args // the arguments behind the name

	ns       *Namespace
	handle   func(context.Context, *ServerEvent) error
	answered bool
	answer   parser.Payload
}

// Answer answers the node that asked (see ServerSideCall), once.
func (e *ServerEvent) Answer(v any) error {
	if e.answered {
		return ErrNoAck
	}
	p, err := parser.Marshal(v)
	if err != nil {
		return err
	}
	e.answered, e.answer = true, p
	return nil
}

// HandleServer registers f for an event that other nodes send with ServerSideEmit or ServerSideCall.
func (ns *Namespace) HandleServer(event string, f func(ctx context.Context, e *ServerEvent) error) {
	ns.change(func(h *hooks) {
		if h.server == nil {
			h.server = map[string]func(context.Context, *ServerEvent) error{}
		}
		h.server[event] = f
	})
}

// ServerSideEmit sends an event to the other nodes of the cluster: their
// HandleServer functions for this namespace get it. A node that is alone has nobody to send to.
// Reserved names are refused, "connection" and "new_namespace" among them.
func (ns *Namespace) ServerSideEmit(ctx context.Context, event string, args ...any) error {
	data, err := marshalServerEvent(event, args)
	if err != nil {
		return err
	}
	return ns.adapter.Publish(ctx, &adapters.Op{Kind: adapters.ServerEmit, Data: data})
}

// ServerSideCall is ServerSideEmit that waits for an answer from every other
// node. It returns what came, also when the error says that nodes are missing.
func (ns *Namespace) ServerSideCall(ctx context.Context, event string, args ...any) ([]Args, error) {
	data, err := marshalServerEvent(event, args)
	if err != nil {
		return nil, err
	}
	var answers []Args
	for r, rerr := range ns.adapter.Request(ctx, &adapters.Op{Kind: adapters.ServerAsk, Data: data}) {
		if rerr != nil {
			err = rerr
			continue
		}
		if a, aerr := parser.ParseArgs(r.Data); aerr == nil {
			answers = append(answers, a)
		}
	}
	return answers, err
}

// marshalServerEvent is parser.MarshalEvent, and refuses what means something else to
// official servers among the nodes, too.
func marshalServerEvent(event string, args []any) (parser.Payload, error) {
	if event == "connection" || event == "new_namespace" {
		return parser.Payload{}, fmt.Errorf("%w: %q", parser.ErrReserved, event)
	}
	return parser.MarshalEvent(event, args...)
}

// serverEvent returns the event if this node has a handler for it.
func (ns *Namespace) serverEvent(data parser.Payload) *ServerEvent {
	p := parser.Packet{Type: parser.Event, Payload: data}
	e := &ServerEvent{Name: p.Event(), Args: p.Args(), ns: ns}
	if e.handle = ns.hooks.Load().server[e.Name]; e.handle == nil {
		return nil
	}
	return e
}

func (e *ServerEvent) run(ctx context.Context) {
	if err := e.ns.guard("server event "+quote(e.Name), func() error { return e.handle(ctx, e) }); err != nil {
		e.ns.reg.log.Error("a server event's handler failed", "namespace", e.ns.name, "event", e.Name, "error", err)
	}
}
