package pebblequeue

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Messages that are read together with one before them aren't newer or older than what was written, deleted or not written yet.
func TestReadAhead(t *testing.T) {
	db, err := pebble.Open("", &pebble.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	k := newKV(db, 100)
	key := func(no uint32, seq uint64) []byte {
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32([]byte{'m'}, no), seq)
	}
	write := func() {
		if b := k.take(); b != nil {
			if err := db.Apply(b, pebble.NoSync); err != nil {
				t.Fatal(err)
			}
		}
		k.trim()
	}
	for seq := range uint64(1000) {
		k.Set(key(1, seq), fmt.Append(nil, "a", seq))
		k.Set(key(2, seq), fmt.Append(nil, "b", seq))
	}
	write()
	k.Delete(key(1, 11))
	k.DeleteRange(key(1, 13), key(1, 20))
	k.Set(key(1, 12), []byte("new"))
	for _, when := range []string{"before it is written", "after it is written"} {
		for seq, want := range map[uint64]string{10: "a10", 11: "", 12: "new", 15: "", 20: "a20", 400: "a400", 1000: ""} {
			if got := k.Get(key(1, seq)); string(got) != want {
				t.Errorf("%d %s: %q, not %q", seq, when, got, want)
			}
		}
		write()
	}
	if k.err != nil {
		t.Error(k.err)
	}
}
