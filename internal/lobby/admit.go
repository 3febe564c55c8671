package lobby

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/roomcast/roomcast/internal/auth"
	"github.com/roomcast/roomcast/server"
)

// admit is the middleware that decides who a client is.
func (l *lobby) admit(_ context.Context, s *server.Socket) error {
	var shown struct {
		Token string `json:"token"`
		Name  string `json:"name"`
	}
	if err := s.Handshake().DecodeAuth(&shown); err != nil {
		return unauthorized("auth must be an object; its token and name must be text")
	}
	var who auth.User
	if l.Verify != nil && (shown.Token != "" || !l.Anonymous) {
		if shown.Token == "" {
			return unauthorized("a token is needed: auth: { token }")
		}
		var err error
		if who, err = l.Verify(shown.Token); err != nil {
			return unauthorized(reason(err))
		}
		l.endAt(s, who.Expires)
	}
	before := server.Value[string](s, keyName) // set if the socket was recovered
	if before != "" && user(s) != who.ID {
		return unauthorized("the session belongs to another user")
	}
	name := cleanName(who.Name)
	if who.ID == "" {
		name = cmp.Or(cleanName(shown.Name), before, guestName())
	}
	s.Set(keyName, cmp.Or(name, "user"))
	if who.ID != "" {
		s.Set(keyUser, who.ID)
		s.Set(keyRoles, who.Roles)
	}
	s.Set(keyTransport, s.Transport())
	if s.Protocol() == 3 {
		s.Set(keyID, digest(s.ID()))
	}
	if l.Node != "" {
		s.Set(keyNode, l.Node)
	}
	return nil
}

// endAt closes the socket when its token is no longer believed.
func (l *lobby) endAt(s *server.Socket, expires time.Time) {
	timer := time.AfterFunc(time.Until(expires), func() { s.Disconnect(false) })
	context.AfterFunc(s.Context(), func() { timer.Stop() })
}

func unauthorized(message string) error {
	return &server.Error{Code: "unauthorized", Message: message, Data: map[string]string{"code": "unauthorized"}}
}

// reason tells the client no more about a bad token than it needs.
func reason(err error) string {
	switch {
	case errors.Is(err, auth.ErrExpired):
		return "the token has expired"
	case errors.Is(err, auth.ErrTooLong):
		return "the token is too long"
	}
	return "the token is invalid"
}

// connected checks the rooms of a recovered socket once more, since what is
// allowed may have changed, and tells their members that it is back.
func (l *lobby) connected(ctx context.Context, s *server.Socket) error {
	s.Set(keyTransport, s.Transport()) // it may have changed while the client was admitted
	if !s.Recovered() {
		return nil
	}
	for _, room := range s.Rooms() {
		if room == s.ID() {
			continue
		}
		if !l.Join(room, user(s)) {
			s.Leave(room)
			continue
		}
		tell(ctx, s, "joined", room)
	}
	return nil
}
