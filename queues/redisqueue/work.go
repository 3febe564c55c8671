package redisqueue

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/roomcast/roomcast/queues"
)

// Publish does queues.WorkStore.Publish.
func (s *store) Publish(ctx context.Context, calls []*queues.PublishCall) {
	commands := make([]*command, 0, len(calls))
	sent := make([]*queues.PublishCall, 0, len(calls))
	for _, c := range calls {
		key := s.queueKey(c.Queue)
		if s.memory.refuses(ctx, s.rdb, key) {
			s.failPublish(c, queues.ErrStoreFull)
			continue
		}
		lane, call := s.lanes.take()
		args := appendDrafts([]any{lane, call, len(c.Drafts)}, c.Drafts)
		if c.Claim != nil {
			args = appendClaim(args, c.Claim)
		}
		commands = append(commands, &command{function: publishFunction, key: key, args: args, level: s.levelOf(c.Queue)})
		sent = append(sent, c)
	}
	s.run(ctx, commands...)
	for i, c := range sent {
		s.lanes.give(commands[i].args[0].(string), commands[i].err)
		s.published(ctx, c, commands[i])
	}
}

// failPublish answers a call that was not made, or not answered.
func (s *store) failPublish(c *queues.PublishCall, err error) {
	c.Results, c.Err = nil, err
	if c.Claim != nil {
		c.Claim.Err = err
	}
}

// What became of a draft.
const (
	stored = iota
	known
	noRoom
	noRoomForID
)

func (s *store) published(ctx context.Context, c *queues.PublishCall, cmd *command) {
	a, err := cmd.answer()
	if err != nil {
		s.failPublish(c, err)
		return
	}
	level := int(a.number())
	c.Dropped = int(a.number())
	s.nudges.woken(s, c.Queue, a.number())
	results := &answer{}
	var first uint64 // all are stored, from this number on
	switch v := a.take().(type) {
	case []any:
		results.rest = v
	default:
		first = (&answer{rest: []any{v}}).seq()
	}
	c.Results = make([]queues.PublishResult, len(c.Drafts))
	for i, d := range c.Drafts {
		r := &c.Results[i]
		r.ID = d.ID
		what := int64(stored)
		if first > 0 {
			r.Seq = first + uint64(i)
		} else {
			what = results.number()
			r.Seq = results.seq()
		}
		switch what {
		case stored:
			if r.ID == "" {
				r.ID = madeID(r.Seq)
			}
		case known:
			r.Duplicate = true
		case noRoom:
			r.Err = queues.ErrQueueFull
		default:
			r.Err = &queues.Error{Code: queues.CodeQueueFull, Message: "too many ids to remember", RetryAfter: time.Minute}
		}
	}
	if a.bad || results.bad {
		s.failPublish(c, refusal(errCorrupt))
		return
	}
	if c.Claim != nil {
		s.claimed(c.Claim, a.list(), &fresh{drafts: c.Drafts, results: c.Results, first: first})
	}
	if !s.durable(ctx, c.Queue, level, cmd) {
		for i := range c.Results {
			if c.Results[i].Err == nil {
				c.Results[i].Err = queues.ErrNotDurable
			}
		}
	}
}

// durable says whether what a command wrote has reached the level of its queue. If it was sent when
// another level was known of the queue, the confirmation is got now.
func (s *store) durable(ctx context.Context, queue string, level int, sent *command) bool {
	if level == 0 {
		level = levels[s.cfg.Durability]
	}
	s.mu.Lock()
	s.levels[queue] = level
	s.mu.Unlock()
	if level <= levels[Memory] || sent.level >= level {
		return sent.confirmed
	}
	// Replication is a stream: what is confirmed of a later write is confirmed of all before it.
	barrier := &command{function: barrierFunction, key: sent.key, level: level}
	s.run(ctx, barrier)
	return barrier.err == nil && barrier.confirmed
}

// levelOf returns the durability level of a queue, as far as known.
func (s *store) levelOf(queue string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	level, known := s.levels[queue]
	if !known {
		return levels[s.cfg.Durability]
	}
	return level
}

// madeID is the id of a message that came without one.
func madeID(seq uint64) string {
	return string(strconv.AppendUint(append(make([]byte, 0, 24), '~'), seq, 10))
}

// appendDrafts appends what the function takes of drafts.
func appendDrafts(args []any, drafts []*queues.Draft) []any {
	size, all := 0, true
	for _, d := range drafts {
		size += d.Payload.Size()
		all = all && plain(d)
	}
	args = append(slices.Grow(args, 3*len(drafts)+16), size, flag(all))
	t := newTexts(3*len(drafts), size+16*len(drafts))
	for _, d := range drafts {
		t.b = appendDraft(t.b, d)
		t.end()
		if !all {
			t.b = append(t.b, d.ID...)
			t.end()
			t.b = appendTimes(t.b, d)
			t.end()
		}
	}
	return t.appendTo(args)
}

// plain says that a draft is to be stored as it is, behind all others.
func plain(d *queues.Draft) bool {
	return d.ID == "" && d.Key == "" && d.Priority == 0 && d.Delay == 0 && d.TTL == 0 && d.At.IsZero()
}

// appendDraft appends the record of a draft from the flags on, without a TTL.
func appendDraft(b []byte, d *queues.Draft) []byte {
	at := len(b)
	b = binary.BigEndian.AppendUint32(append(b, byte(d.Priority&3)), uint32(d.Payload.Size()))
	if d.Key != "" {
		b[at] |= flagKey
		b = append(append(b, byte(len(d.Key))), d.Key...)
	}
	c := content{id: d.ID, headers: d.Headers, payload: d.Payload}
	flags, b := c.appendBody(b)
	b[at] |= flags
	return b
}

// appendTimes appends the times of a draft, which aren't yet what they will be in a record; nothing if it has none.
func appendTimes(b []byte, d *queues.Draft) []byte {
	if d.Delay == 0 && d.TTL == 0 && d.At.IsZero() {
		return b
	}
	var when int64
	if !d.At.IsZero() {
		when = max(d.At.UnixMilli(), 0)
	}
	b = appendFixed(b, 6, uint64(bound(millis(d.Delay))))
	b = appendFixed(b, 6, uint64(bound(when)))
	return appendFixed(b, 6, uint64(bound(millis(d.TTL))))
}

// bound keeps a time within what six bytes and a number of Lua hold with others added.
func bound(ms int64) int64 { return min(ms, 1<<46) }

// appendFixed appends the lower n bytes of v, the highest first.
func appendFixed(b []byte, n int, v uint64) []byte {
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

// appendText appends s with its length in two bytes.
func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), math.MaxUint16)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// Claim does queues.WorkStore.Claim.
func (s *store) Claim(ctx context.Context, calls []*queues.ClaimCall) {
	commands := make([]*command, len(calls))
	for i, c := range calls {
		lane, call := s.lanes.take()
		commands[i] = &command{function: claimFunction, key: s.queueKey(c.Queue), args: appendClaim([]any{lane, call}, c)}
	}
	s.run(ctx, commands...)
	for i, c := range calls {
		s.lanes.give(commands[i].args[0].(string), commands[i].err)
		a, err := commands[i].answer()
		if err != nil {
			c.Err = err
			continue
		}
		s.nudges.woken(s, c.Queue, a.number())
		s.claimed(c, a.list(), nil)
	}
}

func appendClaim(args []any, c *queues.ClaimCall) []any {
	args = append(args, c.Node, flag(c.Wait), c.MaxBytes, len(c.Wants))
	for i := range c.Wants {
		w := &c.Wants[i]
		args = append(args, w.Session, bound(millis(w.Grace)), w.Messages, w.Bytes, flag(w.AtMostOnce))
	}
	return args
}

// fresh is what a publish has stored: its claim is answered without what is in the drafts.
type fresh struct {
	drafts  []*queues.Draft
	results []queues.PublishResult
	first   uint64 // number of the first, if all were stored
	index   map[uint64]int
}

// message returns the message that was stored with a number, or nil if none was.
func (f *fresh) message(queue string, seq uint64, stored time.Time) *queues.Message {
	if f == nil {
		return nil
	}
	i, ok := int(seq-f.first), seq >= f.first
	if f.first == 0 {
		if f.index == nil {
			f.index = make(map[uint64]int, len(f.drafts))
			for i := range f.results {
				if r := &f.results[i]; r.Err == nil && !r.Duplicate {
					f.index[r.Seq] = i
				}
			}
		}
		i, ok = f.index[seq]
	}
	if !ok || i >= len(f.drafts) {
		return nil
	}
	d := f.drafts[i]
	return &queues.Message{
		Queue: queue, ID: f.results[i].ID, Seq: seq, Key: d.Key, Priority: d.Priority, Headers: d.Headers, Payload: d.Payload, Stored: stored,
	}
}

// claimed reads the answer to a claim, which went with a publish if f isn't nil.
func (s *store) claimed(c *queues.ClaimCall, a *answer, f *fresh) {
	c.Lease = a.millis()
	next := a.number()
	c.Next = time.Duration(next) * time.Millisecond
	if next < 0 {
		c.Next = -1
	}
	now, fence, numbers, messages, retried := at(uint64(a.number())), uint64(a.number()), a.list(), a.list(), a.list()
	n := int64(-1)
	again := int64(-1) // the next one that isn't handed out for the first time
	if retried.more() {
		again = retried.number()
	}
	for i := range c.Wants {
		w := &c.Wants[i]
		for text := numbers.text(); text != ""; {
			var token string
			token, text, _ = strings.Cut(text, " ")
			from, run, isFresh := strings.Cut(token, "+")
			seq, count := seqOf(from, &numbers.bad), uint64(1)
			if isFresh {
				count = seqOf(run, &numbers.bad)
			}
			for ; count > 0 && !numbers.bad; seq, count = seq+1, count-1 {
				n++
				own, attempt, failures := fence+uint64(n), int64(1), int64(0)
				if n == again {
					own, attempt, failures = uint64(retried.number()), retried.number(), retried.number()
					if retried.more() {
						again = retried.number()
					}
				}
				var m *queues.Message
				var err error
				if isFresh {
					if m = f.message(c.Queue, seq, now); m == nil {
						numbers.bad = true
					}
				} else {
					record := messages.text()
					m, err = parseRecord(c.Queue, seq, unsafe.Slice(unsafe.StringData(record), len(record))) // which nobody else has
				}
				if numbers.bad || messages.bad || retried.bad {
					break
				}
				if err != nil {
					// Nobody can have it. Its lease ends in the end, and it is dead after some attempts.
					s.cfg.Logger.Error("queues: a message can't be read", "queue", c.Queue)
					continue
				}
				m.Fence, m.Attempt, m.Failures = own, int(attempt), int(failures)
				if !w.AtMostOnce {
					m.Lease = c.Lease
				}
				w.Got = append(w.Got, m)
			}
		}
	}
	if a.bad || numbers.bad || messages.bad || retried.bad {
		c.Err = refusal(errCorrupt)
		for i := range c.Wants {
			c.Wants[i].Got = nil
		}
	}
}

// Settle does queues.WorkStore.Settle.
func (s *store) Settle(ctx context.Context, calls []*queues.SettleCall) {
	commands := make([]*command, 0, len(calls))
	sent := make([]*queues.SettleCall, 0, len(calls))
	for _, c := range calls {
		lane, call := s.lanes.take()
		args := append(make([]any, 0, 4+2*len(c.Items)+9), lane, call, len(c.Items), flag(distinct(c.Items)))
		t := newTexts(2*len(c.Items), 20*len(c.Items))
		for i := range c.Items {
			t.settlement(&c.Items[i])
		}
		args = t.appendTo(args)
		if c.Claim != nil {
			args = appendClaim(args, c.Claim)
		}
		commands = append(commands, &command{function: settleFunction, key: s.queueKey(c.Queue), args: args})
		sent = append(sent, c)
	}
	s.run(ctx, commands...)
	for i, c := range sent {
		s.lanes.give(commands[i].args[0].(string), commands[i].err)
		s.settled(c, commands[i])
	}
}

// distinct says that no message is named twice.
func distinct(items []queues.Settlement) bool {
	rising := true
	for i := 1; i < len(items) && rising; i++ {
		rising = items[i].Seq > items[i-1].Seq
	}
	if rising {
		return true // most often
	}
	named := make(map[uint64]bool, len(items))
	for i := range items {
		named[items[i].Seq] = true
	}
	return len(named) == len(items)
}

func (s *store) settled(c *queues.SettleCall, cmd *command) {
	a, err := cmd.answer()
	if err == nil {
		c.Dead = int(a.number())
		s.nudges.woken(s, c.Queue, a.number())
		if len(a.rest) > 0 && a.rest[0] == any(int64(0)) { // all are done
			a.take()
			c.Results = make([]error, len(c.Items))
		} else {
			c.Results, err = results(a.list(), len(c.Items))
		}
	}
	if err == nil {
		err = a.err()
	}
	if c.Claim != nil {
		if c.Claim.Err = err; err == nil {
			s.claimed(c.Claim, a.list(), nil)
		}
	}
	if c.Err = err; err != nil {
		c.Results = nil
	}
}

// leased is the state of a message in its tries.
const leased = 1

// settlement adds the number of a message, and the rest.
func (t *texts) settlement(item *queues.Settlement) {
	t.b = strconv.AppendUint(t.b, item.Seq, 10)
	t.end()
	defer t.end()
	if item.Outcome == queues.Ack && item.Node == "" {
		t.b = binary.BigEndian.AppendUint64(t.b, item.Fence<<8|leased)
		return
	}
	delay := millis(item.Delay)
	if item.Delay < 0 {
		delay = -1
	}
	b := appendFixed(append(t.b, byte(item.Outcome)), 7, item.Fence)
	b = appendFixed(b, 8, uint64(min(delay, 1<<46)))
	b = appendFixed(b, 6, uint64(bound(millis(item.Grace))))
	t.b = appendText(appendText(b, item.Node), cut(item.Error))
}

// results reads what became of items.
func results(a *answer, n int) ([]error, error) {
	errs := make([]error, n)
	for i := range errs {
		switch a.number() {
		case 0:
		case 1:
			errs[i] = queues.ErrSuperseded
		default:
			errs[i] = queues.ErrGone
		}
	}
	if err := a.err(); err != nil {
		return nil, err
	}
	return errs, nil
}

// Extend does queues.WorkStore.Extend.
func (s *store) Extend(ctx context.Context, calls []*queues.ExtendCall) {
	commands := make([]*command, len(calls))
	for i, c := range calls {
		args := []any{c.Node, bound(millis(c.For))}
		for _, ref := range c.Items {
			args = append(args, strconv.FormatUint(ref.Seq, 10), strconv.FormatUint(ref.Fence, 10))
		}
		commands[i] = &command{function: extendFunction, key: s.queueKey(c.Queue), args: args}
	}
	s.run(ctx, commands...)
	for i, c := range calls {
		a, err := commands[i].answer()
		if err != nil {
			c.Err = err
			continue
		}
		c.Lease = a.millis()
		c.Results, c.Err = results(a, len(c.Items))
	}
}

// Sweep does queues.WorkStore.Sweep.
func (s *store) Sweep(ctx context.Context, queue string) (time.Duration, error) {
	a, err := s.ask(ctx, sweepFunction, s.queueKey(queue))
	if err != nil {
		return 0, err
	}
	next := a.number()
	if next < 0 {
		return -1, a.err()
	}
	return time.Duration(next) * time.Millisecond, a.err()
}
