package redisadapter

import (
	"slices"
	"sync"

	"github.com/roomcast/roomcast/adapters"
)

// recent is the end of a stream as this node has read it, without a gap. Clients
// that come back soon are served from it, however many they are.
type recent struct {
	mu    sync.Mutex
	list  []recentEntry // by offset
	bytes int
}

type recentEntry struct {
	at   adapters.Offset
	nsp  string
	op   *adapters.Op // nil unless it is to be replayed
	size int
}

// How much of it is kept.
const (
	recentEntries = 16_384
	recentBytes   = 8 << 20
)

func (r *recent) add(e recentEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.size += 128
	r.list = append(r.list, e)
	r.bytes += e.size
	n := 0
	for len(r.list)-n > recentEntries || r.bytes > recentBytes && n < len(r.list)-1 {
		r.bytes -= r.list[n].size
		r.list[n] = recentEntry{}
		n++
	}
	r.list = r.list[n:]
}

// reset forgets everything: there is a gap.
func (r *recent) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list, r.bytes = nil, 0
}

// after returns the stretch of a namespace that follows at, if it is known here that
// at is in the stream and what follows it.
func (r *recent) after(at adapters.Offset, namespace string, limit int) (adapters.Page, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, found := slices.BinarySearchFunc(r.list, at, func(e recentEntry, at adapters.Offset) int { return e.at.Compare(at) })
	if !found {
		return adapters.Page{}, false
	}
	page := adapters.Page{End: at, Last: true}
	for _, e := range r.list[i+1:] {
		if len(page.Entries) == limit {
			page.Last = false
			break
		}
		page.End = e.at
		if e.op != nil && e.nsp == namespace {
			page.Entries = append(page.Entries, adapters.Entry{At: e.at, Op: e.op})
		}
	}
	return page, true
}
