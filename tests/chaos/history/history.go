// Package history records what clients of queues and inboxes have seen, on disk, and checks that
// it could have been seen of queues that keep their promises.
package history

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Now is the time of this computer's one monotonic clock, in nanoseconds: the same for all processes.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // there is no such clock: not on Linux
	}
	return ts.Nano()
}

// Kind says what an Event tells.
type Kind string

// The kinds of events, and the fields that each has besides At.
const (
	Publish Kind = "publish" // Queue, ID, Key, N, Call, Outcome; one for each attempt
	Deliver Kind = "deliver" // Queue, ID, Key, N, Fence, Attempt, Who, Conn, Node, Call: since when it has been asked for; How: "session" or ""
	Resumed Kind = "resumed" // Queue, ID, Fence, Who, Conn, Node: a session has it still, on another connection
	Settle  Kind = "settle"  // Queue, ID, Fence, Who, Conn, Op, How: it is being sent
	Settled Kind = "settled" // Op, Outcome: the answer to Settle
	Revoked Kind = "revoked" // Queue, ID, Fence, Who, Conn, How: the reason
	Closed  Kind = "closed"  // Who, Conn, Outcome: why a connection of a worker ended; Until: to when its session keeps what it has
	Left    Kind = "left"    // Queue, ID, Outcome: the state in which it was at the end
	Killed  Kind = "killed"  // Who, Outcome: a process, just before it is
	Fault   Kind = "fault"   // Outcome: what; Who: to which process; Call: since when
	Depth   Kind = "depth"   // Queue, N: how many messages there were
	Power   Kind = "power"   // the store's power failed; Call: since when what was acknowledged may be lost
	Opened  Kind = "opened"  // the store is one process: this one, which has ended its work, is followed by another
	Admin   Kind = "admin"   // Queue, How: one of those below, ID of a redrive, N: how many of a purge; Call, Outcome

	Send   Kind = "send"   // Queue: the inbox; ID, Call, Outcome, Seq
	Open   Kind = "open"   // Queue, Conn, Epoch, Seq: where it goes on; Outcome: "" or why something is missing
	Entry  Kind = "entry"  // Queue, Conn, Epoch, Seq, ID, Key: the topic
	Gap    Kind = "gap"    // Queue, Conn, Epoch, Seq, To
	Member Kind = "member" // Queue: the inbox is subscribed to the topic Key
	Topic  Kind = "topic"  // Key: the topic; ID, Call, Outcome, Seq: the number in it
)

// What is done to a queue.
const (
	PausePublish = "pause publish"
	PauseConsume = "pause consume"
	Resume       = "resume"
	Purge        = "purge"
	Redrive      = "redrive"
)

// Starving is the Outcome of a Fault: the computer had no time for a process.
const Starving = "starved"

// Outcomes of what was asked for.
const (
	OK      = "ok"
	Unknown = "unknown" // no answer came
	// Others are the server's codes: refused.
)

// Event is something that a client has seen or done.
type Event struct {
	Kind    Kind   `json:"e"`
	At      int64  `json:"at"` // when it was seen, or the answer came
	Call    int64  `json:"call,omitempty"`
	Queue   string `json:"q,omitempty"`
	ID      string `json:"id,omitempty"`
	Key     string `json:"key,omitempty"`
	N       int    `json:"n,omitempty"` // number within the key, from 1
	Who     string `json:"who,omitempty"`
	Conn    string `json:"conn,omitempty"` // unlike all others
	Node    string `json:"node,omitempty"`
	Op      string `json:"op,omitempty"`
	How     string `json:"how,omitempty"` // ack, nack, release, reject
	Fence   uint64 `json:"fence,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Until   int64  `json:"until,omitempty"` // end of a lease that isn't renewed
	Epoch   uint64 `json:"epoch,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	To      uint64 `json:"to,omitempty"`
	Outcome string `json:"out,omitempty"`
}

// mayStore reports whether something may have been stored by what was asked for.
func (e *Event) mayStore() bool {
	return e.Outcome == OK || e.Outcome == Unknown || e.Outcome == "unavailable"
}

// Recorder writes events to a file of its own, each at once: what was recorded is there if the process is killed.
type Recorder struct {
	mu  sync.Mutex
	f   *os.File
	err error
}

// NewRecorder returns a recorder that adds to a file in dir.
func NewRecorder(dir, name string) (*Recorder, error) {
	f, err := os.OpenFile(filepath.Join(dir, name+".history"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &Recorder{f: f}, err
}

// Add records e, now unless e says when.
func (r *Recorder) Add(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.At == 0 {
		e.At = Now()
	}
	b, err := json.Marshal(e)
	if err == nil {
		_, err = r.f.Write(append(b, '\n'))
	}
	if r.err == nil {
		r.err = err
	}
}

// Starved notes, until stop is closed, when this process didn't run although it wanted to: then it is as if somebody had
// stopped it, and who says who that is.
func (r *Recorder) Starved(who string, stop <-chan struct{}) {
	const every, most = 20 * time.Millisecond, 70 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := Now(); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		now := Now()
		if now-last > most.Nanoseconds() {
			// What waits while the process doesn't run comes in afterwards.
			r.Add(Event{Kind: Fault, Who: who, Call: last, At: now + every.Nanoseconds(), Outcome: Starving})
		}
		last = now
	}
}

// Close ends the file, and tells what went wrong with it.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.f.Close(); r.err == nil {
		r.err = err
	}
	return r.err
}

// Read returns what was recorded in dir. The last line of a file may be torn.
func Read(dir string) ([]Event, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.history"))
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for err == nil && lines.Scan() {
			var e Event
			if bad := json.Unmarshal(lines.Bytes(), &e); bad == nil {
				all = append(all, e)
			} else if lines.Scan() { // it isn't the last one
				err = fmt.Errorf("%s: %w", name, bad)
			}
		}
		if err = cmp.Or(err, lines.Err()); err != nil {
			_ = f.Close()
			return nil, err
		}
		_ = f.Close()
	}
	return all, nil
}
