package namespaces

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/rooms"
)

// Broadcast names sockets of a namespace, on all nodes, and how to send to
// them. It is a value: each method returns a changed copy, so that it may be
// kept and chained freely. Without rooms it means all sockets.
type Broadcast struct {
	ns            *Namespace
	rooms, except []string
	local         bool
	volatile      bool
	noCompress    bool
}

// All returns a broadcast to all sockets of the namespace. Of a parent it means
// all sockets of its children.
func (ns *Namespace) All() Broadcast { return Broadcast{ns: ns} }

// To returns a broadcast to the members of rooms.
func (ns *Namespace) To(rooms ...string) Broadcast { return ns.All().To(rooms...) }

// Except returns a broadcast to all sockets that are in none of the rooms.
func (ns *Namespace) Except(rooms ...string) Broadcast { return ns.All().Except(rooms...) }

// Local returns a broadcast to the sockets of this node.
func (ns *Namespace) Local() Broadcast { return ns.All().Local() }

// Emit sends an event to all sockets of the namespace, on all nodes.
func (ns *Namespace) Emit(ctx context.Context, event string, args ...any) error {
	return ns.All().Emit(ctx, event, args...)
}

// FetchSockets describes all sockets of the namespace, on all nodes.
func (ns *Namespace) FetchSockets(ctx context.Context) ([]RemoteSocket, error) {
	return ns.All().FetchSockets(ctx)
}

// To adds rooms. A socket that is in several gets the event once. A socket's
// own room is named by its id.
func (b Broadcast) To(rooms ...string) Broadcast {
	b.rooms = append(slices.Clip(b.rooms), rooms...)
	return b
}

// In is To, as in the official API.
func (b Broadcast) In(rooms ...string) Broadcast { return b.To(rooms...) }

// Except leaves out who is in any of the rooms.
func (b Broadcast) Except(rooms ...string) Broadcast {
	b.except = append(slices.Clip(b.except), rooms...)
	return b
}

// Local restricts the broadcast to this node.
func (b Broadcast) Local() Broadcast { b.local = true; return b }

// Volatile lets the event be dropped for sockets to which it can't be written at once.
func (b Broadcast) Volatile() Broadcast { b.volatile = true; return b }

// Compress says whether the transport may compress the event, if it
// compresses at all. It may by default.
func (b Broadcast) Compress(on bool) Broadcast { b.noCompress = !on; return b }

func (b Broadcast) target() rooms.Target { return rooms.Target{Rooms: b.rooms, Except: b.except} }

func ownRoom(s *Socket) rooms.Target { return rooms.Target{Rooms: []string{s.id}} }

// Emit sends an event to the sockets named. Values are encoded once, as
// Socket.Emit does. It doesn't wait for any client. What one goroutine emits
// arrives in that order. The error is about encoding, or about
// telling the other nodes; sockets of this node have got the event in the latter case.
func (b Broadcast) Emit(ctx context.Context, event string, args ...any) error {
	data, err := b.ns.reg.marshalEvent(event, args)
	if err != nil {
		return err
	}
	op := &adapters.Op{Kind: adapters.Emit, Target: b.target(), Data: data, Volatile: b.volatile, NoCompress: b.noCompress}
	if !b.ns.isParent() {
		return b.ns.emit(ctx, op, b.local)
	}
	for _, child := range b.ns.childList() {
		err = errors.Join(err, child.emit(ctx, op, b.local))
	}
	return err
}

// emit sends an event here and, unless local, to the other nodes.
func (ns *Namespace) emit(ctx context.Context, op *adapters.Op, local bool) error {
	ns.reg.stats.broadcasts.Add(1)
	if ns.log != nil && op.Recoverable() && !local {
		return ns.log.Append(ctx, op)
	}
	ns.broadcastInTurn(op)
	if local {
		return nil
	}
	return ns.adapter.Publish(ctx, op)
}

// broadcast sends an event that isn't logged to its local receivers.
func (ns *Namespace) broadcast(op *adapters.Op) {
	var fan engine.Fanout
	ns.fanOut(op, delivery{}, &fan)
	fan.Commit()
}

// fanOut appends an event to the queues of its local receivers. Those that
// have to be flushed then are added to fan.
func (ns *Namespace) fanOut(op *adapters.Op, d delivery, fan *engine.Fanout) {
	ns.fanOutTo(ns.index.Select(op.Target), op, d, fan)
}

func (ns *Namespace) fanOutTo(selection rooms.Selection[*Socket], op *adapters.Op, d delivery, fan *engine.Fanout) {
	n := selection.Max()
	if n == 0 {
		return
	}
	// Sockets that can't be recovered (clients of version 2) don't get the offset.
	var plain, placed, doubtful *engine.Batch
	outgoing := len(ns.hooks.Load().anyOut) > 0
	sent := uint64(0)
	var last *engine.Session
	for s := range selection.All() {
		if state := s.state.Load(); state != connected && (state != connecting || !ns.reg.cfg.HoldEarly) {
			continue
		}
		batch, offset := &plain, ""
		if d.logged {
			skip, certain := d.late, false
			if s.rec != nil {
				skip, certain = s.rec.note(ns, d)
				batch, offset = &doubtful, unlogged
			}
			if skip {
				continue
			}
			if certain {
				batch, offset = &placed, ""
				if placed == nil {
					offset = d.at.String()
				}
			}
		}
		if *batch == nil {
			if *batch = ns.eventBatch(op, offset, n > 1); *batch == nil {
				return
			}
		}
		if s.hold(*batch) {
			continue
		}
		if s.state.Load() != connected { // it was refused, or has gone
			continue
		}
		sess := s.client.sess
		last = sess
		var flush bool
		if op.Volatile {
			flush, _ = sess.AppendVolatile(*batch)
		} else {
			flush = sess.Append(*batch)
		}
		if flush {
			fan.Add(sess)
		}
		sent++
		if outgoing {
			s.noteOutgoing(op.Data)
		}
	}
	if sent > 0 {
		ns.reg.stats.sent.Add(last, sent)
	}
}

// eventBatch encodes an event for many. It returns nil if that is impossible.
func (ns *Namespace) eventBatch(op *adapters.Op, offset string, shared bool) *engine.Batch {
	p := parser.Packet{Type: parser.Event, Namespace: ns.name, ID: -1, Payload: op.Data}
	if offset != "" {
		p.Payload = op.Data.With(offset)
	}
	b, err := ns.reg.encode(&p, shared)
	if err != nil {
		ns.reg.log.Error("an event could not be encoded and was dropped", "namespace", ns.name, "error", err)
		return nil
	}
	if op.NoCompress {
		b.Uncompressed()
	}
	return b
}

// Call sends an event and waits for an ack from every socket named, on all
// nodes, until ctx ends (see Socket.Call). It returns the answers that came, in the order of their arrival;
// the error says if some are missing: ErrAckTimeout, ErrDisconnected, ErrTooManyAcks, or a node
// that did not answer. It is nil if there was nobody to ask.
func (b Broadcast) Call(ctx context.Context, event string, args ...any) ([]*Answer, error) {
	ns := b.ns
	if ns.isParent() {
		return nil, ErrParent
	}
	data, err := ns.reg.marshalEvent(event, args)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, ns.reg.cfg.AckTimeout, ErrAckTimeout)
		defer cancel()
	}
	op := &adapters.Op{Kind: adapters.Ask, Target: b.target(), Data: data, NoCompress: b.noCompress}
	ns.settle()
	asked := ns.askLocal(op)
	defer asked.end()

	var answers []*Answer
	if !b.local {
		for r, rerr := range ns.adapter.Request(ctx, op) {
			if rerr != nil {
				err = errors.Join(err, rerr)
			} else if r.Clients < 0 {
				a, aerr := parser.ParseArgs(r.Data)
				if aerr == nil {
					answers = append(answers, &Answer{Args: a})
				}
			}
		}
	}
	gone := 0
	var other error // why there is no answer of a socket that is still here
	for range asked.sockets {
		o, ok := asked.next(ctx)
		switch {
		case !ok:
			return answers, errors.Join(err, other, ackError(ctx))
		case o.err == nil:
			answers = append(answers, &Answer{o.socket.id, o.args})
		case errors.Is(o.err, ErrDisconnected):
			gone++
		default:
			other = o.err
		}
	}
	err = errors.Join(err, other)
	if gone > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d sockets left before they answered: %w", gone, len(asked.sockets), ErrDisconnected))
	}
	return answers, err
}

// question is a broadcast that waits for acks of local sockets.
type question struct {
	id       int64
	sockets  []*Socket
	outcomes outcomes
}

// next returns the next outcome, one that is there already even if ctx has
// ended: other nodes may have taken all the time.
func (q *question) next(ctx context.Context) (o outcome, ok bool) {
	select {
	case o := <-q.outcomes:
		return o, true
	default:
	}
	select {
	case o := <-q.outcomes:
		return o, true
	case <-ctx.Done():
		return outcome{}, false
	}
}

// askLocal sends an event with an ack id to its local receivers.
func (ns *Namespace) askLocal(op *adapters.Op) *question {
	selection := ns.index.Select(op.Target)
	q := &question{outcomes: make(outcomes, selection.Max()), id: int64(ns.ask.Add(1)&(1<<30-1) | 1<<30)}
	if selection.Max() == 0 {
		return q
	}
	batch, err := ns.reg.encode(&parser.Packet{Type: parser.Event, Namespace: ns.name, ID: q.id, Payload: op.Data}, true)
	if err != nil {
		ns.reg.log.Error("an event could not be encoded and was dropped", "namespace", ns.name, "error", err)
		return q
	}
	var fan engine.Fanout
	for s := range selection.All() {
		if s.state.Load() != connected {
			continue
		}
		// The handler that asks may be one of this client's: see client.event.
		s.client.waiting.Add(1)
		if _, err := s.expect(q.id, expected{w: q.outcomes}); err != nil {
			q.outcomes <- outcome{s, Args{}, err}
			q.sockets = append(q.sockets, s)
			continue
		}
		q.sockets = append(q.sockets, s)
		s.noteOutgoing(op.Data)
		if s.client.sess.Append(batch) {
			fan.Add(s.client.sess)
		}
		s.client.sess.Push() // a handler may be the one that asks
	}
	fan.Commit()
	return q
}

// end forgets the acks that haven't come.
func (q *question) end() {
	for _, s := range q.sockets {
		s.unexpect(q.id, q.outcomes)
		s.client.waiting.Add(-1)
	}
}

// Join makes the sockets named join rooms, on all nodes.
func (b Broadcast) Join(ctx context.Context, rooms ...string) error {
	return b.apply(ctx, &adapters.Op{Kind: adapters.Join, Target: b.target(), Rooms: rooms})
}

// Leave makes the sockets named leave rooms, on all nodes.
func (b Broadcast) Leave(ctx context.Context, rooms ...string) error {
	return b.apply(ctx, &adapters.Op{Kind: adapters.Leave, Target: b.target(), Rooms: rooms})
}

// Disconnect disconnects the sockets named, on all nodes; see Socket.Disconnect.
func (b Broadcast) Disconnect(ctx context.Context, closeConn bool) error {
	return b.apply(ctx, &adapters.Op{Kind: adapters.Disconnect, Target: b.target(), Close: closeConn})
}

func (b Broadcast) apply(ctx context.Context, op *adapters.Op) error {
	if b.ns.isParent() {
		return ErrParent
	}
	b.ns.settle()
	local{b.ns}.Apply(op)
	if b.local {
		return nil
	}
	return b.ns.adapter.Publish(ctx, op)
}

// FetchSockets describes the sockets named, on all nodes. If nodes are missing
// the error says so, and what came is returned beside it.
func (b Broadcast) FetchSockets(ctx context.Context) ([]RemoteSocket, error) {
	if b.ns.isParent() {
		return nil, ErrParent
	}
	op := &adapters.Op{Kind: adapters.Fetch, Target: b.target()}
	found := b.ns.describe(op.Target)
	var err error
	if !b.local {
		for r, rerr := range b.ns.adapter.Request(ctx, op) {
			err = errors.Join(err, rerr)
			found = append(found, r.Sockets...)
		}
	}
	sockets := make([]RemoteSocket, len(found))
	for i, s := range found {
		sockets[i] = RemoteSocket{s, b.ns}
	}
	return sockets, err
}

// RemoteSocket is a socket on any node, as it was when it was fetched.
type RemoteSocket struct {
	adapters.Socket
	ns *Namespace
}

// Broadcast returns a broadcast to this socket alone, wherever it is.
func (r RemoteSocket) Broadcast() Broadcast { return r.ns.To(r.ID) }

// Emit sends an event to the socket.
func (r RemoteSocket) Emit(ctx context.Context, event string, args ...any) error {
	return r.Broadcast().Emit(ctx, event, args...)
}

// Call sends an event to the socket and waits for its ack; see Broadcast.Call. It
// fails with ErrDisconnected if the socket has gone.
func (r RemoteSocket) Call(ctx context.Context, event string, args ...any) (*Answer, error) {
	answers, err := r.Broadcast().Call(ctx, event, args...)
	if len(answers) > 0 {
		return answers[0], nil
	}
	if err == nil {
		err = ErrDisconnected
	}
	return nil, err
}

// Join makes the socket join rooms.
func (r RemoteSocket) Join(ctx context.Context, rooms ...string) error {
	return r.Broadcast().Join(ctx, rooms...)
}

// Leave makes the socket leave rooms.
func (r RemoteSocket) Leave(ctx context.Context, rooms ...string) error {
	return r.Broadcast().Leave(ctx, rooms...)
}

// Disconnect disconnects the socket; see Socket.Disconnect.
func (r RemoteSocket) Disconnect(ctx context.Context, closeConn bool) error {
	return r.Broadcast().Disconnect(ctx, closeConn)
}

// describe lists the local sockets that t reaches.
func (ns *Namespace) describe(t rooms.Target) []adapters.Socket {
	var list []adapters.Socket
	for s := range ns.index.Select(t).All() {
		if s.state.Load() == connected {
			list = append(list, adapters.Socket{ID: s.id, Handshake: *s.Handshake(), Rooms: s.Rooms(), Data: s.Data()})
		}
	}
	return list
}
