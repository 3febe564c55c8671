package ledger

// ids remembers the ids of a window of time and of the window before. When a window
// is over the older ids go, all at once.
type ids struct {
	start    int64 // of the window, Unix ms; 0: none yet
	now, old map[string]uint64
	oldStart int64
	bytes    int64
}

// idCost is what an id counts beside its length.
const idCost = 64

// turn moves on to the window of now, and returns what windows have ended: their starts.
func (d *ids) turn(now, window int64) (ended []int64) {
	if d.start == 0 {
		d.start = now
		return nil
	}
	for now >= d.start+window && (d.now != nil || d.old != nil) {
		if d.old != nil {
			ended = append(ended, d.oldStart)
			for id := range d.old {
				d.bytes -= idCost + int64(len(id))
			}
		}
		d.old, d.oldStart = d.now, d.start
		d.now = nil
		d.start += window
	}
	if now >= d.start+window {
		d.start = now
	}
	return ended
}

// find returns the number under which an id was stored.
func (d *ids) find(id string) (uint64, bool) {
	seq, ok := d.now[id]
	if !ok {
		seq, ok = d.old[id]
	}
	return seq, ok
}

func (d *ids) add(id string, seq uint64) {
	if d.now == nil {
		d.now = map[string]uint64{}
	}
	d.now[id] = seq
	d.bytes += idCost + int64(len(id))
}

// load takes an id that was stored; windows come in order.
func (d *ids) load(start int64, id string, seq uint64) {
	if start != d.start {
		d.old, d.oldStart = d.now, d.start
		d.now, d.start = nil, start
	}
	d.add(id, seq)
}

// turnIDs forgets ids that are too old, those on disk too.
func (l *Ledger) turnIDs(d *ids, kind byte, no uint32, window int64) {
	for _, start := range d.turn(l.now, window) {
		l.kv.DeleteRange(idKey(kind, no, start, ""), idKey(kind, no, start+1, ""))
	}
}
