// Package namespaces holds the groups of sockets that a server consists of:
// namespaces, the sockets in them, their rooms, events, acks and broadcasts.
//
// Programs use it through package server.
package namespaces

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/parser"
)

// Config configures a Registry. The zero Config is ready to use.
type Config struct {
	// Codec is the form of packets on the wire. If nil, parser.JSON is used.
	Codec parser.Codec

	// PacketLimits bound what a client's packet may consist of.
	PacketLimits parser.Limits

	// Driver joins this node to others. If nil, the node is alone.
	Driver adapters.Driver

	// ConnectTimeout is the time that a client has to join its first namespace.
	// If zero, 10 s is used. If negative, there is no limit.
	ConnectTimeout time.Duration

	// AckTimeout is how long an ack is waited for when the context has no deadline.
	// If zero, 30 s is used.
	AckTimeout time.Duration

	// Recovery lets clients that were away for a short time continue. Nil is off.
	Recovery *Recovery

	// CleanupEmpty closes dynamic namespaces when their last socket has left. With Recovery on a
	// node that is alone they are kept for as long as clients may come back to what they have missed
	// (Recovery.MaxDisconnection), unless Limits.Namespaces is reached.
	CleanupEmpty bool

	// OneByOne runs the handlers of all namespaces of a client one at a time, in
	// the order of its packets. By default the namespaces don't wait for each other.
	OneByOne bool

	// HoldEarly has sockets addressed before they have joined: what is sent to
	// one, to its rooms or to the namespace while its middlewares run reaches it
	// right behind the answer to its CONNECT, and nobody if it is refused.
	// OnDisconnect is also told of those that go while they are let in.
	// By default only Socket.Emit reaches such a socket, and at once.
	HoldEarly bool

	Limits Limits

	// Logger is told what goes wrong. If nil, slog.Default() is used.
	Logger *slog.Logger
}

// Limits bound what one client can make a node hold.
// Zero is the default, negative is no limit.
type Limits struct {
	NamespacesPerClient int           // 16
	Namespaces          int           // dynamic ones per node; 10,000
	RoomsPerSocket      int           // 1,000
	RoomName            int           // bytes; 255
	PendingAcks         int           // per socket; 1,000
	WaitingEvents       int           // per socket, before the connection isn't read any more; 1,024
	WaitingBytes        int           // the same in bytes; 4 MiB
	AttachmentTime      time.Duration // for the attachments of a packet to arrive; 10 s

	// PacketsPerSecond is how many Socket.IO packets (events, acks, …) of one client
	// are handled, over time; two seconds' worth may come at once. A client that sends more
	// isn't cut off: its connection is read more slowly. Zero is no limit.
	PacketsPerSecond int
}

func (l Limits) withDefaults() Limits {
	def := func(v *int, d int) {
		if *v = cmp.Or(*v, d); *v < 0 {
			*v = math.MaxInt
		}
	}
	def(&l.NamespacesPerClient, 16)
	def(&l.Namespaces, 10_000)
	def(&l.RoomsPerSocket, 1_000)
	def(&l.RoomName, 255)
	def(&l.PendingAcks, 1_000)
	def(&l.WaitingEvents, 1_024)
	def(&l.WaitingBytes, 4<<20)
	l.PacketsPerSecond = min(max(l.PacketsPerSecond, 0), maxRate)
	l.AttachmentTime = cmp.Or(l.AttachmentTime, 10*time.Second)
	return l
}

// Recovery configures connection state recovery: a client that lost its
// connection gets its id, rooms and data back, and what it has missed.
type Recovery struct {
	// MaxDisconnection is how long a client may be away. If zero, 2 min is used.
	MaxDisconnection time.Duration

	// SkipMiddlewares leaves out the namespace's middlewares when a client
	// recovers. By default they decide again.
	SkipMiddlewares bool

	// MaxEvents and MaxBytes bound the log of each namespace in memory.
	// If zero, 100,000 events and 16 MiB are used.
	MaxEvents, MaxBytes int
}

// Registry holds the namespaces of one server. It is the engine.Handler that
// turns sessions into clients.
type Registry struct {
	cfg         Config
	log         *slog.Logger
	attachments int // of a packet that is sent, at most
	nameLen     int // bytes of a namespace's name, at most

	mu        sync.RWMutex
	names     map[string]*Namespace
	parents   []*Namespace             // dynamic ones, in the order of registration
	moving    map[string]chan struct{} // names whose adapter is being opened or closed; closed when that is over
	onNew     []func(*Namespace)
	children  int
	lingering map[*Namespace]*time.Timer // see cleanup
	closed    bool
	ending    atomic.Bool // closed, for those who don't hold mu
	born      time.Time
	life      context.Context // ends with Close
	stop      context.CancelFunc

	stats   counters
	running tally // mailboxes and connects
	workers workers
}

// NewRegistry returns a registry with the namespace "/".
func NewRegistry(cfg Config) (*Registry, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 10*time.Second)
	cfg.AckTimeout = cmp.Or(cfg.AckTimeout, 30*time.Second)
	if cfg.Codec == nil {
		cfg.Codec = parser.JSON
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Recovery != nil {
		r := *cfg.Recovery
		r.MaxDisconnection = cmp.Or(r.MaxDisconnection, 2*time.Minute)
		cfg.Recovery = &r
	}
	if cfg.Driver == nil {
		d := adapters.Memory{}
		if r := cfg.Recovery; r != nil {
			d = adapters.Memory{Keep: r.MaxDisconnection, MaxEvents: r.MaxEvents, MaxBytes: r.MaxBytes}
		}
		cfg.Driver = d
	}
	reg := &Registry{cfg: cfg, log: cfg.Logger, attachments: sendable(&cfg), nameLen: cfg.PacketLimits.Resolved().MaxNamespace, names: map[string]*Namespace{}, moving: map[string]chan struct{}{}, lingering: map[*Namespace]*time.Timer{}, born: time.Now(), running: newTally()}
	reg.life, reg.stop = context.WithCancel(context.Background())
	_, err := reg.open("/", nil)
	return reg, err
}

// sendable is how many attachments a packet may be sent with. Official clients count
// those of JSON packets, and close the connection when there are more than they take.
func sendable(cfg *Config) int {
	if cfg.Codec != parser.JSON && cfg.PacketLimits.MaxAttachments == 0 {
		return math.MaxInt
	}
	return cfg.PacketLimits.Resolved().MaxAttachments
}

// Of returns the namespace of that name and creates it if there is none.
// A missing leading slash is added; "" is "/". It fails if the adapter can't
// be opened, or the registry is closed.
func (reg *Registry) Of(name string) (*Namespace, error) {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	if ns := reg.lookup(name); ns != nil {
		return ns, nil
	}
	// As officially, a namespace made by the program belongs to the first
	// pattern that it matches.
	var parent *Namespace
	reg.mu.RLock()
	for _, p := range reg.parents {
		if p.pattern != nil && p.pattern(name) {
			parent = p
			break
		}
	}
	reg.mu.RUnlock()
	return reg.open(name, parent)
}

// OfMatch returns a parent: clients may join any namespace whose name
// pattern reports true for; it is made when the first comes, with the
// handlers that the parent has then.
func (reg *Registry) OfMatch(pattern func(name string) bool) *Namespace {
	return reg.addParent(&Namespace{pattern: pattern})
}

// OfFunc is OfMatch with a function that may take its time and sees what the
// client sent as auth.
func (reg *Registry) OfFunc(allow func(ctx context.Context, name string, auth json.RawMessage) bool) *Namespace {
	return reg.addParent(&Namespace{allow: allow})
}

func (reg *Registry) addParent(p *Namespace) *Namespace {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	p.reg = reg
	p.name = fmt.Sprintf("/_%d", len(reg.parents))
	p.children = map[string]*Namespace{}
	p.hooks.Store(&hooks{})
	reg.parents = append(reg.parents, p)
	return p
}

// OnNamespace registers f to hear of namespaces that are made from now on.
func (reg *Registry) OnNamespace(f func(*Namespace)) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	reg.onNew = append(reg.onNew, f)
}

// Namespaces returns all namespaces but parents, sorted by name.
func (reg *Registry) Namespaces() []*Namespace {
	reg.mu.RLock()
	defer reg.mu.RUnlock()
	return slices.SortedFunc(maps.Values(reg.names), func(a, b *Namespace) int { return cmp.Compare(a.name, b.name) })
}

func (reg *Registry) lookup(name string) *Namespace {
	reg.mu.RLock()
	defer reg.mu.RUnlock()
	return reg.names[name]
}

var (
	errInvalidNamespace  = &Error{Message: "Invalid namespace"}
	errTooManyNamespaces = &Error{Code: "limit", Message: "Too many namespaces"}
)

// find returns the namespace that a client asks for, making a dynamic one.
func (reg *Registry) find(ctx context.Context, name string, auth json.RawMessage) (*Namespace, error) {
	if ns := reg.lookup(name); ns != nil {
		return ns, nil
	}
	reg.mu.RLock()
	parents := reg.parents
	full := reg.children >= reg.cfg.Limits.Namespaces
	reg.mu.RUnlock()
	for _, p := range parents {
		ok := false
		if p.pattern != nil {
			ok = p.pattern(name)
		} else if err := p.guard("namespace function", func() error { ok = p.allow(ctx, name, auth); return nil }); err != nil {
			reg.log.Error("a namespace function failed: the client is refused", "namespace", name, "error", err)
		}
		if !ok {
			continue
		}
		if full && !reg.makeRoom() {
			reg.stats.rejected("namespaces")
			return nil, errTooManyNamespaces
		}
		ns, err := reg.open(name, p)
		if err != nil {
			reg.log.Error("namespace could not be opened", "namespace", name, "error", err)
			return nil, errInvalidNamespace
		}
		return ns, nil
	}
	return nil, errInvalidNamespace
}

// dynamic reports whether finding a namespace may take the program's time.
func (reg *Registry) dynamic(name string) bool {
	reg.mu.RLock()
	defer reg.mu.RUnlock()
	return reg.names[name] == nil && len(reg.parents) > 0
}

var errClosed = errors.New("namespaces: server closed")

// open makes a namespace, unless somebody else just did.
func (reg *Registry) open(name string, parent *Namespace) (*Namespace, error) {
	if ns, err := reg.turn(name); ns != nil || err != nil {
		return ns, err
	}
	opened := false
	defer func() {
		if !opened {
			reg.passOn(name)
		}
	}()
	ns := &Namespace{reg: reg, name: name, parent: parent, sockets: map[string]*Socket{}, doubt: 1}
	ns.hooks.Store(&hooks{})
	if parent != nil {
		ns.hooks.Store(parent.hooks.Load())
	}
	ns.ask.Store(askBase())
	adapter, err := reg.cfg.Driver.Open(name, local{ns})
	if err != nil {
		return nil, fmt.Errorf("namespaces: open %q: %w", name, err)
	}
	ns.adapter = adapter
	ns.watcher, _ = adapter.(adapters.RoomWatcher)
	if reg.cfg.Recovery != nil {
		ns.log, _ = adapter.(adapters.Log)
		ns.claims = map[string]*Socket{}
		ns.freed.L = &ns.mu
	}

	reg.mu.Lock()
	other, closed := reg.names[name], reg.closed
	if other != nil || closed {
		reg.mu.Unlock()
		adapter.Close(context.Background())
		if closed {
			return nil, errClosed
		}
		return other, nil
	}
	reg.names[name] = ns
	if parent != nil {
		parent.children[name] = ns
		reg.children++
	}
	reg.release(name) // from here on whoever finds it may close it, too: also before all have heard of it
	opened = true
	hear := reg.onNew
	reg.mu.Unlock()
	for _, f := range hear {
		if err := ns.guard("OnNamespace", func() error { f(ns); return nil }); err != nil {
			reg.log.Error("an OnNamespace function failed", "namespace", name, "error", err)
		}
	}
	return ns, nil
}

// turn waits until nobody opens or closes the adapter of a name: a driver has one adapter for
// each. It returns the namespace if there is one by then, and else leaves the name to the
// caller, who passes it on.
func (reg *Registry) turn(name string) (*Namespace, error) {
	for {
		reg.mu.Lock()
		ns, moving, closed := reg.names[name], reg.moving[name], reg.closed
		if ns == nil && moving == nil && !closed {
			reg.moving[name] = make(chan struct{})
		}
		reg.mu.Unlock()
		switch {
		case closed:
			return nil, errClosed
		case ns != nil || moving == nil:
			return ns, nil
		}
		<-moving
	}
}

func (reg *Registry) passOn(name string) {
	reg.mu.Lock()
	defer reg.mu.Unlock()
	reg.release(name)
}

// release is passOn when reg.mu is held.
func (reg *Registry) release(name string) {
	close(reg.moving[name])
	delete(reg.moving, name)
}

// Close ends all namespaces: their sockets are told "server shutting down" and
// their handlers are waited for until ctx ends.
func (reg *Registry) Close(ctx context.Context) error {
	reg.mu.Lock()
	reg.closed = true
	reg.ending.Store(true)
	all := slices.Collect(maps.Values(reg.names))
	for ns := range reg.lingering {
		reg.lingerNot(ns)
	}
	reg.mu.Unlock()
	for _, ns := range all {
		for _, s := range ns.Sockets() {
			s.close(ReasonShutdown)
		}
	}
	reg.stop() // for those that are about to connect
	err := reg.running.wait(ctx)
	reg.workers.stop()
	for _, ns := range all {
		err = errors.Join(err, ns.adapter.Close(ctx))
	}
	return err
}

// Open makes a client of a session. It implements engine.Handler.
func (reg *Registry) Open(s *engine.Session) engine.Receiver {
	return newClient(reg, s)
}
