package main

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/roomcast/roomcast/server"
)

// fixtures are the namespaces and events that the tests talk to.
type fixtures struct {
	tell bool // other nodes, why a socket was disconnected

	mu      sync.Mutex
	reasons map[string]string        // socket id -> why it was disconnected
	waiting map[string]chan struct{} // socket id -> closed when its reason is known
}

func newFixtures(tell bool) *fixtures {
	return &fixtures{tell: tell, reasons: map[string]string{}, waiting: map[string]chan struct{}{}}
}

func (f *fixtures) install(sio *server.Server) {
	f.events(sio.Of("/"))
	f.events(sio.Of("/custom"))

	guarded := sio.Of("/guarded")
	guarded.Use(guard)
	f.events(guarded)

	lobby := sio.Of("/lobby")
	lobby.Use(func(ctx context.Context, s *server.Socket) error { return s.Join("everybody") })
	f.events(lobby)

	f.events(sio.OfMatch(regexp.MustCompile(`^/dynamic-\d+$`)))
	f.events(sio.OfFunc(func(_ context.Context, name string, auth json.RawMessage) bool {
		var a struct{ Word string }
		return name == "/open-sesame" && json.Unmarshal(auth, &a) == nil && a.Word == "sesame"
	}))

	greeting := sio.Of("/greeting")
	greeting.OnConnect(func(ctx context.Context, s *server.Socket) error {
		return s.Emit(ctx, "greeting", "hello", []byte{1, 2, 3})
	})
	f.events(greeting)
}

func guard(_ context.Context, s *server.Socket) error {
	var auth struct{ Token string }
	if err := s.Handshake().DecodeAuth(&auth); err != nil || auth.Token != "secret" {
		return &server.Error{Message: "not authorised", Data: map[string]int{"code": 4001}}
	}
	return nil
}

// target is a broadcast as a client describes it. By "socket" leaves out the
// sender; Timeout is in ms.
type target struct {
	To, Except []string
	By         string
	Volatile   bool
	Timeout    int
}

func (t target) of(s *server.Socket) server.Broadcast {
	b := s.Namespace().All()
	if t.By == "socket" {
		b = s.Broadcast()
	}
	b = b.To(t.To...).Except(t.Except...)
	if t.Volatile {
		b = b.Volatile()
	}
	return b
}

// info is what a client learns about itself.
type info struct {
	ID        string            `json:"id"`
	Namespace string            `json:"namespace"`
	Transport string            `json:"transport"`
	Protocol  int               `json:"protocol"`
	Recovered bool              `json:"recovered"`
	Rooms     []string          `json:"rooms"`
	Auth      json.RawMessage   `json:"auth"`
	Query     map[string]string `json:"query"`
	UserAgent string            `json:"userAgent"`
	Data      map[string]any    `json:"data"`
}

func describe(s *server.Socket) info {
	h := s.Handshake()
	query := map[string]string{}
	for name := range h.Query {
		query[name] = h.Query.Get(name)
	}
	return info{
		ID: s.ID(), Namespace: s.Namespace().Name(), Transport: s.Transport(), Protocol: s.Protocol(),
		Recovered: s.Recovered(), Rooms: slices.Sorted(slices.Values(s.Rooms())), Auth: h.Auth, Query: query,
		UserAgent: h.Headers.Get("User-Agent"), Data: orEmpty(s.Data()),
	}
}

func orEmpty(data map[string]any) map[string]any {
	if data == nil {
		return map[string]any{}
	}
	return data
}

// values decodes the arguments from i on into what they are: strings, numbers,
// lists, objects, bytes.
func values(args server.Args, i int) ([]any, error) {
	var list []any
	for ; i < args.Len(); i++ {
		var v any
		if err := args.Decode(i, &v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// events registers all events of a namespace. See reference.mjs, which has the
// same in the words of the official API.
func (f *fixtures) events(ns *server.Namespace) {
	ns.OnDisconnect(func(ctx context.Context, s *server.Socket, reason string) {
		f.gone(s.ID(), reason)
		if f.tell {
			_ = s.Namespace().ServerSideEmit(context.WithoutCancel(ctx), "gone", s.ID(), reason)
		}
	})
	ns.HandleServer("gone", func(_ context.Context, e *server.ServerEvent) error {
		var id, reason string
		if err := e.Args.Decode(0, &id); err != nil {
			return err
		}
		if err := e.Args.Decode(1, &reason); err != nil {
			return err
		}
		f.gone(id, reason)
		return nil
	})

	ns.Handle("echo", func(ctx context.Context, e *server.Event) error {
		args, err := values(e.Args, 0)
		if err != nil {
			return err
		}
		if e.WantsAck() {
			return e.Ack(args...)
		}
		return e.Socket.Emit(ctx, "echo", args...)
	})
	ns.Handle("info", func(_ context.Context, e *server.Event) error { return e.Ack(describe(e.Socket)) })
	ns.Handle("call", func(ctx context.Context, e *server.Event) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		var event string
		args, err := values(e.Args, 1)
		if err != nil {
			return err
		}
		if err := e.Decode(&event); err != nil {
			return err
		}
		answer, err := e.Socket.Call(ctx, event, args...)
		if err != nil {
			return e.Ack(map[string]string{"error": err.Error()})
		}
		back, err := values(answer.Args, 0)
		if err != nil {
			return err
		}
		return e.Ack(back...)
	})
	ns.Handle("call-briefly", func(ctx context.Context, e *server.Event) error {
		var ms int
		var event string
		if err := e.Decode(&ms, &event); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
		_, err := e.Socket.Call(ctx, event)
		return e.Ack(map[string]bool{"timedOut": err != nil})
	})
	ns.Handle("set", func(_ context.Context, e *server.Event) error {
		var key string
		var value any
		if err := e.Decode(&key, &value); err != nil {
			return err
		}
		e.Socket.Set(key, value)
		return e.Ack()
	})
	ns.Handle("join", func(_ context.Context, e *server.Event) error {
		var rooms []string
		if err := e.Decode(&rooms); err != nil {
			return err
		}
		if err := e.Socket.Join(rooms...); err != nil {
			return err
		}
		return e.Ack()
	})
	ns.Handle("leave", func(_ context.Context, e *server.Event) error {
		var room string
		if err := e.Decode(&room); err != nil {
			return err
		}
		e.Socket.Leave(room)
		return e.Ack()
	})
	server.On(ns, "leave-me", func(_ context.Context, s *server.Socket, closeConn bool) error {
		s.Disconnect(closeConn)
		return nil
	})
	ns.Handle("reason", func(ctx context.Context, e *server.Event) error {
		var id string
		if err := e.Decode(&id); err != nil {
			return err
		}
		select {
		case <-f.wait(id):
			return e.Ack(f.reason(id))
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	f.broadcasts(ns)
}

// broadcasts registers the events that reach other sockets.
func (f *fixtures) broadcasts(ns *server.Namespace) {
	ns.Handle("cast", func(ctx context.Context, e *server.Event) error {
		var to target
		var event string
		args, err := values(e.Args, 2)
		if err != nil {
			return err
		}
		if err := e.Decode(&to, &event); err != nil {
			return err
		}
		if err := to.of(e.Socket).Emit(ctx, event, args...); err != nil || !e.WantsAck() {
			return err
		}
		return e.Ack()
	})
	ns.Handle("cast-call", func(ctx context.Context, e *server.Event) error {
		var to target
		var event string
		args, err := values(e.Args, 2)
		if err != nil {
			return err
		}
		if err := e.Decode(&to, &event); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, time.Duration(to.Timeout)*time.Millisecond)
		defer cancel()
		found, failed := to.of(e.Socket).Call(ctx, event, args...)
		answers := []any{}
		for _, a := range found {
			var v any
			if err := a.Decode(&v); err != nil {
				return err
			}
			answers = append(answers, v)
		}
		return e.Ack(map[string]any{"timedOut": failed != nil, "answers": answers})
	})
	ns.Handle("fetch", func(ctx context.Context, e *server.Event) error {
		var to target
		if err := e.Decode(&to); err != nil {
			return err
		}
		found, err := to.of(e.Socket).FetchSockets(ctx)
		if err != nil {
			return err
		}
		list := []any{}
		for _, s := range found {
			slices.Sort(s.Rooms)
			list = append(list, map[string]any{"id": s.ID, "rooms": s.Rooms, "data": orEmpty(s.Data)})
		}
		return e.Ack(list)
	})
	ns.Handle("sockets-join", func(ctx context.Context, e *server.Event) error {
		var to target
		var rooms []string
		if err := e.Decode(&to, &rooms); err != nil {
			return err
		}
		if err := to.of(e.Socket).Join(ctx, rooms...); err != nil {
			return err
		}
		return e.Ack()
	})
	ns.Handle("sockets-leave", func(ctx context.Context, e *server.Event) error {
		var to target
		var rooms []string
		if err := e.Decode(&to, &rooms); err != nil {
			return err
		}
		if err := to.of(e.Socket).Leave(ctx, rooms...); err != nil {
			return err
		}
		return e.Ack()
	})
	ns.Handle("sockets-disconnect", func(ctx context.Context, e *server.Event) error {
		var to target
		var closeConn bool
		if err := e.Decode(&to, &closeConn); err != nil {
			return err
		}
		if err := to.of(e.Socket).Disconnect(ctx, closeConn); err != nil {
			return err
		}
		return e.Ack()
	})
}

// gone notes why a socket was disconnected.
func (f *fixtures) gone(id, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reasons[id] = reason
	if c := f.waiting[id]; c != nil {
		close(c)
		delete(f.waiting, id)
	}
}

// wait returns a channel that is closed when the socket has been disconnected.
func (f *fixtures) wait(id string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.waiting[id]
	if c == nil {
		c = make(chan struct{})
		if _, known := f.reasons[id]; known {
			close(c)
		} else {
			f.waiting[id] = c
		}
	}
	return c
}

func (f *fixtures) reason(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reasons[id]
}
