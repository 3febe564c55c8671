package cluster

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Member is a node as others see it.
type Member struct {
	ID       ID        `json:"id"`
	Name     string    `json:"name"`
	Addr     string    `json:"addr,omitempty"` // host:port; empty if it can't be reached directly
	Started  time.Time `json:"started"`
	Sessions int64     `json:"sessions"`
	Draining bool      `json:"draining,omitempty"` // it is going away
	Left     bool      `json:"left,omitempty"`     // it has gone
}

// Store is where the nodes of a cluster meet. All its methods may be called
// from any goroutine.
type Store interface {
	// Secret returns the cluster's secret. If there is none yet, proposal becomes it.
	Secret(ctx context.Context, proposal []byte) ([]byte, error)

	// Beat writes self and returns all members, self included, that were
	// written during the time given.
	Beat(ctx context.Context, self Member, within time.Duration) (Roll, error)

	// Send hands a message to a node. It reports whether anybody listens for that node's messages.
	Send(ctx context.Context, to ID, message []byte) (heard bool, err error)

	// Receive calls f for the messages to a node, one at a time, until ctx
	// ends. It connects again by itself.
	Receive(ctx context.Context, to ID, f func(message []byte)) error
}

// Roll is a store's list of members.
type Roll struct {
	Now     time.Time // by the store's clock
	Members []Seen
}

// Seen is a member and how long ago it was written.
type Seen struct {
	Member
	Ago time.Duration
}

// table is what this node knows of the others.
type table struct {
	self ID

	mu     sync.RWMutex
	known  map[ID]known
	last   time.Time     // when a roll came
	offset time.Duration // of the store's clock from ours
	ready  bool
}

type known struct {
	Member
	heard time.Time // of it, last
}

func (t *table) init(self ID) {
	t.self = self
	t.known = make(map[ID]known)
}

// update takes a roll in, which was asked for at the time given. It returns who has gone, and who is draining.
//
// A member that the roll lacks isn't gone at once: a store that lost its
// data fills up again within a beat. Nor are members that we didn't hear of while the store was away.
func (t *table) update(roll Roll, asked time.Time) (gone []Member, draining []ID) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ready && now.Sub(t.last) > deadAfter/2 {
		for id, k := range t.known {
			k.heard = now
			t.known[id] = k
		}
	}
	t.last, t.ready = now, true
	t.offset = roll.Now.Sub(asked.Add(now.Sub(asked) / 2))
	for _, m := range roll.Members {
		heard := now.Add(-m.Ago)
		k, ok := t.known[m.ID]
		if m.ID == t.self || !ok && m.Left {
			continue
		}
		if k.heard.After(heard) {
			heard = k.heard
		}
		t.known[m.ID] = known{m.Member, heard}
	}
	for id, k := range t.known {
		switch {
		case k.Left, now.Sub(k.heard) > deadAfter:
			delete(t.known, id)
			gone = append(gone, k.Member)
		case k.Draining:
			draining = append(draining, id)
		}
	}
	return gone, draining
}

func (t *table) get(id ID) (Member, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	k, ok := t.known[id]
	return k.Member, ok
}

// storeTime is the time by the store's clock, which all nodes share.
func (t *table) storeTime() time.Time {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return time.Now().Add(t.offset)
}

// Members returns all nodes that are known to live, this one included, sorted by name.
func (n *Node) Members() []Member {
	n.table.mu.RLock()
	list := []Member{n.self()}
	for k := range maps.Values(n.table.known) {
		list = append(list, k.Member)
	}
	n.table.mu.RUnlock()
	slices.SortFunc(list, func(a, b Member) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.ID.String(), b.ID.String())
	})
	return list
}

// Heard returns when the store has answered a heartbeat last.
func (n *Node) Heard() time.Time {
	n.table.mu.RLock()
	defer n.table.mu.RUnlock()
	return n.table.last
}

func (n *Node) self() Member {
	m := Member{ID: n.id, Name: n.cfg.Name, Addr: n.cfg.Advertise, Started: n.started, Draining: n.draining.Load()}
	if n.cfg.Sessions != nil {
		m.Sessions = n.cfg.Sessions()
	}
	return m
}

// beats paces heartbeats, and lets others wait for the next one.
type beats struct {
	wake chan struct{}

	mu   sync.Mutex
	next chan struct{} // closed when a beat that hasn't begun yet is over
}

func (b *beats) init() {
	b.wake = make(chan struct{}, 1)
	b.next = make(chan struct{})
}

// kick asks for a beat soon. The channel is closed when it is over.
func (b *beats) kick() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return b.next
}

// begin returns the channel of those who wait for the beat that begins now.
func (b *beats) begin() chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.wake:
	default:
	}
	over := b.next
	b.next = make(chan struct{})
	return over
}

// beat says to the store that this node lives, or has left, and hears of the others.
func (n *Node) beat(ctx context.Context, left bool) error {
	self := n.self()
	self.Left = left
	asked := time.Now()
	roll, err := n.cfg.Store.Beat(ctx, self, deadAfter)
	if err != nil {
		return err
	}
	gone, draining := n.table.update(roll, asked)
	for _, m := range gone {
		n.log.Info("a node has gone", "node", m.Name, "id", m.ID.String(), "left", m.Left)
		n.links.drop(m.ID)
		n.tunnels.drop(m.ID)
		n.relay.drop(m.ID)
	}
	for _, id := range draining {
		n.holds.release(id)
	}
	return nil
}

// beatLoop beats until ctx ends.
func (n *Node) beatLoop(ctx context.Context) {
	timer := time.NewTimer(beatInterval)
	defer timer.Stop()
	silent := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-n.beats.wake:
		}
		over := n.beats.begin()
		limited, cancel := context.WithTimeout(ctx, beatTimeout)
		err := n.beat(limited, false)
		cancel()
		close(over)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !silent:
			n.log.Warn("the store doesn't take heartbeats; what is known of other nodes stays as it is", "error", err)
		case err == nil && silent:
			n.log.Info("the store takes heartbeats again")
		}
		silent = err != nil
		if silent {
			n.stats.BeatFailures.Add(1)
		}
		n.links.sweep()
		n.relay.sweep()
		select {
		case <-ctx.Done():
			return
		case <-time.After(beatGap):
		}
		timer.Reset(beatInterval - beatGap)
	}
}

// find returns a member. If it isn't known it may be new: the store is asked once more.
func (n *Node) find(ctx context.Context, id ID) (Member, bool) {
	if m, ok := n.table.get(id); ok {
		return m, true
	}
	wait := time.NewTimer(beatTimeout)
	defer wait.Stop()
	select {
	case <-n.beats.kick():
	case <-wait.C:
	case <-ctx.Done():
	}
	return n.table.get(id)
}
