package redisadapter

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// A server that has taken another one's place, or has restarted, may have lost the last state of a session and
// nothing else: its client would come back to a state without the room that it had joined. So a state says on which
// server, by its replication id, it was written (savedSession.lineage), and is taken from no other one.
//
// The nodes write the states of their sessions again. What is lost may also be that another node had taken the session
// over, of which this one hasn't heard: a client whose network has changed may have been gone for long before its
// connection is seen to be dead. So each client is asked first, by a ping, whether it is here. The states of
// clients that are away can't be told to be the last ones: they get fresh sessions.

// How many clients are asked at once, and how long it takes until the next ones are.
const (
	confirmMany = 500
	confirmTime = 50 * time.Millisecond
)

// follow has the sessions written again whose server has another lineage by now.
func (st *sessionStore) follow() {
	defer st.following.Store(false)
	st.mu.Lock()
	all := make([]*keptSession, 0, len(st.kept))
	for _, k := range st.kept {
		all = append(all, k)
	}
	st.mu.Unlock()
	var list []*keptSession
	for _, k := range all {
		if now := st.d.lineages.of(st.life, st.key(k.private)); now != "" {
			var late *sessionWrite
			st.mu.Lock()
			// One that is being written finds out by itself.
			if st.kept[k.private] == k && k.digest != "" && k.lineage != now && !k.busy && !k.asked {
				if late = st.ask(k, now); late == nil {
					list = append(list, k)
				}
			}
			st.mu.Unlock()
			late.over(adapters.ErrBehind)
		}
		if len(list) == confirmMany {
			st.confirm(list)
			list = nil
			if sleep(st.life, confirmTime); st.life.Err() != nil {
				return
			}
		}
	}
	st.confirm(list)
}

// ask notes that a session's server has another lineage, and that its client is to be asked. If its client has
// gone it is forgotten: what was to be written is returned. mu is held.
func (st *sessionStore) ask(k *keptSession, lineage string) (late *sessionWrite) {
	k.lineage, k.asked, k.behind = lineage, true, false
	st.asked++
	if k.next != nil && k.next.final() {
		return st.drop(k)
	}
	return nil
}

// unask undoes ask. mu is held.
func (st *sessionStore) unask(k *keptSession) {
	if k.asked {
		k.asked = false
		st.asked--
	}
}

// drop forgets a session that isn't being written, and returns what was to be written. mu is held.
func (st *sessionStore) drop(k *keptSession) *sessionWrite {
	w := k.next
	k.next = nil
	st.unask(k)
	if st.kept[k.private] == k {
		delete(st.kept, k.private)
	}
	k.over()
	return w
}

// confirm asks clients. mu isn't held.
func (st *sessionStore) confirm(list []*keptSession) {
	for _, k := range list {
		if k.a.local.Confirm(k.private, func() { st.here(k) }) {
			continue
		}
		st.mu.Lock()
		var left *sessionWrite
		if k.asked {
			left = st.drop(k)
		}
		st.mu.Unlock()
		left.over(adapters.ErrBehind)
	}
}

// here has a session written: its client has answered.
func (st *sessionStore) here(k *keptSession) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.kept[k.private] != k || !k.asked {
		return
	}
	st.unask(k)
	if k.behind = true; k.next != nil {
		st.queue = append(st.queue, k)
		st.rouse()
	}
}

// compare looks up what is there of sessions whose server has another lineage than before: an older state
// of theirs is replaced, and nobody else's.
func (st *sessionStore) compare(ctx context.Context, batch []*writing) error {
	pipe := st.d.rdb.Pipeline()
	found := map[*writing]*redis.Cmd{}
	for _, b := range batch {
		if b.behind && !b.final {
			found[b] = pipe.Eval(ctx, readSession, []string{st.key(b.k.private)}) // which no replica is asked for
		}
	}
	if len(found) == 0 {
		return nil
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	for b, cmd := range found {
		v, err := cmd.StringSlice()
		switch {
		case errors.Is(err, redis.Nil):
			b.digest = ""
			continue
		case err != nil:
			return err
		case len(v) != 2:
			return errProtocol
		}
		b.digest = digest(v[0])
		r, err := decodeRecord(v[0])
		if err != nil || r.turn > b.k.turn || r.turn == b.k.turn && r.node != st.d.node {
			b.final, b.err = true, adapters.ErrTaken
		}
	}
	return nil
}
