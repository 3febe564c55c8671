package queues

import (
	"context"
	"errors"
	"time"
)

// silence is how long a node may say nothing until others release what it holds (Store.Beat), and cutOff after which
// time without an answer it lets go of it by itself: before them.
const (
	silence = 3 * time.Second
	cutOff  = silence - 500*time.Millisecond
)

// beat says every second that this node is alive, and releases what nodes hold that aren't.
func (b *Broker) beat() {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	last := b.beaten // when the last beat left that was answered
	alarm := time.AfterFunc(cutOff, b.letGo)
	defer alarm.Stop()
	failing := false
	for {
		select {
		case <-t.C:
		case <-b.ctx.Done():
			return
		}
		sent := time.Now()
		ctx, cancel := context.WithTimeout(b.ctx, min(b.cfg.Timeout, cutOff))
		lost, err := b.store.Beat(ctx, b.cfg.Node)
		cancel()
		if b.ctx.Err() != nil {
			return
		}
		if (err != nil) != failing {
			failing = err != nil
			if failing {
				b.log.Error("queues: the store is unavailable", "error", err)
			} else {
				b.log.Info("queues: the store is available again")
			}
		}
		if err != nil {
			t.Reset(time.Second / 5)
			continue
		}
		t.Reset(max(time.Until(sent.Add(time.Second)), time.Second/5))
		alarm.Reset(max(time.Until(sent.Add(cutOff)), time.Millisecond))
		b.mu.Lock()
		b.beaten = time.Now()
		b.mu.Unlock()
		b.back()
		silent := sent.Sub(last) >= cutOff
		last = sent
		if silent {
			continue // perhaps it was the store that slept: others have had no chance to speak, either
		}
		for _, node := range lost {
			b.bury(node)
		}
	}
}

// letGo takes all messages from their consumers: the store doesn't answer, and if that is so
// only for this node, others will soon get them. A store that knows that there are no others (Alone) spares them that.
func (b *Broker) letGo() {
	if b.alone() {
		return
	}
	b.cut.Store(cutSilent)
	for _, l := range b.allLanes() {
		l.mu.Lock()
		var holds []*hold
		for _, h := range l.held {
			holds = append(holds, h)
		}
		l.doubtful = l.doubtful || len(holds) > 0 // to be given back when the store answers
		l.mu.Unlock()
		l.revoke(holds, RevokedCutOff)
	}
}

// alone reports whether the store knows that no other node has it.
func (b *Broker) alone() bool {
	s, ok := b.store.(interface{ Alone() bool })
	return ok && s.Alone()
}

// What Broker.cut may be. A node that was silent for too long takes messages again when the store has answered it
// twice: others that took it for lost have then released what it held before, and won't release what it takes.
const (
	cutSilent   = 1
	cutAnswered = 2
)

// back notes that the store has answered.
func (b *Broker) back() {
	if b.cut.CompareAndSwap(cutSilent, cutAnswered) || !b.cut.CompareAndSwap(cutAnswered, 0) {
		return
	}
	for _, l := range b.allLanes() {
		l.kick()
	}
}

func (b *Broker) allLanes() []*lane {
	b.mu.Lock()
	defer b.mu.Unlock()
	lanes := make([]*lane, 0, len(b.lanes))
	for _, l := range b.lanes {
		lanes = append(lanes, l)
	}
	return lanes
}

// bury releases what a lost node holds.
func (b *Broker) bury(node string) {
	ctx, cancel := b.call()
	defer cancel()
	names, err := b.store.Queues(ctx)
	total := 0
	for _, name := range names {
		n, e := b.store.Release(ctx, name, node, nil)
		if total += n; e != nil && !errors.Is(e, ErrNotFound) {
			err = e
		}
	}
	if err == nil {
		err = b.store.Forget(ctx, node)
	}
	if err != nil {
		return // the next beat tells of it again
	}
	b.log.Warn("queues: a node is gone", "node", node, "released", total)
}
