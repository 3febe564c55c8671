package pebblequeue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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

// sizedDisk is a file system that says how much of it is free.
type sizedDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (d *sizedDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load(), TotalBytes: 64 << 30}, nil
}

// A disk that is nearly full has no room for more, but messages that are there are worked on, and when there is room again more
// is stored. A full one ended the store, and nothing could be worked on until somebody restarted it.
func TestNearlyFullDisk(t *testing.T) {
	disk := &sizedDisk{FS: vfs.NewMem()}
	disk.free.Store(1 << 30)
	s, err := Open("data", Config{FS: disk})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Configure(t.Context(), "q", queues.Config{}.WithDefaults())
	publish := func() error {
		c := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{{Payload: payload64}}}
		s.Publish(t.Context(), []*queues.PublishCall{c})
		return c.Err
	}
	appended := func() error {
		c := &queues.AppendCall{Inbox: "ann", Entries: []*queues.Entry{{Payload: payload64}}, Limits: queues.InboxLimits{MaxLen: 10, MaxBytes: 1000}}
		s.Append(t.Context(), []*queues.AppendCall{c})
		return c.Err
	}
	if err := errors.Join(publish(), appended()); err != nil {
		t.Fatal(err)
	}
	disk.free.Store(100 << 20)
	for publish() == nil { // the disk is asked four times a second
		time.Sleep(time.Millisecond)
	}
	for _, err := range []error{publish(), appended()} {
		if err != error(queues.ErrStoreFull) {
			t.Error(err)
		}
	}
	if !s.Full() {
		t.Error("it doesn't say that it is full")
	}
	claim := &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 1}}}
	s.Claim(t.Context(), []*queues.ClaimCall{claim})
	if claim.Err != nil || len(claim.Wants[0].Got) != 1 {
		t.Fatalf("claim: %v, %v", claim.Wants[0].Got, claim.Err)
	}
	disk.free.Store(1 << 30)
	for publish() != nil {
		time.Sleep(time.Millisecond)
	}
	if err := appended(); err != nil || s.Full() {
		t.Error(err, s.Full())
	}
}

// fullDisk, in the environment, has the process be the one that opens a store on a full disk: what Pebble leaves there
// would be a leak to other tests.
const fullDisk = "ROOMCAST_TEST_FULL_DISK"

// A store that is opened on a full disk says so. Pebble tried for ever, and wrote a hundred lines a second to the log.
func TestOpenOnFullDisk(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fullDisk+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "queues in data: ") || !strings.Contains(string(out), "no space left") {
		t.Errorf("%v: %s", err, out)
	}
}

// openOnFullDisk is the process of TestOpenOnFullDisk. It prints the error.
func openOnFullDisk() {
	var full atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && strings.HasSuffix(op.Path, ".sst") {
			return syscall.ENOSPC
		}
		return nil
	}))
	c := Config{FS: fs, MemTable: 1 << 20}
	s, err := Open("data", c)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	s.Configure(ctx, "q", queues.Config{}.WithDefaults())
	large := queues.Payload{JSON: []byte(`"` + strings.Repeat("x", 200<<10) + `"`)}
	for range 4 { // enough to be sorted into a file when the store is opened
		s.Publish(ctx, []*queues.PublishCall{{Queue: "q", Drafts: []*queues.Draft{{Payload: large}}}})
	}
	full.Store(true)
	s.Close()
	_, err = Open("data", c)
	fmt.Println(err)
}
