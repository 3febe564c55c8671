package load

import (
	"io"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// owner is the protocol on a stream.
type owner interface {
	opened()                  // TCP is connected
	received(data []byte) int // takes whole messages, returns how many bytes they had
	ended(err error)          // the stream is closed, not by close
}

// stream is one non-blocking TCP connection.
type stream struct {
	loop       *Loop
	owner      owner
	fd         int
	serial     int32
	connecting bool
	closed     bool
	in         []byte // the beginning of a message that isn't complete
	want       int    // the size of that message, where known
	out        []byte // what the kernel did not take
}

func (s *stream) watch(op int, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(s.fd), Pad: s.serial}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(s.loop.epoll, op, s.fd, &event))
}

// pause stops reading for good. The kernel's buffers fill up.
func (s *stream) pause() { s.watch(unix.EPOLL_CTL_DEL, 0) }

func (s *stream) ready(events uint32) {
	if s.connecting {
		code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if err == nil {
			s.connecting = false
			err = s.watch(unix.EPOLL_CTL_MOD, unix.EPOLLIN)
		}
		if err != nil {
			s.end(os.NewSyscallError("connect", err))
			return
		}
		s.owner.opened()
		return
	}
	if events&unix.EPOLLOUT != 0 {
		s.flush()
	}
	if !s.closed && events&^unix.EPOLLOUT != 0 {
		s.read()
	}
}

// read reads once: epoll tells if there is more.
func (s *stream) read() {
	buf := s.loop.buf
	if len(s.in) > 0 {
		s.in = slices.Grow(s.in, max(s.want-len(s.in), 4096))
		buf = s.in[len(s.in):cap(s.in)]
	}
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(s.fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return
	case errno != 0:
		s.end(os.NewSyscallError("read", errno))
		return
	case n == 0:
		s.end(io.EOF)
		return
	}
	data := buf[:n]
	if len(s.in) > 0 {
		data = s.in[:len(s.in)+int(n)]
	}
	s.want = 0
	used := s.owner.received(data)
	if !s.closed {
		s.in = append(s.in[:0], data[used:]...)
	}
}

// write sends b, which may change as soon as it returns.
func (s *stream) write(b []byte) {
	if s.closed {
		return
	}
	if len(s.out) > 0 {
		s.out = append(s.out, b...)
		return
	}
	if n := s.send(b); n < len(b) && !s.closed {
		s.out = append(s.out, b[n:]...)
		s.watch(unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLOUT)
	}
}

func (s *stream) flush() {
	n := s.send(s.out)
	s.out = append(s.out[:0], s.out[n:]...)
	if len(s.out) == 0 && !s.closed {
		s.watch(unix.EPOLL_CTL_MOD, unix.EPOLLIN)
	}
}

func (s *stream) send(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(s.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0
	case errno != 0:
		s.end(os.NewSyscallError("write", errno))
		return 0
	}
	return int(n)
}

// end closes the stream and tells its owner why.
func (s *stream) end(err error) {
	if !s.closed {
		s.close()
		s.owner.ended(err)
	}
}

func (s *stream) close() {
	if s.closed {
		return
	}
	s.closed = true
	s.loop.streams[s.fd] = nil
	unix.Close(s.fd)
	s.in, s.out = nil, nil
}
