package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

// client has the namespaces and events that the tests of socket.io-client use.
func client() (http.Handler, error) {
	io, err := server.New(server.Config{
		Engine: engine.Config{
			PingInterval: 2 * time.Second,
			Origins:      []string{"*"},
			AllowRequest: func(*http.Request) error {
				time.Sleep(10 * time.Millisecond) // some tests are about connections that aren't open yet
				return nil
			},
		},
		Recovery: &server.Recovery{},
	})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"/timeout_socket", "/valid", "/asd"} {
		io.Of(name)
	}
	io.Of("/foo").Handle("getId", id)
	io.Of("/abc").OnConnect(greet("handshake", func(s *server.Socket) any { return s.Handshake() }))
	io.Of("/no").Use(func(context.Context, *server.Socket) error {
		return &server.Error{Message: "Auth failed (custom namespace)"}
	})

	main := io.Of("/")
	main.Use(func(_ context.Context, s *server.Socket) error {
		if s.Handshake().Query.Get("fail") != "" {
			return &server.Error{Message: "Auth failed (main namespace)"}
		}
		return nil
	})
	main.Handle("hi", send("hi"))
	main.Handle("echo", answer)
	main.Handle("ack", ask)
	main.Handle("getAckDate", func(_ context.Context, e *server.Event) error { return e.Ack(time.Now()) })
	main.Handle("getDate", func(ctx context.Context, e *server.Event) error {
		return e.Socket.Emit(ctx, "takeDate", time.Now())
	})
	main.Handle("getDateObj", func(ctx context.Context, e *server.Event) error {
		return e.Socket.Emit(ctx, "takeDateObj", map[string]time.Time{"date": time.Now()})
	})
	main.Handle("getUtf8", func(ctx context.Context, e *server.Event) error {
		for _, text := range []string{"てすと", "Я Б Г Д Ж Й", "Ä ä Ü ü ß", "utf8 — string", "utf8 — string"} {
			if err := e.Socket.Emit(ctx, "takeUtf8", text); err != nil {
				return err
			}
		}
		return nil
	})
	main.Handle("false", send("false", false))
	main.Handle("doge", send("doge", []byte("asdfasdf")))
	main.Handle("getbin", send("takebin", []byte("asdfasdf")))
	main.Handle("getId", id)
	main.Handle("getHandshake", func(_ context.Context, e *server.Event) error { return e.Ack(e.Socket.Handshake()) })
	binary(main)
	return io, nil
}

// binary has the events that confirm bytes: alone, in objects, and in order.
func binary(ns *server.Namespace) {
	confirm := func(event, reply string) { ns.Handle(event, confirmed(reply)) }
	confirm("buffa", "buffack")
	confirm("blob", "back")
	confirm("abuff1", "")
	confirm("blob1", "")
	confirm("blob3", "blob3-ack")
	server.On(ns, "abuff2", func(ctx context.Context, s *server.Socket, _ string) error {
		if err := note(s, "abuff2"); err != nil {
			return err
		}
		return s.Emit(ctx, "abuff2-ack")
	})
	server.On(ns, "blob2", func(_ context.Context, s *server.Socket, text string) error {
		if text != "second" {
			return fmt.Errorf("blob2 came with %q", text)
		}
		return note(s, "blob2")
	})
	for event, reply := range map[string]string{"jsonbuff": "jsonbuff-ack", "jsonblob": "jsonblob-ack"} {
		server.On(ns, event, func(ctx context.Context, s *server.Socket, v struct {
			Hello, Goodbye string
			Message        []byte
		}) error {
			if v.Hello != "lol" || v.Goodbye != "gotcha" || len(v.Message) == 0 {
				return fmt.Errorf("%s came with %+v", event, v)
			}
			return s.Emit(ctx, reply)
		})
	}
}

// before says which events must have come before another.
var before = map[string][]string{"abuff2": {"abuff1"}, "blob2": {"blob1"}, "blob3": {"blob1", "blob2"}}

// note remembers that an event came, and checks what must have come before it.
func note(s *server.Socket, event string) error {
	for _, other := range before[event] {
		if s.Get(other) == nil {
			return fmt.Errorf("%s came before %s", event, other)
		}
	}
	s.Set(event, true)
	return nil
}

// confirmed takes an event of one binary value, and answers with another event unless reply is "".
func confirmed(reply string) func(context.Context, *server.Event) error {
	return func(ctx context.Context, e *server.Event) error {
		if len(e.Args.Attachments()) != 1 {
			return fmt.Errorf("%s came with %d attachments", e.Name, len(e.Args.Attachments()))
		}
		if err := note(e.Socket, e.Name); err != nil || reply == "" {
			return err
		}
		return e.Socket.Emit(ctx, reply)
	}
}

// ask puts a question to the client, and tells it if the answer is right. It
// doesn't wait: one test repeats the event without answering.
func ask(ctx context.Context, e *server.Event) error {
	return e.Socket.EmitAck(func(answer *server.Answer, err error) {
		var number int
		var object struct{ Test bool }
		if err != nil || answer.Args.Decode(0, &number) != nil || answer.Args.Decode(1, &object) != nil {
			return
		}
		if number == 5 && object.Test {
			_ = e.Socket.Emit(ctx, "got it")
		}
	}, "ack")
}

func id(_ context.Context, e *server.Event) error { return e.Ack(e.Socket.ID()) }
