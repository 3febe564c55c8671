package queues_test

import (
	"context"
	"fmt"
	"log"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

func Example() {
	ctx := context.Background()
	broker, err := queues.NewBroker(ctx, queues.BrokerConfig{Store: memqueue.New(memqueue.Config{})})
	if err != nil {
		log.Fatal(err)
	}
	defer broker.Close(ctx)
	if err := broker.Configure(ctx, "thumbs", queues.Config{MaxFailures: 3}); err != nil {
		log.Fatal(err)
	}

	type upload struct{ File string }
	done := make(chan bool)
	worker, err := broker.Consume(ctx, "thumbs", queues.ConsumerConfig{Prefetch: 8})
	if err != nil {
		log.Fatal(err)
	}
	err = queues.Handle(worker, func(ctx context.Context, m *queues.Message, u upload) error {
		fmt.Println(m.ID, u.File, "attempt", m.Attempt)
		done <- true
		return nil // ack
	})
	if err != nil {
		log.Fatal(err)
	}

	data, _ := queues.JSON(upload{File: "cat.png"})
	for range 2 { // a retry is stored once
		if _, err := broker.PublishOne(ctx, "thumbs", &queues.Draft{ID: "up-7", Payload: data}); err != nil {
			log.Fatal(err)
		}
	}
	<-done
	// Output: up-7 cat.png attempt 1
}
