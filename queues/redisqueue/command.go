package redisqueue

import (
	"context"
	"errors"
	"net"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"
)

// command is a function to be called for a key.
type command struct {
	function function
	key      string
	args     []any
	// level is the durability that is to be confirmed together with it: 0, Replica or Fsync as in levels.
	level int

	reply     any
	err       error
	confirmed bool
}

// texts are arguments of a command. They are put together in one piece of memory.
type texts struct {
	b    []byte
	ends []int
}

func newTexts(n, bytes int) *texts { return &texts{b: make([]byte, 0, bytes), ends: make([]int, 0, n)} }

// end says that what was appended to b is one.
func (t *texts) end() { t.ends = append(t.ends, len(t.b)) }

func (t *texts) appendTo(args []any) []any {
	all, list, from := unsafe.String(unsafe.SliceData(t.b), len(t.b)), make([]string, len(t.ends)), 0 // b is done with
	for i, end := range t.ends {
		list[i] = all[from:end]
		args = append(args, &list[i])
		from = end
	}
	return args
}

// run runs commands, in one round trip if all goes well: a server that doesn't know a function
// is given the library, what a broken connection left open is sent once more, and what is being moved is tried for a while.
func (s *store) run(ctx context.Context, commands ...*command) {
	s.send(ctx, commands)
	if s.rdb.cluster != nil {
		defer s.follow(ctx, commands)
	}
	var open, missing []*command
	for _, c := range commands {
		switch {
		case c.err == nil:
		case unknown(c.err):
			missing = append(missing, c)
		case broken(c.err) && ctx.Err() == nil:
			open = append(open, c)
		}
	}
	if len(open) > 0 {
		s.send(ctx, open)
		for _, c := range open {
			if c.err != nil && unknown(c.err) {
				missing = append(missing, c)
			}
		}
	}
	if len(missing) > 0 && s.provide(ctx, missing) {
		s.send(ctx, missing)
	}
}

// For how long, and how often, what is being moved to another server of a cluster is tried. Most is moved in less. What takes
// longer is unavailable meanwhile: other queues must not wait for it.
const (
	moveTries = 12
	moveEvery = 20 * time.Millisecond
)

// follow sends again what is being moved, or has been.
func (s *store) follow(ctx context.Context, commands []*command) {
	for range moveTries {
		var away, missing []*command
		for _, c := range commands {
			if c.err != nil && moving(c.err) {
				away = append(away, c)
			}
		}
		if len(away) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(moveEvery):
		}
		s.send(ctx, away)
		for _, c := range away {
			if c.err != nil && unknown(c.err) {
				missing = append(missing, c)
			}
		}
		if len(missing) > 0 && s.provide(ctx, missing) {
			s.send(ctx, missing)
		}
	}
}

// moving says that a server hasn't done a command since its slot is being moved, or was.
func moving(err error) bool {
	return redis.HasErrorPrefix(err, "TRYAGAIN") || redis.HasErrorPrefix(err, "ASK") || redis.HasErrorPrefix(err, "MOVED")
}

// provide gives the library to the servers of commands. It reports false if that failed, which is then the commands' error.
func (s *store) provide(ctx context.Context, commands []*command) bool {
	var last redis.Cmdable
	for _, c := range commands {
		server, err := s.server(ctx, c.key)
		if err == nil && server != last {
			last, err = server, loadLibrary(ctx, server, false)
		}
		if err != nil {
			for _, c := range commands {
				c.err = err
			}
			return false
		}
	}
	return true
}

// send sends commands once.
func (s *store) send(ctx context.Context, commands []*command) {
	var plain []*command
	durable := map[redis.Cmdable][]*command{}
	for _, c := range commands {
		if c.level < levels[Replica] {
			plain = append(plain, c)
			continue
		}
		server, err := s.server(ctx, c.key)
		if err != nil {
			c.err = err
			continue
		}
		durable[server] = append(durable[server], c)
	}
	s.pipeline(ctx, s.rdb, plain, 0)
	for server, commands := range durable {
		s.pipeline(ctx, server, commands, s.level(commands))
	}
}

// level returns the highest level of commands.
func (s *store) level(commands []*command) (level int) {
	for _, c := range commands {
		level = max(level, c.level)
	}
	return level
}

// server returns the server of a key.
func (s *store) server(ctx context.Context, key string) (redis.Cmdable, error) {
	if s.rdb.cluster == nil {
		return s.rdb.UniversalClient, nil
	}
	return s.rdb.cluster.MasterForKey(ctx, key)
}

// nowhere ends the name of a second key of each command to a cluster, which is never there. While a slot is moved, key by key, the
// servers do commands of several keys only where all of them are. So nothing is done that would find, and make, only a
// part of a queue: Redis knows of one key and not of the others that a function goes to.
const nowhere = ":nowhere"

// pipeline sends commands to a server in one go, and waits for the confirmation of a level.
func (s *store) pipeline(ctx context.Context, server redis.Cmdable, commands []*command, level int) {
	if len(commands) == 0 {
		return
	}
	replies := make([]*redis.Cmd, len(commands))
	var confirmed *redis.Cmd
	_, err := server.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, c := range commands {
			args := make([]any, 0, 5+len(c.args))
			if s.rdb.cluster == nil || c.function == beatFunction { // which goes to its key alone
				args = append(args, "fcall", names[c.function], 1, c.key)
			} else {
				args = append(args, "fcall", names[c.function], 2, c.key, c.key+nowhere)
			}
			args = append(args, c.args...)
			replies[i] = p.Do(ctx, args...)
		}
		timeout := s.cfg.ConfirmTimeout.Milliseconds()
		switch {
		case level == levels[Replica]:
			confirmed = p.Do(ctx, "wait", 1, timeout)
		case level == levels[Fsync] && s.fsync == waitAOF:
			confirmed = p.Do(ctx, "waitaof", 1, 0, timeout)
		}
		return nil
	})
	ok := s.confirms(confirmed, level)
	for i, c := range commands {
		c.reply, c.err = replies[i].Result()
		c.confirmed = ok
		if c.err != nil && errors.Is(c.err, redis.Nil) {
			c.err = nil
		}
	}
	if s.rdb.cluster != nil && err != nil && redis.HasErrorPrefix(err, "MOVED") {
		s.rdb.cluster.ReloadState(ctx)
	}
}

// confirms says whether a level was reached.
func (s *store) confirms(reply *redis.Cmd, level int) bool {
	if reply == nil {
		return level < levels[Replica] || s.fsync == always
	}
	v, err := reply.Result()
	if err != nil {
		return false
	}
	if list, ok := v.([]any); ok && len(list) > 0 { // WAITAOF: local, replicas
		v = list[0]
	}
	n, _ := v.(int64)
	return n >= 1
}

func dialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
