package redisadapter

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/adapters"
)

// streamAdapter is one namespace's adapter. Events and changes go through its
// stream, requests and their answers through pub/sub.
type streamAdapter struct {
	d         *StreamsDriver
	stream    *stream
	namespace string
	uid       string
	local     adapters.Local
	line      *line           // for requests
	public    string          // channel on which all nodes are asked
	start     adapters.Offset // in the stream: what was before isn't known here
	last      *sentEntry      // the last event under way; the stream's mu guards it
	closed    bool            // likewise
	astray    atomic.Int64    // when an entry last came by the wrong stream, Unix seconds
	looked    atomic.Bool     // for those that came before the namespace was open
}

var (
	_ adapters.Adapter = (*streamAdapter)(nil)
	_ adapters.Log     = (*streamAdapter)(nil)
)

// Append writes an event to the stream. It is delivered here when it comes back.
func (a *streamAdapter) Append(ctx context.Context, op *adapters.Op) error {
	return a.write(ctx, op, true)
}

func (a *streamAdapter) write(ctx context.Context, op *adapters.Op, deliver bool) error {
	list, size, err := fields(&message{kind: kindOf(op), uid: a.uid, namespace: a.namespace, op: op})
	if err != nil {
		return err
	}
	if size > a.d.cfg.MaxMessage {
		a.d.stats.publishFailed.Add(1)
		return errTooLarge
	}
	o := &sentEntry{a: a, fields: list, size: size}
	if deliver {
		o.op = op
	}
	return a.stream.put(ctx, o)
}

// Behind queues f behind this node's events that are under way.
func (a *streamAdapter) Behind(f func()) bool { return a.stream.behind(a, f) }

// Position is where this node has read to.
func (a *streamAdapter) Position() adapters.Offset { return a.stream.position() }

// Reach waits until this node has read to a place.
func (a *streamAdapter) Reach(ctx context.Context, at adapters.Offset) error {
	if !a.stream.reach(ctx, at) {
		return context.Cause(ctx)
	}
	return nil
}

// After reads the stream.
func (a *streamAdapter) After(ctx context.Context, at adapters.Offset, limit int) (adapters.Page, error) {
	return a.stream.after(ctx, a, at, limit)
}

// Save keeps a session in Redis.
func (a *streamAdapter) Save(s *adapters.Session, keep time.Duration, done func(error)) {
	a.d.sessions.save(a, s, keep, done)
}

// Take gets a session from Redis.
func (a *streamAdapter) Take(ctx context.Context, private string) (*adapters.Session, error) {
	if err := a.lookAstray(ctx); err != nil {
		return nil, err
	}
	if at := a.astray.Load(); at != 0 && time.Since(time.Unix(at, 0)) < connectedTTL {
		return nil, adapters.ErrTrimmed // what came by another stream can't be replayed
	}
	return a.d.sessions.take(ctx, a, private)
}

// Outlives is true: Redis has all of it.
func (a *streamAdapter) Outlives() bool { return true }

// writeTaken tells a node which of its sessions are here now.
func (a *streamAdapter) writeTaken(node string, notices []string) {
	list := []any{fieldUID, a.uid, fieldTaken, strings.Join(notices, " "), fieldFrom, node}
	// That it can't be written isn't worth waiting for: the node's connections to those clients end by themselves.
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	_ = a.stream.put(ctx, &sentEntry{a: a, fields: list, size: 128 + 38*len(notices)})
}

func (a *streamAdapter) isClosed() bool {
	a.stream.mu.Lock()
	defer a.stream.mu.Unlock()
	return a.closed
}

// Publish writes an operation that has been done here to the stream.
func (a *streamAdapter) Publish(ctx context.Context, op *adapters.Op) error {
	return a.write(ctx, op, false)
}

// Close leaves the stream, after what is under way has been written.
func (a *streamAdapter) Close(ctx context.Context) error {
	a.d.sessions.settled(ctx)
	a.stream.drained(ctx, a)
	a.stream.leave(a)
	err := a.line.Close(ctx)
	a.d.close(a)
	return err
}
