package queues

import (
	"errors"
	"time"
)

// Code says, for programs, why something was refused.
type Code string

// The codes.
const (
	CodeUnauthorized Code = "unauthorized" // the principal may not
	CodeNotFound     Code = "not_found"    // no such queue, consumer or inbox
	CodeBadRequest   Code = "bad_request"  // can't be right, whoever asks
	CodeTooLarge     Code = "too_large"    // the payload
	CodeQueueFull    Code = "queue_full"   // a cap is reached
	CodeRateLimited  Code = "rate_limited" // too many at a time
	CodePaused       Code = "paused"       // publishing is paused
	CodeUnavailable  Code = "unavailable"  // the store can't be reached; nothing was kept here
	CodeNotDurable   Code = "not_durable"  // stored, but replicas haven't confirmed; retry with the same id
	CodeSuperseded   Code = "superseded"   // handed out again since
	CodeGone         Code = "gone"         // settled, expired, dropped or purged before
	CodeTakenOver    Code = "taken_over"   // another session has opened it
	CodeConflict     Code = "conflict"     // not in the present state
)

// Error is a refusal. Two errors of one code are the same to errors.Is.
type Error struct {
	Code    Code
	Message string
	// RetryAfter is when trying again may help. Zero: unknown, or never.
	RetryAfter time.Duration
	// Cause is what is behind it, such as the store's own error, for logs and operators: clients aren't shown
	// it, since it may have addresses in it. It may be nil.
	Cause error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return "queues: " + e.Message + ": " + e.Cause.Error()
	}
	return "queues: " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is an Error of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// One error of each code, for errors.Is and for stores that have nothing to add.
var (
	ErrUnauthorized = &Error{Code: CodeUnauthorized, Message: "not allowed"}
	ErrNotFound     = &Error{Code: CodeNotFound, Message: "there is no such queue or inbox"}
	ErrBadRequest   = &Error{Code: CodeBadRequest, Message: "bad request"}
	ErrTooLarge     = &Error{Code: CodeTooLarge, Message: "too large"}
	ErrQueueFull    = &Error{Code: CodeQueueFull, Message: "the queue or inbox is full", RetryAfter: time.Second}
	ErrRateLimited  = &Error{Code: CodeRateLimited, Message: "too many"}
	ErrPaused       = &Error{Code: CodePaused, Message: "publishing is paused"}
	ErrUnavailable  = &Error{Code: CodeUnavailable, Message: "the store is unavailable", RetryAfter: time.Second}
	ErrNotDurable   = &Error{Code: CodeNotDurable, Message: "stored, but not confirmed by replicas"}
	ErrSuperseded   = &Error{Code: CodeSuperseded, Message: "handed out again since"}
	ErrGone         = &Error{Code: CodeGone, Message: "gone"}
	ErrTakenOver    = &Error{Code: CodeTakenOver, Message: "taken over by another session"}
	ErrConflict     = &Error{Code: CodeConflict, Message: "conflict"}
)

// The ErrQueueFull of inboxes that can't be made: the principal has too many devices, or there are too many of all.
var (
	ErrDevices = &Error{Code: CodeQueueFull, Message: "the principal has inboxes for too many devices"}
	ErrInboxes = &Error{Code: CodeQueueFull, Message: "there are too many inboxes"}
)

// ErrStoreFull is the ErrQueueFull of a store that takes nothing more, into whatever queue or inbox, until it has room: its disk or
// memory is nearly full.
var ErrStoreFull = &Error{Code: CodeQueueFull, Message: "the store is nearly full", RetryAfter: time.Second}

// CodeOf returns the code of err, CodeUnavailable for errors that have none,
// and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeUnavailable
}

// Refuse returns an Error.
func Refuse(code Code, message string) *Error { return &Error{Code: code, Message: message} }
