package redisadapter

// latest has the number of the last entry that each uid has written to a stream. There is a uid for each namespace of
// each node, and whoever may write to the stream can make up more: so those that have written nothing for long
// are forgotten. If one of them writes an entry again, the stream is looked through instead.
//
// The zero latest knows of none.
type latest struct {
	young map[string]uint64
	old   map[string]uint64 // what young was before it was full
}

// uidsKept is how many uids are known at least, if there are as many.
const uidsKept = 10_000

func (l *latest) of(uid string) (seq uint64, known bool) {
	if seq, known = l.young[uid]; !known {
		seq, known = l.old[uid]
	}
	return seq, known
}

func (l *latest) note(uid string, seq uint64) {
	if _, known := l.young[uid]; !known && len(l.young) >= uidsKept {
		l.old, l.young = l.young, nil
	}
	if l.young == nil {
		l.young = map[string]uint64{}
	}
	l.young[uid] = seq
}
