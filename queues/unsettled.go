package queues

import (
	"sync"
	"time"
)

// unsettled are settlements of consumers that are open, which the store hasn't answered, and for which nobody waits who
// could ask again: those of a client that acks with a callback, and of handlers. They are sent again until there is
// an answer. A consumer would otherwise keep, and its node renew, what it is done with.
//
// There are no more of them than messages that this node has.
type unsettled struct {
	mu    sync.Mutex
	list  []*settling
	timer *time.Timer
}

// settleAgain is when they are sent again.
const settleAgain = 200 * time.Millisecond

// settleLater has settlements sent again.
func (b *Broker) settleLater(work []*settling) {
	if len(work) == 0 {
		return
	}
	u := &b.unsettled
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.list = append(u.list, work...); u.timer == nil {
		u.timer = time.AfterFunc(settleAgain, b.settleNow)
	}
}

// settleNow sends them.
func (b *Broker) settleNow() {
	u := &b.unsettled
	u.mu.Lock()
	work := u.list
	u.list = nil
	if u.timer != nil {
		u.timer.Stop()
		u.timer = nil
	}
	u.mu.Unlock()
	b.settles.add(work...)
}
