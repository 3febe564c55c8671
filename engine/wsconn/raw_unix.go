//go:build unix

package wsconn

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptor returns nc's descriptor, which is valid until nc is closed, or noFD
// if it has none.
func descriptor(nc net.Conn) (fd int, err error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return noFD, nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return noFD, err
	}
	fd = noFD
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}

// serveRaw reads with a single call of RawConn.Read for the life of the
// connection: the runtime parks the goroutine whenever readable returns false.
//
// It reports true when it wants to go on with a fresh goroutine. That is safe:
// a new call of RawConn.Read reads before it parks.
func (c *Conn) serveRaw() (renew bool) {
	if c.takeFirst() {
		if raw, err := c.nc.(syscall.Conn).SyscallConn(); err == nil {
			raw.Read(c.readable) // its error is Close's deadline
		}
	}
	renew = c.stack == renewStack
	if renew {
		c.stack = freshStack
	}
	return renew
}

// heartbeat is up to how many bytes a read brings when it brings a heartbeat
// and nothing else: the connection then seems to rest.
const heartbeat = 8

// readable reads until nothing is left. It reports whether reading has ended.
//
// It does not take a short read for the end of what is there. That would save
// a system call (0.5 µs) but lose connections: when a message and a FIN, or a
// reset, arrive before the message is read, the poller has reported both with
// one edge, and no other follows. Only EAGAIN tells that nothing is left.
func (c *Conn) readable(fd uintptr) (ended bool) {
	if c.stack == freshStack && !pending(int(fd)) {
		return false // without what the rest of this function does to a stack
	}
	total := 0
	for {
		n, bad, err := c.readRaw(int(fd))
		total += n
		switch {
		case err == syscall.EAGAIN:
			rests := c.stack == firstStack || total <= heartbeat
			switch {
			case total == 0:
			case rests && len(c.held) == 0 && c.large == nil && c.msg == nil && !c.closed.Load():
				c.stack = renewStack
				return true
			default:
				c.stack = grownStack
			}
			return false
		case err != nil || n == 0:
			return true
		case bad != nil && c.end(bad):
			return true
		}
	}
}

// pending reports whether a read would bring something, an end included.
func pending(fd int) bool {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], 0)
	return n > 0 || err != nil
}

// readRaw reads once and handles what it got. bad says what was wrong with it.
func (c *Conn) readRaw(fd int) (n int, bad, err error) {
	if c.large != nil && !c.closed.Load() {
		if n, err = read(fd, c.large.space()); n > 0 {
			bad = c.takeLarge(n)
		}
		return n, bad, err
	}
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	if c.closed.Load() {
		n, err = read(fd, buf[:])
		return n, nil, err
	}
	k := copy(buf[:], c.held)
	if n, err = read(fd, buf[k:]); n > 0 {
		bad = c.take(buf[:k+n])
	}
	return n, bad, err
}

// read is read(2), tried again when a signal came.
func read(fd int, p []byte) (n int, err error) {
	for {
		n, err = sysRead(fd, p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// maxIovecs is IOV_MAX.
const maxIovecs = 1024

// writeRaw writes what the kernel takes of bufs without blocking. The caller has the turn,
// and has seen that nc isn't closed.
func (c *Conn) writeRaw(bufs [][]byte) (n int, err error) {
	for len(bufs) > 0 {
		some := bufs[:min(len(bufs), maxIovecs)]
		size := 0
		for _, b := range some {
			size += len(b)
		}
		var k int
		if len(some) == 1 {
			k, err = sysWrite(c.fd, some[0])
		} else {
			k, err = unix.Writev(c.fd, some)
		}
		switch err {
		case nil:
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return n, nil
		default:
			return n, err
		}
		n += k
		if k < size {
			break
		}
		bufs = bufs[len(some):]
	}
	return n, nil
}
