package adapters

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Log is the rare ability of an Adapter to keep what was sent for clients that
// are away, found by type assertion. Events get an offset from it, by which a client says what
// it has received last.
type Log interface {
	// Append puts op in the log, and so publishes it, and has it delivered through
	// Local.Deliver here, too, now or soon: it doesn't wait for that. What one
	// goroutine appends is delivered in order. It waits while too much is under
	// way, and fails if ctx ends then.
	Append(ctx context.Context, op *Op) error

	// Behind has f called as soon as all that was appended here so far has been
	// delivered, in turn with Local.Deliver and before Local.Flush: for what goes to
	// clients past the log and must not overtake what is in it. If nothing is under way it
	// returns false, and f isn't called. f must not wait. It may be nil, for who
	// only asks.
	Behind(f func()) bool

	// Position returns a place in the log up to which everything has been delivered here.
	// The zero Offset says that this is known from Deliver alone.
	Position() Offset

	// Reach waits until everything up to a place in the log has been delivered here.
	Reach(ctx context.Context, at Offset) error

	// After returns the stretch of the log that follows offset, about limit events
	// long. It fails with ErrTrimmed if events that followed offset are not in the
	// log any more, and with ErrAhead if offset is behind its end.
	After(ctx context.Context, at Offset, limit int) (Page, error)

	// Save keeps the state of a session for the time given after it has ended,
	// and for as long as this node lives if it has not. It is forgotten if that is zero. s isn't
	// changed any more. Save doesn't wait; done is called once when the state is
	// safe, or with the error for which it isn't: ErrTaken, ErrUnknown, ErrBehind, or any other.
	// What is saved later for the same session, is kept later.
	Save(s *Session, keep time.Duration, done func(error))

	// Take returns the session that was saved last under a private id, or
	// ErrUnknown, or ErrBehind. From now on it is this node's: others can't save it any more.
	Take(ctx context.Context, private string) (*Session, error)

	// Outlives reports whether what is saved is of use when this process has died.
	// The states of connected sessions are kept up to date then.
	Outlives() bool
}

// Errors of a Log.
var (
	ErrTrimmed = errors.New("adapters: the log doesn't reach back that far")
	ErrUnknown = errors.New("adapters: session unknown or expired")
	ErrAhead   = errors.New("adapters: the log doesn't reach that far")
	ErrTaken   = errors.New("adapters: another node has the session now")
	ErrBehind  = errors.New("adapters: a later state of the session may be lost")
)

// Page is a stretch of the log.
type Page struct {
	Entries []Entry // its events, in order
	End     Offset  // it reaches up to here; later than the last entry if the log has other things, too
	Last    bool    // nothing followed when it was read
}

// Entry is an event in the log.
type Entry struct {
	At Offset
	Op *Op
}

// Offset is a place in the log. The zero Offset is before everything.
type Offset struct{ Time, Seq uint64 }

// String returns the form that clients get to see, such as "1763850000000-7".
func (o Offset) String() string {
	return strconv.FormatUint(o.Time, 10) + "-" + strconv.FormatUint(o.Seq, 10)
}

// IsZero reports whether o is no place at all.
func (o Offset) IsZero() bool { return o == Offset{} }

// Compare returns -1, 0 or 1 when o is before, at or after p.
func (o Offset) Compare(p Offset) int {
	return cmp.Or(cmp.Compare(o.Time, p.Time), cmp.Compare(o.Seq, p.Seq))
}

// ParseOffset parses what String returns.
func ParseOffset(s string) (o Offset, ok bool) {
	t, n, ok := strings.Cut(s, "-")
	if !ok || len(s) > 41 {
		return Offset{}, false
	}
	var err1, err2 error
	o.Time, err1 = strconv.ParseUint(t, 10, 64)
	o.Seq, err2 = strconv.ParseUint(n, 10, 64)
	return o, err1 == nil && err2 == nil && o.String() == s
}

// Session is what is kept of a socket for the time that its client is away.
type Session struct {
	ID      string         `json:"sid"`
	Private string         `json:"pid"`
	Stays   []Stay         `json:"stays"`
	Data    map[string]any `json:"data"`
	From    Offset         `json:"from"`  // events up to here are not the session's
	Last    Offset         `json:"last"`  // the last event that was sent to it; zero: none
	Until   Offset         `json:"until"` // nothing after Last up to here was for it; zero: not known
	Ended   time.Time      `json:"ended"` // zero: it is connected, or was when its node died
}

// Stay says that a session was in a room for events after From up to To.
// A zero To means that it still is.
type Stay struct {
	Room string `json:"room"`
	From Offset `json:"from"`
	To   Offset `json:"to"`
}

// Rooms returns the rooms that the session is in.
func (s *Session) Rooms() []string {
	var names []string
	for _, stay := range s.Stays {
		if stay.To.IsZero() {
			names = append(names, stay.Room)
		}
	}
	return names
}

// Wants reports whether an event is for the session, by the rooms that it was
// in when the event took its place in the log.
func (s *Session) Wants(e Entry) bool {
	if !e.Op.Recoverable() || e.At.Compare(s.From) <= 0 {
		return false
	}
	in := func(name string) bool {
		for _, stay := range s.Stays {
			if stay.Room == name && e.At.Compare(stay.From) > 0 &&
				(stay.To.IsZero() || e.At.Compare(stay.To) <= 0) {
				return true
			}
		}
		return false
	}
	for _, name := range e.Op.Target.Except {
		if in(name) {
			return false
		}
	}
	if len(e.Op.Target.Rooms) == 0 {
		return true
	}
	for _, name := range e.Op.Target.Rooms {
		if in(name) {
			return true
		}
	}
	return false
}
