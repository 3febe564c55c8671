// Package gcfloor spares small heaps most of their collections.
//
// Go collects whenever the heap has doubled, and begins at 4 MB: a server
// with few connections and much traffic collects hundreds of times a second. With a floor
// it doesn't before the heap has the floor's size. From half of that on the
// usual doubling holds, so that large heaps don't grow beyond what GOGC=100 gives.
package gcfloor

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// Default is a floor that costs little beside what a process needs anyway.
const Default = 24 << 20

// Set sets the floor in bytes for the rest of the process. It does nothing if the
// environment has GOGC: then somebody has decided.
func Set(bytes uint64) {
	if os.Getenv("GOGC") != "" {
		return
	}
	set(bytes)
}

func set(bytes uint64) *floor {
	f := &floor{bytes: bytes, percent: 100}
	f.adjust()
	f.afterEach()
	return f
}

type floor struct {
	bytes   uint64
	percent int
	off     atomic.Bool
}

// afterEach has adjust run after each collection, by an object that dies in it.
func (f *floor) afterEach() {
	type object struct{ _ *byte }
	runtime.SetFinalizer(&object{new(byte)}, func(*object) {
		if !f.off.Load() {
			f.adjust()
			f.afterEach()
		}
	})
}

func (f *floor) adjust() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	p := percent(sample[0].Value.Uint64(), f.bytes)
	if diff := p - f.percent; diff > f.percent/4 || diff < -f.percent/4 || p == 100 && diff != 0 {
		f.percent = p
		debug.SetGCPercent(p)
	}
}

// minimum is the heap below which Go doesn't collect with GOGC=100; it grows with GOGC.
const minimum = 4 << 20

// percent is how much a live heap may grow, so that it has the floor's size.
func percent(live, floor uint64) int {
	most := floor * 100 / minimum
	if live == 0 {
		return int(most)
	}
	return int(max(100, min(most, (max(floor, live)-live)*100/live)))
}
