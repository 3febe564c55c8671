package redisadapter

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// sessionStore keeps the states of sessions in Redis. A state is only replaced by
// the node that wrote it last: who takes a session over replaces it first, and
// what the former node still writes has no effect.
type sessionStore struct {
	d      *StreamsDriver
	gather gatherer

	mu        sync.Mutex
	streams   map[string]*stream
	kept      map[string]*keptSession // by private id: connected here, or on their way to Redis
	queue     []*keptSession          // those with something to write
	idle      chan struct{}           // closed when nothing is to be written, if somebody waits
	busy      int                     // being written
	renew     []renewal               // of the keys of connected sessions, by time
	following atomic.Bool
	asked     int                    // sessions whose clients are asked whether they are here
	taken     map[takenFrom][]string // notices
	keep      time.Duration          // the longest that a session is kept
	ended     bool
	wake      chan struct{}
	nodeUp    chan struct{} // to have the node's key written
	life      context.Context
	stop      context.CancelFunc
	run       sync.WaitGroup
}

// keptSession is what is known of one session's key.
type keptSession struct {
	a       *streamAdapter
	private string
	digest  string // of what Redis has; empty: nothing
	lineage string // of the server that has it
	turn    int64  // see savedSession
	asked   bool   // it has another lineage by now, and the client is asked whether it is here: nothing is written
	behind  bool   // it had, and the client is here: whatever older state of this node is there is replaced
	next    *sessionWrite
	busy    bool
	waits   []chan struct{} // closed when it is neither busy nor has a next write
}

// sessionWrite is a state to be written. State nil forgets the session.
type sessionWrite struct {
	state *adapters.Session
	keep  time.Duration
	done  []func(error)
}

type renewal struct {
	k  *keptSession
	at time.Time
}

// takenFrom is a node from which sessions of a namespace were taken.
type takenFrom struct {
	node string
	a    *streamAdapter
}

const (
	// The key of a connected session lives as long without being renewed: the time for
	// which it is of use is bounded by the node's key.
	connectedTTL = time.Hour
	renewTime    = connectedTTL / 2

	// The key of a node lives nodeTTL longer than a session may be away.
	nodeTTL   = 20 * time.Second
	nodeRenew = 5 * time.Second

	sessionBatch = 256
	takenTime    = 50 * time.Millisecond
	takenIDs     = 256 // in one entry
)

// askLineage has a script know the server's replication id; it is empty where INFO isn't allowed.
const askLineage = `local i = redis.pcall('INFO', 'replication')
local id = type(i) == 'string' and string.match(i, 'master_replid:(%x+)') or ''
`

// replaceSession sets a key to ARGV[2] for ARGV[3] ms, or deletes it if that is
// empty, unless it holds something else than what has the digest ARGV[1]. What
// was written already, by a command whose answer got lost, is fine. A server of another
// lineage than ARGV[4] only says which one it has.
const replaceSession = askLineage + `if id ~= ARGV[4] then return id end
local v = redis.call('GET', KEYS[1])
if v then
  if v ~= ARGV[2] and redis.sha1hex(v) ~= ARGV[1] then return 0 end
elseif ARGV[1] ~= '' and ARGV[2] ~= '' then return -1 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`

func newSessionStore(d *StreamsDriver) *sessionStore {
	st := &sessionStore{
		d: d, gather: gatherer{rdb: d.rdb}, kept: map[string]*keptSession{}, taken: map[takenFrom][]string{}, keep: 2 * time.Minute,
		wake: make(chan struct{}, 1), nodeUp: make(chan struct{}, 1),
	}
	st.life, st.stop = context.WithCancel(context.Background())
	return st
}

func (st *sessionStore) begin(streams map[string]*stream) {
	st.streams = streams
	st.run.Go(st.write)
	st.run.Go(st.keepNode)
	st.run.Go(st.watch)
}

// end stops the store. What isn't written by now never is.
func (st *sessionStore) end() {
	st.stop()
	st.run.Wait()
	st.mu.Lock()
	st.ended = true
	var left []*sessionWrite
	for _, k := range st.kept {
		if k.next != nil {
			left = append(left, k.next)
		}
		k.over()
	}
	st.kept, st.queue = map[string]*keptSession{}, nil
	st.mu.Unlock()
	for _, w := range left {
		w.over(errClosed)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if len(left) == 0 { // else sessions are found by it
		_ = st.d.rdb.Del(ctx, st.nodeKey(st.d.node)).Err()
	}
}

// final reports whether nothing is to be written after it.
func (w *sessionWrite) final() bool { return w.state.ID == "" || !w.state.Ended.IsZero() }

func (w *sessionWrite) over(err error) {
	if w == nil {
		return
	}
	for _, f := range w.done {
		f(err)
	}
}

func (k *keptSession) over() {
	for _, c := range k.waits {
		close(c)
	}
	k.waits = nil
}

func (st *sessionStore) key(private string) string { return st.d.cfg.SessionPrefix + private }

func (st *sessionStore) nodeKey(node string) string { return st.d.cfg.SessionPrefix + "node:" + node }

// save has a state written, instead of an earlier one that isn't yet.
func (st *sessionStore) save(a *streamAdapter, s *adapters.Session, keep time.Duration, done func(error)) {
	if keep <= 0 {
		s = &adapters.Session{Private: s.Private}
	}
	st.mu.Lock()
	if st.ended {
		st.mu.Unlock()
		go done(errClosed) // the caller may hold what done takes
		return
	}
	st.keep = max(st.keep, keep)
	k := st.kept[s.Private]
	if k == nil {
		k = &keptSession{a: a, private: s.Private}
		st.kept[s.Private] = k
	}
	if k.next == nil {
		k.next = &sessionWrite{}
		if !k.busy && !k.asked {
			st.queue = append(st.queue, k)
		}
	}
	k.next.state, k.next.keep = s, keep
	k.next.done = append(k.next.done, done)
	var left *sessionWrite
	if k.asked && k.next.final() { // the client hasn't answered
		left = st.drop(k)
	}
	st.mu.Unlock()
	if left != nil {
		go left.over(adapters.ErrBehind)
	}
	st.rouse()
}

func (st *sessionStore) rouse() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// settled waits until all is written, or ctx ends.
func (st *sessionStore) settled(ctx context.Context) {
	for {
		st.mu.Lock()
		if len(st.queue)+st.busy == 0 {
			st.mu.Unlock()
			return
		}
		if st.idle == nil {
			st.idle = make(chan struct{})
		}
		idle := st.idle
		st.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return
		}
	}
}

// write writes what is to be written, many states at once.
func (st *sessionStore) write() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		batch := st.next()
		if len(batch) > 0 {
			if !st.writeAll(batch) {
				return
			}
			continue
		}
		select {
		case <-st.wake:
		case <-tick.C:
			st.renewKeys()
		case <-st.life.Done():
			return
		}
	}
}

// writing is a write under way.
type writing struct {
	k       *keptSession
	w       *sessionWrite
	digest  string // of what is there; empty: nothing
	lineage string
	behind  bool
	value   string // empty: forget it
	ttl     time.Duration
	err     error
	final   bool
	other   string // the server has this lineage
}

func (st *sessionStore) next() []*writing {
	st.mu.Lock()
	defer st.mu.Unlock()
	batch := make([]*writing, 0, min(len(st.queue), sessionBatch))
	for len(st.queue) > 0 && len(batch) < sessionBatch {
		k := st.queue[0]
		st.queue[0] = nil
		st.queue = st.queue[1:]
		if k.next == nil || k.busy || k.asked { // since it was put there
			continue
		}
		batch = append(batch, &writing{k: k, w: k.next, digest: k.digest, lineage: k.lineage, behind: k.behind})
		k.next, k.busy = nil, true
	}
	st.busy += len(batch)
	st.rest()
	return batch
}

// rest tells who waits for it that nothing is to be written. mu is held.
func (st *sessionStore) rest() {
	if st.idle != nil && len(st.queue)+st.busy == 0 {
		close(st.idle)
		st.idle = nil
	}
}

// writeAll writes a batch, however often it takes. It reports false when the
// store ends.
func (st *sessionStore) writeAll(batch []*writing) bool {
	for _, b := range batch {
		if b.ttl = connectedTTL; !b.w.state.Ended.IsZero() {
			b.ttl = b.w.keep
		}
		if b.digest == "" && !b.behind {
			b.lineage = st.d.lineages.of(st.life, st.key(b.k.private))
		}
		st.encode(b)
	}
	for fails := 0; ; fails++ {
		err := st.try(batch)
		if err == nil {
			break
		}
		if st.life.Err() != nil {
			st.finish(batch, errClosed)
			return false
		}
		if fails%50 == 0 {
			st.d.cfg.Logger.Warn("sessions can't be saved: trying on", "error", err)
		}
		if !pause(st.life, fails) {
			st.finish(batch, errClosed)
			return false
		}
	}
	st.finish(batch, nil)
	return true
}

// encode makes the value to be written.
func (st *sessionStore) encode(b *writing) {
	if b.w.state.ID == "" {
		return // forget it
	}
	if b.value, b.err = encodeRecord(&savedSession{*b.w.state, st.d.node, b.k.turn, b.lineage}); b.err != nil {
		b.value = ""
	}
}

// try writes what of a batch isn't written.
func (st *sessionStore) try(batch []*writing) error {
	ctx, cancel := context.WithTimeout(st.life, writeTime)
	defer cancel()
	if err := st.compare(ctx, batch); err != nil {
		return err
	}
	pipe := st.d.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(batch))
	for i, b := range batch {
		if !b.final {
			cmds[i] = pipe.Eval(ctx, replaceSession, []string{st.key(b.k.private)}, b.digest, b.value, b.ttl.Milliseconds(), b.lineage)
		}
	}
	_, _ = pipe.Exec(ctx)
	var failed error
	again := false
	for i, b := range batch {
		if b.final {
			continue
		}
		v, err := cmds[i].Result()
		switch v := v.(type) {
		case int64:
			b.final = true
			switch v {
			case 0:
				b.err = adapters.ErrTaken
			case -1:
				b.err = adapters.ErrUnknown
			}
		case string:
			st.d.lineages.note()
			if b.digest == "" && !b.behind { // a new session: nobody else can have it
				b.lineage, b.behind = v, true // an attempt before may have been written all the same
				st.encode(b)
				again = true
			} else {
				b.final, b.other = true, v
			}
		default:
			failed = cmp.Or(err, errProtocol)
		}
	}
	if failed == nil && again {
		return st.try(batch)
	}
	return failed
}

func (st *sessionStore) finish(batch []*writing, err error) {
	var over []*writing
	var more, late []*sessionWrite // what fails with them; what comes too late for another lineage
	var ask []*keptSession
	st.mu.Lock()
	for _, b := range batch {
		k := b.k
		k.busy = false
		if !b.final {
			b.err = errors.Join(b.err, err)
		}
		switch {
		case b.other != "" && b.err == nil:
			if k.next == nil {
				k.next = &sessionWrite{state: b.w.state, keep: b.w.keep}
			}
			k.next.done = append(b.w.done, k.next.done...)
			if w := st.ask(k, b.other); w != nil {
				late = append(late, w)
			} else {
				ask = append(ask, k)
			}
			continue
		case b.err != nil || b.value == "" || !b.w.state.Ended.IsZero():
			k.digest = ""
			if b.err == nil && b.value != "" {
				k.digest, k.lineage, k.behind = digest(b.value), b.lineage, false
			}
			if b.err != nil && k.next != nil {
				more = append(more, k.next)
				k.next = nil
			}
			if k.next == nil && st.kept[k.private] == k {
				delete(st.kept, k.private)
			}
		default:
			if k.digest == "" {
				st.renew = append(st.renew, renewal{k, time.Now().Add(renewTime)})
			}
			k.digest, k.lineage, k.behind = digest(b.value), b.lineage, false
		}
		if k.next != nil {
			st.queue = append(st.queue, k)
		}
		if k.next == nil {
			k.over()
		}
		over = append(over, b)
	}
	st.busy -= len(batch)
	st.rest()
	st.mu.Unlock()
	for _, b := range over {
		b.w.over(b.err)
	}
	for _, w := range more {
		w.over(adapters.ErrUnknown)
	}
	for _, w := range late {
		w.over(adapters.ErrBehind)
	}
	st.confirm(ask)
}

// renewKeys keeps the keys of connected sessions alive.
func (st *sessionStore) renewKeys() {
	now := time.Now()
	var due []*keptSession
	st.mu.Lock()
	n := 0
	for ; n < len(st.renew) && n < sessionBatch && st.renew[n].at.Before(now); n++ {
		k := st.renew[n].k
		if st.kept[k.private] == k {
			due = append(due, k)
		}
	}
	st.renew = append(st.renew[:0:0], st.renew[n:]...)
	for _, k := range due {
		st.renew = append(st.renew, renewal{k, now.Add(renewTime)})
	}
	st.mu.Unlock()
	if len(due) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(st.life, writeTime)
	defer cancel()
	pipe := st.d.rdb.Pipeline()
	for _, k := range due {
		pipe.PExpire(ctx, st.key(k.private), connectedTTL)
	}
	_, _ = pipe.Exec(ctx)
}
