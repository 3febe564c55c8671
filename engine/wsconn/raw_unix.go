//go:build unix

package wsconn

import (
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawConn returns access to nc's descriptor, nil if it has none.
func rawConn(nc net.Conn) (syscall.RawConn, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, nil
	}
	return sc.SyscallConn()
}

// serveRaw reads with a single call of RawConn.Read for the life of the
// connection: the runtime parks the goroutine whenever readable returns false.
//
// It reports true when it wants to go on with a fresh goroutine. That is safe:
// a new call of RawConn.Read reads before it parks.
func (c *Conn) serveRaw() (renew bool) {
	if c.takeFirst() {
		c.raw.Read(c.readable) // its error is Close's deadline
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

// gather is a write under way. It is pooled with its function, which would
// else be allocated for each write.
type gather struct {
	bufs [][]byte
	one  [1][]byte // where bufs are when it is one
	n    int
	err  error
	f    func(fd uintptr)
}

var gathers = sync.Pool{New: func() any {
	g := new(gather)
	g.f = g.write
	return g
}}

// writeRaw writes what the kernel takes of bufs without blocking.
func (c *Conn) writeRaw(bufs [][]byte) (n int, err error) {
	g := gathers.Get().(*gather)
	g.bufs = bufs
	return c.gather(g)
}

// writeOne is writeRaw for one buffer.
func (c *Conn) writeOne(b []byte) (n int, err error) {
	g := gathers.Get().(*gather)
	g.one[0] = b
	g.bufs = g.one[:]
	return c.gather(g)
}

// gather does the write g and puts it back. RawConn.Control keeps the descriptor from being closed
// meanwhile, as RawConn.Write does, which would also ask the poller for deadlines.
func (c *Conn) gather(g *gather) (n int, err error) {
	if err = c.raw.Control(g.f); err == nil {
		err = g.err
	}
	n = g.n
	g.bufs, g.one[0], g.n, g.err = nil, nil, 0, nil
	gathers.Put(g)
	return n, err
}

// maxIovecs is IOV_MAX.
const maxIovecs = 1024

// write writes until all is written, or the kernel takes no more.
func (g *gather) write(fd uintptr) {
	for len(g.bufs) > 0 {
		bufs := g.bufs[:min(len(g.bufs), maxIovecs)]
		size := 0
		for _, b := range bufs {
			size += len(b)
		}
		var n int
		var err error
		if len(bufs) == 1 {
			n, err = sysWrite(int(fd), bufs[0])
		} else {
			n, err = unix.Writev(int(fd), bufs)
		}
		switch err {
		case nil:
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return
		default:
			g.err = err
			return
		}
		g.n += n
		if n < size {
			return
		}
		g.bufs = g.bufs[len(bufs):]
	}
}
