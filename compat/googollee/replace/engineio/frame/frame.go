// Package frame has the kinds of Engine.IO frames.
package frame

import "github.com/roomcast/roomcast/compat/googollee/engineio/frame"

// Type is the kind of a frame.
type Type = frame.Type

// The kinds of frames.
const (
	String = frame.String
	Binary = frame.Binary
)
