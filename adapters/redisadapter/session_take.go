package redisadapter

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// readSession returns a key's value, and the server's lineage in the same moment.
const readSession = askLineage + `local v = redis.call('GET', KEYS[1])
if not v then return false end
return {v, id}`

// take takes a session over from whoever has it.
func (st *sessionStore) take(ctx context.Context, a *streamAdapter, private string) (*adapters.Session, error) {
	for range 3 {
		if err := st.unbusy(ctx, private); err != nil {
			return nil, err
		}
		value, lineage, err := st.read(ctx, private)
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
		if r.lineage != "" && r.lineage != lineage {
			return nil, adapters.ErrBehind
		}
		if err := st.judge(ctx, a, r); err != nil {
			return nil, err
		}
		mine := savedSession{r.Session, st.d.node, r.turn + 1, lineage}
		mine.Until, mine.Ended = adapters.Offset{}, time.Time{} // no longer true
		next, err := encodeRecord(&mine)
		if err != nil {
			return nil, err
		}
		replace := redis.NewCmd(ctx, "EVAL", replaceSession, 1, st.key(private), digest(value), next, connectedTTL.Milliseconds(), lineage)
		if err := st.gather.do(ctx, replace); err != nil {
			return nil, err
		}
		if n, _ := replace.Int(); n != 1 {
			continue // somebody has changed it meanwhile
		}
		st.own(&keptSession{a: a, private: private, digest: digest(next), turn: mine.turn, lineage: lineage})
		if r.node != "" && r.node != st.d.node && r.Ended.IsZero() {
			st.tell(takenFrom{r.node, a}, notice(private, digest(value)))
		}
		return &r.Session, nil
	}
	return nil, adapters.ErrTaken
}

// read returns the value of a session's key, and the lineage of the server that has it.
func (st *sessionStore) read(ctx context.Context, private string) (value, lineage string, err error) {
	cmd := redis.NewStringSliceCmd(ctx, "EVAL", readSession, 1, st.key(private))
	if err := st.gather.do(ctx, cmd); err != nil {
		return "", "", err
	}
	if v := cmd.Val(); len(v) == 2 {
		return v[0], v[1], nil
	}
	return "", "", redis.Nil
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
func (st *sessionStore) own(k *keptSession) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if old := st.kept[k.private]; old != nil {
		st.unask(old)
	}
	st.kept[k.private] = k
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
	k := st.kept[private]
	if k == nil || len(state) != 16 || !strings.HasPrefix(k.digest, state) {
		st.mu.Unlock()
		return "", false
	}
	var left *sessionWrite
	if k.asked || !k.busy && k.next == nil { // else it finds out by itself
		left = st.drop(k)
	}
	st.mu.Unlock()
	left.over(adapters.ErrTaken)
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
