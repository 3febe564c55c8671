// Package lobby gives a namespace the events by which clients of the roomcast
// program join rooms and send to them without any code on the server.
//
// From the client, each answered by an ack of one object, {ok:true, ...} or
// {ok:false, code, message}:
//
//	join    {room}                  -> {ok, room, members, more?}
//	leave   {room}                  -> {ok, room}
//	send    {room, data, volatile?} -> {ok, room, at}
//	members {room}                  -> {ok, room, members, more?}
//	time                            -> {ok, now}
//	status  {latency}               -> {ok}, in the demo only
//
// To the room's other members: message {room, from, data, at}, joined, left and
// updated {room, member}. Times are Unix milliseconds. A member is
// {id, name, user?, transport, latency?, node?}; user is there only if a token vouches
// for it, while anybody may choose a name; node is there only in a cluster. The id is the
// socket's, or a digest of it for clients of version 2.
//
// The codes are bad_request, forbidden, not_in_room, limit and internal. docs/program.md explains all this to users.
package lobby

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/roomcast/roomcast/internal/auth"
	"github.com/roomcast/roomcast/server"
)

// MaxMembers is the size up to which a room's members are listed, and told who
// joins, leaves and changes. Beyond, each join would cost as much as the room is large.
const MaxMembers = 500

// Policy says what clients may do in a namespace. The zero Policy admits
// everybody and allows nothing.
type Policy struct {
	// Verify returns the user whom a token names. Nil: tokens aren't looked at.
	Verify func(token string) (auth.User, error)

	// Anonymous admits clients without a token although Verify is set.
	Anonymous bool

	// Join and Send report whether a room is allowed to a user ("" for a client
	// without token). Nil allows none.
	Join, Send func(room, user string) bool

	// MaxRooms is how many rooms a socket may be in, 100 by default.
	MaxRooms int

	// Status admits the event status.
	Status bool

	// Node is what members have as node: the name of this node in a cluster, or "".
	Node string
}

type lobby struct {
	Policy
}

// Open adds the events to a namespace or to a parent of dynamic ones.
func Open(ns *server.Namespace, p Policy) {
	if p.Join == nil {
		p.Join = func(string, string) bool { return false }
	}
	if p.Send == nil {
		p.Send = func(string, string) bool { return false }
	}
	if p.MaxRooms == 0 {
		p.MaxRooms = 100
	}
	l := &lobby{p}
	ns.Use(l.admit)
	ns.OnConnect(l.connected)
	ns.OnUpgrade(l.upgraded)
	ns.OnDisconnecting(l.disconnecting)
	server.OnAck(ns, "join", l.join)
	server.OnAck(ns, "leave", l.leave)
	server.OnAck(ns, "members", l.members)
	ns.Handle("send", l.send)
	ns.Handle("time", now)
	if p.Status {
		server.OnAck(ns, "status", l.status)
	}
	ns.HandleOther(func(_ context.Context, e *server.Event) error {
		return server.Errorf("bad_request", "there is no event %.64q here", e.Name)
	})
}

// request names a room.
type request struct {
	Room string `json:"room"`
}

// done is the answer to leave, and the head of others.
type done struct {
	OK   bool   `json:"ok"`
	Room string `json:"room"`
}

type listing struct {
	OK      bool     `json:"ok"`
	Room    string   `json:"room"`
	Members []Member `json:"members"`
	More    bool     `json:"more,omitempty"` // too many to list
}

func (l *lobby) join(ctx context.Context, s *server.Socket, in request) (listing, error) {
	if err := check(in.Room); err != nil {
		return listing{}, err
	}
	if !l.Join(in.Room, user(s)) {
		return listing{}, server.Errorf("forbidden", "joining this room isn't allowed")
	}
	if !s.In(in.Room) {
		if len(s.Rooms())-1 >= l.MaxRooms {
			return listing{}, server.Errorf("limit", "a socket can be in %d rooms", l.MaxRooms)
		}
		if err := s.Join(in.Room); errors.Is(err, server.ErrTooManyRooms) {
			return listing{}, server.Errorf("limit", "the socket is in too many rooms")
		} else if err != nil {
			return listing{}, err
		}
		tell(ctx, s, "joined", in.Room)
	}
	// Listed after the join: of two who join at once, each sees the other, in
	// this list or by the event.
	return list(ctx, s, in.Room)
}

func (l *lobby) leave(ctx context.Context, s *server.Socket, in request) (done, error) {
	if err := check(in.Room); err != nil {
		return done{}, err
	}
	if s.In(in.Room) {
		s.Leave(in.Room)
		tell(ctx, s, "left", in.Room)
	}
	return done{true, in.Room}, nil
}

func (l *lobby) members(ctx context.Context, s *server.Socket, in request) (listing, error) {
	if err := check(in.Room); err != nil {
		return listing{}, err
	}
	if !s.In(in.Room) {
		return listing{}, notMember()
	}
	return list(ctx, s, in.Room)
}

func list(ctx context.Context, s *server.Socket, room string) (listing, error) {
	answer := listing{OK: true, Room: room, Members: []Member{}}
	ns := s.Namespace()
	if ns.Count(room) > MaxMembers {
		answer.More = true
		return answer, nil
	}
	sockets, err := ns.To(room).FetchSockets(ctx)
	if err != nil && len(sockets) == 0 {
		return listing{}, err
	}
	if len(sockets) > MaxMembers {
		answer.More = true
		return answer, nil
	}
	for _, other := range sockets {
		answer.Members = append(answer.Members, member(other.ID, other.Data))
	}
	return answer, nil
}

// message is what the members of a room get.
type message struct {
	Room string `json:"room"`
	From Member `json:"from"`
	Data any    `json:"data"`
	At   int64  `json:"at"`
}

func (l *lobby) send(ctx context.Context, e *server.Event) error {
	room, data, volatile, err := decodeSend(e)
	if err != nil {
		return err
	}
	if err := check(room); err != nil {
		return err
	}
	s := e.Socket
	if !s.In(room) {
		return notMember()
	}
	if !l.Send(room, user(s)) {
		return server.Errorf("forbidden", "sending to this room isn't allowed")
	}
	at := time.Now().UnixMilli()
	to := s.To(room)
	if volatile {
		to = to.Volatile()
	}
	if err := to.Emit(ctx, "message", message{room, self(s), data, at}); err != nil {
		return err
	}
	if !e.WantsAck() {
		return nil
	}
	return e.Ack(struct {
		done
		At int64 `json:"at"`
	}{done{true, room}, at})
}

// decodeSend leaves data encoded unless it has binary values in it.
func decodeSend(e *server.Event) (room string, data any, volatile bool, err error) {
	if len(e.Args.Attachments()) == 0 {
		var in struct {
			Room     string          `json:"room"`
			Data     json.RawMessage `json:"data"`
			Volatile bool            `json:"volatile"`
		}
		err = e.Decode(&in)
		if in.Data == nil {
			in.Data = json.RawMessage("null")
		}
		return in.Room, in.Data, in.Volatile, err
	}
	var in struct {
		Room     string `json:"room"`
		Data     any    `json:"data"`
		Volatile bool   `json:"volatile"`
	}
	err = e.Decode(&in)
	return in.Room, in.Data, in.Volatile, err
}

func now(_ context.Context, e *server.Event) error {
	if !e.WantsAck() {
		return nil
	}
	return e.Ack(struct {
		OK  bool  `json:"ok"`
		Now int64 `json:"now"`
	}{true, time.Now().UnixMilli()})
}

// statusEvery is the time that must lie between two reports of a client.
const statusEvery = 500 * time.Millisecond

func (l *lobby) status(ctx context.Context, s *server.Socket, in struct {
	Latency *float64 `json:"latency"`
}) (any, error) {
	if in.Latency == nil || *in.Latency < 0 || *in.Latency > 1e6 {
		return nil, server.Errorf("bad_request", "latency must be a number of milliseconds")
	}
	at := time.Now()
	if last := server.Value[int64](s, keyStatus); at.Sub(time.UnixMilli(last)) < statusEvery {
		return nil, server.Errorf("limit", "report at most every %s", statusEvery)
	}
	s.Set(keyStatus, at.UnixMilli())
	s.Set(keyLatency, *in.Latency)
	tellAll(ctx, s, "updated")
	return struct {
		OK bool `json:"ok"`
	}{true}, nil
}

const maxRoom = 255 // bytes of a room's name

func check(room string) error {
	switch {
	case room == "":
		return server.Errorf("bad_request", "room must be a name that isn't empty")
	case len(room) > maxRoom:
		return server.Errorf("bad_request", "the room's name is longer than %d bytes", maxRoom)
	case socketID(room):
		// It may be some socket's own room: who joined it would read along.
		return server.Errorf("bad_request", "the room's name has the form of a socket's id (20 characters of A-Z, a-z, 0-9, _ and -)")
	}
	return nil
}

// socketID reports whether name is made like the id of a socket.
func socketID(name string) bool {
	if len(name) != 20 {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func notMember() error { return server.Errorf("not_in_room", "join the room first") }
