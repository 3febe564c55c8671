// Package session has the generators of session ids.
package session

import "github.com/roomcast/roomcast/compat/googollee/engineio/session"

type (
	DefaultIDGenerator = session.DefaultIDGenerator
	FrameType          = session.FrameType
	IDGenerator        = session.IDGenerator
)

// The kinds of messages.
const (
	TEXT   = session.TEXT
	BINARY = session.BINARY
)
