// Package session has what programs use of googollee's package of that name.
package session

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/roomcast/roomcast/compat/googollee/engineio/frame"
)

// FrameType is the kind of a message.
type FrameType frame.Type

// The kinds of messages.
const (
	TEXT   = FrameType(frame.String)
	BINARY = FrameType(frame.Binary)
)

// IDGenerator makes the ids of sessions. Whoever knows a session's id can take
// the session over, so ids must be impossible to guess. An id that is in use
// is refused, and its client with it.
type IDGenerator interface {
	NewID() string
}

// DefaultIDGenerator makes random ids: 15 bytes in 20 characters. (googollee's
// counted from 1.)
type DefaultIDGenerator struct {
	ID uint64 // unused
}

// NewID returns a new id.
func (g *DefaultIDGenerator) NewID() string {
	var b [15]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
