package pebblequeue

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// kv is the ledger's KV: a batch that gathers, the database beneath, and a cache of messages, in which
// all are that the batch has and the database hasn't yet.
type kv struct {
	db    *pebble.DB
	batch *pebble.Batch // nil: empty
	err   error         // of a read

	deleted []place            // by the batch; what was set again since is in the cache
	gone    map[place]struct{} // the same, for those that read: seldom does anybody
	cache   cache
	most    int // bytes in the cache
}

func newKV(db *pebble.DB, most int) *kv { return &kv{db: db, most: most} }

func (k *kv) pending() *pebble.Batch {
	if k.batch == nil {
		k.batch = k.db.NewBatch()
	}
	return k.batch
}

func (k *kv) Set(key, value []byte) {
	k.pending().Set(key, value, nil) // fails only on a batch that is closed
	if p, ok := placeOf(key); ok {
		k.cache.set(p, value)
	}
}

func (k *kv) Delete(key []byte) {
	k.pending().Delete(key, nil)
	if p, ok := placeOf(key); ok {
		k.cache.forget(p)
		k.deleted = append(k.deleted, p)
	}
}

// isGone reports whether the batch deletes p, which isn't in the cache.
func (k *kv) isGone(p place) bool {
	if len(k.deleted) > 0 {
		if k.gone == nil {
			k.gone = map[place]struct{}{}
		}
		for _, d := range k.deleted {
			k.gone[d] = struct{}{}
		}
		k.deleted = k.deleted[:0]
	}
	_, gone := k.gone[p]
	return gone
}

func (k *kv) DeleteRange(from, to []byte) {
	k.pending().DeleteRange(from, to, nil)
	a, ok := placeOf(from)
	b, ok2 := placeOf(to)
	if ok && ok2 && a.line == b.line { // some messages of one inbox
		for ; a.seq < b.seq; a.seq++ {
			k.cache.forget(a)
			k.deleted = append(k.deleted, a)
		}
		return
	}
	k.cache.forgetAll(func(p place) bool { // a queue or inbox is deleted
		key := p.key()
		return bytes.Compare(key, from) >= 0 && bytes.Compare(key, to) < 0
	})
}

func (k *kv) Get(key []byte) []byte {
	if p, ok := placeOf(key); ok {
		if v := k.cache.get(p); v != nil {
			return v
		}
		if k.isGone(p) {
			return nil
		}
		return k.read(p, key)
	}
	v, closer, err := k.db.Get(key)
	if err == pebble.ErrNotFound {
		return nil
	}
	if err != nil {
		k.err = err
		return nil
	}
	defer closer.Close()
	return slices.Clone(v)
}

// ahead is how many messages, or entries of an inbox, are read together: those behind one are wanted next.
const ahead = 256

// read reads a message, and those behind it into the cache.
func (k *kv) read(p place, key []byte) (found []byte) {
	to := binary.BigEndian.AppendUint64(slices.Clone(key[:5]), p.seq+ahead)
	k.err = cmp.Or(k.err, k.Scan(key, to, func(key, value []byte) error {
		at, _ := placeOf(key)
		if k.cache.get(at) != nil || k.isGone(at) {
			return nil
		}
		value = slices.Clone(value)
		if at == p {
			found = value
		}
		k.cache.set(at, value)
		return nil
	}))
	return found
}

func (k *kv) Scan(from, to []byte, f func(key, value []byte) error) (err error) {
	it, err := k.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer func() {
		if e := it.Close(); err == nil {
			err = e
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := f(it.Key(), v); err != nil {
			return err
		}
	}
	return it.Error()
}

// take returns what has gathered, or nil.
func (k *kv) take() *pebble.Batch {
	b := k.batch
	k.batch = nil
	k.deleted = k.deleted[:0]
	if len(k.gone) > 0 {
		k.gone = nil
	}
	return b
}

// trim makes the cache small enough, after what has gathered was given to the database.
func (k *kv) trim() { k.cache.trim(k.most) }
