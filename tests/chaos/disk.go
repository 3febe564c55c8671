package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is a disk that forgets what wasn't synced when its power fails, or keeps some of its blocks and names; which SIGKILL
// doesn't do, since the system has what was written. It is in this process' memory, and from one process to the next in a folder.
type disk struct {
	vfs.FS // mem
	mem    *vfs.MemFS
	dir    string

	power sync.RWMutex // who syncs has it for reading; it is locked when the power fails, for good
	fail  atomic.Pointer[func()]
}

const diskRoot = "data"

// loadDisk makes a disk of what is in a folder, if that is there.
func loadDisk(dir string) (*disk, error) {
	mem := vfs.NewCrashableMem()
	d := &disk{FS: mem, mem: mem, dir: dir}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return d, nil
	}
	if _, err := vfs.Clone(vfs.Default, mem, dir, diskRoot, vfs.CloneSync); err != nil {
		return nil, err
	}
	root, err := mem.OpenDir("/")
	if err != nil {
		return nil, err
	}
	return d, errors.Join(root.Sync(), root.Close())
}

// save puts what is on a disk into the folder.
func (d *disk) save(mem *vfs.MemFS) error {
	if err := os.RemoveAll(d.dir); err != nil {
		return err
	}
	_, err := vfs.Clone(mem, vfs.Default, diskRoot, d.dir)
	return err
}

// cut has the power fail: within a sync, that isn't done then, if there is one soon, or at once. The process ends.
func (d *disk) cut(within bool) {
	fail := sync.OnceFunc(d.failNow)
	if !within {
		fail()
	}
	d.fail.Store(&fail)
	time.AfterFunc(100*time.Millisecond, fail)
}

// failNow saves what a power cut leaves, says how much it took, and ends the process. Nothing that needs a sync
// is answered any more: what is seen until then of the rest is what was seen just before.
func (d *disk) failNow() {
	d.power.Lock()
	synced := d.mem.CrashClone(vfs.CrashCloneCfg{})
	left, kept := synced, 0
	if rand.IntN(2) == 0 { // some of the rest is there: torn
		kept = 1 + rand.IntN(99)
		left = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: kept, RNG: rand.New(rand.NewPCG(rand.Uint64(), 0))})
	}
	err := d.save(left)
	fmt.Println(unsynced(d.mem, synced), kept)
	if err != nil {
		fmt.Fprintln(os.Stderr, "disk:", err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// unsynced is how many bytes of files weren't synced.
func unsynced(now, synced *vfs.MemFS) (n int64) {
	names, _ := now.List(diskRoot)
	for _, name := range names {
		name = now.PathJoin(diskRoot, name)
		info, err := now.Stat(name)
		if err != nil || info.IsDir() {
			continue
		}
		n += info.Size()
		if info, err := synced.Stat(name); err == nil {
			n -= min(info.Size(), n)
		}
	}
	return n
}

// sync syncs as f does, after the time that a disk takes.
func (d *disk) sync(f func() error) error {
	time.Sleep(300 * time.Microsecond)
	if fail := d.fail.Load(); fail != nil {
		(*fail)()
	}
	d.power.RLock()
	defer d.power.RUnlock()
	return f()
}

// diskFile is a file, or a folder, of a disk.
type diskFile struct {
	vfs.File
	d *disk
}

func (f *diskFile) Sync() error     { return f.d.sync(f.File.Sync) }
func (f *diskFile) SyncData() error { return f.d.sync(f.File.SyncData) }

func (f *diskFile) SyncTo(n int64) (full bool, err error) {
	err = f.d.sync(func() (err error) { full, err = f.File.SyncTo(n); return err })
	return full, err
}

func (d *disk) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(d.mem.Create(name, c))
}

func (d *disk) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.file(d.mem.Open(name, opts...))
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.file(d.mem.OpenReadWrite(name, c, opts...))
}

func (d *disk) OpenDir(name string) (vfs.File, error) { return d.file(d.mem.OpenDir(name)) }

func (d *disk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(d.mem.ReuseForWrite(from, to, c))
}
