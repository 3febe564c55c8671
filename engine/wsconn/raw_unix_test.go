//go:build unix

package wsconn

import (
	"testing"

	"github.com/gobwas/ws"
	"github.com/roomcast/roomcast/engine"
	"golang.org/x/sys/unix"
)

// TestFreed: a Conn whose connection was closed, be it by somebody else, doesn't write to another that
// has got its descriptor's number since.
func TestFreed(t *testing.T) {
	number := func(c *Conn) (fd int) {
		if err := c.raw.Control(func(n uintptr) { fd = int(n) }); err != nil {
			t.Fatal(err)
		}
		return fd
	}
	c, _ := pair(t, "raw", Config{})
	other, client := pair(t, "raw", Config{})
	was := number(c)
	c.nc.Close()
	dup, err := unix.FcntlInt(uintptr(number(other)), unix.F_DUPFD_CLOEXEC, was)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dup)
	if dup != was {
		t.Skipf("descriptor %d was taken by something else meanwhile", was)
	}
	for _, shared := range []bool{true, false} {
		if done, err := c.Write([]*engine.Batch{engine.NewBatch(shared, msg("lost"))}); !done || err == nil {
			t.Errorf("written to a connection that was closed: done %v, error %v", done, err)
		}
	}
	c.Close()
	if err := send(other, msg("right")); err != nil {
		t.Fatal(err)
	}
	if f, err := ws.ReadFrame(client); err != nil || string(f.Payload) != "4right" {
		t.Errorf("the other connection got %q, %v", f.Payload, err)
	}
}
