package main

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// roomcast is a broker with four consumers.
type roomcast struct {
	rdb    *redis.Client
	store  queues.Store
	broker *queues.Broker
}

func newRoomcast(addr string, l *workload) (peer, error) {
	ctx := context.Background()
	r := &roomcast{rdb: redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})}
	var err error
	if r.store, err = redisqueue.Open(ctx, r.rdb, redisqueue.Config{}); err != nil {
		return nil, err
	}
	if r.broker, err = queues.NewBroker(ctx, queues.BrokerConfig{Store: r.store}); err != nil {
		return nil, err
	}
	if err := r.broker.Configure(ctx, "q", queues.Config{MaxLen: -1, MaxBytes: -1}); err != nil {
		return nil, err
	}
	for range 4 {
		var c *queues.Consumer
		c, err = r.broker.Consume(ctx, "q", queues.ConsumerConfig{Prefetch: 64, Deliver: func(ms []*queues.Message) {
			for _, m := range ms {
				text, _ := strconv.Unquote(string(m.Payload.JSON))
				c.Settle(m, queues.Ack, 0, "", func(err error) {
					if err == nil {
						l.done(text)
					}
				})
			}
		}})
		if err != nil {
			return nil, err
		}
		c.Start()
	}
	return r, nil
}

func (r *roomcast) publish(ctx context.Context, text string, n int) error {
	drafts := make([]*queues.Draft, n)
	for i := range drafts {
		drafts[i] = &queues.Draft{Payload: queues.Payload{JSON: []byte(strconv.Quote(text))}}
	}
	results, err := r.broker.Publish(ctx, "q", drafts...)
	if err == nil {
		err = results[0].Err
	}
	return err
}

func (r *roomcast) close() {
	_ = r.broker.Close(context.Background())
	_ = r.store.Close()
	_ = r.rdb.Close()
}
