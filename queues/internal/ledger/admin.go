package ledger

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// stored is the form of a queue on disk.
type stored struct {
	No            uint32        `json:"no"`
	Config        queues.Config `json:"config"`
	PublishPaused bool          `json:"publishPaused,omitempty"`
	ConsumePaused bool          `json:"consumePaused,omitempty"`
}

func (l *Ledger) store(q *queue) {
	b, _ := json.Marshal(stored{q.no, q.cfg, q.publishPaused, q.consumePaused}) // it has nothing that can't be
	l.kv.Set(nameKey(keyQueue, q.name), b)
}

// Configure does AdminStore.Configure.
func (l *Ledger) Configure(name string, c queues.Config) error {
	q := l.queues[name]
	if q == nil {
		l.nextNo++
		q = newQueue(name, l.nextNo, c)
		l.queues[name] = q
	}
	q.cfg = c
	l.store(q)
	l.wake(q)
	return nil
}

// Config does AdminStore.Config.
func (l *Ledger) Config(name string) (queues.Config, error) {
	q, err := l.queue(name)
	if err != nil {
		return queues.Config{}, err
	}
	return q.cfg, nil
}

// Queues does AdminStore.Queues.
func (l *Ledger) Queues() []string {
	names := make([]string, 0, len(l.queues))
	for name := range l.queues {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Delete does AdminStore.Delete.
func (l *Ledger) Delete(name string, force bool) error {
	q, err := l.queue(name)
	if err != nil {
		return err
	}
	l.due(q)
	if q.nLeased > 0 && !force {
		return queues.Refuse(queues.CodeConflict, "messages of the queue are being processed")
	}
	delete(l.queues, name)
	l.kv.Delete(nameKey(keyQueue, name))
	for _, kind := range []byte{keyMarks, keyMessage, keyTries, keyDead, keyID} {
		l.kv.DeleteRange(all(kind, q.no))
	}
	return nil
}

// Pause does AdminStore.Pause.
func (l *Ledger) Pause(name string, publish, consume bool) error {
	q, err := l.queue(name)
	if err != nil {
		return err
	}
	q.publishPaused, q.consumePaused = publish, consume
	l.store(q)
	l.wake(q)
	return nil
}

// step is how many messages Purge deletes in one call.
const step = 1000

// Purge does AdminStore.Purge.
func (l *Ledger) Purge(name string, deadOnes bool) (int, error) {
	q, err := l.queue(name)
	if err != nil {
		return 0, err
	}
	l.due(q)
	n := 0
	if deadOnes {
		for m := q.dead.front(); m != nil && n < step; m = q.dead.front() {
			l.bin(q, m)
			n++
		}
		return n, nil
	}
	for m := q.oldest(); m != nil && n < step; m = q.oldest() {
		l.erase(q, m)
		n++
	}
	for _, k := range q.keys {
		for m := k.waiting.front(); m != nil && n < step; m = k.waiting.front() {
			l.erase(q, m)
			n++
		}
	}
	waiting := least(q.deadlines.ms, step-n, func(m *message) bool { return m.state == scheduled }, byTime)
	for _, m := range waiting {
		l.erase(q, m)
	}
	return n + len(waiting), nil
}

// Redrive does AdminStore.Redrive.
func (l *Ledger) Redrive(name string, n int, ids []string) (int, error) {
	q, err := l.queue(name)
	if err != nil {
		return 0, err
	}
	l.due(q)
	wanted := func(*message) bool { return true }
	if len(ids) > 0 {
		n = step
		wanted = func(m *message) bool { return slices.Contains(ids, m.letter.id) }
	}
	moved := 0
	for _, m := range q.dead.first(n, wanted) {
		if !l.makeRoom(q, int(m.size), new(int)) {
			break
		}
		l.revive(q, m)
		moved++
	}
	l.mark(q, 0)
	l.wake(q)
	return moved, nil
}

// revive makes m, which is dead, ready as if it were new: behind all that was published since, under another number, with
// the id that it had. Its TTL begins anew.
func (l *Ledger) revive(q *queue, m *message) {
	m.line.leave(m)
	l.kv.Delete(l.at(keyDead, q.no, m.seq))
	r, ok := l.record(q, m.seq)
	if !ok {
		return
	}
	wait := time.Duration(max(r.Expires-max(r.Stored, r.Due), 0)) * time.Millisecond
	r.Due, r.Expires = 0, 0
	if wait > 0 {
		r.Expires = l.now + wait.Milliseconds()
	}
	r.ID = idOr(r.ID, m.seq)
	l.kv.Delete(l.at(keyMessage, q.no, m.seq))
	q.seq++
	l.storeRecord(q, q.seq, &r)
	back := &message{seq: q.seq, stored: m.stored, size: m.size, priority: m.priority}
	back.times[byExpiry] = r.Expires
	q.insert(back, 0, r.Key)
}

// Peek does AdminStore.Peek.
func (l *Ledger) Peek(name string, s queues.State, offset, n int) ([]*queues.Info, error) {
	q, err := l.queue(name)
	if err != nil {
		return nil, err
	}
	l.due(q)
	var ms []*message
	end := offset + n
	switch s {
	case queues.Ready:
		for i := len(q.ready) - 1; i >= 0; i-- {
			ms = append(ms, q.ready[i].first(end-len(ms), nil)...)
		}
	case queues.Scheduled:
		ms = least(q.deadlines.ms, end, func(m *message) bool { return m.state == scheduled }, byTime)
	case queues.Leased:
		ms = least(q.deadlines.ms, end, func(m *message) bool { return m.state == leased }, byTime)
	case queues.Blocked:
		for _, k := range q.keys {
			ms = append(ms, k.waiting.first(end, nil)...)
			if len(ms) > 2*end {
				ms = least(ms, end, nil, bySeq)
			}
		}
		ms = least(ms, end, nil, bySeq)
	case queues.Dead:
		ms = q.dead.first(end, nil)
	default:
		return nil, queues.Refuse(queues.CodeBadRequest, "no such state")
	}
	var infos []*queues.Info
	for _, m := range ms[min(offset, len(ms)):] {
		if in := l.info(q, m); in != nil {
			infos = append(infos, in)
		}
	}
	return infos, nil
}

// first returns the first n messages of the line that f wants.
func (l *line) first(n int, f func(*message) bool) (ms []*message) {
	for i := 0; i < l.deque.n && len(ms) < n; i++ {
		if m := l.at(i); l.in(m) && (f == nil || f(m)) {
			ms = append(ms, m)
		}
	}
	return ms
}

func byTime(a, b *message) int {
	return cmp.Or(cmp.Compare(a.times[byDeadline], b.times[byDeadline]), bySeq(a, b))
}

func bySeq(a, b *message) int { return cmp.Compare(a.seq, b.seq) }

// least returns the n least of the messages that f wants, in order.
func least(ms []*message, n int, f func(*message) bool, compare func(a, b *message) int) []*message {
	var got []*message
	for _, m := range ms {
		if f != nil && !f(m) || n <= 0 {
			continue
		}
		if len(got) == n {
			if compare(m, got[n-1]) > 0 {
				continue
			}
			got = got[:n-1]
		}
		i, _ := slices.BinarySearchFunc(got, m, compare)
		got = slices.Insert(got, i, m)
	}
	return got
}

// Stats does AdminStore.Stats.
func (l *Ledger) Stats(name string) (queues.Stats, error) {
	q, err := l.queue(name)
	if err != nil {
		return queues.Stats{}, err
	}
	l.due(q)
	l.wake(q)
	s := q.stats
	s.Ready, s.Scheduled, s.Leased, s.Blocked = q.nReady(), q.nScheduled, q.nLeased, q.nBlocked
	s.Dead, s.Bytes = q.dead.n, q.bytes
	s.Waiting = len(q.waiters)
	s.PublishPaused, s.ConsumePaused = q.publishPaused, q.consumePaused
	for i := range q.ready {
		if m := q.ready[i].front(); m != nil {
			s.Oldest = max(s.Oldest, time.Duration(l.now-m.stored)*time.Millisecond)
		}
	}
	return s, nil
}
