// Package frame has the kinds of Engine.IO frames, as googollee's package of that name.
package frame

// Type is the kind of a frame.
type Type byte

// The kinds of frames.
const (
	String Type = iota
	Binary
)

// Byte returns the type as a byte.
func (t Type) Byte() byte { return byte(t) }
