package pebblequeue

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/queues/queuetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
		return
	}
	if os.Getenv(fullDisk) != "" {
		openOnFullDisk()
		return
	}
	goleak.VerifyTestMain(m)
}

// testClock is a clock that tests advance.
type testClock struct{ ns atomic.Int64 }

func newTestClock() *testClock {
	c := &testClock{}
	c.ns.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

func (c *testClock) now() time.Time       { return time.Unix(0, c.ns.Load()) }
func (c *testClock) pass(d time.Duration) { c.ns.Add(int64(d)) }

func mustOpen(t testing.TB, dir string, c Config) *Store {
	t.Helper()
	s, err := Open(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	clock := newTestClock()
	queuetest.Run(t, func(t *testing.T) queues.Store {
		return mustOpen(t, "data", Config{Now: clock.now, MemTable: 1 << 20, FS: vfs.NewMem()})
	}, queuetest.Options{Sleep: clock.pass})
}

func TestInboxModel(t *testing.T) {
	clock := newTestClock()
	cfg := Config{Now: clock.now, MemTable: 1 << 20, FS: vfs.NewMem()}
	s, err := Open("data", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	queuetest.InboxModel(t, s, clock.pass, func() queues.Store {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open("data", cfg); err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestInboxBrokers(t *testing.T) {
	store := mustOpen(t, "data", Config{MemTable: 1 << 20, FS: vfs.NewMem()})
	queuetest.InboxBrokers(t, []queues.Store{store, store, store}, true)
}

func TestOnDisk(t *testing.T) {
	clock := newTestClock()
	// Each test has a store of its own: one counts all inboxes that there are.
	queuetest.Run(t, func(t *testing.T) queues.Store { return mustOpen(t, t.TempDir(), Config{Now: clock.now}) }, queuetest.Options{Sleep: clock.pass})
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir, Config{})
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

func TestDamagedData(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Config{})
	s.Configure(t.Context(), "q", queues.Config{}.WithDefaults())
	s.Close()
	manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	for _, name := range manifests {
		if err := os.WriteFile(name, []byte(strings.Repeat("nonsense", 100)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	for _, name := range manifests {
		os.Remove(name)
	}
	if _, err := Open(dir, Config{}); !errors.Is(err, ErrDamaged) {
		t.Error("without it:", err)
	}
}

func TestDirectoryThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	if _, err := Open(filepath.Join(file, "data"), Config{}); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Error(err)
	}
}

func TestBackup(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, filepath.Join(dir, "data"), Config{})
	s.Configure(t.Context(), "q", queues.Config{}.WithDefaults())
	publish(t, s, "q", "a", "b")
	if err := s.Backup(t.Context(), filepath.Join(dir, "deep", "backup")); err != nil {
		t.Fatal(err)
	}
	publish(t, s, "q", "c")
	b := mustOpen(t, filepath.Join(dir, "deep", "backup"), Config{})
	if got := claim(t, b, "q", 10); len(got) != 2 {
		t.Errorf("%d messages", len(got))
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "deep", "backup")); err == nil {
		t.Error("a backup was written over")
	}
}

func TestClosedStore(t *testing.T) {
	s := mustOpen(t, "data", Config{FS: vfs.NewMem()})
	s.Close()
	if err := s.Configure(t.Context(), "q", queues.Config{}); !errors.Is(err, queues.ErrUnavailable) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = mustOpen(t, "data", Config{FS: vfs.NewMem()})
	if err := s.Configure(ctx, "q", queues.Config{}); !errors.Is(err, queues.ErrUnavailable) {
		t.Error(err)
	}
}

// A computer's clock that is set to another time doesn't end leases early or late.
func TestClockFollowsSlowly(t *testing.T) {
	for _, jump := range []time.Duration{0, time.Hour, -time.Hour} {
		wall := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		passed := time.Duration(0)
		now := newClock(func() time.Time { return wall }, func() time.Duration { return passed })
		step := func(d time.Duration) time.Duration {
			before := now()
			passed += d
			wall = wall.Add(d)
			return now().Sub(before)
		}
		wall = wall.Add(jump)
		if d := step(30 * time.Second); d < 29*time.Second || d > 31*time.Second {
			t.Errorf("jump %v: 30 s are %v", jump, d)
		}
		for range 60 * 60 {
			step(time.Minute)
		}
		if off := now().Sub(wall); off != 0 {
			t.Errorf("jump %v: %v off in the end", jump, off)
		}
	}
}

func publish(t testing.TB, s queues.Store, queue string, texts ...string) []queues.PublishResult {
	t.Helper()
	c := &queues.PublishCall{Queue: queue}
	for _, text := range texts {
		c.Drafts = append(c.Drafts, &queues.Draft{Payload: queues.Payload{JSON: []byte(text)}})
	}
	s.Publish(t.Context(), []*queues.PublishCall{c})
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	return c.Results
}

func claim(t testing.TB, s queues.Store, queue string, n int) []*queues.Message {
	t.Helper()
	c := &queues.ClaimCall{Queue: queue, Node: "n", Wants: []queues.Want{{Messages: n}}}
	s.Claim(t.Context(), []*queues.ClaimCall{c})
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	return c.Wants[0].Got
}

func settle(t testing.TB, s queues.Store, outcome queues.Outcome, ms ...*queues.Message) []error {
	t.Helper()
	c := &queues.SettleCall{Queue: ms[0].Queue}
	for _, m := range ms {
		c.Items = append(c.Items, queues.Settlement{Ref: m.Ref(), Outcome: outcome})
	}
	s.Settle(t.Context(), []*queues.SettleCall{c})
	if c.Err != nil {
		t.Fatal(c.Err)
	}
	return c.Results
}
