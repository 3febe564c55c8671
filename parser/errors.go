package parser

import (
	"errors"
	"fmt"
)

// The errors of a Decoder. Those that the official parser has too carry its
// messages as they are, because programs compare them.
var (
	ErrUnknownType        = errors.New("unknown packet type")
	ErrIllegalCount       = errors.New("Illegal attachments") //nolint:staticcheck // as officially; the count before the dash
	ErrTooManyAttachments = errors.New("too many attachments")
	ErrIllegalAttachments = errors.New("illegal attachments") // a placeholder that is invalid, missing or used twice
	ErrInvalidPayload     = errors.New("invalid payload")
	ErrInvalidID          = errors.New("invalid packet id") // above 2^53-1
	ErrUnexpectedText     = errors.New("got plaintext data when reconstructing a packet")
	ErrUnexpectedBinary   = errors.New("got binary data when not reconstructing a packet")

	ErrInvalidNamespace   = errors.New("invalid namespace")
	ErrNamespaceTooLong   = errors.New("parser: namespace is longer than MaxNamespace")
	ErrEventTooLong       = errors.New("parser: event name is longer than MaxEventName")
	ErrAttachmentsTooLong = errors.New("parser: attachments are longer than MaxAttachmentBytes")
)

// ErrReserved is wrapped by the errors for event names that have a meaning of
// their own, such as "connect". Their message names the event.
var ErrReserved = errors.New("parser: reserved event name")

type reservedError string

func (e reservedError) Error() string { return fmt.Sprintf("%q is a reserved event name", string(e)) }
func (e reservedError) Unwrap() error { return ErrReserved }

// IsReserved reports whether event is a name that neither clients nor servers
// may emit: connect, connect_error, disconnect, disconnecting, newListener,
// removeListener.
func IsReserved(event string) bool {
	switch event {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}

// SyntaxError says where text is not the JSON that was expected. It wraps
// ErrInvalidPayload.
type SyntaxError struct {
	Offset int    // bytes before the error, in the packet or the value
	Msg    string // what was expected or wrong
}

var errUTF8 = &SyntaxError{Msg: "invalid UTF-8"}

// Error begins as the official parser's message does: "invalid payload".
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid payload: %s at byte %d", e.Msg, e.Offset)
}

// Unwrap returns ErrInvalidPayload.
func (e *SyntaxError) Unwrap() error { return ErrInvalidPayload }
