package redisadapter

import (
	"context"
	"strconv"
	"time"

	"github.com/roomcast/roomcast/adapters"
)

// Where there are several streams, official servers write the events of many namespaces to streams whose number is
// negative, and emitters may write to any. As official servers do, we deliver what comes by whichever stream is read, and replay from
// the namespace's own alone. So who was away while something went astray can't be recovered.

// strayed notes that an entry has come by the wrong stream.
func (a *streamAdapter) strayed(at time.Time) {
	if a.astray.Swap(at.Unix()) == 0 {
		a.d.cfg.Logger.Error("events of a namespace come by another stream than its own, where official servers look for them in vain: clients of the namespace can't recover",
			"namespace", a.namespace, "stream", a.stream.name)
	}
}

// How many entries are looked at for those that went astray.
const (
	strayPage  = 256
	strayPages = 16
)

// lookAstray looks, once, for entries that official servers have written to the wrong stream before the
// namespace was open here: from then on they are seen as they come.
func (a *streamAdapter) lookAstray(ctx context.Context) error {
	_, name := a.d.cfg.streamOf(a.namespace)
	if name == "" || a.looked.Load() {
		return nil
	}
	oldest := time.Now().Add(-connectedTTL)
	from := strconv.FormatInt(oldest.UnixMilli(), 10)
	last := "+"
	for range strayPages {
		list, err := a.d.rdb.XRevRangeN(ctx, name, last, from, strayPage).Result()
		if err != nil {
			return err
		}
		for _, m := range list {
			if e, ok := readEntry(m); ok && e.nsp == a.namespace {
				a.strayed(time.UnixMilli(int64(e.at.Time)))
				a.looked.Store(true)
				return nil
			}
		}
		if len(list) < strayPage {
			a.looked.Store(true)
			return nil
		}
		last = "(" + list[len(list)-1].ID
	}
	return adapters.ErrTrimmed // too many to tell
}
