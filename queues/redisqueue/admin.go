package redisqueue

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/queues"
)

// Configure does queues.AdminStore.Configure.
func (s *store) Configure(ctx context.Context, queue string, c queues.Config) error {
	level := levels[c.Durability]
	if level == levels[Fsync] && s.fsync == never {
		return queues.Refuse(queues.CodeBadRequest, "durability fsync needs appendonly yes, and appendfsync always or Redis 7.2")
	}
	all, err := json.Marshal(c)
	if err != nil {
		return queues.Refuse(queues.CodeBadRequest, err.Error())
	}
	if err := s.rdb.SAdd(ctx, s.queuesKey(), queue).Err(); err != nil {
		return refusal(err)
	}
	if _, err := s.ask(ctx, configureFunction, s.queueKey(queue), all, packConfig(&c)); err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.levels, queue)
	s.mu.Unlock()
	_, err = s.Sweep(ctx, queue) // what is due may be another time now
	return err
}

// packConfig packs the numbers that the functions need, in the order of C in queue.lua.
func packConfig(c *queues.Config) []byte {
	var b []byte
	for _, v := range []float64{
		ms(c.Lease), float64(c.MaxFailures), float64(c.MaxAttempts), ms(c.BackoffBase), ms(c.BackoffMax),
		float64(c.MaxLen), float64(c.MaxBytes), float64(flag(c.Overflow == queues.DropOldest)), ms(c.TTL),
		float64(flag(c.DeadLetterExpired)), ms(c.DeadTTL), float64(c.DeadMax), float64(flag(c.OnFail == queues.Skip)),
		ms(c.Dedupe), float64(c.DedupeBytes), c.Rate, float64(c.Burst), float64(levels[c.Durability]),
	} {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func ms(d time.Duration) float64 { return float64(millis(d)) }

// Config does queues.AdminStore.Config.
func (s *store) Config(ctx context.Context, queue string) (c queues.Config, err error) {
	b, err := s.rdb.Get(ctx, s.queueKey(queue)+":json").Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return c, queues.ErrNotFound
	case err != nil:
		return c, refusal(err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return queues.Config{}, refusal(errCorrupt)
	}
	return c, nil
}

// Queues does queues.AdminStore.Queues.
func (s *store) Queues(ctx context.Context) ([]string, error) {
	names, err := s.rdb.SMembers(ctx, s.queuesKey()).Result()
	if err != nil {
		return nil, refusal(err)
	}
	slices.Sort(names)
	return names, nil
}

// Delete does queues.AdminStore.Delete.
func (s *store) Delete(ctx context.Context, queue string, force bool) error {
	_, err := s.ask(ctx, deleteFunction, s.queueKey(queue), flag(force))
	if err != nil && queues.CodeOf(err) != queues.CodeNotFound {
		return err
	}
	if failed := s.rdb.SRem(ctx, s.queuesKey(), queue).Err(); failed != nil {
		return refusal(failed)
	}
	return err
}

// Pause does queues.AdminStore.Pause.
func (s *store) Pause(ctx context.Context, queue string, publish, consume bool) error {
	_, err := s.ask(ctx, pauseFunction, s.queueKey(queue), flag(publish), flag(consume))
	return err
}

// Purge does queues.AdminStore.Purge.
func (s *store) Purge(ctx context.Context, queue string, dead bool) (int, error) {
	a, err := s.ask(ctx, purgeFunction, s.queueKey(queue), flag(dead), 2*step)
	if err != nil {
		return 0, err
	}
	return int(a.number()), a.err()
}

// Redrive does queues.AdminStore.Redrive.
func (s *store) Redrive(ctx context.Context, queue string, n int, ids []string) (int, error) {
	key := s.queueKey(queue)
	args := []any{n}
	if len(ids) > 0 {
		numbers, err := s.letters(ctx, key, ids)
		if err != nil || len(numbers) == 0 {
			return 0, err
		}
		args = append([]any{0}, numbers...)
	} else if n <= 0 {
		args[0] = 0
	}
	moved := 0
	a, err := s.ask(ctx, redriveFunction, key, args...)
	if err == nil {
		moved, err = int(a.number()), a.err()
	}
	return moved, err
}

// letters returns the numbers of the dead messages with these ids, at most 1000.
func (s *store) letters(ctx context.Context, key string, ids []string) (numbers []any, err error) {
	wanted := make([]any, 0, 2+len(ids))
	wanted = append(wanted, 0, step)
	for _, id := range ids {
		wanted = append(wanted, id)
	}
	for from := 0; ; from += step {
		wanted[0] = from
		a, err := s.ask(ctx, lettersFunction, key, wanted...)
		if err != nil {
			return nil, err
		}
		looked := a.number()
		for a.more() && len(numbers) < 2*step {
			numbers = append(numbers, a.text())
		}
		if a.bad {
			return nil, a.err()
		}
		if looked < step || len(numbers) == 2*step {
			return numbers, nil
		}
	}
}

// Peek does queues.AdminStore.Peek.
func (s *store) Peek(ctx context.Context, queue string, state queues.State, offset, n int) ([]*queues.Info, error) {
	switch state {
	case queues.Ready, queues.Scheduled, queues.Leased, queues.Blocked, queues.Dead:
	default:
		return nil, queues.Refuse(queues.CodeBadRequest, "no such state")
	}
	a, err := s.ask(ctx, peekFunction, s.queueKey(queue), string(state), max(offset, 0), max(n, 0))
	if err != nil {
		return nil, err
	}
	kept := a.millis()
	var infos []*queues.Info
	for a.more() {
		seq, until, v, happened := a.seq(), a.number(), []byte(a.text()), []byte(a.text())
		in, err := show(queue, state, seq, v, happened, kept)
		if err != nil {
			continue // it can't be shown
		}
		if until > 0 {
			in.Until = time.UnixMilli(until)
		}
		infos = append(infos, in)
	}
	return infos, a.err()
}

// show makes an Info of what is stored of a message.
func show(queue string, state queues.State, seq uint64, v, happened []byte, kept time.Duration) (*queues.Info, error) {
	in := &queues.Info{State: state}
	var t tries
	if state == queues.Dead {
		l, err := parseLetter(v)
		if err != nil {
			return nil, err
		}
		v = l.record
		in.Reason, in.Error, in.Until = l.reason, l.text, l.died.Add(kept)
		t.attempt, t.failures = l.attempt, l.failures
	} else if len(happened) > 0 {
		var err error
		if t, err = parseTries(happened); err != nil {
			return nil, err
		}
		in.Node, in.Session, in.Error = t.node, t.session, t.text
	}
	m, err := parseRecord(queue, seq, v)
	if err != nil {
		return nil, err
	}
	in.Message = *m
	in.Attempt, in.Failures, in.Fence = t.attempt, t.failures, t.fence
	return in, nil
}

// Stats does queues.AdminStore.Stats.
func (s *store) Stats(ctx context.Context, queue string) (st queues.Stats, err error) {
	a, err := s.ask(ctx, statsFunction, s.queueKey(queue))
	if err != nil {
		return st, err
	}
	state := a.text()
	st.Scheduled, st.Leased, st.Dead = int(a.number()), int(a.number()), int(a.number())
	st.Oldest = a.millis()
	st.PublishPaused, st.ConsumePaused = a.number() == 1, a.number() == 1
	if err := a.err(); err != nil {
		return queues.Stats{}, err
	}
	// The order is that of S in queue.lua.
	r := &reader{b: []byte(state)}
	number := func() uint64 { return uint64(max(math.Float64frombits(r.fixed(8)), 0)) }
	number() // seq
	number() // fence
	st.Blocked = int(number())
	st.Bytes = int64(number())
	number() // tried
	number() // holes
	number() // due
	st.Waiting = int(number())
	number() // allowed
	for range 4 {
		st.Ready += int(number())
	}
	number() // idStart
	number() // idTurn
	number() // idBytes0
	number() // idBytes1
	for _, p := range []*uint64{
		&st.Published, &st.Duplicates, &st.Refused, &st.Delivered, &st.Redelivered, &st.Acked, &st.Nacked,
		&st.Released, &st.Lapsed, &st.DeadLettered, &st.Expired, &st.Dropped,
	} {
		*p = number()
	}
	if r.bad {
		return queues.Stats{}, refusal(errCorrupt)
	}
	return st, nil
}

// Secret does queues.Store.Secret.
func (s *store) Secret(ctx context.Context) ([]byte, error) {
	fresh := make([]byte, 32)
	_, _ = rand.Read(fresh) // it never fails
	if err := s.rdb.SetNX(ctx, s.secretKey(), fresh, 0).Err(); err != nil {
		return nil, refusal(err)
	}
	b, err := s.rdb.Get(ctx, s.secretKey()).Bytes()
	if err != nil {
		return nil, refusal(err)
	}
	if len(b) != 32 {
		return nil, refusal(errCorrupt)
	}
	return b, nil
}
