package server_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/server/servertest"
)

// The first program: a chat, mounted under net/http.
func Example() {
	type Message struct{ Room, Text string }

	io, err := server.New(server.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer io.Shutdown(context.Background())
	chat := io.Of("/chat")
	server.OnAck(chat, "join", func(ctx context.Context, s *server.Socket, room string) (int, error) {
		return chat.Count(room) + 1, s.Join(room)
	})
	server.On(chat, "say", func(ctx context.Context, s *server.Socket, m Message) error {
		return s.To(m.Room).Emit(ctx, "said", m.Text)
	})

	http.Handle("/socket.io/", io)
	// log.Fatal(http.ListenAndServe("127.0.0.1:8080", nil))

	// Two clients, in memory: see package servertest.
	t := &exampleT{}
	defer t.end()
	ts := servertest.Serve(t, http.DefaultServeMux)
	ada, bob := ts.Connect("/chat"), ts.Connect("/chat")
	ada.Call("join", "lobby")
	var members int
	bob.Call("join", "lobby").Decode(0, &members)
	fmt.Println("members:", members)
	ada.Emit("say", Message{"lobby", "hello"})
	var text string
	bob.Expect("said").Decode(&text)
	fmt.Println("Bob hears:", text)
	// Output:
	// members: 2
	// Bob hears: hello
}

// Handlers are typed: arguments are decoded into what they take, []byte from binary.
// Clients that ask for an ack are told of errors.
func ExampleOn() {
	io, _ := server.New(server.Config{})
	defer io.Shutdown(context.Background())

	type Picture struct {
		Name string `json:"name"`
		Data []byte `json:"data"`
	}
	server.On(io.Of("/"), "upload", func(ctx context.Context, s *server.Socket, p Picture) error {
		if len(p.Data) > 4 {
			return server.Errorf("too_large", "%s has more than 4 bytes", p.Name)
		}
		fmt.Printf("%s: %x\n", p.Name, p.Data)
		return nil
	})

	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	c := servertest.Serve(t, io).Connect("/")
	c.Call("upload", Picture{"dot.png", []byte{1, 2, 3}})
	fmt.Printf("%s\n", c.Call("upload", Picture{"large.png", make([]byte, 5)}).Raw(0))
	fmt.Printf("%s\n", c.Call("upload", "no picture").Raw(0))
	// Output:
	// dot.png: 010203
	// {"ok":false,"code":"too_large","message":"large.png has more than 4 bytes"}
	// {"ok":false,"code":"bad_request","message":"argument 1 of \"upload\": string can't be an object"}
}

// What an OnAck handler returns is the ack's argument.
func ExampleOnAck() {
	io, _ := server.New(server.Config{})
	defer io.Shutdown(context.Background())

	server.OnAck(io.Of("/"), "upper", func(ctx context.Context, s *server.Socket, text string) (string, error) {
		return strings.ToUpper(text), nil
	})

	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	var text string
	servertest.Serve(t, io).Connect("/").Call("upper", "hello").Decode(0, &text)
	fmt.Println(text)
	// Output: HELLO
}

// An event with several arguments, or whose ack has several.
func ExampleNamespace_handle() {
	io, _ := server.New(server.Config{})
	defer io.Shutdown(context.Background())

	io.Of("/").Handle("move", func(ctx context.Context, e *server.Event) error {
		var x, y int
		if err := e.Decode(&x, &y); err != nil {
			return err
		}
		return e.Ack(y, x)
	})

	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	var a, b int
	servertest.Serve(t, io).Connect("/").Call("move", 1, 2).DecodeAll(&a, &b)
	fmt.Println(a, b)
	// Output: 2 1
}

// A handler may ask its client, and wait for the answer.
func ExampleSocket_call() {
	io, _ := server.New(server.Config{})
	defer io.Shutdown(context.Background())

	server.On(io.Of("/"), "delete", func(ctx context.Context, s *server.Socket, file string) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		answer, err := s.Call(ctx, "sure", file)
		if errors.Is(err, server.ErrAckTimeout) {
			return server.Errorf("timeout", "nobody was sure")
		} else if err != nil {
			return err
		}
		var sure bool
		if err := answer.Decode(&sure); err != nil {
			return err
		}
		fmt.Println(file, sure)
		return nil
	})

	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	c := servertest.Serve(t, io).Connect("/")
	go func() { c.Expect("sure").Ack(true) }()
	c.Call("delete", "notes.txt")
	// Output: notes.txt true
}

// Rooms are joined by the server, and named in broadcasts.
func ExampleNamespace_To() {
	io, _ := server.New(server.Config{})
	defer io.Shutdown(context.Background())
	ns := io.Of("/")
	server.OnAck(ns, "join", func(ctx context.Context, s *server.Socket, rooms []string) (bool, error) {
		return true, s.Join(rooms...)
	})

	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	ts := servertest.Serve(t, io)
	ada, bob, eve := ts.Connect("/"), ts.Connect("/"), ts.Connect("/")
	ada.Call("join", []string{"red", "odd"})
	bob.Call("join", []string{"red"})
	eve.Call("join", []string{"blue"})

	ctx := context.Background()
	ns.To("red", "blue").Except("odd").Emit(ctx, "news", "to red and blue, but not to odd")
	ns.To(ada.ID()).Emit(ctx, "news", "to Ada alone") // everybody has a room of their own
	for _, c := range []*servertest.Client{ada, bob, eve} {
		var text string
		c.Expect("news").Decode(&text)
		fmt.Println(text)
	}
	// Output:
	// to Ada alone
	// to red and blue, but not to odd
	// to red and blue, but not to odd
}

// A middleware decides who may join, and keeps what it has learned with the socket.
func ExampleNamespace_use() {
	io, _ := server.New(server.Config{})
	defer io.Shutdown(context.Background())
	ns := io.Of("/")
	ns.Use(func(ctx context.Context, s *server.Socket) error {
		var auth struct{ Token string }
		if err := s.Handshake().DecodeAuth(&auth); err != nil || auth.Token != "secret" {
			return &server.Error{Message: "who are you?", Data: map[string]string{"login": "/login"}}
		}
		s.Set("user", "ada")
		return nil
	})
	server.OnAck(ns, "whoami", func(ctx context.Context, s *server.Socket, _ any) (string, error) {
		return server.Value[string](s, "user"), nil
	})

	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	ts := servertest.Serve(t, io)
	_, err := ts.TryConnect("/")
	fmt.Println(err)
	c := ts.Connect("/", servertest.Auth(map[string]string{"token": "secret"}))
	fmt.Printf("%s\n", c.Call("whoami").Raw(0))
	// Output:
	// connect refused: who are you?
	// "ada"
}

// Namespaces whose names match a pattern are made when their first client comes.
func ExampleServer_OfMatch() {
	io, _ := server.New(server.Config{CleanupEmpty: true})
	defer io.Shutdown(context.Background())
	orgs := io.OfMatch(regexp.MustCompile(`^/org-\d+$`))
	server.OnAck(orgs, "where", func(ctx context.Context, s *server.Socket, _ any) (string, error) {
		return s.Namespace().Name(), nil
	})

	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	ts := servertest.Serve(t, io)
	fmt.Printf("%s\n", ts.Connect("/org-7").Call("where").Raw(0))
	_, err := ts.TryConnect("/other")
	fmt.Println(err)
	// Output:
	// "/org-7"
	// connect refused: Invalid namespace
}

// With recovery a client that was away for a short time gets its id and rooms back,
// and what it has missed. socket.io-client from 4.6 does its part by itself.
func ExampleRecovery() {
	io, _ := server.New(server.Config{Recovery: &server.Recovery{MaxDisconnection: time.Minute}})
	defer io.Shutdown(context.Background())
	ns := io.Of("/")
	ns.OnConnect(func(ctx context.Context, s *server.Socket) error {
		if s.Recovered() {
			return nil // it is in its rooms already
		}
		return s.Join("lobby")
	})

	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	ts := servertest.Serve(t, io)
	c := ts.Connect("/")
	id := c.ID()
	c.Close() // the connection breaks
	ns.To("lobby").Emit(context.Background(), "news", "while you were away")

	c = ts.Connect("/", servertest.Auth(map[string]string{"pid": c.PrivateID()}))
	var text string
	c.Expect("news").Decode(&text)
	fmt.Println(c.ID() == id, text)
	// Output: true while you were away
}

// Asking all members of a room.
func ExampleBroadcast_call() {
	io, _ := server.New(server.Config{})
	defer io.Shutdown(context.Background())
	ns := io.Of("/")

	t := &exampleT{} // in a test, its *testing.T
	defer t.end()
	ts := servertest.Serve(t, io)
	for range 2 {
		c := ts.Connect("/")
		go func() { c.Expect("vote").Ack(1) }()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	answers, err := ns.All().Call(ctx, "vote", "lunch?")
	sum := 0
	for _, a := range answers {
		var n int
		a.Decode(&n)
		sum += n
	}
	fmt.Println(sum, err)
	// Output: 2 <nil>
}
