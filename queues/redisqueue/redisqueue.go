package redisqueue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/queues"
)

// store is a queues.Store.
type store struct {
	cfg    Config
	rdb    *client
	fsync  canFsync // of all servers
	memory memory
	count  inboxCount
	lanes  lanes
	nudges nudges

	mu     sync.Mutex
	levels map[string]int // queue -> durability level, as far as known
}

// Open connects a store. rdb, a *redis.Client (also of Sentinel) or *redis.ClusterClient,
// stays the caller's: the store has connections of its own with the same options. The error
// says if Redis can't be reached, or mustn't be used: too old, or set to evict keys.
func Open(ctx context.Context, rdb redis.UniversalClient, cfg Config) (queues.Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c, err := newClient(rdb)
	if err != nil {
		return nil, err
	}
	s := &store{cfg: cfg, rdb: c, fsync: waitAOF, levels: map[string]int{}}
	s.memory.share, s.memory.log = cfg.MemoryShare, cfg.Logger
	s.lanes.store = rand.Text()[:10]
	err = c.servers(ctx, func(ctx context.Context, server *redis.Client) error {
		can, err := examine(ctx, server)
		if err != nil {
			return err
		}
		if can == never || s.fsync == waitAOF {
			s.fsync = can
		}
		return loadLibrary(ctx, server, true)
	})
	if err == nil && cfg.Durability == Fsync && s.fsync == never {
		err = errors.New("redisqueue: durability fsync needs appendonly yes, and appendfsync always or Redis 7.2")
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return s, nil
}

// Close closes the store's connections.
func (s *store) Close() error {
	s.memory.close()
	s.nudges.close()
	return s.rdb.Close()
}

// Full reports whether publishes are refused, since the memory of Redis, or of one server of a cluster, is nearly full. It looks if
// nobody has for a second.
func (s *store) Full() bool { return s.memory.anyFull(s.rdb) }

// Names of keys. What is in braces decides about the slot.
func (s *store) queueKey(name string) string { return s.cfg.Prefix + "{q:" + name + "}" }

// inboxKey: the inboxes of a principal's devices are in the slot of the principal's own.
func (s *store) inboxKey(name string) string {
	if principal, device, ok := strings.Cut(name, "/"); ok {
		return s.cfg.Prefix + "{i:" + principal + "}{" + device + "}"
	}
	return s.cfg.Prefix + "{i:" + name + "}"
}

func (s *store) topicKey(name string) string { return s.cfg.Prefix + "{t:" + name + "}" }
func (s *store) ownedKey(node string) string { return s.cfg.Prefix + "{n:" + node + "}" }
func (s *store) countKey() string            { return s.cfg.Prefix + "inboxes" }
func (s *store) queuesKey() string           { return s.cfg.Prefix + "queues" }
func (s *store) nodesKey() string            { return s.cfg.Prefix + "nodes" }
func (s *store) secretKey() string           { return s.cfg.Prefix + "secret" }
func (s *store) channel(node string) string  { return s.cfg.Prefix + "node:" + node }

// lanes number calls, so that one that Redis gets twice is done once. What a call answered
// is kept under its lane until the lane's next call.
type lanes struct {
	store string
	calls atomic.Uint64

	mu   sync.Mutex
	next int
	free []string
}

// take returns a lane that nobody uses, and a number for a call on it.
func (l *lanes) take() (lane, call string) {
	call = strconv.FormatUint(l.calls.Add(1), 36)
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.free); n > 0 {
		lane = l.free[n-1]
		l.free = l.free[:n-1]
		return lane, call
	}
	l.next++
	return l.store + strconv.Itoa(l.next), call
}

// give gives a lane back, unless its call may still be on its way.
func (l *lanes) give(lane string, err error) {
	if err != nil && !isReply(err) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, lane)
}

// refusals are the errors of the functions.
var refusals = map[string]*queues.Error{
	"NOQUEUE":  queues.ErrNotFound,
	"PAUSED":   queues.ErrPaused,
	"CONFLICT": queues.ErrConflict,
	"TAKEN":    queues.ErrTakenOver,
	"EPOCH":    queues.Refuse(queues.CodeConflict, "the inbox has another epoch"),
	"INBOXES":  queues.ErrDevices,
	"OOM":      queues.ErrStoreFull,
}

// refusal returns err, which isn't nil, as a *queues.Error.
func refusal(err error) error {
	var known *queues.Error
	if errors.As(err, &known) {
		return err
	}
	if isReply(err) {
		word, text, _ := strings.Cut(strings.TrimPrefix(err.Error(), "ERR "), " ")
		if e := refusals[word]; e != nil {
			if e.Code == queues.CodeConflict {
				return queues.Refuse(e.Code, text)
			}
			return e
		}
	}
	return &queues.Error{
		Code: queues.CodeUnavailable, Message: queues.ErrUnavailable.Message, RetryAfter: time.Second, Cause: fmt.Errorf("redis: %w", err),
	}
}

// errCorrupt says that Redis holds, or answered, something that is none of ours.
var errCorrupt = errors.New("what is stored can't be read")

// ask calls a function for a key and returns its answer.
func (s *store) ask(ctx context.Context, f function, key string, args ...any) (*answer, error) {
	c := &command{function: f, key: key, args: args}
	s.run(ctx, c)
	return c.answer()
}

func (c *command) answer() (*answer, error) {
	if c.err != nil {
		return nil, refusal(c.err)
	}
	list, ok := c.reply.([]any)
	if !ok {
		list = []any{c.reply}
	}
	return &answer{rest: list}, nil
}

// answer takes values off the front of a function's reply. After an error all are zero.
type answer struct {
	rest []any
	bad  bool
}

func (a *answer) more() bool { return len(a.rest) > 0 && !a.bad }

func (a *answer) take() any {
	if len(a.rest) == 0 {
		a.bad = true
		return nil
	}
	v := a.rest[0]
	a.rest = a.rest[1:]
	return v
}

func (a *answer) number() int64 {
	n, ok := a.take().(int64)
	if !ok {
		a.bad = true
	}
	return n
}

func (a *answer) text() string {
	v, ok := a.take().(string)
	if !ok {
		a.bad = true
	}
	return v
}

// seq takes the number of a message, which is a string.
func (a *answer) seq() uint64 { return seqOf(a.text(), &a.bad) }

// seqOf reads the number of a message.
func seqOf(text string, bad *bool) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		*bad = true
	}
	return n
}

func (a *answer) list() *answer {
	l, ok := a.take().([]any)
	if !ok {
		a.bad = true
	}
	return &answer{rest: l}
}

func (a *answer) millis() time.Duration { return time.Duration(a.number()) * time.Millisecond }

// err returns an error if something wasn't what it should be.
func (a *answer) err() error {
	if a.bad {
		return refusal(errCorrupt)
	}
	return nil
}

// millis returns a duration in milliseconds, rounded up, so that what isn't nothing stays something.
func millis(d time.Duration) int64 {
	return int64((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
