package queueapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server"
)

// Room is a room whose members get what is sent while they are away: each member's
// inbox has it until the member has acknowledged it.
type Room struct {
	api   *API
	room  string
	topic string
}

// Durable returns a room of a namespace as one whose members' inboxes get what is sent. Who is
// connected gets it through the inbox, too, if it is open: once, and in the order of the room.
func (a *API) Durable(ns *server.Namespace, room string) Room {
	// Names of rooms may have any characters, those of topics not.
	sum := sha256.Sum256([]byte(ns.Name() + "\x00" + room))
	return Room{a, room, "room:" + base64.RawURLEncoding.EncodeToString(sum[:18])}
}

// Join makes a socket's principal a member, until Leave, connected or not; and the socket a member of
// the room. It fails with CodeUnauthorized for sockets that are nobody's. It asks no Authorize: who calls it decides.
func (r Room) Join(ctx context.Context, s *server.Socket) error {
	principal := r.api.cfg.Principal(s)
	if principal == "" {
		return queues.Refuse(queues.CodeUnauthorized, "only sockets that belong to somebody have an inbox")
	}
	if err := s.Join(r.room); err != nil {
		return err
	}
	return r.api.broker.Subscribe(ctx, queues.InboxOf(principal), r.topic)
}

// Leave ends the membership of a socket's principal, and of the socket.
func (r Room) Leave(ctx context.Context, s *server.Socket) error {
	s.Leave(r.room)
	return r.api.broker.Unsubscribe(ctx, queues.InboxOf(r.api.cfg.Principal(s)), r.topic)
}

// Emit sends an event to all members' inboxes. Clients get it as inbox:message with
// data {room, event, args}. It is stored when Emit returns, under a number that grows with
// what is sent to the room.
func (r Room) Emit(ctx context.Context, event string, args ...any) (uint64, error) {
	if args == nil {
		args = []any{}
	}
	data, err := Data(map[string]any{"room": r.room, "event": event, "args": args})
	if err != nil {
		return 0, err
	}
	return r.api.broker.TopicPublish(ctx, r.topic, &queues.Entry{Payload: data})
}

// Data returns a value as data of a message: as Socket.Emit sends it, []byte anywhere as binary.
func Data(v any) (queues.Payload, error) {
	p, err := parser.MarshalValue(v)
	return queues.Payload{JSON: p.JSON, Attachments: p.Attachments}, err
}

// Decode decodes the data of a message or entry into v, binary values into []byte.
func Decode(p queues.Payload, v any) error {
	args, err := parser.ParseArgs(parser.Payload{
		JSON: append(append([]byte{'['}, p.JSON...), ']'), Attachments: p.Attachments,
	})
	if err != nil {
		return err
	}
	return args.Decode(0, v)
}
