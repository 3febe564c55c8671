package redisadapter

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/adapters"
)

// How the stream is read.
const (
	readEntries = 512
	readBlock   = 2 * time.Second // how long a read waits for something to come
	readMargin  = 2 * time.Second // and how much longer for Redis to say that nothing came
	checkTime   = 100 * time.Millisecond
)

// errGap says that entries are missing behind the place to which this node has read.
var errGap = errors.New("the place where this node was is gone: entries were trimmed, or Redis has lost data")

// read reads the stream to the end of its life. A connection that breaks is made
// anew, and goes on where the last one was.
func (s *stream) read() {
	for fails := 0; s.life.Err() == nil; {
		answered, err := s.readOn()
		if s.life.Err() != nil {
			return
		}
		if answered {
			fails = 0
		}
		if fails == 0 {
			s.d.cfg.Logger.Warn("the connection on which a stream is read is made anew", "stream", s.name, "error", err)
		}
		s.d.stats.reconnects.Add(1)
		moved(s.life, s.d.rdb, err)
		if !pause(s.life, fails) {
			return
		}
		fails++
	}
}

// readOn reads over one connection until that breaks.
func (s *stream) readOn() (answered bool, err error) {
	c, err := dedicate(s.life, s.d.rdb, s.name)
	if err != nil {
		return false, err
	}
	s.reading.Store(c)
	defer context.AfterFunc(s.life, func() { _ = c.Close() })()
	defer c.Close()
	if s.anchor != nil {
		if err := s.verify(c); err != nil {
			return false, err
		}
	}
	for {
		asked := time.Now()
		check := s.anchor != nil && asked.Sub(s.checked) > checkTime
		list, found, err := s.fetch(c, check)
		if err != nil {
			if !answered { // perhaps it was more than Redis lets us have at once
				s.size = max(s.size/2, 1)
			}
			return answered, err
		}
		answered = true
		s.heard.Store(time.Now().UnixNano())
		switch {
		case check && !s.same(found):
			return answered, s.relocate(c)
		case check:
			s.checked = asked
		case s.anchor != nil && len(list) == s.size:
			// Being far behind: had something been trimmed before we read it?
			if err := s.verify(c); err != nil {
				return answered, err
			}
		}
		if len(list) > 0 {
			s.take(list)
			s.size = min(2*s.size, s.mostRead())
		}
	}
}

// mostRead is how many entries are read at once.
func (s *stream) mostRead() int { return int(min(readEntries, s.d.cfg.MaxLen/2)) }

// fetch reads what follows, and the entry at the position once more if check is set:
// behind the former, so that nothing can be missing between if it is there.
func (s *stream) fetch(c *dedicated, check bool) (list, found []redis.XMessage, err error) {
	ctx, cancel := context.WithTimeout(s.life, readBlock+readMargin)
	defer cancel()
	pos := s.position().String()
	pipe := c.Pipeline()
	next := pipe.XRead(ctx, &redis.XReadArgs{Streams: []string{s.name, pos}, Count: int64(s.size), Block: readBlock})
	var last *redis.XMessageSliceCmd
	if check {
		last = pipe.XRangeN(ctx, s.name, pos, pos, 1)
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	got, err := next.Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, nil, err
	}
	if len(got) > 0 {
		list = got[0].Messages
	}
	if check {
		found, err = last.Result()
	} else {
		err = nil
	}
	return list, found, err
}

// same reports whether what was found at the position is the entry that was read
// there. After a failover another one may have the same id.
func (s *stream) same(found []redis.XMessage) bool {
	return len(found) == 1 && maps.Equal(found[0].Values, s.anchor)
}

// verify makes sure that the entry that was read last still is in the stream, so
// that nothing can be missing behind it, nor was anything read that isn't in it. Else all are told.
func (s *stream) verify(c *dedicated) error {
	ctx, cancel := context.WithTimeout(s.life, writeTime)
	defer cancel()
	pos := s.position().String()
	found, err := c.XRangeN(ctx, s.name, pos, pos, 1).Result()
	if err != nil {
		return err
	}
	if !s.same(found) {
		return s.relocate(c)
	}
	s.checked, s.history = time.Now(), c.lineage()
	return nil
}

// relocate finds another place to go on from. If the entry that was read last is older than all
// that there are, it was trimmed. If it is missing among them, or is behind them all, the stream isn't the one
// that was read: a replica that had less of it has become the primary, or Redis has come back without its last entries.
// What has been read since it parted from this one is in no log, and what has
// been written to this one since then may have ids that were read already.
func (s *stream) relocate(c *dedicated) error {
	ctx, cancel := context.WithTimeout(s.life, writeTime)
	defer cancel()
	pos := s.position()
	ends, err := s.ends(ctx, c)
	if err != nil {
		return err
	}
	if len(ends) == 0 { // the stream is gone: begin another one
		at, err := s.hello(ctx, c, s.above().String())
		if err != nil {
			return err
		}
		s.anchor = map[string]any{fieldHello: s.d.node}
		s.lost(c, skipped{at, true}, at)
		return errGap
	}
	first, _ := adapters.ParseOffset(ends[0].ID)
	last, _ := adapters.ParseOffset(ends[1].ID)
	if first.Compare(pos) > 0 { // what is left is delivered
		s.anchor = nil
		s.lost(c, skipped{before(first), c.lineage() != s.history}, before(first))
		return errGap
	}
	s.anchor = ends[1].Values
	s.lost(c, skipped{last, true}, last)
	return errGap
}

// ends returns the first and the last entry of the stream, or nothing if there are none.
func (s *stream) ends(ctx context.Context, c *dedicated) ([]redis.XMessage, error) {
	pipe := c.TxPipeline()
	first, last := pipe.XRangeN(ctx, s.name, "-", "+", 1), pipe.XRevRangeN(ctx, s.name, "+", "-", 1)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	return append(first.Val(), last.Val()...), nil
}

// before returns the offset in front of at.
func before(at adapters.Offset) adapters.Offset {
	if at.Seq > 0 {
		return adapters.Offset{Time: at.Time, Seq: at.Seq - 1}
	}
	return adapters.Offset{Time: at.Time - 1, Seq: 1<<64 - 1}
}

// lost tells all namespaces that entries are missing, and goes on at another place.
func (s *stream) lost(c *dedicated, gap skipped, at adapters.Offset) {
	s.d.gaps.Add(1)
	if gap.forked {
		s.d.forks.Add(1)
	}
	s.d.cfg.Logger.Error("entries of a stream are lost for this node, since they were trimmed or Redis has lost data: clients get fresh sessions",
		"stream", s.name, "read up to", s.position().String(), "going on after", at.String(), "data lost", gap.forked)
	s.readAt.Store(time.Now().UnixNano())
	s.skipped, s.checked, s.history = gap, time.Now(), c.lineage()
	s.turn.Lock()
	defer s.turn.Unlock()
	if gap.forked {
		s.latest = latest{} // what was read may come for the first time
	}
	s.recent.reset()
	s.setPosition(at)
	for _, a := range s.all() {
		a.local.Lost(at)
	}
}

// take delivers what was read.
func (s *stream) take(list []redis.XMessage) {
	s.turn.Lock()
	for _, m := range list {
		if e, ok := readEntry(m); ok {
			s.deliverEntry(&e)
			s.setPosition(e.at)
			s.anchor = m.Values
		}
	}
	s.readAt.Store(time.Now().UnixNano())
	s.missed()
	touched := s.takeTouched()
	s.turn.Unlock()
	flush(touched)
	s.review(len(list))
}

// deliverEntry does what an entry says. turn is held.
func (s *stream) deliverEntry(e *entry) {
	kept := recentEntry{at: e.at, nsp: e.nsp}
	defer func() { s.recent.add(kept) }()
	var mine *sentEntry
	if e.seq > 0 {
		again := s.twice(e)
		if mine = s.returned(e.uid, e.seq); again && mine == nil {
			return // else the reader has left out the first one
		}
	}
	if e.taken != "" {
		if e.from == s.d.node {
			for notice := range strings.FieldsSeq(e.taken) {
				s.taken(notice)
			}
		}
		return
	}
	a := s.d.space(e.nsp)
	if a == nil || a.isClosed() {
		return
	}
	if e.uid == a.uid {
		if mine != nil && mine.op != nil {
			kept.op, kept.size = mine.op, mine.size
			s.deliver(mine, e.at)
		}
		return
	}
	m, err := e.message(s.d.cfg.MaxMessage)
	if err != nil || m.op == nil {
		s.d.stats.rejected.Add(1)
		return
	}
	s.d.stats.received.Add(1)
	if astray := s != a.stream; astray || !recoverable(m) {
		if astray {
			a.strayed(time.Now())
		}
		a.local.Apply(m.op)
		return
	}
	s.touched[a] = struct{}{}
	kept.op, kept.size = m.op, len(e.data)
	a.local.Deliver(m.op, e.at)
}

// recoverable reports whether a client that was away has to be told: not what an
// official server has sent to one client for an ack.
func recoverable(m *message) bool { return m.op.Recoverable() && !m.acked }

// taken tells the namespace that had the session.
func (s *stream) taken(notice string) {
	private, ok := s.d.sessions.gone(notice)
	if !ok {
		return
	}
	for _, a := range s.all() {
		a.local.Taken(private)
	}
}

// twice reports whether an entry has come before. turn is held.
func (s *stream) twice(e *entry) bool {
	last, known := s.latest.of(e.uid)
	if known && e.seq <= last {
		s.d.dropped.Add(1)
		return true
	}
	s.latest.note(e.uid, e.seq)
	return !known && e.again != "" && s.copied(s.life, e)
}

// copied looks for an earlier copy of an entry that was written again.
func (s *stream) copied(ctx context.Context, e *entry) bool {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	from, ok := adapters.ParseOffset(e.again)
	for ok {
		list, err := s.d.rdb.XRangeN(ctx, s.name, "("+from.String(), "("+e.at.String(), readEntries).Result()
		if err != nil {
			s.d.cfg.Logger.Warn("it isn't known whether an entry is in a stream twice", "stream", s.name, "error", err)
			return false
		}
		for _, m := range list {
			if first, ok := readEntry(m); ok {
				if first.uid == e.uid && first.seq == e.seq {
					s.d.dropped.Add(1)
					return true
				}
				from = first.at
			}
		}
		ok = len(list) == readEntries
	}
	return false
}

// after reads the stretch of a namespace that follows at. at has to be there: else
// it can't be known what followed it.
func (s *stream) after(ctx context.Context, a *streamAdapter, at adapters.Offset, limit int) (adapters.Page, error) {
	if at.Compare(a.start) >= 0 {
		if page, ok := s.recent.after(at, a.namespace, limit); ok {
			return page, nil
		}
	}
	list, err := s.d.rdb.XRangeN(ctx, s.name, at.String(), "+", int64(limit)+1).Result()
	if err != nil {
		return adapters.Page{}, err
	}
	if len(list) == 0 || list[0].ID != at.String() {
		last, err := lastOf(ctx, s.d.rdb, s.name)
		switch {
		case err != nil:
			return adapters.Page{}, err
		case last.Compare(at) < 0:
			return adapters.Page{}, adapters.ErrAhead
		}
		return adapters.Page{}, adapters.ErrTrimmed
	}
	page := adapters.Page{End: at, Last: len(list) <= limit}
	seen := map[string]uint64{}
	for _, m := range list {
		e, ok := readEntry(m)
		if !ok {
			continue
		}
		if e.seq > 0 {
			if e.seq <= seen[e.uid] || e.again != "" && s.copied(ctx, &e) {
				continue
			}
			seen[e.uid] = e.seq
		}
		if e.at == at {
			continue
		}
		page.End = e.at
		if e.nsp != a.namespace || e.kind != kindBroadcast {
			continue
		}
		m, err := e.message(s.d.cfg.MaxMessage)
		if err != nil || m.op == nil || !recoverable(m) {
			continue
		}
		page.Entries = append(page.Entries, adapters.Entry{At: e.at, Op: m.op})
	}
	return page, nil
}
