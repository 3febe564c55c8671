// Package skew starts programs whose clock, what they take for the time of day, can be set while they run. Nobody
// else's changes, and neither does the program's monotonic clock.
package skew

import (
	"encoding/binary"
	"errors"
	"os"
	"time"
)

// ErrUnsupported says that it can't be done here: only on Linux, amd64, where a process may trace its children.
var ErrUnsupported = errors.New("skew: clocks of other programs can't be set here")

// Clock is the clock of a program that was started by Start.
type Clock struct {
	mem *os.File // the program's memory
	at  int64    // where in it is by how many seconds the clock is fast
}

// Set has the clock be fast by d, in whole seconds, or slow if d is negative.
func (c *Clock) Set(d time.Duration) error {
	_, err := c.mem.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(d/time.Second)), c.at)
	return err
}

// Close forgets the clock, which stays as it is.
func (c *Clock) Close() error { return c.mem.Close() }
