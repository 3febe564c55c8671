package queueapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server"
)

// Join makes a socket's principal a member of rooms, until Leave, connected or not: its inbox gets what is sent with
// To(room).Durable().Emit. The socket joins the rooms, too, as with Socket.Join, which for its part makes no such member. It
// fails with CodeUnauthorized for sockets that are nobody's. It asks no Authorize: who calls it decides. After an error
// the principal may be a member of some of the rooms.
func (a *API) Join(ctx context.Context, s *server.Socket, rooms ...string) error {
	inbox, err := a.inboxOf(s)
	if err != nil {
		return err
	}
	if err := s.Join(rooms...); err != nil {
		return err
	}
	for _, room := range rooms {
		if err := a.broker.Subscribe(ctx, inbox, topicOf(s.Namespace(), room)); err != nil {
			return err
		}
	}
	return nil
}

// Leave ends the membership of a socket's principal, and of the socket. After an error the principal may still be
// a member of some of the rooms.
func (a *API) Leave(ctx context.Context, s *server.Socket, rooms ...string) error {
	s.Leave(rooms...)
	inbox, err := a.inboxOf(s)
	if err != nil {
		return err
	}
	for _, room := range rooms {
		if err := a.broker.Unsubscribe(ctx, inbox, topicOf(s.Namespace(), room)); err != nil {
			return err
		}
	}
	return nil
}

func (a *API) inboxOf(s *server.Socket) (string, error) {
	principal := a.cfg.Principal(s)
	if principal == "" {
		return "", queues.Refuse(queues.CodeUnauthorized, "only sockets that belong to somebody have an inbox")
	}
	return queues.InboxOf(principal), nil
}

// topicOf returns the topic that the inboxes of a room's members are subscribed to. Names of rooms may have any characters,
// those of topics not.
func topicOf(ns *server.Namespace, room string) string {
	sum := sha256.Sum256([]byte(ns.Name() + "\x00" + room))
	return "room:" + base64.RawURLEncoding.EncodeToString(sum[:18])
}

// Keep stores an event for the members of rooms, for Broadcast.Durable: it implements server.Keeper.
func (a *API) Keep(ctx context.Context, ns *server.Namespace, rooms []string, event string, args []any) error {
	if args == nil {
		args = []any{}
	}
	id := "" // by which an inbox gets what is sent to several of its rooms once
	if len(rooms) > 1 {
		id = rand.Text()
	}
	entries := make([]*queues.Entry, len(rooms))
	for i, room := range rooms {
		data, err := Data(map[string]any{"room": room, "event": event, "args": args})
		if err != nil {
			return err
		}
		entries[i] = &queues.Entry{ID: id, Payload: data}
	}
	stored := make(chan error, len(rooms))
	for i, room := range rooms { // together: the store is asked once
		a.broker.TopicPublishFunc(ctx, topicOf(ns, room), entries[i], func(_ uint64, err error) {
			if err != nil {
				err = fmt.Errorf("send to room %q: %w", room, err)
			}
			stored <- err
		})
	}
	var err error
	for range rooms {
		select {
		case e := <-stored:
			err = errors.Join(err, e)
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
	return err
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
