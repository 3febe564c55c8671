//go:build unix

package cluster

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const chunkSize = 16 << 10

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// carry passes on what comes from one connection until it ends. A buffer is
// taken only once there is something to read.
func carry(from, to net.Conn, limit time.Duration) error {
	sc, ok := from.(syscall.Conn)
	if !ok {
		return copyLoop(from, to, limit)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	for {
		var buf *[chunkSize]byte
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			buf = chunks.Get().(*[chunkSize]byte)
			for {
				n, failed = syscall.Read(int(fd), buf[:])
				if failed != syscall.EINTR {
					break
				}
			}
			if failed == syscall.EAGAIN {
				chunks.Put(buf)
				buf = nil
				return false
			}
			return true
		})
		switch {
		case err != nil:
		case failed != nil:
			err = failed
		case n <= 0:
			err = io.EOF
		default:
			err = pass(to, buf[:n], limit)
		}
		if buf != nil {
			chunks.Put(buf)
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
}
