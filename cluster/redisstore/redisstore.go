// Package redisstore is a cluster.Store in Redis 7 or later.
//
// It uses a hash and a string, <prefix>:nodes and <prefix>:secret, and a
// channel for each node, <prefix>:node:<id>.
package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/cluster"
)

// Store is a cluster.Store in Redis.
type Store struct {
	rdb    redis.UniversalClient
	prefix string
	shards bool // a Redis Cluster, where only shard channels tell who listens
}

// New returns a store. Clusters that share a Redis need different prefixes; if
// it is empty, "roomcast" is used. The client is the caller's to close.
func New(rdb redis.UniversalClient, prefix string) *Store {
	_, shards := rdb.(*redis.ClusterClient)
	return &Store{rdb, cmp.Or(prefix, "roomcast"), shards}
}

// Secret returns the cluster's secret. If there is none yet, proposal becomes it.
func (s *Store) Secret(ctx context.Context, proposal []byte) ([]byte, error) {
	key := s.prefix + ":secret"
	if err := s.rdb.SetNX(ctx, key, proposal, 0).Err(); err != nil {
		return nil, err
	}
	return s.rdb.Get(ctx, key).Bytes()
}

// maxNodes bounds the hash.
const maxNodes = 1000

// beat writes a member, forgets those that were silent, and returns the rest,
// all by the one clock of Redis. A member is kept as "<milliseconds> <JSON>".
var beat = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
	return redis.error_reply('ROOMCAST there are too many nodes')
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], 60000)
local all = redis.call('HGETALL', KEYS[1])
local out = {string.format('%.0f', now)}
for i = 1, #all, 2 do
	local at, member = string.match(all[i + 1], '^(%d+) (.*)$')
	if not at or now - tonumber(at) > tonumber(ARGV[3]) then
		redis.call('HDEL', KEYS[1], all[i])
	else
		out[#out + 1] = string.format('%.0f', math.max(now - tonumber(at), 0))
		out[#out + 1] = member
	end
end
return out
`)

// Beat writes self and returns all members that were written during the time given.
func (s *Store) Beat(ctx context.Context, self cluster.Member, within time.Duration) (cluster.Roll, error) {
	text, err := json.Marshal(self)
	if err != nil {
		return cluster.Roll{}, err
	}
	reply, err := beat.Run(ctx, s.rdb, []string{s.prefix + ":nodes"},
		self.ID.String(), text, within.Milliseconds(), maxNodes).StringSlice()
	if err != nil {
		return cluster.Roll{}, err
	}
	return parseRoll(reply)
}

func parseRoll(reply []string) (roll cluster.Roll, err error) {
	if len(reply)%2 == 0 {
		return roll, fmt.Errorf("redisstore: a reply of %d values", len(reply))
	}
	now, err := strconv.ParseInt(reply[0], 10, 64)
	if err != nil {
		return roll, fmt.Errorf("redisstore: the time: %w", err)
	}
	roll.Now = time.UnixMilli(now)
	for i := 1; i < len(reply); i += 2 {
		ago, err := strconv.ParseInt(reply[i], 10, 32)
		if err != nil {
			return roll, fmt.Errorf("redisstore: the age of a node: %w", err)
		}
		m := cluster.Seen{Ago: time.Duration(ago) * time.Millisecond}
		if json.Unmarshal([]byte(reply[i+1]), &m.Member) != nil || m.ID == 0 || len(m.Name) > 64 || len(m.Addr) > 255 {
			continue // no node of ours wrote that
		}
		roll.Members = append(roll.Members, m)
	}
	return roll, nil
}

func (s *Store) channel(id cluster.ID) string { return s.prefix + ":node:" + id.String() }

// Send hands a message to a node, and reports whether anybody listens there.
func (s *Store) Send(ctx context.Context, to cluster.ID, message []byte) (heard bool, err error) {
	var n int64
	if s.shards {
		n, err = s.rdb.SPublish(ctx, s.channel(to), message).Result()
	} else {
		n, err = s.rdb.Publish(ctx, s.channel(to), message).Result()
	}
	return n > 0, err
}

// probeEvery is how long a channel may be silent until the node sends itself
// a message, and then until it takes itself for deaf.
const probeEvery = 3 * time.Second

var errDeaf = errors.New("redisstore: a node doesn't hear its own messages")

// Receive calls f for the messages to a node, one at a time, until ctx ends or
// the channel is deaf; the caller then calls it again.
func (s *Store) Receive(ctx context.Context, to cluster.ID, f func(message []byte)) error {
	var ps *redis.PubSub
	if s.shards {
		ps = s.rdb.SSubscribe(ctx, s.channel(to))
	} else {
		ps = s.rdb.Subscribe(ctx, s.channel(to))
	}
	defer ps.Close()
	defer context.AfterFunc(ctx, func() { ps.Close() })()
	probed := false
	for {
		got, err := ps.ReceiveTimeout(ctx, probeEvery)
		switch {
		case ctx.Err() != nil:
			return nil
		case isTimeout(err) && probed:
			return errDeaf
		case isTimeout(err):
			probed = true
			if _, err := s.Send(ctx, to, nil); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		probed = false
		if m, ok := got.(*redis.Message); ok && m.Payload != "" {
			f([]byte(m.Payload))
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
