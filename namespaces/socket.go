package namespaces

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
)

// The reasons for which sockets disconnect, in the words of the official
// server. Those of the connection are engine's: "transport close", "transport
// error", "ping timeout", "parse error", "forced close".
const (
	ReasonClient      = "client namespace disconnect"
	ReasonServer      = "server namespace disconnect"
	ReasonShutdown    = "server shutting down"
	ReasonForced      = string(engine.ForcedClose)
	ReasonForcedLater = "forced server close" // a violation while the transport couldn't close at once
)

// The states of a socket, in their order.
const (
	connecting uint32 = iota // middlewares run
	connected
	closing // what it had sent before is still handled
	gone
)

// Socket is one client in one namespace.
//
// Its handlers run one at a time. All methods may be called from any goroutine.
type Socket struct {
	ns     *Namespace
	client *client
	id     string
	auth   json.RawMessage // nil: {}
	state  atomic.Uint32
	heard  atomic.Bool // its events are handled: it was let in, and not put out
	box    mailbox
	life   lifetime

	mu      sync.Mutex
	data    map[string]any
	plain   map[string]struct{} // keys of data that is in the JSON form in which it was recovered
	acks    map[int64]expected
	nextAck uint32
	early   *early // while connecting, with Config.HoldEarly
	passed  bool   // with it: the middlewares have let the socket in; the mailbox's own

	callbacks int // of acks that have come, waiting in the mailbox

	rec       *recovery // nil unless the socket can be recovered
	recovered bool
}

// ID returns the socket's public id, which is also the name of its own room.
//
// That of a client of version 2 isn't public: it has the id of its session in it, as the
// client expects, and who knows that can act for the client. Don't tell it to others.
func (s *Socket) ID() string { return s.id }

// LogValue is the id, or for clients of version 2, whose id is a secret, a digest of it.
func (s *Socket) LogValue() slog.Value {
	if s.Protocol() != 3 {
		return slog.StringValue(s.id)
	}
	sum := sha256.Sum256([]byte(s.id))
	return slog.StringValue("version 2, " + hex.EncodeToString(sum[:6]))
}

// Namespace returns where the socket is.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Connected reports whether the socket has joined its namespace and not left.
func (s *Socket) Connected() bool { return s.state.Load() == connected }

// Recovered reports whether the socket continues an earlier connection: it has
// its id, rooms and data, and was sent what it had missed.
func (s *Socket) Recovered() bool { return s.recovered }

// Transport returns the connection's transport as of now: "polling",
// "websocket" or "webtransport".
func (s *Socket) Transport() string { return s.client.sess.Transport() }

// Protocol returns the revision of Engine.IO that the client speaks: 3 for
// clients of version 2, else 4.
func (s *Socket) Protocol() int { return s.client.sess.Protocol() }

// Session returns the Engine.IO session, which all namespaces of the client share.
func (s *Socket) Session() *engine.Session { return s.client.sess }

// Handshake tells how the client connected.
func (s *Socket) Handshake() *adapters.Handshake {
	return newHandshake(s.client.sess.Request(), s.auth)
}

// Context ends when the socket disconnects. Handlers get it.
func (s *Socket) Context() context.Context { return (*socketContext)(s) }

// Set keeps a value with the socket until it is gone. Other nodes
// see it in its JSON form (Broadcast.FetchSockets), and recovery restores it: as it was
// by a log in memory, in its JSON form by one that outlives the process, such as Redis streams.
// The value must not be changed any more.
func (s *Socket) Set(key string, value any) {
	s.mu.Lock()
	if s.data == nil {
		s.data = map[string]any{}
	}
	s.data[key] = value
	delete(s.plain, key)
	s.mu.Unlock()
	s.touch()
}

// Get returns what Set has kept under the key, or nil. What was recovered may be in its JSON
// form: map[string]any, []any, string, float64, bool, nil, and []byte for binary values.
func (s *Socket) Get(key string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data[key]
}

// Value returns what Set has kept under the key if it is a T, else the zero T. What was
// recovered in its JSON form becomes a T again, as encoding/json makes it one.
func Value[T any](s *Socket, key string) T {
	kept := s.Get(key)
	if v, ok := kept.(T); ok {
		return v
	}
	var v T
	if !s.revive(key, kept, &v) {
		var none T
		return none
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, still := s.plain[key]; still {
		s.data[key] = v
		delete(s.plain, key)
	}
	return v
}

// revive decodes a value that was recovered in its JSON form.
func (s *Socket) revive(key string, kept, into any) bool {
	s.mu.Lock()
	_, plain := s.plain[key]
	s.mu.Unlock()
	if !plain {
		return false
	}
	p, err := parser.Marshal(kept)
	if err != nil {
		return false
	}
	args, err := parser.ParseArgs(p)
	return err == nil && args.Decode(0, into) == nil
}

// Data returns a copy of all that Set has kept.
func (s *Socket) Data() map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.data)
}

// Join adds the socket to rooms, which come into being with their first member.
// Once the socket has disconnected, Join does nothing and returns ErrDisconnected. When it returns, what
// other nodes send to the rooms arrives here, unless that takes longer than a second.
func (s *Socket) Join(rooms ...string) error { return s.join(rooms, true) }

// join is Join; waits says that it may wait until the rooms are part of the saved state.
func (s *Socket) join(rooms []string, waits bool) error {
	limits := &s.ns.reg.cfg.Limits
	for _, name := range rooms {
		if len(name) > limits.RoomName {
			s.ns.reg.stats.rejected("room_name")
			return ErrRoomName
		}
	}
	if waits {
		s.ns.settle() // first: the state that is announced begins behind what was sent before
		s.announce(rooms)
	}
	s.ns.lockOrder()
	s.mu.Lock() // keeps a closing socket from joining again
	if s.state.Load() >= closing {
		s.mu.Unlock()
		s.ns.unlockOrder()
		return ErrDisconnected
	}
	if s.ns.index.CountRooms(s)+len(rooms) > limits.RoomsPerSocket && !s.fits(rooms) {
		s.mu.Unlock()
		s.ns.unlockOrder()
		s.ns.reg.stats.rejected("rooms")
		return ErrTooManyRooms
	}
	changes := s.ns.index.Join(s, rooms...)
	for _, c := range changes {
		s.rec.join(c.Room, s.ns.place())
	}
	if !waits && len(changes) > 0 && s.state.Load() == connected {
		s.keepUp(nil).watch(true)
	}
	s.mu.Unlock()
	s.ns.unlockOrder()
	s.ns.noteRooms(s, true, changes)
	if w := s.ns.watcher; w != nil && waits {
		ctx, cancel := context.WithTimeout(s.Context(), readyTime)
		defer cancel()
		w.RoomsReady(ctx, rooms)
	}
	return nil
}

// fits reports whether the socket may be in rooms: those that it is in already, or that are
// named twice, count once.
func (s *Socket) fits(rooms []string) bool {
	free := s.ns.reg.cfg.Limits.RoomsPerSocket - s.ns.index.CountRooms(s)
	more := map[string]bool{}
	for _, room := range rooms {
		if !s.ns.index.Has(s, room) {
			more[room] = true
		}
		if len(more) > free {
			return false
		}
	}
	return true
}

// readyTime is how long Join waits for other nodes to reach a room.
const readyTime = time.Second

// Leave removes the socket from rooms.
func (s *Socket) Leave(rooms ...string) { s.leave(rooms, true) }

func (s *Socket) leave(rooms []string, waits bool) {
	if waits {
		s.ns.settle()
	}
	s.ns.lockOrder()
	changes := s.ns.index.Leave(s, rooms...)
	for _, c := range changes {
		s.rec.leave(c.Room, s.ns.place())
	}
	var saved *saving
	if len(changes) > 0 && s.rec != nil {
		s.mu.Lock()
		if s.state.Load() == connected {
			if saved = s.keepUp(nil); !waits {
				saved.watch(true)
			}
		}
		s.mu.Unlock()
	}
	s.ns.unlockOrder()
	if waits {
		saved.wait()
	}
	s.ns.noteRooms(s, false, changes)
}

// Rooms returns the rooms that the socket is in, its own among them.
func (s *Socket) Rooms() []string { return s.ns.index.Rooms(s) }

// In reports whether the socket is in a room.
func (s *Socket) In(room string) bool { return s.ns.index.Has(s, room) }

// Emit sends an event to the client. Values are encoded as encoding/json does;
// []byte anywhere in them goes as binary. It doesn't wait for the client, and returns
// ErrDisconnected if it is known to be gone. Other errors say why the event can't be
// sent: its name is reserved, a value can't be encoded, or there are more binary values
// than clients take (parser.ErrTooManyAttachments).
func (s *Socket) Emit(ctx context.Context, event string, args ...any) error {
	state := s.state.Load()
	if state >= closing {
		return ErrDisconnected
	}
	if s.ns.log == nil || s.rec == nil || state != connected {
		return s.sendEvent(parser.NoID, event, args)
	}
	data, err := s.ns.reg.marshalEvent(event, args)
	if err != nil {
		return err
	}
	return s.ns.log.Append(ctx, &adapters.Op{Kind: adapters.Emit, Data: data, Target: ownRoom(s)})
}

// sendEvent queues an event for this socket alone, in one step where it can.
func (s *Socket) sendEvent(id int64, event string, args []any) error {
	reg := s.ns.reg
	if reg.cfg.Codec != parser.JSON || len(s.ns.hooks.Load().anyOut) > 0 {
		data, err := reg.marshalEvent(event, args)
		if err != nil {
			return err
		}
		s.noteOutgoing(data)
		return s.send(&parser.Packet{Type: parser.Event, Namespace: s.ns.name, ID: id, Payload: data})
	}
	b := engine.NewSingle()
	e, err := parser.EncodeEvent(b.Buffer(), s.ns.name, id, event, args...)
	return s.queueDirect(b, e, err)
}

// queueDirect queues what the parser has encoded, or failed to, into the buffer of b.
func (s *Socket) queueDirect(b *engine.Batch, e parser.Encoded, err error) error {
	if err == nil {
		err = s.ns.reg.checkAttachments(len(e.Binary))
	}
	if err != nil || len(e.Binary) > 0 {
		b.Release()
		if err == nil {
			s.queue(newBatch(e, false))
		}
		return err
	}
	b.SetText(e.Text)
	s.queue(b)
	return nil
}

// EmitVolatile is Emit for events that are of no use later: it is dropped
// unless it can be written at once.
func (s *Socket) EmitVolatile(ctx context.Context, event string, args ...any) error {
	data, err := s.ns.reg.marshalEvent(event, args)
	if err != nil {
		return err
	}
	if s.state.Load() >= closing {
		return ErrDisconnected
	}
	s.noteOutgoing(data)
	b, err := s.ns.reg.encode(&parser.Packet{Type: parser.Event, Namespace: s.ns.name, ID: -1, Payload: data}, false)
	if err != nil {
		return err
	}
	sess := s.client.sess
	if s.ns.underWay() && s.ns.behind(sess, func() bool {
		flush, _ := sess.AppendVolatile(b)
		return flush
	}) {
		return nil
	}
	if flush, _ := sess.AppendVolatile(b); flush {
		sess.Flush()
	}
	return nil
}

// send queues a packet for this socket alone.
func (s *Socket) send(p *parser.Packet) error {
	b, err := s.ns.reg.encode(p, false)
	if err != nil {
		return err
	}
	s.queue(b)
	return nil
}

// queueLast is queue for the last thing that a job of the mailbox does: what is gathered is written
// soon, and needs no timer for that.
func (s *Socket) queueLast(b *engine.Batch) {
	m := s.mail()
	if !m.last || s.ns.reg.cfg.HoldEarly || s.ns.underWay() {
		s.queue(b)
		return
	}
	s.ns.reg.stats.sent.Add(s.client.sess, 1)
	m.gathered = true
	if sess := s.client.sess; sess.Gather(b) {
		sess.Flush()
	}
}

func (s *Socket) queue(b *engine.Batch) {
	s.ns.reg.stats.sent.Add(s.client.sess, 1)
	if s.hold(b) {
		return
	}
	sess := s.client.sess
	if !s.ns.underWay() || !s.ns.behind(sess, func() bool { return sess.Append(b) }) {
		sess.Send(b)
	}
}

// sendNow is send that waits for nothing.
func (s *Socket) sendNow(p *parser.Packet) error {
	b, err := s.ns.reg.encode(p, false)
	if err != nil {
		return err
	}
	s.ns.reg.stats.sent.Add(s.client.sess, 1)
	s.client.sess.Send(b)
	return nil
}

// Disconnect takes the socket out of its namespace; events of it that wait are not
// handled any more. With closeConn all other namespaces
// of the client and the connection are closed, too; else the client may connect again.
func (s *Socket) Disconnect(closeConn bool) { s.disconnect(closeConn, true) }

func (s *Socket) disconnect(closeConn, waits bool) {
	if closeConn {
		s.client.disconnect(waits)
		return
	}
	if waits {
		s.ns.settle()
	}
	// First, or a client that goes as soon as it hears of it would give the reason.
	s.client.forget(s, true)
	if s.state.Load() == connected {
		_ = s.sendNow(&parser.Packet{Type: parser.Disconnect, Namespace: s.ns.name, ID: -1})
	}
	s.close(ReasonServer)
}

// Do runs f in turn with the socket's handlers, and doesn't wait for it. If the
// socket has gone it returns ErrDisconnected, and f isn't run.
func (s *Socket) Do(f func(ctx context.Context)) error {
	if s.state.Load() >= closing {
		return ErrDisconnected
	}
	s.mail().put(func() {
		s.ns.report(s, s.ns.guard("Do", func() error { f(s.Context()); return nil }))
	})
	s.mail().start(s)
	return nil
}

// To returns a broadcast to the rooms, this socket excepted.
func (s *Socket) To(rooms ...string) Broadcast { return s.Broadcast().To(rooms...) }

// Broadcast returns a broadcast to all sockets of the namespace but this.
func (s *Socket) Broadcast() Broadcast {
	return Broadcast{ns: s.ns, except: []string{s.id}}
}

// close ends the socket: from now on nothing is sent to it, and its context and the
// acks that it owes end. Its handlers run for what came before, unless the program has
// put it out; then its rooms are left and the disconnect hooks run. Only the first call counts.
func (s *Socket) close(reason string) {
	if s.state.Load() >= closing {
		return
	}
	s.ns.lockOrder()
	s.mu.Lock()
	was := s.state.Load()
	if was >= closing {
		s.mu.Unlock()
		s.ns.unlockOrder()
		return
	}
	s.state.Store(closing)
	if reason == ReasonServer {
		s.heard.Store(false)
	}
	acks := s.acks
	s.acks = nil
	var saved *adapters.Session
	var keep time.Duration // zero: what an earlier absence has left is forgotten
	if s.rec != nil && was == connected {
		if persists(reason) {
			keep = s.ns.reg.cfg.Recovery.MaxDisconnection
		}
		if s.rec.lost {
			keep = 0
		}
		if !s.rec.loose && (keep > 0 || s.recovered || s.ns.log.Outlives()) {
			saved = s.ended()
		}
	}
	s.mu.Unlock()
	s.ns.unlockOrder()
	if saved != nil && keep > 0 && !s.ns.log.Outlives() {
		s.ns.keepFor(keep)
	}
	if was == connected { // else start gives up the private id
		s.leaveState(saved, keep)
	}
	s.life.end()
	for _, x := range acks {
		x.w.Acked(s, Args{}, ErrDisconnected)
	}
	timer := time.AfterFunc(closingTime, s.abandon)
	s.mail().put(func() {
		timer.Stop()
		s.finish(reason, was == connected)
	})
	s.mail().start(s)
}

// closingTime is how long a socket that has ended stays in its rooms for handlers that don't return.
const closingTime = 30 * time.Second

// abandon takes a socket out of its rooms whose handlers don't return, though their
// context has ended: others would see it there for ever.
func (s *Socket) abandon() {
	s.ns.reg.running.begin()
	defer s.ns.reg.running.end()
	s.ns.reg.log.Warn("a handler still runs for a socket that has ended: it leaves its rooms without waiting any longer", "namespace", s.ns.name, "socket", s)
	s.vacate()
	s.ns.reg.cleanup(s.ns)
}

// finish is the last thing that a socket's mailbox does.
func (s *Socket) finish(reason string, joined bool) {
	ns := s.ns
	hooks := ns.hooks.Load()
	ctx := s.Context()
	if joined {
		for _, f := range hooks.disconnecting {
			ns.report(s, ns.guard("OnDisconnecting", func() error { f(ctx, s, reason); return nil }))
		}
	}
	s.vacate()
	if joined {
		ns.reg.stats.sockets.Add(-1)
	}
	if joined || s.passed {
		for _, f := range hooks.disconnect {
			ns.report(s, ns.guard("OnDisconnect", func() error { f(ctx, s, reason); return nil }))
		}
	}
	ns.reg.cleanup(ns)
}

// vacate takes the socket out of its rooms and its namespace.
func (s *Socket) vacate() {
	ns := s.ns
	s.mu.Lock()
	s.state.Store(gone)
	changes := ns.index.Remove(s)
	s.mu.Unlock()
	ns.mu.Lock()
	if ns.sockets[s.id] == s { // a recovered socket has the same id
		delete(ns.sockets, s.id)
	}
	ns.mu.Unlock()
	slices.Reverse(changes) // the own room last
	ns.noteRooms(s, false, changes)
}

// marshalEvent is parser.MarshalEvent within the limit on attachments.
func (reg *Registry) marshalEvent(event string, args []any) (parser.Payload, error) {
	data, err := parser.MarshalEvent(event, args...)
	if err == nil {
		err = reg.checkAttachments(len(data.Attachments))
	}
	return data, err
}

// checkAttachments refuses a packet of which official clients would die.
func (reg *Registry) checkAttachments(n int) error {
	if n > reg.attachments {
		return fmt.Errorf("server: %w: %d, of at most %d (Config.PacketLimits.MaxAttachments)", parser.ErrTooManyAttachments, n, reg.attachments)
	}
	return nil
}

// encode makes a batch of a packet; shared if more than one session gets it.
func (reg *Registry) encode(p *parser.Packet, shared bool) (*engine.Batch, error) {
	e, err := reg.cfg.Codec.Encode(p)
	if err != nil {
		return nil, err
	}
	return newBatch(e, shared), nil
}

func newBatch(e parser.Encoded, shared bool) *engine.Batch {
	if len(e.Binary) == 0 {
		return engine.NewBatch(shared, engine.Packet{Type: engine.Message, Data: e.Text})
	}
	packets := make([]engine.Packet, 0, 1+len(e.Binary))
	if e.Text != nil {
		packets = append(packets, engine.Packet{Type: engine.Message, Data: e.Text})
	}
	for _, b := range e.Binary {
		packets = append(packets, engine.Packet{Type: engine.Message, Binary: true, Data: b})
	}
	return engine.NewBatch(shared, packets...)
}

// noteOutgoing shows an event to the OnAnyOutgoing hooks, unless as many wait as may.
func (s *Socket) noteOutgoing(data parser.Payload) {
	hooks := s.ns.hooks.Load().anyOut
	if len(hooks) == 0 {
		return
	}
	p := parser.Packet{Type: parser.Event, Payload: data}
	out := Outgoing{p.Event(), p.Args()}
	ok := s.mail().putNote(s, sizeOf(data), func() {
		for _, f := range hooks {
			s.ns.report(s, s.ns.guard("OnAnyOutgoing", func() error { f(s.Context(), s, out); return nil }))
		}
	})
	if !ok {
		s.ns.reg.stats.unseen.Add(1)
		return
	}
	s.mail().start(s)
}
