package pebblequeue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roomcast/roomcast/queues"
)

// How often the disk is asked for its free space, at most, and how often the database is asked to give back
// what was deleted while there is too little.
const (
	lookEvery    = 250 * time.Millisecond
	reclaimEvery = 5 * time.Second
)

// newLog is how many bytes must be free for a new file of the log: without one the database can't go on.
const newLog = 1 << 20

// space knows whether the disk has room for more.
type space struct {
	fs      vfs.FS
	dir     string
	reserve uint64
	log     *slog.Logger

	mu        sync.Mutex
	looked    time.Time
	free      uint64
	short     bool
	reclaimed time.Time
	written   uint64 // to the log, before it was reclaimed last
	closed    bool
	wait      sync.WaitGroup
}

// fit makes what is set smaller where the disk is small.
func (c *Config) fit(dir string) {
	usage, err := c.FS.GetDiskUsage(dir)
	if err != nil || usage.TotalBytes == 0 {
		return
	}
	c.MemTable = int(min(uint64(c.MemTable), max(usage.TotalBytes/64, 256<<10)))
	c.Reserve = min(c.Reserve, int64(usage.TotalBytes/16))
}

// refuseMore returns the error for what would be stored now; nil if there is room for it.
func (s *Store) refuseMore() error {
	sp := &s.space
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if now := time.Now(); now.Sub(sp.looked) > lookEvery {
		sp.looked = now
		sp.look()
		if sp.short && !sp.closed && now.Sub(sp.reclaimed) > reclaimEvery {
			sp.reclaimed = now
			sp.wait.Go(s.reclaim)
		}
	}
	if !sp.short {
		return nil
	}
	return queues.ErrStoreFull
}

// Full reports whether publishes are refused, since the disk is nearly full.
func (s *Store) Full() bool { return s.refuseMore() != nil }

// look asks how much is free. Under mu.
func (sp *space) look() {
	usage, err := sp.fs.GetDiskUsage(sp.dir)
	if err != nil { // nobody knows: as if there were room
		sp.short = false
		return
	}
	sp.free = usage.AvailBytes
	need := sp.reserve
	if sp.short {
		need += need / 4 // or it would change with every message
	}
	short := usage.AvailBytes < need
	if short == sp.short {
		return
	}
	sp.short = short
	attrs := []any{"free", usage.AvailBytes, "reserve", sp.reserve}
	if short {
		sp.log.Error("queues: the disk is nearly full: nothing more is stored until there is room", attrs...)
	} else {
		sp.log.Info("queues: the disk has room again", attrs...)
	}
}

// reclaim has the database sort what it has gathered into files, by which what was deleted goes.
func (s *Store) reclaim() {
	sp := &s.space
	written := s.db.Metrics().WAL.BytesWritten
	sp.mu.Lock()
	can := written > sp.written && sp.free >= newLog
	if can {
		sp.written = written
	}
	sp.mu.Unlock()
	if !can {
		return
	}
	defer s.caught(func(error) {})
	if _, err := s.db.AsyncFlush(); err != nil {
		s.fail(err)
	}
}

// close waits until nothing is being reclaimed.
func (sp *space) close() {
	sp.mu.Lock()
	sp.closed = true
	sp.mu.Unlock()
	sp.wait.Wait()
}

// Publish does queues.WorkStore.Publish, unless the disk is nearly full.
func (s *Store) Publish(ctx context.Context, calls []*queues.PublishCall) {
	err := s.refuseMore()
	if err == nil {
		s.Store.Publish(ctx, calls)
		return
	}
	for _, c := range calls {
		c.Results, c.Err = nil, err
		if c.Claim != nil {
			c.Claim.Err = err
		}
	}
}

// Append does queues.InboxStore.Append, unless the disk is nearly full.
func (s *Store) Append(ctx context.Context, calls []*queues.AppendCall) {
	err := s.refuseMore()
	if err == nil {
		s.Store.Append(ctx, calls)
		return
	}
	for _, c := range calls {
		c.Results, c.Err = nil, err
	}
}
