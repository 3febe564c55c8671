package pebblequeue

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// How long the database waits until it tries again to write a file, and how often it is logged that it can't.
const (
	retryEvery = 100 * time.Millisecond
	moanEvery  = 10 * time.Second
)

// trouble hears of files that the database can't write. It tries again at once and for ever, also while it opens.
type trouble struct {
	log    *slog.Logger
	first  chan error
	opened chan struct{}

	mu     sync.Mutex
	moaned time.Time
	since  int
}

func newTrouble(log *slog.Logger) *trouble {
	return &trouble{log: log, first: make(chan error, 1), opened: make(chan struct{})}
}

// happened is told of each error, most often under the database's lock. That is held for a moment: nobody else could write either.
func (t *trouble) happened(err error) {
	select {
	case t.first <- err:
	default:
	}
	<-t.opened
	t.mu.Lock()
	t.since++
	if now := time.Now(); now.Sub(t.moaned) > moanEvery {
		t.log.Error("queues: the database can't do something with a file, and tries again", "error", err.Error(), "times", t.since)
		t.moaned, t.since = now, 0
	}
	t.mu.Unlock()
	time.Sleep(retryEvery)
}

// open opens the database. If it can't write a file then, such as on a disk that is full, that is an error, and the
// database, which can't be told to give up, is left standing where it is.
func (t *trouble) open(dir string, opts *pebble.Options) (*pebble.DB, error) {
	type result struct {
		db  *pebble.DB
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil { // of the database, which panics where it can't go on
				r = result{nil, fmt.Errorf("%w: %v", ErrDamaged, p)}
			}
			close(t.opened)
			done <- r
		}()
		r.db, r.err = pebble.Open(dir, opts)
	}()
	select {
	case r := <-done:
		return r.db, r.err
	case err := <-t.first:
		select {
		case r := <-done: // it was open by then
			return r.db, r.err
		case <-time.After(time.Second):
			return nil, err
		}
	}
}
