package lobby

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/roomcast/roomcast/server"
)

// Member describes a socket to others in its rooms.
type Member struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	User      string   `json:"user,omitempty"`
	Transport string   `json:"transport"`
	Latency   *float64 `json:"latency,omitempty"` // milliseconds, as the client measured
	Node      string   `json:"node,omitempty"`    // which of several has the socket
}

// The keys of a socket's data. Other nodes see it, so that they can list members.
const (
	keyName      = "name"
	keyUser      = "user"
	keyRoles     = "roles"
	keyTransport = "transport"
	keyLatency   = "latency"
	keyNode      = "node"
	keyStatus    = "status" // when the last one came, in Unix milliseconds
	keyID        = "id"     // by which others know a socket whose own id is a secret
)

// digest stands for the id of a client of version 2. That has the id of its session in it,
// as its protocol wants: who knows it can send and receive in the client's place.
func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:20]
}

func member(id string, data map[string]any) Member {
	m := Member{ID: id}
	if shown, ok := data[keyID].(string); ok {
		m.ID = shown
	}
	m.Name, _ = data[keyName].(string)
	m.User, _ = data[keyUser].(string)
	m.Transport, _ = data[keyTransport].(string)
	m.Node, _ = data[keyNode].(string)
	if latency, ok := data[keyLatency].(float64); ok {
		m.Latency = &latency
	}
	return m
}

func self(s *server.Socket) Member { return member(s.ID(), s.Data()) }

// user is whom the socket's token names, or "".
func user(s *server.Socket) string { return server.Value[string](s, keyUser) }

// User is whom the socket's token names, or "".
func User(s *server.Socket) string { return user(s) }

// Roles are those that the socket's token gives to its user.
func Roles(s *server.Socket) []string { return server.Value[[]string](s, keyRoles) }

// Name is what the socket is called; without a token that is what its client has chosen.
func Name(s *server.Socket) string { return server.Value[string](s, keyName) }

// change is what joined, left and updated carry.
type change struct {
	Room   string `json:"room"`
	Member Member `json:"member"`
}

// tell tells the other members of a room about s.
func tell(ctx context.Context, s *server.Socket, event, room string) {
	if s.Namespace().Count(room) > MaxMembers {
		return
	}
	// An error means that other nodes can't be reached; the driver logs that.
	_ = s.To(room).Emit(ctx, event, change{room, self(s)})
}

// tellAll tells the other members of all rooms of s.
func tellAll(ctx context.Context, s *server.Socket, event string) {
	for _, room := range s.Rooms() {
		if room != s.ID() {
			tell(ctx, s, event, room)
		}
	}
}

func (l *lobby) upgraded(ctx context.Context, s *server.Socket) {
	s.Set(keyTransport, s.Transport())
	tellAll(ctx, s, "updated")
}

func (l *lobby) disconnecting(ctx context.Context, s *server.Socket, _ string) {
	tellAll(context.WithoutCancel(ctx), s, "left")
}

const maxName = 40 // characters

// cleanName returns the name without surrounding space, and at most 40
// characters of it; "" if it can't be shown.
func cleanName(name string) string {
	name = strings.TrimSpace(name)
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return ""
	}
	runes := 0
	for i := range name {
		if runes == maxName {
			return name[:i]
		}
		runes++
	}
	return name
}

func guestName() string {
	var b [2]byte
	rand.Read(b[:])
	return "guest-" + hex.EncodeToString(b[:])
}
