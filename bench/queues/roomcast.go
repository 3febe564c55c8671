package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/redisqueue"
)

// roomcast is a broker with four consumers, and who publishes: the same one, or that of another node.
type roomcast struct {
	*node
	publisher *node
}

// node is a broker and what it stands on.
type node struct {
	rdb    *redis.Client
	store  queues.Store
	broker *queues.Broker
}

func newNode(ctx context.Context, addr string) (n *node, err error) {
	n = &node{rdb: redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})}
	if n.store, err = redisqueue.Open(ctx, n.rdb, redisqueue.Config{}); err != nil {
		return nil, err
	}
	n.broker, err = queues.NewBroker(ctx, queues.BrokerConfig{Store: n.store})
	return n, err
}

func newRoomcast(addr string, l *workload, apart bool) (peer, error) {
	ctx := context.Background()
	r := &roomcast{}
	var err error
	if r.node, err = newNode(ctx, addr); err != nil {
		return nil, err
	}
	if r.publisher = r.node; apart {
		if r.publisher, err = newNode(ctx, addr); err != nil {
			return nil, err
		}
	}
	if err := r.broker.Configure(ctx, "q", queues.Config{MaxLen: -1, MaxBytes: -1}); err != nil {
		return nil, err
	}
	for range 4 {
		var c *queues.Consumer
		c, err = r.broker.Consume(ctx, "q", queues.ConsumerConfig{Prefetch: 64, Deliver: func(ms []*queues.Message) {
			for _, m := range ms {
				l.handed(strings.Trim(string(m.Payload.JSON), `"`))
				c.Settle(m, queues.Ack, 0, "", func(err error) {
					if err == nil {
						l.processed.Add(1)
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

func (r *roomcast) publish(ctx context.Context, texts ...string) error {
	drafts := make([]*queues.Draft, len(texts))
	for i, text := range texts {
		drafts[i] = &queues.Draft{Payload: queues.Payload{JSON: []byte(`"` + text + `"`)}}
	}
	results, err := r.publisher.broker.Publish(ctx, "q", drafts...)
	for i := range results {
		err = cmp.Or(err, results[i].Err)
	}
	return err
}

// left is what is in the queue, dead or alive.
func (r *roomcast) left(ctx context.Context) (int64, error) {
	st, err := r.store.Stats(ctx, "q")
	return int64(st.Len() + st.Dead), err
}

func (r *roomcast) close() {
	if r.publisher != r.node {
		r.publisher.close()
	}
	r.node.close()
}

func (n *node) close() {
	_ = n.broker.Close(context.Background())
	_ = n.store.Close()
	_ = n.rdb.Close()
}
