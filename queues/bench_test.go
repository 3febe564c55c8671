package queues_test

import (
	"fmt"
	"testing"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/memqueue"
)

// BenchmarkConsumers is a message's way through a queue that many consumers wait for, with and without sessions.
func BenchmarkConsumers(b *testing.B) {
	for _, sessions := range []bool{false, true} {
		for _, n := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("sessions=%v/consumers=%d", sessions, n), func(b *testing.B) {
				broker, err := queues.NewBroker(b.Context(), queues.BrokerConfig{Store: memqueue.New(memqueue.Config{})})
				if err != nil {
					b.Fatal(err)
				}
				defer broker.Close(b.Context())
				if err := broker.Configure(b.Context(), "q", queues.Config{}); err != nil {
					b.Fatal(err)
				}
				settled := make(chan error, 1)
				for i := range n {
					var c *queues.Consumer
					cfg := queues.ConsumerConfig{
						Alive: func() bool { return true },
						Open:  func() bool { return true },
						Deliver: func(ms []*queues.Message) {
							for _, m := range ms {
								c.Settle(m, queues.Ack, 0, "", func(err error) { settled <- err })
							}
						},
					}
					if sessions {
						cfg.Session = fmt.Sprint("s", i)
					}
					if c, err = broker.Consume(b.Context(), "q", cfg); err != nil {
						b.Fatal(err)
					}
					c.Start()
				}
				d := draft("x")
				b.ReportAllocs()
				for b.Loop() {
					if _, err := broker.PublishOne(b.Context(), "q", d); err != nil {
						b.Fatal(err)
					}
					if err := <-settled; err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
