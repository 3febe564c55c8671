// Command suites hosts what the official test suites expect of a server. The
// suites themselves are not kept here; docs/conformance.md says how to run them.
//
//	go run ./tests/suites client   # socket.io-client/test, on port 3210
//	go run ./tests/suites socket   # socket.io-protocol, on port 3000
//	go run ./tests/suites engine   # engine.io-protocol, on port 3000
//	go run ./tests/suites engine3  # its branch v3: clients of revision 3 are let in too
//
// A second argument is the address to listen on instead.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/engine/wsconn"
	"github.com/roomcast/roomcast/server"
)

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: suites client|socket|engine|engine3 [address]")
	}
	var handler http.Handler
	var err error
	addr := "localhost:3000"
	switch args[0] {
	case "client":
		addr = "localhost:3210"
		handler, err = client()
	case "socket":
		handler, err = socket()
	case "engine", "engine3":
		handler = echo(args[0] == "engine3")
	default:
		return fmt.Errorf("there is no suite %q", args[0])
	}
	if err != nil {
		return err
	}
	if len(args) > 1 {
		addr = args[1]
	}
	log.Print("listening on http://", addr)
	return http.ListenAndServe(addr, handler)
}

// quick are the heartbeats that the protocol suites have in mind.
func quick() engine.Config {
	return engine.Config{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, Origins: []string{"*"}}
}

// echo sends back every message.
func echo(eio3 bool) http.Handler {
	cfg := quick()
	cfg.Path, cfg.EIO3, cfg.Handler = "/engine.io/", eio3, echoes{}
	cfg.WebSocket = wsconn.NewUpgrader(wsconn.Config{})
	return engine.New(cfg)
}

type echoes struct{}

func (echoes) Open(s *engine.Session) engine.Receiver { return &echoed{s} }

type echoed struct{ session *engine.Session }

func (e *echoed) Message(data []byte, binary, owned bool) {
	if !owned {
		data = append([]byte(nil), data...)
	}
	e.session.Send(engine.NewBatch(false, engine.Packet{Type: engine.Message, Binary: binary, Data: data}))
}
func (*echoed) Handled()                    {}
func (*echoed) Upgraded()                   {}
func (*echoed) Closed(engine.Reason, error) {}

// socket has the two namespaces of the socket.io-protocol suite.
func socket() (http.Handler, error) {
	io, err := server.New(server.Config{Engine: quick(), ConnectTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"/", "/custom"} {
		ns := io.Of(name)
		ns.OnConnect(greet("auth", func(s *server.Socket) any { return s.Handshake().Auth }))
		ns.Handle("message", back("message-back"))
		ns.Handle("message-with-ack", answer)
	}
	return io, nil
}

// greet sends an event with what f says of the socket, at once on connecting.
func greet(event string, f func(*server.Socket) any) func(context.Context, *server.Socket) error {
	return func(ctx context.Context, s *server.Socket) error { return s.Emit(ctx, event, f(s)) }
}

// send answers an event with another one.
func send(event string, args ...any) func(context.Context, *server.Event) error {
	return func(ctx context.Context, e *server.Event) error { return e.Socket.Emit(ctx, event, args...) }
}

// back sends an event's arguments back in another one, answer in its ack.
func back(event string) func(context.Context, *server.Event) error {
	return func(ctx context.Context, e *server.Event) error {
		args, err := values(e)
		if err != nil {
			return err
		}
		return e.Socket.Emit(ctx, event, args...)
	}
}

func answer(_ context.Context, e *server.Event) error {
	args, err := values(e)
	if err != nil {
		return err
	}
	return e.Ack(args...)
}

func values(e *server.Event) ([]any, error) {
	list := make([]any, e.Args.Len())
	for i := range list {
		if err := e.Args.Decode(i, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}
