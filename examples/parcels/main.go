// Parcels is a story of queues: shops hand in parcels, drivers pick them up,
// and a dispatch hub watches.
//
//   - A pickup is a message of the work queue "pickups": stored until a driver has
//     delivered the parcel, with one driver at a time. A driver that vanishes gives
//     it back; one that can't deliver has it tried again, and after three times it
//     lands among the dead, for the hub to look at and to send out again.
//   - Each shop has an inbox. "Delivered" waits there while the shop is closed, and
//     is deleted when the shop has seen it.
//   - Shops, drivers and the hub are namespaces: none sees the others' events.
//
// Run it, open two windows, and start a driver or two (see the README here):
//
//	scripts/build && go run ./examples/parcels
package main

import (
	"context"
	_ "embed"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/pebblequeue"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/queueapi"
	"github.com/roomcast/roomcast/web"
)

//go:embed index.html
var page []byte

// Parcel is the data of a pickup.
type Parcel struct {
	ID   string `json:"id"`
	Shop string `json:"shop"`
	To   string `json:"to"`
}

// Delivered is what a shop finds in its inbox.
type Delivered struct {
	Parcel
	Driver string    `json:"driver"`
	At     time.Time `json:"at"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address")
	data := flag.String("data", "parcels-data", "folder of the queues")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *data); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends. What is closed last was opened first: messages that drivers have
// are given back before the store closes.
func run(ctx context.Context, listen, data string) error {
	store, err := pebblequeue.Open(data, pebblequeue.Config{})
	if err != nil {
		return err
	}
	defer store.Close()
	broker, err := queues.NewBroker(ctx, queues.BrokerConfig{Store: store, Authorize: authorize})
	if err != nil {
		return err
	}
	defer broker.Close(context.Background())
	err = broker.Configure(ctx, "pickups", queues.Config{MaxFailures: 3, BackoffBase: 2 * time.Second})
	if err != nil {
		return err
	}
	io, err := server.New(server.Config{ClientFiles: web.ClientFiles()})
	if err != nil {
		return err
	}
	defer io.Shutdown(context.Background())
	hub := io.Of("/hub")
	queueapi.Open(hub, queueapi.Config{Broker: broker, Principal: name}) // it looks at the dead, and redrives them
	shops(io.Of("/shops"), broker, hub)
	drivers(io.Of("/drivers"), broker, hub)
	go watch(ctx, hub, broker)

	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Any("/socket.io/*any", gin.WrapH(io))
	r.GET("/", func(c *gin.Context) { c.Data(http.StatusOK, "text/html; charset=utf-8", page) })
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	log.Printf("open http://%s", l.Addr())
	s := &http.Server{Handler: r}
	context.AfterFunc(ctx, func() { s.Close() })
	if err := s.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// name is who a socket says it is. A real program would check a token in a
// middleware and keep what it says.
func name(s *server.Socket) string {
	var auth struct{ Name string }
	_ = s.Handshake().DecodeAuth(&auth)
	return s.Namespace().Name()[1:] + ":" + auth.Name // shops:Baker, drivers:7
}

// authorize lets drivers take pickups, the hub look after them, and everybody read their own inbox.
// Whatever else happens to queues the server does itself.
func authorize(ctx context.Context, who string, action queues.Action, what string) error {
	switch {
	case action == queues.Consume && what == "pickups" && queues.Match("drivers:*", who):
		return nil
	case (action == queues.Inspect || action == queues.Admin) && what == "pickups" && queues.Match("hub:*", who):
		return nil
	}
	return queues.OwnInbox(ctx, queues.InboxOf(who), action, what)
}

// shops hand in parcels, and read their inboxes.
func shops(ns *server.Namespace, broker *queues.Broker, hub *server.Namespace) {
	queueapi.Open(ns, queueapi.Config{Broker: broker, Principal: name})
	server.OnAck(ns, "hand in", func(ctx context.Context, s *server.Socket, p Parcel) (Parcel, error) {
		p.Shop = name(s)
		data, err := queues.JSON(p)
		if err != nil {
			return p, err
		}
		// The shop may send it twice, for example since the answer was lost: it is stored once. Parcels for
		// one address go one after the other.
		_, err = broker.PublishOne(ctx, "pickups", &queues.Draft{ID: p.ID, Key: p.To, Payload: data})
		if err != nil {
			return p, server.Errorf(string(queues.CodeOf(err)), "the parcel wasn't taken: %v", err)
		}
		return p, hub.Emit(ctx, "handed in", p)
	})
}

// drivers take pickups from the queue with queue:consume, and report before they acknowledge.
func drivers(ns *server.Namespace, broker *queues.Broker, hub *server.Namespace) {
	queueapi.Open(ns, queueapi.Config{Broker: broker, Principal: name})
	server.OnAck(ns, "delivered", func(ctx context.Context, s *server.Socket, p Parcel) (bool, error) {
		d := Delivered{p, name(s), time.Now()}
		data, err := queues.JSON(d)
		if err != nil {
			return false, err
		}
		// A driver that reports a second time, since it was cut off before it could acknowledge,
		// puts nothing more into the inbox.
		_, err = broker.InboxSend(ctx, &queues.Entry{ID: p.ID, Payload: data}, queues.InboxOf(p.Shop))
		if err != nil {
			return false, err
		}
		return true, hub.Emit(ctx, "delivered", d)
	})
}

// watch tells the hub how much there is to do, until ctx ends.
func watch(ctx context.Context, hub *server.Namespace, broker *queues.Broker) {
	for tick := time.Tick(time.Second); ctx.Err() == nil; <-tick {
		if st, err := broker.Stats(ctx, "pickups"); err == nil {
			_ = hub.All().Volatile().Emit(ctx, "pickups", queueapi.NumbersOf("pickups", st))
		}
	}
}
