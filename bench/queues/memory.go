package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/bench/redisd"
	"github.com/roomcast/roomcast/queues"
)

// filled says of a scenario how many messages or inboxes it fills Redis with, to see how much memory one takes; 0: it isn't
// one of these.
var filled = map[string]int{"waiting": 100_000, "inboxes": 20_000}

// measureMemory has a peer fill a fresh Redis server, with nobody who takes anything. What is there after the first message, and
// without any connection, isn't counted.
func measureMemory(root, peer, scenario string, n int) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	rd, err := redisd.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer rd.Stop()
	rdb := redis.NewClient(&redis.Options{Addr: rd.Addr, DisableIdentity: true})
	defer rdb.Close()
	used := func(from, to int) (all, data float64, err error) {
		own, err := os.Executable()
		if err != nil {
			return 0, 0, err
		}
		cmd := exec.CommandContext(ctx, own, "fill", peer, scenario, rd.Addr, strconv.Itoa(from), strconv.Itoa(to))
		if peer == "bullmq" {
			cmd = exec.CommandContext(ctx, "node", filepath.Join(root, "bench", "node", "bullmq.mjs"), "fill", rd.Addr, strconv.Itoa(to-from))
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return 0, 0, fmt.Errorf("fill: %w", err)
		}
		for clients := 2.0; clients > 1; { // who has just left still has buffers
			if clients, err = infoNumber(ctx, rdb, "clients", "connected_clients"); err != nil {
				return 0, 0, err
			}
			time.Sleep(100 * time.Millisecond)
		}
		if all, err = infoNumber(ctx, rdb, "memory", "used_memory"); err != nil {
			return 0, 0, err
		}
		data, err = infoNumber(ctx, rdb, "memory", "used_memory_dataset")
		return all, data, err
	}
	all, data, err := used(0, 1)
	if err != nil {
		return nil, err
	}
	all2, data2, err := used(1, n+1)
	if err != nil {
		return nil, err
	}
	return map[string]float64{"memory": (all2 - all) / float64(n), "dataset": (data2 - data) / float64(n)}, nil
}

// fill is the process that stores messages, or makes inboxes, with the numbers from from to before to, and then ends.
func fill(name, scenario, addr, from, to string) error {
	first, err := strconv.Atoi(from)
	if err != nil {
		return err
	}
	end, err := strconv.Atoi(to)
	if err != nil {
		return err
	}
	ctx := context.Background()
	l := &workload{started: time.Now()}
	rdb := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true, MaxRetries: -1})
	defer rdb.Close()
	switch name + " " + scenario {
	case "asynq waiting":
		p := &asynqPeer{client: asynq.NewClient(asynq.RedisClientOpt{Addr: addr})}
		defer p.client.Close()
		return inBatches(first, end, 1, 64, func(texts []string, _ int) error { return p.publish(ctx, texts...) }, l)
	case "stream waiting":
		p := &streamPeer{rdb: rdb}
		return inBatches(first, end, 100, 1, func(texts []string, _ int) error { return p.publish(ctx, texts...) }, l)
	case "stream inboxes":
		return inBatches(first, end, 100, 1, func(texts []string, from int) error {
			_, err := rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				for i, text := range texts {
					pipe.XAdd(ctx, &redis.XAddArgs{Stream: inboxName(from + i), Values: []string{"d", text}})
				}
				return nil
			})
			return err
		}, l)
	case "roomcast waiting", "roomcast inboxes":
	default:
		return fmt.Errorf("bench: %s has no %s", name, scenario)
	}
	n, err := newNode(ctx, addr)
	if err != nil {
		return err
	}
	defer n.close()
	if scenario == "waiting" {
		if err := n.broker.Configure(ctx, "q", queues.Config{MaxLen: -1, MaxBytes: -1}); err != nil {
			return err
		}
		r := &roomcast{node: n, publisher: n}
		return inBatches(first, end, 100, 1, func(texts []string, _ int) error { return r.publish(ctx, texts...) }, l)
	}
	err = inBatches(first, end, 100, 1, func(texts []string, from int) error {
		calls := make([]*queues.AppendCall, len(texts))
		limits := queues.InboxLimits{MaxLen: 10_000, MaxBytes: 16 << 20, TTL: 30 * 24 * time.Hour, Overflow: queues.DropOldest}
		for i, text := range texts {
			entry := &queues.Entry{Payload: queues.Payload{JSON: []byte(strconv.Quote(text))}}
			calls[i] = &queues.AppendCall{Inbox: inboxName(from + i), Limits: limits, Entries: []*queues.Entry{entry}}
		}
		n.store.Append(ctx, calls)
		for _, c := range calls {
			if err := errors.Join(c.Err, c.Results[0].Err); err != nil {
				return err
			}
		}
		return nil
	}, l)
	if err != nil {
		return err
	}
	// For a minute each call's answer is kept, in case that it comes again: that isn't what an inbox takes.
	for keys := rdb.Scan(ctx, 0, "*:done:*", 1000).Iterator(); keys.Next(ctx); {
		rdb.Del(ctx, keys.Val())
	}
	return nil
}

func inboxName(i int) string { return fmt.Sprintf("user:%06d", i) }

// inBatches calls store with texts, and the number of the first of them, at most so many calls at a time.
func inBatches(from, to, size, atATime int, store func(texts []string, from int) error, l *workload) error {
	var mu sync.Mutex
	var failed error
	take := func() (texts []string, first int) {
		mu.Lock()
		defer mu.Unlock()
		first = from
		for ; from < to && len(texts) < size && failed == nil; from++ {
			texts = append(texts, l.text())
		}
		return texts, first
	}
	var wait sync.WaitGroup
	for range atATime {
		wait.Go(func() {
			for texts, first := take(); len(texts) > 0; texts, first = take() {
				if err := store(texts, first); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	return failed
}
