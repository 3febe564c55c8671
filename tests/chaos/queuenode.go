package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/pebblequeue"
	"github.com/roomcast/roomcast/queues/redisqueue"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/queueapi"
	"github.com/roomcast/roomcast/tests/chaos/history"
)

// queueEnv is set in processes that are nodes with queues, or workers.
const queueEnv = "ROOMCAST_CHAOS_QUEUES"

// queuePart is what such a process is told: one of the two.
type queuePart struct {
	Node   *queueNode
	Worker *workerConfig
}

func runQueuePart(text string) error {
	var p queuePart
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	if p.Node != nil {
		return p.Node.run()
	}
	return p.Worker.run()
}

// queueNode is a node with queues: in a folder of its own, or in Redis.
type queueNode struct {
	Name       string
	Dir        string // for its history
	Addr       string
	Data       string
	Disk       bool          // Data is kept in a disk whose power may fail
	Dark       time.Duration // when it does so by itself; 0: it doesn't
	Redis      target        // no addresses: none
	Durability string

	disk *disk
}

// The heartbeat is quick, so that who freezes is soon missed.
const (
	nodePing        = 2 * time.Second
	nodePingTimeout = 2 * time.Second
	leaseTime       = 2 * time.Second
	graceTime       = time.Second
	inboxLen        = 200
	smallLen        = 60
	ringLen         = 40
	briefTTL        = 400 * time.Millisecond
)

// queueConfigs are the queues: one for most of the work, one that is full at times, one that forgets, one whose messages
// die soon if nobody takes them, and one that is paused, purged and has its dead sent back.
var queueConfigs = map[string]queues.Config{
	"jobs":  {Lease: leaseTime, BackoffBase: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond},
	"small": {Lease: leaseTime, BackoffBase: 50 * time.Millisecond, MaxLen: smallLen},
	"ring":  {Lease: leaseTime, BackoffBase: 50 * time.Millisecond, MaxLen: ringLen, Overflow: queues.DropOldest},
	"brief": {Lease: leaseTime, BackoffBase: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond, TTL: briefTTL, DeadLetterExpired: true},
	"desk":  {Lease: leaseTime, BackoffBase: 50 * time.Millisecond, BackoffMax: 500 * time.Millisecond},
}

func (n *queueNode) run() (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	rec, err := history.NewRecorder(n.Dir, fmt.Sprint(n.Name, "-", os.Getpid()))
	if err != nil {
		return err
	}
	go rec.Starved(n.Name, nil)
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	defer stop()
	store, err := n.store(ctx, log)
	if err != nil {
		return err
	}
	defer func() {
		_ = store.Close()
		if n.disk != nil {
			err = errors.Join(err, n.disk.save(n.disk.mem))
		}
	}()
	broker, err := queues.NewBroker(ctx, queues.BrokerConfig{
		Store: store, Logger: log,
		Inbox:     queues.InboxLimits{MaxLen: inboxLen, MaxBytes: 1 << 20, TTL: time.Hour, Overflow: queues.DropOldest},
		SendRate:  -1, // all senders are nobody in particular
		Authorize: func(context.Context, string, queues.Action, string) error { return nil },
	})
	if err != nil {
		return err
	}
	for name, c := range queueConfigs {
		for ctx.Err() == nil {
			if err = broker.Configure(ctx, name, c); err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			return err
		}
	}
	io_, err := server.New(server.Config{
		Logger: log, Engine: engine.Config{HandshakeRate: -1, PingInterval: nodePing, PingTimeout: nodePingTimeout},
	})
	if err != nil {
		return err
	}
	queueapi.Open(io_.Of("/"), queueapi.Config{Broker: broker, Logger: log})
	ln, err := net.Listen("tcp", n.Addr)
	if err != nil {
		return err
	}
	hs := &http.Server{Handler: io_}
	go func() { _ = hs.Serve(ln) }()
	fmt.Println(ln.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		n.disk.cut(in.Text() == "within")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = io_.Shutdown(ctx)
	return broker.Close(ctx)
}

// store opens the store. Redis may be down at the moment.
func (n *queueNode) store(ctx context.Context, log *slog.Logger) (queues.Store, error) {
	if n.Disk {
		d, err := loadDisk(n.Data)
		if err != nil {
			return nil, err
		}
		if n.disk = d; n.Dark > 0 {
			time.AfterFunc(n.Dark, func() { d.cut(true) })
		}
		// Little is gathered in memory, so that files are written, sorted and deleted all the time.
		return pebblequeue.Open(diskRoot, pebblequeue.Config{Logger: log, FS: d, MemTable: 128 << 10})
	}
	if len(n.Redis.Addrs) == 0 {
		return pebblequeue.Open(n.Data, pebblequeue.Config{Logger: log})
	}
	rdb := n.Redis.client()
	for {
		s, err := redisqueue.Open(ctx, rdb, redisqueue.Config{Durability: n.Durability, Logger: log})
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
