package redisqueue

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"errors"
	"net"
	"slices"
	"strings"
	"unsafe"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var sources embed.FS

// script is a Lua script. Its first line may name others that come before it: --use queue move.
type script struct {
	source string
	sha    string
}

func load(name string) *script {
	read := func(name string) string {
		b, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // it is part of the program
		}
		return string(b)
	}
	own := read(name)
	var all strings.Builder
	if first, _, _ := strings.Cut(own, "\n"); strings.HasPrefix(first, "--use ") {
		for _, part := range strings.Fields(first)[1:] {
			all.WriteString(read(part))
		}
	}
	all.WriteString(own)
	sum := sha1.Sum([]byte(all.String()))
	return &script{source: all.String(), sha: hex.EncodeToString(sum[:])}
}

var (
	publishScript     = load("publish")
	claimScript       = load("claim")
	settleScript      = load("settle")
	extendScript      = load("extend")
	sweepScript       = load("sweep")
	heldScript        = load("held")
	rebindScript      = load("rebind")
	unwaitScript      = load("unwait")
	nudgeScript       = load("nudge")
	barrierScript     = load("barrier")
	configureScript   = load("configure")
	pauseScript       = load("pause")
	deleteScript      = load("delete")
	purgeScript       = load("purge")
	lettersScript     = load("letters")
	redriveScript     = load("redrive")
	peekScript        = load("peek")
	statsScript       = load("stats")
	beatScript        = load("beat")
	appendScript      = load("append")
	openScript        = load("open")
	readScript        = load("read")
	acknowledgeScript = load("acknowledge")
	closeScript       = load("close")
	removeScript      = load("remove")
	tidyScript        = load("tidy")
	subscribeScript   = load("subscribe")
	contentsScript    = load("contents")
)

// scripts are all, to be loaded at the start.
var scripts = []*script{
	publishScript, claimScript, settleScript, extendScript, sweepScript, heldScript, rebindScript, unwaitScript, nudgeScript, barrierScript,
	configureScript, pauseScript, deleteScript, purgeScript, lettersScript, redriveScript, peekScript, statsScript,
	beatScript, appendScript, openScript, readScript, acknowledgeScript, closeScript, removeScript, tidyScript,
	subscribeScript, contentsScript,
}

// loadScripts loads the scripts that a server doesn't have yet.
func loadScripts(ctx context.Context, server *redis.Client) error {
	shas := make([]string, len(scripts))
	for i, s := range scripts {
		shas[i] = s.sha
	}
	there, err := server.ScriptExists(ctx, shas...).Result()
	if err != nil || !slices.Contains(there, false) {
		return err
	}
	_, err = server.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, s := range scripts {
			p.ScriptLoad(ctx, s.source)
		}
		return nil
	})
	return err
}

// command is a script to be run for a key.
type command struct {
	script *script
	key    string
	args   []any
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

// run runs commands, in one round trip if all goes well: a script that a server doesn't know
// is sent in full, and what a broken connection left open is sent once more.
func (s *store) run(ctx context.Context, commands ...*command) {
	s.send(ctx, commands, false)
	var unknown, open []*command
	for _, c := range commands {
		switch {
		case c.err == nil:
		case redis.HasErrorPrefix(c.err, "NOSCRIPT"):
			unknown = append(unknown, c)
		case broken(c.err) && ctx.Err() == nil:
			open = append(open, c)
		}
	}
	if len(open) > 0 {
		s.send(ctx, open, false)
		for _, c := range open {
			if redis.HasErrorPrefix(c.err, "NOSCRIPT") {
				unknown = append(unknown, c)
			}
		}
	}
	if len(unknown) > 0 {
		s.send(ctx, unknown, true)
	}
}

// send sends commands once.
func (s *store) send(ctx context.Context, commands []*command, full bool) {
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
	s.pipeline(ctx, s.rdb, plain, 0, full)
	for server, commands := range durable {
		s.pipeline(ctx, server, commands, s.level(commands), full)
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

// pipeline sends commands to a server in one go, and waits for the confirmation of a level.
func (s *store) pipeline(ctx context.Context, server redis.Cmdable, commands []*command, level int, full bool) {
	if len(commands) == 0 {
		return
	}
	replies := make([]*redis.Cmd, len(commands))
	var confirmed *redis.Cmd
	_, err := server.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, c := range commands {
			args := make([]any, 0, 4+len(c.args))
			if full {
				args = append(args, "eval", c.script.source)
			} else {
				args = append(args, "evalsha", c.script.sha)
			}
			args = append(append(args, 1, c.key), c.args...)
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
