// Package pebblequeue is a queues.Store in a directory of this node, for a server that
// runs by itself. What is acknowledged is on disk: a call returns when what it did was
// synced, together with all that others did at the time.
//
// https://github.com/cockroachdb/pebble
package pebblequeue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/internal/ledger"
)

// Config is the configuration of a store. Fields are zero for their default.
type Config struct {
	// Now is the store's clock. By default it is this computer's, but if that is set to another time
	// the store follows slowly, so that leases are as long as they should be.
	Now func() time.Time

	// MemTable is how many bytes are gathered in memory, besides the log on disk, until they are
	// sorted into a file. Most messages are settled before. The log takes up to six times as much of the disk. Default 32 MiB;
	// at most a 64th of the disk.
	MemTable int

	// Cache is how many bytes of messages are kept in memory to be handed out without reading. Default 32 MiB.
	Cache int

	// Reserve is how many bytes of the disk stay free: with less, publishes and entries for inboxes are refused
	// with queues.ErrQueueFull, and what is there can be worked on. Default 128 MiB; at most a 16th of the disk.
	// Negative: none.
	Reserve int64

	// Logger gets what goes wrong on the disk.
	Logger *slog.Logger

	// FS is where the directory is. By default this computer's file system; others are for tests of what a disk may do.
	FS vfs.FS
}

// Errors of Open.
var (
	ErrInUse   = errors.New("the directory is in use by another process")
	ErrDamaged = errors.New("the data is damaged; move the directory away, or put a backup in its place")
)

// Store is a store in a directory.
type Store struct {
	ledger.Store
	db    *pebble.DB
	lock  *pebble.Lock
	log   *slog.Logger
	clock func() time.Time
	kv    *kv
	state *ledger.Ledger
	space space

	mu      sync.Mutex
	waiting []*op
	wake    chan struct{}
	closing bool
	failed  error
	groups  chan *commit
	done    chan struct{}
}

var _ queues.Store = (*Store)(nil)

// Open opens the store in a directory, which it makes if there is none. The error wraps ErrInUse,
// ErrDamaged, or what is wrong with the directory.
func Open(dir string, c Config) (*Store, error) {
	s, err := open(dir, c)
	if err != nil {
		return nil, fmt.Errorf("queues in %s: %w", dir, err)
	}
	return s, nil
}

func open(dir string, c Config) (*Store, error) {
	if c.Now == nil {
		c.Now = systemClock()
	}
	if c.MemTable == 0 {
		c.MemTable = 32 << 20
	}
	if c.Cache == 0 {
		c.Cache = 32 << 20
	}
	if c.Reserve == 0 {
		c.Reserve = 128 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.FS == nil {
		c.FS = vfs.Default
	}
	if err := c.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c.fit(dir)
	lock, err := pebble.LockDirectory(dir, c.FS)
	if err != nil {
		if os.IsPermission(err) {
			return nil, err
		}
		return nil, fmt.Errorf("%w (%v)", ErrInUse, err)
	}
	s := &Store{
		space:  space{fs: c.FS, dir: dir, reserve: uint64(max(c.Reserve, 0)), log: c.Logger},
		lock:   lock,
		log:    c.Logger,
		clock:  c.Now,
		wake:   make(chan struct{}, 1),
		groups: make(chan *commit),
		done:   make(chan struct{}),
	}
	if err := s.load(dir, &c); err != nil {
		if s.db != nil {
			s.db.Close()
		}
		lock.Close()
		return nil, err
	}
	s.Do = s.do
	go s.commitLoop()
	go s.syncLoop()
	return s, nil
}

// load opens the database and makes the ledger of what is in it.
func (s *Store) load(dir string, c *Config) (err error) {
	defer func() {
		if p := recover(); p != nil { // of the database, which panics where it can't go on
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	cache := pebble.NewCache(8 << 20)
	defer cache.Unref()
	opts := &pebble.Options{
		FS:                          c.FS,
		Lock:                        s.lock,
		Cache:                       cache,
		FormatMajorVersion:          pebble.FormatNewest,
		MemTableSize:                uint64(c.MemTable),
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1000,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                500,
		Logger:                      dbLog{s.log},
	}
	files := newTrouble(s.log)
	opts.EventListener = &pebble.EventListener{BackgroundError: files.happened}
	for i := range opts.Levels { // what is read is read in order
		opts.Levels[i].BlockSize, opts.Levels[i].IndexBlockSize = 16<<10, 64<<10
	}
	s.db, err = files.open(dir, opts)
	if err != nil {
		if pebble.IsCorruptionError(err) || errors.Is(err, fs.ErrNotExist) { // a file that others name
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return err
	}
	s.kv = newKV(s.db, c.Cache)
	s.state, err = ledger.Load(s.kv, s.clock().UnixMilli())
	if err == nil {
		err = s.kv.err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if b := s.kv.take(); b != nil {
		err = s.db.Apply(b, pebble.Sync)
	}
	return err
}

// Close does what waits, and closes the store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		<-s.done
		return nil
	}
	s.closing = true
	failed := s.failed
	s.mu.Unlock()
	s.poke()
	<-s.done
	s.space.close()
	err := s.db.Close()
	s.lock.Close()
	return errors.Join(failed, err)
}

// Alone reports whether one node has the store: it is no sign of anything if the disk is slow.
func (s *Store) Alone() bool { return s.state.Alone() }

// Backup makes a copy of the store, as it is now, in a directory that must not exist; on the same file system
// most of it takes no space. Open opens it.
func (s *Store) Backup(ctx context.Context, dir string) error {
	if err := s.Do(ctx, func(*ledger.Ledger) {}); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	return s.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// Written returns how many bytes the store has written to its disk since it was opened.
func (s *Store) Written() uint64 {
	m := s.db.Metrics()
	total := m.WAL.BytesWritten
	for _, l := range m.Levels {
		total += l.TableBytesFlushed + l.TableBytesCompacted + l.BlobBytesFlushed + l.BlobBytesCompacted
	}
	return total
}

// dbLog is the logger of the database.
type dbLog struct{ log *slog.Logger }

func (l dbLog) Infof(string, ...any) {}

func (l dbLog) Errorf(format string, args ...any) {
	l.log.Error("queues: the database says", "error", fmt.Sprintf(format, args...))
}

// Fatalf must not return. Where it is called for a write of ours the panic is caught; where the
// database does something by itself the process ends, and what was acknowledged is on disk.
func (l dbLog) Fatalf(format string, args ...any) {
	msg := fmt.Sprintf(format, args...)
	l.log.Error("queues: the database can't go on", "error", msg)
	panic(fatal(msg))
}

type fatal string
