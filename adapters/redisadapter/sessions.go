package redisadapter

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
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

	mu      sync.Mutex
	streams map[string]*stream
	kept    map[string]*keptSession // by private id: connected here, or on their way to Redis
	queue   []*keptSession          // those with something to write
	idle    chan struct{}           // closed when nothing is to be written, if somebody waits
	busy    int                     // being written
	renew   []renewal               // of the keys of connected sessions, by time
	taken   map[takenFrom][]string  // notices
	keep    time.Duration           // the longest that a session is kept
	ended   bool
	wake    chan struct{}
	nodeUp  chan struct{} // to have the node's key written
	life    context.Context
	stop    context.CancelFunc
	run     sync.WaitGroup
}

// keptSession is what is known of one session's key.
type keptSession struct {
	private string
	digest  string // of what Redis has; empty: nothing
	turn    int64  // see savedSession
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

// replaceSession sets a key to ARGV[2] for ARGV[3] ms, or deletes it if that is
// empty, unless it holds something else than what has the digest ARGV[1]. What
// was written already, by a command whose answer got lost, is fine.
const replaceSession = `local v = redis.call('GET', KEYS[1])
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

func (w *sessionWrite) over(err error) {
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
func (st *sessionStore) save(s *adapters.Session, keep time.Duration, done func(error)) {
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
		k = &keptSession{private: s.Private}
		st.kept[s.Private] = k
	}
	if k.next == nil {
		k.next = &sessionWrite{}
		if !k.busy {
			st.queue = append(st.queue, k)
		}
	}
	k.next.state, k.next.keep = s, keep
	k.next.done = append(k.next.done, done)
	st.mu.Unlock()
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
	k     *keptSession
	w     *sessionWrite
	value string // empty: forget it
	ttl   time.Duration
	err   error
	final bool
}

func (st *sessionStore) next() []*writing {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := min(len(st.queue), sessionBatch)
	batch := make([]*writing, n)
	for i, k := range st.queue[:n] {
		batch[i] = &writing{k: k, w: k.next}
		k.next, k.busy = nil, true
	}
	clear(st.queue[:n])
	st.queue = st.queue[n:]
	st.busy += n
	return batch
}

// writeAll writes a batch, however often it takes. It reports false when the
// store ends.
func (st *sessionStore) writeAll(batch []*writing) bool {
	for _, b := range batch {
		s := b.w.state
		if s.ID == "" {
			continue // forget it
		}
		if b.ttl = connectedTTL; !s.Ended.IsZero() {
			b.ttl = b.w.keep
		}
		if b.value, b.err = encodeRecord(&savedSession{*s, st.d.node, b.k.turn}); b.err != nil {
			b.value = ""
		}
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

// try writes what of a batch isn't written.
func (st *sessionStore) try(batch []*writing) error {
	ctx, cancel := context.WithTimeout(st.life, writeTime)
	defer cancel()
	pipe := st.d.rdb.Pipeline()
	cmds := make([]*redis.Cmd, len(batch))
	for i, b := range batch {
		if !b.final {
			cmds[i] = pipe.Eval(ctx, replaceSession, []string{st.key(b.k.private)}, b.k.digest, b.value, b.ttl.Milliseconds())
		}
	}
	_, _ = pipe.Exec(ctx)
	var failed error
	for i, b := range batch {
		if b.final {
			continue
		}
		n, err := cmds[i].Int()
		if err != nil {
			failed = err
			continue
		}
		b.final = true
		switch n {
		case 0:
			b.err = adapters.ErrTaken
		case -1:
			b.err = adapters.ErrUnknown
		}
	}
	return failed
}

func (st *sessionStore) finish(batch []*writing, err error) {
	var over []*writing
	var more []*sessionWrite // what fails with them
	st.mu.Lock()
	for _, b := range batch {
		k := b.k
		k.busy = false
		if !b.final {
			b.err = errors.Join(b.err, err)
		}
		switch {
		case b.err != nil || b.value == "" || !b.w.state.Ended.IsZero():
			k.digest = ""
			if b.err == nil && b.value != "" {
				k.digest = digest(b.value)
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
			k.digest = digest(b.value)
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
	if st.idle != nil && len(st.queue)+st.busy == 0 {
		close(st.idle)
		st.idle = nil
	}
	st.mu.Unlock()
	for _, b := range over {
		b.w.over(b.err)
	}
	for _, w := range more {
		w.over(adapters.ErrUnknown)
	}
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

// take takes a session over from whoever has it.
func (st *sessionStore) take(ctx context.Context, a *streamAdapter, private string) (*adapters.Session, error) {
	for range 3 {
		if err := st.unbusy(ctx, private); err != nil {
			return nil, err
		}
		value, err := st.get(ctx, st.key(private))
		if errors.Is(err, redis.Nil) {
			return nil, adapters.ErrUnknown
		}
		if err != nil {
			return nil, err
		}
		r, err := decodeRecord(value)
		if err != nil {
			st.d.stats.rejected.Add(1)
			return nil, adapters.ErrUnknown
		}
		if r.Private != private {
			return nil, adapters.ErrUnknown
		}
		if err := st.judge(ctx, a, r); err != nil {
			return nil, err
		}
		mine := savedSession{r.Session, st.d.node, r.turn + 1}
		mine.Until, mine.Ended = adapters.Offset{}, time.Time{} // no longer true
		next, err := encodeRecord(&mine)
		if err != nil {
			return nil, err
		}
		replace := redis.NewCmd(ctx, "EVAL", replaceSession, 1, st.key(private), digest(value), next, connectedTTL.Milliseconds())
		if err := st.gather.do(ctx, replace); err != nil {
			return nil, err
		}
		if n, _ := replace.Int(); n != 1 {
			continue // somebody has changed it meanwhile
		}
		st.own(private, digest(next), mine.turn)
		if r.node != "" && r.node != st.d.node && r.Ended.IsZero() {
			st.tell(takenFrom{r.node, a}, notice(private, digest(value)))
		}
		return &r.Session, nil
	}
	return nil, adapters.ErrTaken
}

func (st *sessionStore) get(ctx context.Context, key string) (string, error) {
	cmd := redis.NewStringCmd(ctx, "GET", key)
	if err := st.gather.do(ctx, cmd); err != nil {
		return "", err
	}
	return cmd.Val(), nil
}

// judge looks at whether the node of a session that seems to be connected lives, or did so recently,
// and up to where it had nothing for its sessions.
func (st *sessionStore) judge(ctx context.Context, a *streamAdapter, r *savedSession) error {
	if !r.Ended.IsZero() || r.node == "" {
		return nil
	}
	if r.node == st.d.node {
		return nil
	}
	value, err := st.get(ctx, st.nodeKey(r.node))
	if errors.Is(err, redis.Nil) {
		return adapters.ErrUnknown // it died too long ago
	}
	if err != nil {
		return err
	}
	var looked map[string]string
	if json.Unmarshal([]byte(value), &looked) == nil && !r.Until.IsZero() {
		if at, ok := adapters.ParseOffset(looked[a.stream.name]); ok && at.Compare(r.Until) > 0 {
			r.Until = at
		}
	}
	return nil
}

// own notes that a session is this node's.
func (st *sessionStore) own(private, digest string, turn int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	k := &keptSession{private: private, digest: digest, turn: turn}
	st.kept[private] = k
	st.renew = append(st.renew, renewal{k, time.Now().Add(renewTime)})
}

// unbusy waits until nothing is to be written of a session.
func (st *sessionStore) unbusy(ctx context.Context, private string) error {
	for {
		st.mu.Lock()
		k := st.kept[private]
		if k == nil || !k.busy && k.next == nil {
			st.mu.Unlock()
			return nil
		}
		c := make(chan struct{})
		k.waits = append(k.waits, c)
		st.mu.Unlock()
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// notice says which state of a session was taken over: its node may have taken it
// back meanwhile.
func notice(private, digest string) string { return private + ":" + digest[:16] }

// gone forgets a session, and returns its private id, if it was in the state that a notice is of.
func (st *sessionStore) gone(notice string) (private string, ok bool) {
	private, state, _ := strings.Cut(notice, ":")
	st.mu.Lock()
	defer st.mu.Unlock()
	k := st.kept[private]
	if k == nil || len(state) != 16 || !strings.HasPrefix(k.digest, state) {
		return "", false
	}
	if !k.busy && k.next == nil { // else it finds out by itself
		delete(st.kept, private)
	}
	return private, true
}

// tell gathers for a node which sessions it doesn't have any more.
func (st *sessionStore) tell(from takenFrom, private string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.taken) == 0 {
		time.AfterFunc(takenTime, st.tellAll)
	}
	st.taken[from] = append(st.taken[from], private)
}

func (st *sessionStore) tellAll() {
	st.mu.Lock()
	taken := maps.Clone(st.taken)
	clear(st.taken)
	st.mu.Unlock()
	for from, ids := range taken {
		for len(ids) > 0 {
			n := min(len(ids), takenIDs)
			from.a.writeTaken(from.node, ids[:n])
			ids = ids[n:]
		}
	}
}

// noteNode has the node's key written soon.
func (st *sessionStore) noteNode() {
	select {
	case st.nodeUp <- struct{}{}:
	default:
	}
}

// keepNode keeps the node's key: as long as it is there, its sessions can be
// taken over, connected or not. It says up to where their states hold.
func (st *sessionStore) keepNode() {
	tick := time.NewTicker(nodeRenew)
	defer tick.Stop()
	for {
		looked := map[string]string{}
		for name, s := range st.streams {
			looked[name] = s.looked.Load().String()
		}
		b, _ := json.Marshal(looked)
		st.mu.Lock()
		ttl := st.keep + nodeTTL
		st.mu.Unlock()
		ctx, cancel := context.WithTimeout(st.life, writeTime)
		_ = st.d.rdb.Set(ctx, st.nodeKey(st.d.node), b, ttl).Err() // tried again soon
		cancel()
		select {
		case <-tick.C:
		case <-st.nodeUp:
		case <-st.life.Done():
			return
		}
	}
}
