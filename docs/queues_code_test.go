package docs_test

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/pebblequeue"
	"github.com/roomcast/roomcast/queues/redisqueue"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/queueapi"
)

// The code of queues.md, for the compiler and TestCode.

type Upload struct{ ID int }

var (
	errNotAnImage = errors.New("not an image")
	errBusy       = errors.New("busy")
)

func queued(ctx context.Context, log *slog.Logger, rdb redis.UniversalClient, policy queues.Authorize, makeThumb func(context.Context, Upload, uint64) error) {
	store, err := pebblequeue.Open("data/queues", pebblequeue.Config{Logger: log})
	shared, err := redisqueue.Open(ctx, rdb, redisqueue.Config{Logger: log}) // or this, for several nodes; rdb is a client of go-redis
	broker, err := queues.NewBroker(ctx, queues.BrokerConfig{Store: store, Authorize: policy})
	err = broker.Configure(ctx, "thumbs", queues.Config{MaxFailures: 3})

	// produce
	data, err := queues.JSON(Upload{ID: 7})
	res, err := broker.PublishOne(ctx, "thumbs", &queues.Draft{ID: "up-7", Payload: data})

	// consume: 8 at a time; nil is ack, an error is nack
	c, err := broker.Consume(ctx, "thumbs", queues.ConsumerConfig{Prefetch: 8})
	err = queues.Handle(c, func(ctx context.Context, m *queues.Message, u Upload) error {
		switch err := makeThumb(ctx, u, m.Fence); {
		case errors.Is(err, errNotAnImage):
			return queues.RejectMessage(err) // dead now
		case errors.Is(err, errBusy):
			return queues.RetryAfter(time.Minute, err)
		default:
			return err
		}
	})

	// inboxes and topics
	sent, err := broker.InboxSend(ctx, &queues.Entry{Payload: data}, "shop-12", "shop-13")
	err = broker.Subscribe(ctx, "shop-12", "news")
	n, err := broker.TopicPublish(ctx, "news", &queues.Entry{Payload: data})
	use(shared, res, sent, n, err)
}

func queuedForClients(ctx context.Context, io *server.Server, broker *queues.Broker, user func(*server.Socket) string, socket *server.Socket) {
	api := queueapi.Open(io.Of("/"), queueapi.Config{Broker: broker, Principal: user}) // user(s) says whom a socket belongs to
	{
		err := api.Join(ctx, socket, "lobby")                     // socket.Join, and a member until api.Leave, connected or not
		err = io.To("lobby").Durable().Emit(ctx, "said", "hello") // into each member's inbox: data is {room, event, args}
		use(err)
	}
	io.Of("/chat").KeepWith(api)
}
