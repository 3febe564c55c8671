package gcfloor

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestPercent(t *testing.T) {
	for _, test := range []struct {
		live uint64
		want int
	}{
		{0, 600}, {1 << 20, 600}, {6 << 20, 300}, {12<<20 - 1, 100}, {12 << 20, 100}, {1 << 30, 100},
	} {
		if got := percent(test.live, 24<<20); got != test.want {
			t.Errorf("live %d: %d%%, want %d%%", test.live, got, test.want)
		}
	}
}

// TestFewerCollections: the same garbage costs a fraction of the collections.
func TestFewerCollections(t *testing.T) {
	t.Setenv("GOGC", "")
	collections := func() uint32 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 64 << 10 {
			sink = make([]byte, 4<<10) // 256 MB in all
		}
		runtime.ReadMemStats(&after)
		return after.NumGC - before.NumGC
	}
	runtime.GC()
	usual := collections()
	f := set(Default)
	defer debug.SetGCPercent(100)
	defer f.off.Store(true)
	runtime.GC()
	if floored := collections(); floored*2 > usual {
		t.Errorf("%d collections with a floor, %d without", floored, usual)
	}
}

var sink []byte
