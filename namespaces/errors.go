package namespaces

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/roomcast/roomcast/parser"
)

// Errors of sockets and broadcasts.
var (
	ErrDisconnected = errors.New("server: socket disconnected")
	ErrAckTimeout   = errors.New("operation has timed out")
	ErrTooManyAcks  = errors.New("server: too many acks pending for this socket")
	ErrTooManyRooms = errors.New("server: socket is in too many rooms")
	ErrRoomName     = errors.New("server: room name too long")
	ErrNoAck        = errors.New("server: the client did not ask for an ack, or it was sent")
	ErrParent       = errors.New("server: not supported on parent namespaces")
)

// Error is an error that the client gets to see: a refusal to connect, or the
// answer to an event.
type Error struct {
	Code    string // a word for programs, such as "forbidden"
	Message string // for people
	Data    any    // more, for connect_error; may be nil
}

// Errorf returns an *Error.
func Errorf(code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// refusal is the payload of a CONNECT_ERROR. protocol is Engine.IO's.
func refusal(err error, protocol int) parser.Payload {
	message, data := err.Error(), any(nil)
	if e, ok := errors.AsType[*Error](err); ok {
		data = e.Data
	}
	if e, ok := errors.AsType[*PanicError](err); ok {
		_ = e // what went wrong inside is not the client's business
		message = "internal error"
	}
	var v any = struct {
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	}{message, data}
	if protocol == 3 && err != errInvalidNamespace {
		if v = data; data == nil {
			v = message
		}
	}
	p, err := parser.MarshalValue(v)
	if err != nil {
		p, _ = parser.MarshalValue(map[string]string{"message": message})
	}
	return p
}

// Result is the one shape in which errors answer events. Its Ok is false.
type result struct {
	OK      bool   `json:"ok"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// answerTo turns a handler's error into what the client is told. Only an *Error
// tells more than that something went wrong.
func answerTo(err error) result {
	if e, ok := errors.AsType[*Error](err); ok {
		code := e.Code
		if code == "" {
			code = "error"
		}
		return result{Code: code, Message: err.Error(), Data: e.Data}
	}
	if d, ok := errors.AsType[*DecodeError](err); ok {
		return result{Code: "bad_request", Message: d.Error()}
	}
	return result{Code: "internal", Message: "internal error"}
}

// DecodeError says that an event's argument doesn't fit its handler.
type DecodeError struct {
	Event string
	Arg   int   // counted from 0
	Err   error // of the JSON library
}

// Error names event and argument, counted from 1. Clients get to see it.
func (e *DecodeError) Error() string {
	var t *json.UnmarshalTypeError
	if errors.As(e.Err, &t) {
		at := ""
		if t.Field != "" {
			at = " in " + t.Field
		}
		return fmt.Sprintf("argument %d of %q: %s can't be %s%s", e.Arg+1, e.Event, t.Value, wanted(t.Type), at)
	}
	return fmt.Sprintf("argument %d of %q: %v", e.Arg+1, e.Event, e.Err)
}

// wanted is a type in the words of clients, who needn't know ours.
func wanted(t reflect.Type) string {
	switch k := t.Kind(); {
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.String:
		return "a string"
	case k == reflect.Struct, k == reflect.Map:
		return "an object"
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "binary data"
	case k == reflect.Slice, k == reflect.Array:
		return "an array"
	case k == reflect.Float32, k == reflect.Float64:
		return "a number"
	case k >= reflect.Int && k <= reflect.Int64:
		return fmt.Sprintf("a whole number of %d bits", t.Bits())
	case k >= reflect.Uint && k <= reflect.Uintptr:
		return fmt.Sprintf("a whole number of %d bits from 0", t.Bits())
	}
	return "taken here"
}

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// report tells the program of an error in its own functions.
func (ns *Namespace) report(s *Socket, err error) {
	if err == nil {
		return
	}
	hooks := ns.hooks.Load().failed
	for _, f := range hooks {
		ns.tell(err, func() { f(s.Context(), s, err) })
	}
	ns.tell(err, func() { ns.logError(s, err, len(hooks) > 0) })
}

// tell runs f, which is told of err and may panic: as may err itself, when it is asked
// for its text.
func (ns *Namespace) tell(err error, f func()) {
	panicked := ns.guard("what was told of an error", func() error { f(); return nil })
	if panicked != nil {
		ns.reg.log.Error("an error could not be told", "namespace", ns.name, "type", fmt.Sprintf("%T", err), "error", panicked)
	}
}

// logError logs what goes wrong in handlers, panics even if others heard of it.
func (ns *Namespace) logError(s *Socket, err error, heard bool) {
	var p *PanicError
	switch {
	case errors.As(err, &p):
		ns.reg.log.Error("a handler panicked", "namespace", ns.name, "in", p.Where, "panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
	case !heard:
		level := slog.LevelWarn
		var e *Error
		var d *DecodeError
		if errors.As(err, &e) || errors.As(err, &d) {
			level = slog.LevelDebug // the client was told, and it is its affair
		}
		ns.reg.log.Log(context.Background(), level, "a handler failed", "namespace", ns.name, "socket", s, "error", err)
	}
}
