package redisadapter

import (
	"context"
	"errors"
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
	uidsKept    = 10_000
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
	defer context.AfterFunc(s.life, func() { _ = c.Close() })()
	defer c.Close()
	if s.anchored {
		if err := s.verify(c); err != nil {
			return false, err
		}
	}
	size := int(min(readEntries, s.d.cfg.MaxLen/2))
	for first := true; ; first = false {
		list, err := s.fetch(c, size)
		if err != nil {
			return answered, err
		}
		answered = true
		s.heard.Store(time.Now().UnixNano())
		// Being far behind, or back after a while: had something been trimmed before we read it?
		if len(list) == 0 || s.anchored && (first || len(list) == size) {
			if err := s.verify(c); err != nil {
				return answered, err
			}
		}
		if len(list) > 0 {
			s.take(list)
		}
	}
}

func (s *stream) fetch(c *dedicated, size int) ([]redis.XMessage, error) {
	ctx, cancel := context.WithTimeout(s.life, readBlock+readMargin)
	defer cancel()
	got, err := c.XRead(ctx, &redis.XReadArgs{
		Streams: []string{s.name, s.position().String()}, Count: int64(size), Block: readBlock,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil || len(got) == 0 {
		return nil, err
	}
	return got[0].Messages, nil
}

// verify makes sure that the entry that was read last still is in the stream, so
// that nothing can be missing behind it. If it isn't, all are told.
func (s *stream) verify(c *dedicated) error {
	ctx, cancel := context.WithTimeout(s.life, writeTime)
	defer cancel()
	pos := s.position()
	found, err := c.XRangeN(ctx, s.name, pos.String(), pos.String(), 1).Result()
	if err != nil || len(found) == 1 {
		return err
	}
	last, err := lastOf(ctx, c, s.name)
	if err != nil {
		return err
	}
	if last.IsZero() { // the stream is gone: begin another one
		if last, err = s.hello(ctx); err != nil {
			return err
		}
	}
	s.anchored = true
	if last.Compare(pos) > 0 {
		first, err := c.XRangeN(ctx, s.name, "-", "+", 1).Result()
		if err != nil {
			return err
		}
		if len(first) > 0 { // what is left is delivered
			if at, ok := adapters.ParseOffset(first[0].ID); ok && at.Compare(pos) > 0 {
				last, s.anchored = before(at), false
			}
		}
	}
	s.lost(last)
	return errGap
}

// before returns the offset in front of at.
func before(at adapters.Offset) adapters.Offset {
	if at.Seq > 0 {
		return adapters.Offset{Time: at.Time, Seq: at.Seq - 1}
	}
	return adapters.Offset{Time: at.Time - 1, Seq: 1<<64 - 1}
}

// lost tells all namespaces that entries are missing, and goes on at another place.
func (s *stream) lost(at adapters.Offset) {
	s.d.gaps.Add(1)
	s.d.cfg.Logger.Error("entries of a stream are lost for this node, since they were trimmed or Redis has lost data: clients get fresh sessions",
		"stream", s.name, "read up to", s.position().String(), "going on after", at.String())
	s.turn.Lock()
	defer s.turn.Unlock()
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
		}
	}
	s.anchored = true
	s.resend()
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
		if s.twice(e) {
			return
		}
		mine = s.returned(e.uid, e.seq)
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
			a.strayed()
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
	now := time.Now()
	last, known := s.latest[e.uid]
	if known && e.seq <= last.seq {
		s.d.dropped.Add(1)
		return true
	}
	s.latest[e.uid] = latest{e.seq, now}
	if len(s.latest) > uidsKept {
		for uid, l := range s.latest {
			if now.Sub(l.seen) > 10*time.Minute {
				delete(s.latest, uid)
			}
		}
	}
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
