package main

import (
	"context"

	"github.com/hibiken/asynq"
)

// asynqPeer is asynq with a server of 64 workers. It has no call that stores several messages.
type asynqPeer struct {
	client *asynq.Client
	server *asynq.Server
}

func newAsynq(addr string, l *workload) (peer, error) {
	redis := asynq.RedisClientOpt{Addr: addr}
	p := &asynqPeer{client: asynq.NewClient(redis), server: asynq.NewServer(redis, asynq.Config{Concurrency: 64, LogLevel: asynq.ErrorLevel})}
	return p, p.server.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		l.handed(string(t.Payload()))
		l.processed.Add(1)
		return nil
	}))
}

func (p *asynqPeer) publish(ctx context.Context, texts ...string) error {
	for _, text := range texts {
		if _, err := p.client.EnqueueContext(ctx, asynq.NewTask("work", []byte(text))); err != nil {
			return err
		}
	}
	return nil
}

func (p *asynqPeer) close() {
	p.server.Shutdown()
	_ = p.client.Close()
}
