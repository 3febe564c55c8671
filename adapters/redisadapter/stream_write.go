package redisadapter

import (
	"context"
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
	var c *dedicated
	var old string // a connection of which it isn't known what Redis has done with it
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	for fails := 0; ; {
		batch := s.next()
		if batch == nil {
			select {
			case <-s.wake:
				continue
			case <-s.life.Done():
				return
			}
		}
		var err error
		if c == nil {
			if c, err = dedicate(s.life, s.d.rdb, s.name); err == nil && old != "" {
				if err = s.settle(c, old); err == nil {
					old = ""
				}
			}
			if err == nil { // settle may have found that some of it is written
				s.putBack(batch)
				batch = s.next()
			}
		}
		if err == nil && batch != nil {
			err = s.add(c, batch)
		}
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
		s.putBack(batch)
		if c != nil {
			if old == "" && !isReply(err) {
				if old = "unknown"; c.name.Load() != nil {
					old = *c.name.Load()
				}
			}
			_ = c.Close()
			c = nil
		}
		moved(s.life, s.d.rdb, err)
		if !pause(s.life, fails) {
			return
		}
		fails++
	}
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
}

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

// lastOf returns the last entry of a stream; zero if there is none.
func lastOf(ctx context.Context, c redis.Cmdable, name string) (adapters.Offset, error) {
	list, err := c.XRevRangeN(ctx, name, "+", "-", 1).Result()
	if err != nil || len(list) == 0 {
		return adapters.Offset{}, err
	}
	at, _ := adapters.ParseOffset(list[0].ID)
	return at, nil
}

// resend has entries written again that Redis had taken and has lost since: the
// reader has come past them. turn is held.
func (s *stream) resend() {
	pos := s.position()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mine) == 0 || s.mine[0].at.IsZero() || s.mine[0].at.Compare(pos) > 0 {
		return
	}
	var lost, left []*sentEntry
	for _, o := range s.mine {
		if o.at.IsZero() || o.at.Compare(pos) > 0 {
			left = append(left, o)
			continue
		}
		// By its old number readers would take it for a copy of what came since.
		s.seq++
		o.seq, o.at, o.tried = s.seq, adapters.Offset{}, false
		o.fields[len(o.fields)-1] = o.seq
		lost = append(lost, o)
	}
	s.mine = append(left, lost...)
	s.waiting = append(s.waiting, lost...)
	s.d.cfg.Logger.Warn("Redis has lost entries that it had taken: they are written again", "stream", s.name, "entries", len(lost))
	s.rouse()
}
