package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/internal/lobby"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
	"github.com/roomcast/roomcast/queues/pebblequeue"
	"github.com/roomcast/roomcast/queues/redisqueue"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/queueapi"
	"github.com/roomcast/roomcast/web"
)

// openQueues opens the queues of the settings; the result is nil if there are none. rdb is that of the
// cluster, or nil.
func openQueues(ctx context.Context, c *config.Config, rdb redis.UniversalClient, log *slog.Logger) (*hostQueues, error) {
	var store queues.Store
	var err error
	switch c.Store() {
	case "":
		return nil, nil
	case "embedded":
		store, err = pebblequeue.Open(filepath.Join(c.Data, "queues"), embeddedConfig(c, log))
	case "redis":
		store, err = redisqueue.Open(ctx, rdb, redisConfig(c, log))
	default:
		store = memqueue.New(memqueue.Config{})
		log.Info("queues are kept in memory and gone with the program; --data names a folder to keep them in")
	}
	if err != nil {
		return nil, err
	}
	q := &hostQueues{store: store, cfg: c, rules: map[string]*config.QueueRules{}}
	for _, of := range c.Declared() {
		q.rules[of.Name] = c.QueueRules(of.Name)
	}
	cfg := brokerConfig(c, log)
	cfg.Store, cfg.Authorize = store, q.authorize
	q.broker, err = queues.NewBroker(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	if err := q.declare(ctx, nil); err != nil {
		q.close(ctx)
		return nil, err
	}
	return q, nil
}

// declare makes the queues of the settings, but for those that are there, or changes them.
func (q *hostQueues) declare(ctx context.Context, there []string) error {
	for _, of := range q.cfg.Declared() {
		if slices.Contains(there, of.Name) {
			continue
		}
		if err := q.broker.Configure(ctx, of.Name, queueConfig(of)); err != nil {
			return fmt.Errorf("queue %s: %w", of.Name, err)
		}
	}
	return nil
}

// restore makes those queues of the settings again that the store has lost, such as a Redis that was started
// without its data.
func (q *hostQueues) restore(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	there, err := q.broker.Queues(ctx)
	if err != nil || !slices.ContainsFunc(q.cfg.Declared(), func(of *config.Queue) bool { return !slices.Contains(there, of.Name) }) {
		return
	}
	if err := q.declare(ctx, there); err == nil {
		log.Warn("queues of the settings were gone from the store: they were made again, and are empty")
	}
}

// hostQueues are the queues of this node.
type hostQueues struct {
	cfg    *config.Config
	store  queues.Store
	broker *queues.Broker
	rules  map[string]*config.QueueRules // of the queues of the settings
}

func embeddedConfig(c *config.Config, log *slog.Logger) pebblequeue.Config {
	return pebblequeue.Config{MemTable: int(c.QueueMemTable), Reserve: int64(c.QueueReserve), Cache: int(c.QueueCache), Logger: log}
}

func redisConfig(c *config.Config, log *slog.Logger) redisqueue.Config {
	return redisqueue.Config{
		Prefix: "roomcast:" + c.RedisPrefix + ":queues:", Durability: c.QueueDurability,
		ConfirmTimeout: c.QueueConfirmTimeout.Std(), MemoryShare: float64(c.QueueMemory) / 100, Logger: log,
	}
}

// brokerConfig returns what the settings say of a broker, but for its store and who may do what.
func brokerConfig(c *config.Config, log *slog.Logger) queues.BrokerConfig {
	in, l := &c.Inboxes, &c.Limits
	return queues.BrokerConfig{
		MaxQueues: int(l.Queues),
		Inbox: queues.InboxLimits{
			MaxLen: int(in.MaxLen), MaxBytes: int64(in.MaxBytes), TTL: in.TTL.Std(), Overflow: queues.Overflow(in.Overflow),
			Topics: int(in.MaxTopics), Devices: int(in.MaxDevices), Inboxes: int(in.Max),
		},
		InboxPayload: int(in.MaxPayload), InboxIdle: in.Idle.Std(),
		SendRate: float64(in.SendRate), SendBurst: int(in.SendBurst), NewInboxes: int(in.NewPerHour),
		MaxWaiting: int(l.Publishing), MaxWaitingBytes: int64(l.PublishingBytes), Timeout: c.QueueTimeout.Std(), Logger: log,
	}
}

func queueConfig(q *config.Queue) queues.Config {
	return queues.Config{
		Lease: q.Lease.Std(), MaxFailures: int(q.MaxFailures), MaxAttempts: int(q.MaxAttempts),
		BackoffBase: q.BackoffBase.Std(), BackoffMax: q.BackoffMax.Std(),
		MaxLen: int(q.MaxLen), MaxBytes: int64(q.MaxBytes), Overflow: queues.Overflow(q.Overflow),
		TTL: q.TTL.Std(), DeadLetterExpired: q.DeadLetterExpired, DeadTTL: q.DeadTTL.Std(), DeadMax: int(q.DeadMax),
		OnFail: queues.OnFail(q.OnFail), Dedupe: q.Dedupe.Std(), DedupeBytes: int64(q.DedupeBytes),
		Rate: q.Rate, Burst: int(q.Burst), PublishRate: q.PublishRate, PublishBurst: int(q.PublishBurst),
		MaxPayload: int(q.MaxPayload), MaxProcessing: q.MaxProcessing.Std(), MaxConsumers: int(q.MaxConsumers),
		Durability: q.Durability,
	}
}

// authorize decides by the settings what clients may do.
func (q *hostQueues) authorize(ctx context.Context, user string, action queues.Action, name string) error {
	var roles []string
	if s := queueapi.SocketOf(ctx); s != nil {
		roles = lobby.Roles(s)
	}
	var who config.Users
	switch action {
	case queues.Publish, queues.Consume, queues.Inspect, queues.Admin:
		rules := q.rules[name]
		if rules == nil {
			rules = q.cfg.QueueRules(name)
		}
		if rules == nil {
			return queues.Refuse(queues.CodeNotFound, "there is no such queue")
		}
		who = map[queues.Action]config.Users{
			queues.Publish: rules.Publish, queues.Consume: rules.Consume, queues.Inspect: rules.Inspect, queues.Admin: rules.Admin,
		}[action]
	case queues.OpenInbox:
		if queues.OwnInbox(ctx, queues.InboxOf(user), action, name) == nil {
			return nil
		}
		who = q.cfg.Inboxes.RulesOf(name).Open
	case queues.SendInbox:
		if who = q.cfg.Inboxes.RulesOf(name).Send; who == nil {
			who = q.cfg.Inboxes.Send
		}
	case queues.Subscribe:
		who = q.cfg.Inboxes.RulesOf(name).Subscribe
		if who == nil && q.cfg.Inboxes.Topics.Allows(name, user) {
			return nil
		}
	}
	if !who.Allow(user, roles) {
		return queues.ErrUnauthorized
	}
	return nil
}

// restoreEvery is how many looks at the store there are for one at its queues, which costs a command of Redis.
const restoreEvery = 5

// openTo lets the clients of a namespace use queues.
func (q *hostQueues) openTo(ns *server.Namespace, log *slog.Logger) {
	principal := lobby.User
	if q.cfg.Demo {
		principal = lobby.Name // there are no tokens: one is who one says
	}
	cfg := clientConfig(q.cfg, log)
	cfg.Broker, cfg.Principal = q.broker, principal
	queueapi.Open(ns, cfg)
}

// clientConfig returns what the settings say of clients of queues.
func clientConfig(c *config.Config, log *slog.Logger) queueapi.Config {
	return queueapi.Config{MaxConsumers: int(c.Limits.Consumers), MaxInboxes: int(c.Limits.Inboxes), Logger: log}
}

// watch makes the node not ready while the store doesn't answer, and looks whether all queues are there, until ctx ends.
func (q *hostQueues) watch(ctx context.Context, ready *web.Readiness, log *slog.Logger) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		if q.broker.Healthy() != nil {
			ready.Hold("queues", "the store of the queues doesn't answer")
		} else {
			ready.Release("queues")
			if n%restoreEvery == 0 {
				q.restore(ctx, log)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (q *hostQueues) close(ctx context.Context) {
	if q.broker != nil {
		_ = q.broker.Close(ctx)
	}
	_ = q.store.Close()
}

// apiToken returns the token of the JSON API, or "" if the API is off. In the folder of the queues one is made.
func apiToken(c *config.Config) (string, error) {
	path := c.APITokenFile
	switch {
	case c.APIToken != "":
		return c.APIToken, nil
	case path == "" && c.Data == "":
		return "", nil
	case path == "":
		path = filepath.Join(c.Data, "api-token")
		if err := makeToken(path); err != nil {
			return "", fmt.Errorf("api_token: %w", err)
		}
	}
	token, err := config.ReadSecret(path)
	if err == nil && len(token) < 32 {
		err = fmt.Errorf("api_token_file: %s has %d bytes; at least 32 are needed", path, len(token))
	}
	return token, err
}

// apiAddress is the file, in the folder of the queues, that says where the JSON API is: "roomcast queue" looks there.
const apiAddress = "api-address"

// tellAddress writes it for a listener.
func tellAddress(c *config.Config, l net.Listener) error {
	if c.Data == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(c.Data, apiAddress), []byte("http://"+shown(l.Addr())+"\n"), 0o600)
}

// makeToken writes a random token to a file, unless there is one.
func makeToken(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	var b [32]byte
	rand.Read(b[:])
	_, err = f.WriteString(hex.EncodeToString(b[:]) + "\n")
	return errors.Join(err, f.Close())
}
