package pebblequeue

import (
	"math/rand/v2"
	"testing"
)

// The cache has what a map would have, and knows how large it is.
func TestCache(t *testing.T) {
	var c cache
	want := map[place][]byte{}
	check := func() {
		t.Helper()
		bytes, pages := 0, map[place]bool{}
		for p, v := range want {
			if string(c.get(p)) != string(v) {
				t.Fatalf("%v: %q, not %q", p, c.get(p), v)
			}
			bytes += len(v)
			pages[place{p.line, p.seq / pageSize}] = true
		}
		if c.last != nil {
			pages[c.at] = true
		}
		if bytes += len(pages) * pageCost; c.bytes != bytes || len(c.pages) != len(pages) {
			t.Fatalf("%d bytes on %d pages, not %d on %d", c.bytes, len(c.pages), bytes, len(pages))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		p := place{r.Uint64N(3), r.Uint64N(100)}
		if r.IntN(2) == 0 {
			v := make([]byte, 1+r.IntN(20))
			c.set(p, v)
			want[p] = v
		} else {
			c.forget(p)
			delete(want, p)
		}
		if c.get(p) == nil != (want[p] == nil) {
			t.Fatal(p)
		}
		if i%100 == 0 {
			check()
		}
	}
	odd := func(p place) bool { return p.line == 1 && p.seq%2 == 1 }
	c.forgetAll(odd)
	for p := range want {
		if odd(p) {
			delete(want, p)
		}
	}
	check()
	c.trim(c.bytes / 2)
	for p := range want {
		if c.get(p) == nil {
			delete(want, p)
		}
	}
	check()
	c.trim(0)
	clear(want)
	check()
	if c.bytes != 0 {
		t.Errorf("%d bytes of nothing", c.bytes)
	}
}
