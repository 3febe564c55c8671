package ledger

import (
	"encoding/binary"
)

// Kinds of keys: their first byte. Most go on with the number of a queue or inbox (4 bytes),
// so that all of one queue or inbox and kind is one range.
const (
	keyFormat  = 'F' // -> version
	keySecret  = 'S' // -> 32 bytes
	keyEpoch   = 'e' // -> the newest epoch when an inbox was deleted
	keyQueue   = 'c' // name -> number, configuration
	keyMarks   = 'f' // queue -> marks
	keyMessage = 'q' // queue, seq -> record
	keyTries   = 'a' // queue, seq -> tries, of messages that came back
	keyDead    = 'x' // queue, seq -> dead letter; the record stays where it is
	keyID      = 'd' // queue, generation, id -> seq
	keyInbox   = 'j' // name -> number, epoch
	keyCursor  = 'k' // inbox -> cursor
	keyEntry   = 'i' // inbox, seq -> record
	keyTopic   = 't' // inbox, topic -> number of the last entry
	keyEntryID = 'g' // inbox, generation, id -> seq
)

// kindKey returns a key of a kind and a number, followed by more.
func kindKey(kind byte, no uint32, more ...byte) []byte {
	k := make([]byte, 0, 13+len(more))
	k = append(k, kind)
	k = binary.BigEndian.AppendUint32(k, no)
	return append(k, more...)
}

func seqKey(kind byte, no uint32, seq uint64) []byte {
	k := make([]byte, 0, 13)
	k = append(k, kind)
	k = binary.BigEndian.AppendUint32(k, no)
	return binary.BigEndian.AppendUint64(k, seq)
}

// at returns what seqKey does, for one call of the KV: it is overwritten by the next.
func (l *Ledger) at(kind byte, no uint32, seq uint64) []byte {
	l.key[0] = kind
	binary.BigEndian.PutUint32(l.key[1:], no)
	binary.BigEndian.PutUint64(l.key[5:], seq)
	return l.key[:]
}

func idKey(kind byte, no uint32, generation int64, id string) []byte {
	k := make([]byte, 0, 13+len(id))
	k = append(k, kind)
	k = binary.BigEndian.AppendUint32(k, no)
	k = binary.BigEndian.AppendUint64(k, uint64(generation))
	return append(k, id...)
}

func nameKey(kind byte, name string) []byte { return append([]byte{kind}, name...) }

// all returns the range of all keys of a kind and number.
func all(kind byte, no uint32) (from, to []byte) {
	from = kindKey(kind, no)
	if no == ^uint32(0) {
		return from, []byte{kind + 1}
	}
	return from, kindKey(kind, no+1)
}

func kindRange(kind byte) (from, to []byte) { return []byte{kind}, []byte{kind + 1} }

// numbers appends numbers of variable length.
func numbers(vs ...uint64) []byte {
	b := make([]byte, 0, 4*len(vs))
	for _, v := range vs {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// parse reads n numbers, and returns what follows them.
func parse(b []byte, n int) (vs []uint64, rest []byte, ok bool) {
	vs = make([]uint64, n)
	for i := range vs {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return nil, nil, false
		}
		vs[i], b = v, b[size:]
	}
	return vs, b, true
}
