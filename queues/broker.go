package queues

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// BrokerConfig is the configuration of a Broker. Fields are zero for their default, and limits are negative for none.
type BrokerConfig struct {
	// Store keeps the messages. It is the caller's to close, after the broker.
	Store Store

	// Node names this broker among those that share the store; no two at any time have one name.
	// Default: a random one.
	Node string

	// Authorize decides who may do what. Default OwnInbox.
	Authorize Authorize

	// MaxQueues is how many queues there may be, of all, when a principal makes another. Default 10,000.
	MaxQueues int

	// Inbox bounds every inbox, and how many there are. Defaults: 10,000 entries, 16 MiB, 30 days, DropOldest, 1000 topics, 100 devices,
	// 1,000,000 inboxes.
	Inbox InboxLimits
	// InboxPayload is the largest payload of an entry in bytes. Default 256 KiB.
	InboxPayload int
	// InboxIdle is after which time an inbox that is empty and without subscriptions is forgotten.
	// Default 30 days.
	InboxIdle time.Duration

	// SendRate is how many entries per second each principal may send through one node, at most SendBurst at once.
	// An entry counts once for each inbox that is named, and once for a topic. Defaults 100 and 1000.
	SendRate  float64
	SendBurst int
	// NewInboxes is how many inboxes each principal may have made per hour through one node, by sending to names that have
	// none yet, or by opening and subscribing those; one's own don't count. Who has no name ("") is one principal, with all others
	// of no name. Default 1000.
	NewInboxes int

	// MaxWaiting and MaxWaitingBytes bound what producers of this node have handed over and the store has
	// not stored yet; more is refused with CodeUnavailable. Defaults 65,536 messages and 64 MiB.
	MaxWaiting      int
	MaxWaitingBytes int64

	// Timeout bounds a call of the store. Default 10 s.
	Timeout time.Duration

	Logger *slog.Logger
}

// WithDefaults returns c with every field set but Store and Node; what is none stays as it is, or is a very large number. Doing
// it again changes nothing.
func (c BrokerConfig) WithDefaults() BrokerConfig {
	if c.Authorize == nil {
		c.Authorize = OwnInbox
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.MaxQueues = limit(c.MaxQueues, 10_000)
	c.Inbox.MaxLen = limit(c.Inbox.MaxLen, 10_000)
	c.Inbox.MaxBytes = limit(c.Inbox.MaxBytes, 16<<20)
	c.Inbox.TTL = period(c.Inbox.TTL, 30*24*time.Hour)
	c.Inbox.Overflow = cmp.Or(c.Inbox.Overflow, DropOldest)
	c.Inbox.Topics = limit(c.Inbox.Topics, 1000)
	c.Inbox.Devices = limit(c.Inbox.Devices, 100)
	c.Inbox.Inboxes = limit(c.Inbox.Inboxes, 1_000_000)
	c.InboxPayload = limit(c.InboxPayload, 256<<10)
	c.InboxIdle = span(c.InboxIdle, 30*24*time.Hour)
	c.SendRate = cmp.Or(c.SendRate, 100)
	c.SendBurst = limit(c.SendBurst, 1000)
	c.NewInboxes = cmp.Or(c.NewInboxes, 1000)
	c.MaxWaiting = limit(c.MaxWaiting, 1<<16)
	c.MaxWaitingBytes = limit(c.MaxWaitingBytes, 64<<20)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	return c
}

// Broker stands between a store and the producers and consumers of one node. What they do at the
// same time it does together: one call of the store for all publishes, one for all claims,
// one for all settlements.
//
// Its own methods, those of Client, are allowed everything.
type Broker struct {
	Client
	cfg    BrokerConfig
	store  Store
	log    *slog.Logger
	signer *signer

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup // listen, beat and sweep: begun by NewBroker only

	outcomes  sync.Pool // of channels for who waits for a publish: empty ones that nobody sends to
	publishes *stage[*publishing]
	claims    *stage[*lane]
	settles   *stage[*settling]
	puts      *stage[*putting]
	reads     *stage[*Inbox]
	acks      *stage[*Inbox]
	renewals  *stage[*lane]
	passes    *stage[string]
	unsettled unsettled

	cut     atomic.Int32 // not 0: this node may be taken for lost
	rates   limiter
	sends   limiter
	makes   limiter
	refused [len(Refusals)]atomic.Uint64
	parking parking
	waiting waiting

	mu      sync.RWMutex // most look for a lane or a configuration, each time
	closed  atomic.Bool  // written with the lock held
	lanes   map[string]*lane
	inboxes map[string][]*Inbox
	number  uint64 // of the last consumer or owner
	configs map[string]cachedConfig
	beaten  time.Time // when the store was alive
}

// waiting counts what producers have handed over.
type waiting struct {
	mu    sync.Mutex
	n     int
	bytes int64
}

// NewBroker starts a broker. It returns an error if the store can't be reached.
func NewBroker(ctx context.Context, c BrokerConfig) (*Broker, error) {
	if c.Node == "" {
		var id [9]byte
		rand.Read(id[:])
		c.Node = hex.EncodeToString(id[:])
	}
	c = c.WithDefaults()
	secret, err := c.Store.Secret(ctx)
	if err != nil {
		return nil, err
	}
	b := &Broker{
		cfg:     c,
		store:   c.Store,
		log:     c.Logger,
		signer:  newSigner(secret),
		lanes:   map[string]*lane{},
		inboxes: map[string][]*Inbox{},
		configs: map[string]cachedConfig{},
	}
	b.Client = Client{b: b, trusted: true}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.publishes = newStage(1024, b.publishAll)
	b.claims = newStage(256, b.claimAll)
	b.settles = newStage(1024, b.settleAll)
	b.puts = newStage(512, b.putAll)
	b.reads = newStage(256, b.readAll)
	b.acks = newStage(1024, b.ackAll)
	b.renewals = newStage(64, b.renewAll)
	b.passes = newStage(256, b.passOn)

	if _, err := b.store.Beat(ctx, c.Node); err != nil {
		b.cancel()
		return nil, err
	}
	b.beaten = time.Now()
	b.tasks.Go(b.listen)
	b.tasks.Go(b.beat)
	b.tasks.Go(b.sweep)
	if err := b.startFanout(ctx); err != nil {
		b.cancel()
		b.tasks.Wait()
		return nil, err
	}
	return b, nil
}

// Node returns the broker's name.
func (b *Broker) Node() string { return b.cfg.Node }

// Close gives back what consumers hold, closes them and the inboxes that are open, and waits until the store has
// done what was handed over, or ctx ends: then calls of the store may still be under way.
func (b *Broker) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.isClosed() {
		b.mu.Unlock()
		return nil
	}
	b.closed.Store(true)
	var consumers []*Consumer
	for _, l := range b.lanes {
		consumers = append(consumers, l.all()...)
	}
	var inboxes []*Inbox
	for _, of := range b.inboxes {
		inboxes = append(inboxes, of...)
	}
	b.mu.Unlock()

	done := make(chan struct{})
	go func() {
		defer close(done)
		b.publishes.wait()
		for _, c := range consumers {
			c.Close()
		}
		for _, l := range b.allLanes() {
			b.leave(l)
		}
		for _, in := range inboxes {
			in.Close(b.ctx)
		}
		for _, c := range consumers {
			if h := c.handler.Load(); h != nil {
				h.wait()
			}
		}
		b.claims.wait()
		b.settleNow()
		b.settles.wait()
		b.puts.wait()
		b.reads.wait()
		b.acks.wait()
		b.renewals.wait()
		b.passes.wait()
	}()
	defer b.cancel() // and with it every call of the store
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := b.store.Forget(ctx, b.cfg.Node)
	b.cancel()
	b.tasks.Wait()
	return err
}

func (b *Broker) isClosed() bool { return b.closed.Load() }

// Healthy says what is wrong if the store has not answered for 3 s.
func (b *Broker) Healthy() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.isClosed() || time.Since(b.beaten) > 3*time.Second {
		return ErrUnavailable
	}
	return nil
}

// Full reports whether the store takes nothing more, until it has room (ErrStoreFull). A store that can be nearly full
// has a method Full.
func (b *Broker) Full() bool {
	s, ok := b.store.(interface{ Full() bool })
	return ok && !b.isClosed() && s.Full()
}

// call returns the context of a call of the store.
func (b *Broker) call() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, b.cfg.Timeout)
}

// listen hears what the store has to tell.
func (b *Broker) listen() {
	for b.ctx.Err() == nil {
		err := b.store.Listen(b.ctx, b.cfg.Node, (*ears)(b))
		if b.ctx.Err() != nil {
			return
		}
		b.log.Warn("queues: can't hear the store", "error", err)
		b.pause(time.Second)
		(*ears)(b).Missed()
	}
}

// pause waits for about d, or until the broker ends.
func (b *Broker) pause(d time.Duration) {
	t := time.NewTimer(time.Duration((0.75 + 0.5*mathrand.Float64()) * float64(d)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.ctx.Done():
	}
}

// ears is the broker as a Listener.
type ears Broker

func (e *ears) Ready(queue string) {
	b := (*Broker)(e)
	if l := b.lane(queue); l != nil {
		l.told()
		return
	}
	b.passes.add(queue)
}

// passOn gives back the turn of this node, which has no consumer for a queue any more: by a claim of nothing
// it waits no longer, and if there are messages another node that waits is told.
func (b *Broker) passOn(queues []string) {
	slices.Sort(queues)
	var calls []*ClaimCall
	for _, queue := range slices.Compact(queues) {
		if l := b.lane(queue); l != nil && l.kick() {
			continue // somebody has come meanwhile
		}
		calls = append(calls, &ClaimCall{Queue: queue, Node: b.cfg.Node})
	}
	if len(calls) == 0 {
		return
	}
	ctx, cancel := b.call()
	b.store.Claim(ctx, calls)
	cancel()
	for _, c := range calls {
		if l := b.lane(c.Queue); l != nil {
			l.kick() // somebody may have come and waited meanwhile, and the node waits no longer
		}
	}
}

func (e *ears) Arrived(inbox string) {
	b := (*Broker)(e)
	b.reads.add(b.opened(inbox)...)
}

func (e *ears) TakenOver(inbox string, o Owner) {
	for _, in := range (*Broker)(e).opened(inbox) {
		if in.owner == o {
			in.end(ErrTakenOver)
		}
	}
}

func (e *ears) Missed() {
	b := (*Broker)(e)
	b.mu.Lock()
	var inboxes []*Inbox
	for _, of := range b.inboxes {
		inboxes = append(inboxes, of...)
	}
	b.mu.Unlock()
	for _, l := range b.allLanes() {
		l.mu.Lock()
		l.doubtful = true // the store may have lost what was settled last
		l.mu.Unlock()
		l.kick()
	}
	for _, in := range inboxes {
		in.mu.Lock()
		in.missed = true
		in.mu.Unlock()
	}
	b.reads.add(inboxes...)
}

func (b *Broker) lane(queue string) *lane {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.lanes[queue]
}

func (b *Broker) opened(inbox string) []*Inbox {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Clone(b.inboxes[inbox])
}

// sweep lets time pass for queues and inboxes that nobody uses.
func (b *Broker) sweep() {
	after := ""
	for n := 0; ; n++ {
		b.pause(time.Second)
		if b.ctx.Err() != nil {
			return
		}
		ctx, cancel := b.call()
		if n%15 == 14 {
			names, _ := b.store.Queues(ctx)
			for _, name := range names {
				for range 40 {
					if next, err := b.store.Sweep(ctx, name); err != nil || next != 0 {
						break
					}
				}
			}
		}
		if n%5 == 4 || after != "" {
			after, _ = b.store.SweepInboxes(ctx, after, b.cfg.InboxIdle)
		}
		cancel()
	}
}

// safety is when to look again although nothing was told: 1 to 5 s.
func safety() time.Duration {
	return time.Second + time.Duration(mathrand.Float64()*4*float64(time.Second))
}
