package redisadapter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
)

// TestRestore: entries that Redis had taken and has lost are written again, in front of those that came later: they came
// behind them before.
func TestRestore(t *testing.T) {
	r := redistest.Start(t)
	ctx := t.Context()
	s := newStream(Streams(r.Client(), StreamsConfig{}), "s")
	s.readAt.Store(time.Now().UnixNano())
	a := &streamAdapter{d: s.d, stream: s, uid: "u", namespace: "/"}
	put := func() {
		if err := s.put(ctx, &sentEntry{a: a, fields: []any{fieldUID, "u"}}); err != nil {
			t.Fatal(err)
		}
	}
	w := &streamWriter{stream: s}
	defer w.close()
	write := func() {
		if err := w.write(s.next()); err != nil {
			t.Fatal(err)
		}
	}
	there := func() string { // numbers of the entries; those that are written again with a prime
		list, err := r.Admin().XRange(ctx, "s", "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, m := range list {
			if e, _ := readEntry(m); e.seq > 0 {
				mark := ""
				if e.again != "" {
					mark = "'"
				}
				text = append(text, fmt.Sprint(e.seq, mark))
			}
		}
		return strings.Join(text, " ")
	}
	lose := func(n int) {
		if err := r.Admin().XDel(ctx, "s", s.mine[n].at.String()).Err(); err != nil {
			t.Fatal(err)
		}
	}

	for range 4 {
		put()
	}
	write()
	lose(2)
	lose(3)
	put()
	w.broken(nil)
	w.old, w.history = "", "of the server before"
	write()
	if got := there(); got != "1 2 3' 4' 5" {
		t.Errorf("after a failover: %s", got)
	}

	// Over the same connection more has been written meanwhile: by its old number it would be taken for a copy.
	lose(4)
	put()
	write()
	s.doubt.Store(true)
	write()
	if got := there(); got != "1 2 3' 4' 6 7" {
		t.Errorf("what somebody has deleted: %s", got)
	}
}
