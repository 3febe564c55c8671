package namespaces

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/rooms"
)

// client is the Socket.IO side of one session: the namespaces that it has joined.
// It is the session's engine.Receiver.
type client struct {
	reg     *Registry
	sess    *engine.Session
	decoder parser.Decoder
	dirty   []*Socket    // whose mailboxes got something since Handled; the reader's own
	box     *mailbox     // of all sockets; nil: each has its own
	waiting atomic.Int32 // handlers that wait for an ack of this client
	halfway bool         // attachments are awaited; the reader's own
	pace    pace         // the reader's own

	mu      sync.Mutex
	sockets []*Socket   // few: a scan beats a map
	timer   *time.Timer // closes a client that joins nothing; nil once it has joined
	ended   bool
	rare    *rare // nil for most clients, whose idle connections should cost little
}

// rare is what few clients need.
type rare struct {
	pending []string           // namespaces that the program's functions are asked for
	left    []string           // namespaces that the server has ended: what was under way is ignored
	asking  context.Context    // of the functions that are asked for pending ones; nil before the first
	stop    context.CancelFunc // ends asking
	half    *time.Timer        // closes a client that doesn't finish its attachments
}

// more returns c.rare, made if need be. c.mu is held.
func (c *client) more() *rare {
	if c.rare == nil {
		c.rare = &rare{}
	}
	return c.rare
}

func newClient(reg *Registry, sess *engine.Session) *client {
	c := &client{reg: reg, sess: sess, decoder: reg.cfg.Codec.NewDecoder(reg.cfg.PacketLimits)}
	if reg.cfg.OneByOne {
		c.box = new(mailbox)
	}
	reg.stats.clients.Add(1)
	if rate := reg.cfg.Limits.PacketsPerSecond; rate > 0 {
		c.pace = pace{left: int32(rate), seen: reg.now()}
	}
	if d := reg.cfg.ConnectTimeout; d > 0 {
		c.timer = time.AfterFunc(d, func() {
			reg.stats.rejected("connect_timeout")
			sess.CloseNow() // it has nothing to lose, and a polling client that doesn't ask would stay for long
		})
	}
	if sess.Protocol() == 3 {
		c.connect("/", nil) // clients of version 2 join it without asking
	}
	return c
}

// Message takes one Engine.IO message: a packet, or an attachment of one.
func (c *client) Message(data []byte, binary, owned bool) {
	var p parser.Packet
	var ok bool
	var err error
	if binary {
		p, ok, err = c.decoder.Binary(data, owned)
	} else {
		p, ok, err = c.decoder.Text(data, owned)
	}
	if err != nil {
		c.reg.stats.rejected("packet")
		c.reg.log.LogAttrs(context.Background(), slog.LevelDebug, "closing a client for a bad packet",
			slog.Any("session", c.sess), slog.Any("error", err))
		c.sess.Close()
		return
	}
	if !ok && !binary && !c.awaits(p.Namespace) {
		c.decoder.Reset()
		c.reg.stats.rejected("state")
		c.fail()
		return
	}
	c.watchHalf(ok)
	if ok {
		c.handle(&p)
	}
}

// awaits reports whether attachments are gathered for a namespace: not for one that the
// client hasn't joined, or strangers could have us keep them.
func (c *client) awaits(namespace string) bool {
	if c.sess.Protocol() == 3 {
		namespace, _ = splitV2(namespace)
	}
	s, was := c.socket(namespace)
	return s != nil || was
}

// watchHalf gives the attachments of a packet their time.
func (c *client) watchHalf(complete bool) {
	d := c.reg.cfg.Limits.AttachmentTime
	if complete == !c.halfway || d < 0 {
		return
	}
	c.halfway = !complete
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.more()
	if complete {
		r.half.Stop()
		r.half = nil
		return
	}
	r.half = time.AfterFunc(d, func() {
		c.reg.stats.rejected("attachments")
		c.sess.Close()
	})
}

func (c *client) handle(p *parser.Packet) {
	if rate := c.reg.cfg.Limits.PacketsPerSecond; rate > 0 && !c.keepPace(rate) {
		return
	}
	c.reg.stats.received.Add(c.sess, 1)
	name, auth := p.Namespace, json.RawMessage(nil)
	if c.sess.Protocol() == 3 {
		name, auth = splitV2(name)
	} else if p.Type == parser.Connect {
		auth = p.JSON
	}
	if p.Type == parser.Connect {
		switch {
		case c.sess.Protocol() != 3 && len(name) > c.reg.nameLen: // the decoder has taken it for one with a query
			c.reg.stats.rejected("packet")
			c.sess.Close()
		case p.UnsafeKeys():
			c.reg.stats.rejected("keys")
			c.refuse(name, errUnsafeKeys)
		default:
			c.connect(name, auth)
		}
		return
	}
	s, was := c.socket(name)
	switch {
	case s == nil && was: // it crossed our DISCONNECT on the way
	case s == nil || p.Type == parser.ConnectError:
		c.reg.stats.rejected("state")
		c.fail()
	case p.UnsafeKeys():
		c.reg.stats.rejected("keys")
		s.refuseKeys(p)
	case p.Type == parser.Event:
		c.event(s, p)
	case p.Type == parser.Ack:
		s.resolve(p, nil)
	case p.Type == parser.Disconnect:
		c.forget(s, false)
		s.close(ReasonClient)
	}
}

// event puts an event into its socket's mailbox, waiting for room if need be.
func (c *client) event(s *Socket, p *parser.Packet) {
	e := events.Get().(*Event)
	e.Socket, e.Args, e.id, e.size = s, p.Args(), p.ID, sizeOf(p.Payload)
	name := p.EventBytes()
	if e.handler = s.ns.hooks.Load().handlers[string(name)]; e.handler != nil {
		e.Name = e.handler.name
	} else {
		e.Name = string(name)
	}
	for {
		space := s.mail().putEvent(e, 1)
		if space == nil {
			break
		}
		// A handler that waits for an ack of this client would wait for ever if
		// we stopped reading. It may run ahead, up to a point.
		if c.waiting.Load() > 0 {
			if s.mail().putEvent(e, overflowFactor) != nil {
				c.reg.stats.rejected("events")
				c.sess.Close()
				return
			}
			break
		}
		c.Handled() // it may be another socket's handler for which this one's waits
		s.mail().start(s)
		select {
		case <-space:
		case <-c.sess.Done():
			return
		case <-time.After(waitCheck): // a handler may have begun to wait for an ack
		}
	}
	if !slices.Contains(c.dirty, s) {
		c.dirty = append(c.dirty, s)
	}
}

var errUnsafeKeys = &Error{Code: "bad_request", Message: "objects with the keys __proto__, constructor or prototype are not taken"}

// refuseKeys answers an event that has such keys, and fails who waits for an ack that has.
func (s *Socket) refuseKeys(p *parser.Packet) {
	switch {
	case p.Type == parser.Ack:
		s.resolve(p, errUnsafeKeys)
	case p.ID >= 0:
		if data, err := parser.Marshal(answerTo(errUnsafeKeys)); err == nil {
			_ = s.send(&parser.Packet{Type: parser.Ack, Namespace: s.ns.name, ID: p.ID, Payload: data})
		}
	}
}

// sizeOf is how many bytes a payload holds.
func sizeOf(p parser.Payload) int {
	n := len(p.JSON)
	for _, b := range p.Attachments {
		n += len(b)
	}
	return n
}

// waitCheck is how often a reader that waits for room looks up.
const waitCheck = 100 * time.Millisecond

// Handled starts the mailboxes that one read has filled.
func (c *client) Handled() {
	for i, s := range c.dirty {
		s.mail().start(s)
		c.dirty[i] = nil
	}
	c.dirty = c.dirty[:0]
}

// Upgraded tells the sockets that they have a new transport.
func (c *client) Upgraded() {
	for _, s := range c.snapshot() {
		hooks := s.ns.hooks.Load().upgrade
		if len(hooks) == 0 {
			continue
		}
		s.mail().put(func() { // once in a session's life
			if !s.heard.Load() {
				return
			}
			for _, f := range hooks {
				s.ns.report(s, s.ns.guard("OnUpgrade", func() error { f(s.Context(), s); return nil }))
			}
		})
		s.mail().start(s)
	}
}

// Closed ends all sockets: the session is gone.
func (c *client) Closed(reason engine.Reason, cause error) {
	c.Handled()
	c.watchHalf(true)
	c.decoder.Reset()
	c.reg.stats.clients.Add(-1)
	c.end(string(reason))
}

// end closes all sockets; none can be added any more.
func (c *client) end(reason string) {
	c.mu.Lock()
	c.ended = true
	sockets := c.sockets
	c.sockets = nil
	c.stopTimer()
	if c.rare != nil && c.rare.stop != nil {
		c.rare.stop()
	}
	c.mu.Unlock()
	for _, s := range sockets {
		s.close(reason)
	}
}

// fail closes the connection of a client that breaks the rules. As officially,
// the reason depends on whether the transport can be closed at once.
func (c *client) fail() {
	if c.sess.Close() {
		return
	}
	select {
	case <-c.sess.Done(): // Closed follows
	default:
		c.end(ReasonForcedLater)
	}
}

// disconnect ends all namespaces in good order, then the connection.
func (c *client) disconnect(waits bool) {
	for _, s := range c.snapshot() {
		s.disconnect(false, waits)
	}
	c.sess.Close()
}

func (c *client) snapshot() []*Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sockets)
}

// socket returns the client's socket in a namespace. left reports whether the
// server has ended one there.
func (c *client) socket(namespace string) (s *Socket, left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sockets {
		if s.ns.name == namespace {
			return s, false
		}
	}
	return nil, c.rare != nil && slices.Contains(c.rare.left, namespace)
}

// forget removes a socket. byServer says that the client doesn't know yet.
func (c *client) forget(s *Socket, byServer bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.sockets, s)
	if i < 0 {
		return
	}
	c.sockets = slices.Delete(slices.Clone(c.sockets), i, i+1)
	if byServer {
		if r := c.more(); len(r.left) < c.reg.cfg.Limits.NamespacesPerClient {
			r.left = append(r.left, s.ns.name)
		}
	}
}

// joined stops the clock that runs until the first namespace is joined.
func (c *client) joined() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopTimer()
}

func (c *client) stopTimer() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// connect answers CONNECT.
func (c *client) connect(name string, auth json.RawMessage) {
	// The program's function may take its time; the reader can't.
	dynamic := c.reg.dynamic(name)
	ctx := context.Background()
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	taken := slices.ContainsFunc(c.sockets, func(s *Socket) bool { return s.ns.name == name })
	n := len(c.sockets)
	if c.rare != nil {
		taken = taken || slices.Contains(c.rare.pending, name)
		n += len(c.rare.pending)
		c.rare.left = slices.DeleteFunc(c.rare.left, func(left string) bool { return left == name })
	}
	full := n >= c.reg.cfg.Limits.NamespacesPerClient
	if dynamic && !taken && !full {
		r := c.more()
		r.pending = append(r.pending, name)
		if r.asking == nil {
			r.asking, r.stop = context.WithCancel(c.reg.life)
		}
		ctx = r.asking
	}
	c.mu.Unlock()
	switch {
	case taken:
		c.reg.stats.rejected("state")
		c.fail()
	case full:
		c.reg.stats.rejected("namespaces")
		c.refuse(name, errTooManyNamespaces)
	case dynamic:
		c.reg.running.begin()
		go func() {
			defer c.reg.running.end()
			c.enter(ctx, name, auth)
		}()
	default:
		c.enter(ctx, name, auth)
	}
}

// enter makes the socket; its mailbox does the rest.
func (c *client) enter(ctx context.Context, name string, auth json.RawMessage) {
	ns, err := c.reg.find(ctx, name, auth)
	if err == nil && !ns.expect() {
		// It was cleaned up just now: the next look makes it anew.
		ns, err = c.reg.find(ctx, name, auth)
		if err == nil && !ns.expect() {
			err = errInvalidNamespace
		}
	}
	var s *Socket
	c.mu.Lock()
	if c.rare != nil {
		c.rare.pending = slices.DeleteFunc(c.rare.pending, func(n string) bool { return n == name })
	}
	if err == nil && !c.ended && !ns.reg.ending.Load() {
		s = &Socket{ns: ns, client: c, id: c.newSocketID(name), auth: auth, nextAck: ackBase()}
		c.sockets = append(slices.Clip(c.sockets), s)
	}
	c.mu.Unlock()
	switch {
	case s != nil:
		s.mail().put(s.start)
		s.mail().start(s)
	case err != nil:
		c.refuse(name, err)
	default:
		ns.expected()
	}
}

// newSocketID returns a socket's public id. Clients of version 2 make theirs
// from the session's id, so that is what it has to be.
func (c *client) newSocketID(namespace string) string {
	switch {
	case c.sess.Protocol() != 3:
		return newID()
	case namespace == "/":
		return c.sess.ID()
	}
	return namespace + "#" + c.sess.ID()
}

// refuse answers CONNECT with an error.
func (c *client) refuse(namespace string, err error) {
	c.reg.stats.refused.Add(1)
	var payload parser.Payload
	panicked := c.reg.guard("the error of a refusal", func() error {
		payload = refusal(err, c.sess.Protocol())
		return nil
	})
	if panicked != nil {
		c.reg.log.Error("a refusal's error could not be told", "namespace", namespace, "type", fmt.Sprintf("%T", err), "error", panicked)
		payload = refusal(panicked, c.sess.Protocol())
	}
	b, encodeErr := c.reg.encode(&parser.Packet{
		Type: parser.ConnectError, Namespace: namespace, ID: -1, Payload: payload,
	}, false)
	if encodeErr == nil {
		c.sess.Send(b)
	}
}

// start runs first in a socket's mailbox: recovery, middlewares, admission,
// the connect hooks.
func (s *Socket) start() {
	ns := s.ns
	defer ns.expected()
	ctx := s.Context()
	hooks := ns.hooks.Load()
	ns.lockOrder()
	losses := ns.losses
	ns.unlockOrder()
	resume := s.prepareRecovery(ctx)
	admitted := false
	defer func() {
		if !admitted {
			s.release(resume)
			s.unclaim()
		}
	}()
	if ns.reg.cfg.HoldEarly {
		s.expectEarly()
	}
	if resume != nil || len(hooks.use) > 0 { // which may wait
		defer context.AfterFunc(ns.reg.life, func() { s.close(ReasonShutdown) })()
	}
	if resume == nil || !ns.reg.cfg.Recovery.SkipMiddlewares {
		for _, f := range hooks.use {
			if err := ns.guard("middleware", func() error { return f(ctx, s) }); err != nil {
				s.refuse(err)
				return
			}
		}
	}
	s.passed = ns.reg.cfg.HoldEarly
	s.prepareState(resume)
	for {
		if resume != nil && !s.replay(ctx, resume) {
			return
		}
		var again bool
		if admitted, again = s.admit(resume, losses); admitted {
			break
		}
		if !again {
			return
		}
		// More was logged since the replay.
	}
	if ns.reg.ending.Load() { // Close may have come too early to see the socket
		s.close(ReasonShutdown)
	}
	for _, f := range hooks.connect {
		if err := ns.guard("OnConnect", func() error { return f(ctx, s) }); err != nil {
			ns.report(s, err)
			s.Disconnect(false)
			return
		}
	}
}

// refuse ends a socket that a middleware has turned away.
func (s *Socket) refuse(err error) {
	s.client.forget(s, false)
	s.client.refuse(s.ns.name, err)
	if p, ok := errors.AsType[*PanicError](err); ok {
		s.ns.report(s, p)
	}
	s.mu.Lock()
	already := s.state.Swap(closing) >= closing
	s.mu.Unlock()
	s.life.end()
	if !already {
		s.vacate()
	}
}

// admit makes the socket a member of its namespace and tells the client. It
// reports false if the client has gone meanwhile, and again if events were
// logged that it hasn't been sent. losses is how often the log had lost events when all this began.
func (s *Socket) admit(resume *resumed, losses uint64) (admitted, again bool) {
	ns := s.ns
	var answer struct {
		SID string `json:"sid"`
		PID string `json:"pid,omitempty"`
	}
	answer.SID = s.id
	if s.rec != nil {
		answer.PID = s.rec.private
	}
	p := parser.Packet{Type: parser.Connect, Namespace: ns.name, ID: -1}
	if s.client.sess.Protocol() != 3 {
		p.Payload, _ = parser.MarshalValue(answer)
	}
	b, err := ns.reg.encode(&p, false)
	if err != nil {
		ns.reg.log.Error("CONNECT could not be answered", "namespace", ns.name, "error", err)
		s.client.sess.Close()
		return false, false
	}

	ns.mu.Lock()
	ns.sockets[s.id] = s
	ns.mu.Unlock()

	ns.lockOrder()
	if s.rec != nil && losses != ns.losses { // what it has been told may be of another log
		ns.unlockOrder()
		s.client.sess.Close() // the client comes back
		return false, false
	}
	if resume != nil && ns.tail.Compare(resume.after) > 0 {
		ns.unlockOrder()
		return false, true
	}
	s.mu.Lock()
	if s.state.Load() != connecting {
		s.mu.Unlock()
		ns.unlockOrder()
		return false, false
	}
	// In one step with the answer: who hears of the client from the client finds it
	// here, and what is sent to it as a member comes after the answer.
	var changes []rooms.Change
	names := append([]string{s.id}, resume.rooms()...)
	flush := s.client.sess.AppendAll(func() {
		s.state.Store(connected)
		s.heard.Store(true)
		s.recovered = resume != nil
		ns.index.Add(s)
		changes = ns.index.Join(s, names...)
	}, append([]*engine.Batch{b}, s.releaseEarly()...)...)
	s.rec.enter(s.id, ns, resume)
	if resume != nil {
		flush = s.tellHomeless(names) || flush
	}
	s.mu.Unlock()
	ns.unlockOrder()

	if flush {
		s.client.sess.Flush()
	}
	s.client.joined()
	ns.reg.stats.sockets.Add(1)
	ns.reg.stats.joins.Add(1)
	if resume != nil {
		ns.reg.stats.recovered.Add(1)
	}
	ns.noteRooms(s, true, changes)
	return true, false
}

// expect announces a socket, so that the namespace isn't cleaned up under it.
func (ns *Namespace) expect() bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.closed {
		return false
	}
	ns.joining++
	return true
}

// expected takes expect back: the socket is in, or it isn't coming.
func (ns *Namespace) expected() {
	ns.mu.Lock()
	ns.joining--
	empty := ns.joining == 0 && len(ns.sockets) == 0
	ns.mu.Unlock()
	if empty {
		ns.reg.cleanup(ns)
	}
}
