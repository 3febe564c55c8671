package pebblequeue

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/roomcast/roomcast/queues"
)

// When the disk is full, or fails to sync, nothing more is acknowledged, callers get an answer, and what was acknowledged
// is there when the disk is well again.
func TestFullDisk(t *testing.T) {
	for _, what := range []errorfs.OpKind{errorfs.OpFileWrite, errorfs.OpFileSyncData} {
		var full atomic.Bool
		mem := vfs.NewMem()
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if full.Load() && (op.Kind == what || what == errorfs.OpFileSyncData && op.Kind == errorfs.OpFileSync) &&
				strings.HasSuffix(op.Path, ".log") {
				return syscall.ENOSPC
			}
			return nil
		}))
		s, err := Open("data", Config{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		s.Configure(t.Context(), "q", queues.Config{}.WithDefaults())
		var stored atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					c := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{{Payload: payload64}}}
					s.Publish(t.Context(), []*queues.PublishCall{c})
					if c.Err != nil {
						if !errors.Is(c.Err, queues.ErrUnavailable) {
							t.Error(c.Err)
						}
						return
					}
					stored.Add(1)
				}
			})
		}
		for stored.Load() < 50 {
			time.Sleep(time.Millisecond)
		}
		full.Store(true)
		wg.Wait()
		if err := s.Configure(t.Context(), "r", queues.Config{}.WithDefaults()); !errors.Is(err, queues.ErrUnavailable) || !strings.Contains(err.Error(), "no space left") {
			t.Error(err) // operators are told why
		}
		if err := s.Close(); err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Error("close:", err)
		}
		full.Store(false)
		again := mustOpen(t, "data", Config{FS: fs})
		st, err := again.Stats(t.Context(), "q")
		if err != nil || int64(st.Ready) < stored.Load() {
			t.Errorf("%d are there of %d, %v", st.Ready, stored.Load(), err)
		}
	}
}
