package redisadapter

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// How much is written at once.
const (
	writeEntries = 512
	writeBytes   = 1 << 20
)

// write gives Redis what waits, in order. While it waits for an answer, more
// gathers: the next write takes all of it.
func (s *stream) write() {
	w := &streamWriter{stream: s}
	defer w.close()
	for fails := 0; ; {
		batch := s.next()
		if batch == nil && !s.doubt.Load() {
			select {
			case <-s.wake:
				continue
			case <-s.life.Done():
				return
			}
		}
		err := w.write(batch)
		if err == nil {
			fails = 0
			continue
		}
		if s.life.Err() != nil {
			return
		}
		if fails%50 == 0 {
			s.d.cfg.Logger.Warn("a stream can't be written: what is sent waits", "stream", s.name, "error", err)
		}
		w.broken(err)
		moved(s.life, s.d.rdb, err)
		if !pause(s.life, fails) {
			return
		}
		fails++
	}
}

// streamWriter is the writer's connection.
type streamWriter struct {
	*stream
	c       *dedicated // nil: there is none
	old     string     // an earlier one of which it isn't known what Redis has done with it
	history string     // of the server that was written to last, see dedicated.lineage
	issued  uint64     // number of the last entry that was written on this one
}

func (w *streamWriter) close() {
	if w.c != nil {
		_ = w.c.Close()
	}
}

// write writes a batch, and what else has to be written before it. With an error all of it waits again.
func (w *streamWriter) write(batch []*sentEntry) error {
	if w.c == nil || w.doubt.Load() {
		w.putBack(batch)
		if err := w.prepare(); err != nil {
			return err
		}
		if batch = w.next(); batch == nil {
			return nil
		}
	}
	err := w.add(w.c, batch)
	if err != nil {
		w.putBack(batch)
		return err
	}
	w.issued = batch[len(batch)-1].seq
	return nil
}

// prepare connects, and finds out what has become of the entries of this node.
func (w *streamWriter) prepare() (err error) {
	if w.c == nil {
		if w.c, err = dedicate(w.life, w.d.rdb, w.name); err != nil {
			return err
		}
		w.writing.Store(w.c)
		w.issued = 0
		if w.old != "" {
			if err := w.settle(w.c, w.old); err != nil {
				return err
			}
			w.old = ""
		}
		history, err := w.raise(w.c, w.history)
		if err != nil {
			return err
		}
		if history != w.history || history == "" {
			w.doubt.Store(true)
		}
		w.history = history
	}
	if w.doubt.Swap(false) {
		if err := w.restore(w.c, w.issued); err != nil {
			w.doubt.Store(true)
			return err
		}
	}
	return nil
}

// broken gives up the connection.
func (w *streamWriter) broken(err error) {
	if w.c == nil {
		return
	}
	if w.old == "" && !isReply(err) {
		if w.old = "unknown"; w.c.name.Load() != nil {
			w.old = *w.c.name.Load()
		}
	}
	_ = w.c.Close()
	w.c = nil
}

// next takes what is to be written now.
func (s *stream) next() []*sentEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	// What is written and not read again stays well below the length of the
	// stream: we don't trim past our own reader.
	most := min(writeEntries, int(s.d.cfg.MaxLen/2)-(len(s.mine)-len(s.waiting)))
	n, size := 0, 0
	for n < len(s.waiting) && n < most && (n == 0 || size+s.waiting[n].size <= writeBytes) {
		size += s.waiting[n].size
		n++
	}
	if n == 0 {
		s.full = len(s.waiting) > 0
		return nil
	}
	batch := append([]*sentEntry(nil), s.waiting[:n]...)
	clear(s.waiting[:n])
	if s.waiting = s.waiting[n:]; len(s.waiting) == 0 {
		s.waiting = nil
	}
	return batch
}

// putBack has a batch written again, what of it hasn't come back meanwhile.
func (s *stream) putBack(batch []*sentEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []*sentEntry
	for _, o := range batch {
		if !o.done {
			left = append(left, o)
		}
	}
	s.waiting = append(left, s.waiting...)
	slices.SortFunc(s.waiting, bySeq)
}

func bySeq(a, b *sentEntry) int { return cmp.Compare(a.seq, b.seq) }

// add writes a batch: all of it or nothing, unless the error leaves that open.
func (s *stream) add(c *dedicated, batch []*sentEntry) error {
	ctx, cancel := context.WithTimeout(s.life, writeTime)
	defer cancel()
	pos := s.position()
	ids := make([]*redis.StringCmd, len(batch))
	fill := func(p redis.Pipeliner) error {
		for i, o := range batch {
			values := o.fields
			if o.tried {
				values = append(values[:len(values):len(values)], fieldAgain, o.from.String())
			} else {
				o.from = pos
			}
			ids[i] = p.XAdd(ctx, &redis.XAddArgs{Stream: s.name, MaxLen: s.d.cfg.MaxLen, Approx: true, Values: values})
		}
		return nil
	}
	var err error
	if len(batch) == 1 {
		_, err = c.Pipelined(ctx, fill)
	} else {
		// A transaction: else an entry that Redis refuses for a moment could come after those behind it.
		_, err = c.TxPipelined(ctx, fill)
	}
	if err != nil {
		if !isReply(err) {
			for _, o := range batch {
				o.tried = true
			}
		}
		return err
	}
	s.d.stats.published.Add(int64(len(batch)))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range batch {
		o.tried = true
		o.at, _ = adapters.ParseOffset(ids[i].Val())
	}
	return nil
}

// writeTime is how long Redis may take for a write.
const writeTime = 3 * time.Second

// settle finds out what has become of the commands of a connection that broke: it
// makes sure that Redis does nothing more with them, and waits until this node has
// read all that there is.
func (s *stream) settle(c *dedicated, old string) error {
	ctx, cancel := context.WithTimeout(s.life, 2*writeTime)
	defer cancel()
	if id, addr, ok := strings.Cut(old, " "); ok {
		// It fails if we aren't allowed to. Readers drop what is there twice in any case.
		if err := c.ClientKillByFilter(ctx, "ID", id, "ADDR", addr).Err(); err != nil && !isReply(err) {
			return err
		}
	}
	last, err := lastOf(ctx, c, s.name)
	if err != nil {
		return err
	}
	if !s.reach(ctx, last) {
		return context.Cause(ctx)
	}
	return nil
}

// raise has the ids of entries go on above all that can be known to anybody, if
// this server isn't the one that was written to before: a replica that had less of the stream, and
// whose clock may be behind, would give ids once more that clients and other nodes, also official
// ones, know from the former primary.
func (s *stream) raise(c *dedicated, before string) (history string, err error) {
	ctx, cancel := context.WithTimeout(s.life, writeTime)
	defer cancel()
	if err := c.Ping(ctx).Err(); err != nil { // connects
		return before, err
	}
	history = c.lineage()
	if history == before || before == "" {
		return history, nil
	}
	if _, err = s.hello(ctx, c, s.above().String()); err != nil && !strings.Contains(err.Error(), "equal or smaller") {
		return before, err
	}
	return history, nil // somebody has done it
}

// aboveTime is how far ids are raised, for entries that this node hasn't read.
const aboveTime = 10 * time.Second

// above returns an offset that no entry can have reached yet by the clock of the server that
// gave the ids until now.
func (s *stream) above() adapters.Offset {
	since := time.Since(time.Unix(0, s.readAt.Load()))
	return adapters.Offset{Time: s.position().Time + uint64((max(since, 0) + aboveTime).Milliseconds())}
}

// lastOf returns the last entry of a stream; zero if there is none.
func lastOf(ctx context.Context, c redis.Cmdable, name string) (adapters.Offset, error) {
	list, err := c.XRevRangeN(ctx, name, "+", "-", 1).Result()
	if err != nil || len(list) == 0 {
		return adapters.Offset{}, err
	}
	at, _ := adapters.ParseOffset(list[0].ID)
	return at, nil
}

// restore has entries written again that Redis had taken and has lost since. They keep their
// numbers, and so their order, unless others have been written behind them: then
// readers would take them for copies of what came since.
func (s *stream) restore(c *dedicated, issued uint64) error {
	ctx, cancel := context.WithTimeout(s.life, writeTime)
	defer cancel()
	var lost []*sentEntry
	for list := range slices.Chunk(s.sent(adapters.Offset{Time: 1<<64 - 1}), writeEntries) {
		there, err := has(ctx, c, s.name, list)
		if err != nil {
			return err
		}
		for i, o := range list {
			if !there[i] {
				lost = append(lost, o.sentEntry)
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lost = slices.DeleteFunc(lost, func(o *sentEntry) bool { return o.done })
	if len(lost) == 0 {
		return nil
	}
	for _, o := range lost {
		o.at, o.tried = adapters.Offset{}, true
		if o.seq <= issued {
			s.seq++
			o.seq, o.tried = s.seq, false
			o.fields[len(o.fields)-1] = o.seq
		}
	}
	s.waiting = append(s.waiting, lost...)
	slices.SortFunc(s.waiting, bySeq)
	slices.SortFunc(s.mine, bySeq)
	s.d.cfg.Logger.Warn("Redis has lost entries that it had taken: they are written again", "stream", s.name, "entries", len(lost))
	return nil
}

// sentAt is an entry of this node that Redis has taken, with its number and place.
type sentAt struct {
	*sentEntry
	seq uint64
	at  adapters.Offset
}

// sent returns those of this node's entries up to a place that haven't come back.
func (s *stream) sent(upTo adapters.Offset) (list []sentAt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.mine {
		if o.at.Compare(upTo) > 0 {
			break
		}
		if !o.at.IsZero() {
			list = append(list, sentAt{o, o.seq, o.at})
		}
	}
	return list
}

// has reports which entries are where Redis has put them.
func has(ctx context.Context, c redis.Cmdable, name string, list []sentAt) ([]bool, error) {
	cmds, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, o := range list {
			p.XRangeN(ctx, name, o.at.String(), o.at.String(), 1)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	there := make([]bool, len(list))
	for i, cmd := range cmds {
		if found := cmd.(*redis.XMessageSliceCmd).Val(); len(found) == 1 {
			e, ok := readEntry(found[0])
			there[i] = ok && e.uid == list[i].a.uid && e.seq == list[i].seq
		}
	}
	return there, nil
}

// missed looks for entries of this node that the reader has come past without seeing
// them. turn is held.
func (s *stream) missed() {
	passed := s.sent(s.position())
	if len(passed) == 0 {
		return
	}
	// Those that the reader has left out, after a gap, may be there, and others may have read them.
	out := slices.IndexFunc(passed, func(o sentAt) bool { return o.at.Compare(s.skipped.upTo) > 0 })
	if out < 0 {
		out = len(passed)
	}
	there := make([]bool, len(passed))
	if out > 0 && s.skipped.forked {
		ctx, cancel := context.WithTimeout(s.life, writeTime)
		defer cancel()
		found, err := has(ctx, s.d.rdb, s.name, passed[:out])
		if err != nil {
			return // there is another time
		}
		copy(there, found)
	}
	for i, o := range passed {
		if i < out && (there[i] || !s.skipped.forked) {
			if mine := s.returned(o.a.uid, o.seq); mine != nil && mine.op != nil {
				s.deliver(mine, o.at) // to nobody: here it is before everybody's time
			}
		} else {
			s.doubt.Store(true)
		}
	}
	if s.doubt.Load() {
		s.rouse()
	}
}
