// Package load is the load generator: Socket.IO clients by the thousand on one
// goroutine. It talks to the kernel by epoll and non-blocking reads and writes,
// keeps no buffer for a connection that waits, and sends frames that were
// prepared beforehand, so that on a shared machine the server is what is
// measured. It only works on Linux and only speaks to 127.0.0.0/8.
package load

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Faults counts what must not happen.
type Faults struct {
	Handshakes int `json:"handshakes"` // connections that did not get as far as "joined"
	Lost       int `json:"lost"`       // connections that ended by themselves
	Wrong      int `json:"wrong"`      // answers that were not what was asked for, or never came
	// First describes the first fault.
	First string `json:"first,omitempty"`
}

// Total is the number of faults of all kinds.
func (f *Faults) Total() int { return f.Handshakes + f.Lost + f.Wrong }

// Note counts a fault in one of f's counters and keeps the first's description.
func (f *Faults) Note(counter *int, format string, args ...any) {
	*counter++
	if f.First == "" {
		f.First = fmt.Sprintf(format, args...)
	}
}

// Loop is an epoll instance with its connections. Everything that belongs to a
// Loop is used from one goroutine, and callbacks come from Run.
type Loop struct {
	Faults Faults

	// Version2 has sockets speak as clients of version 2 do: Engine.IO 3. They
	// don't ping by themselves: see FramePing.
	Version2 bool

	epoll   int
	events  []unix.EpollEvent
	streams []*stream // by file descriptor
	buf     []byte    // what a read goes to, unless part of a message waits
	dialed  int32
}

// New returns a Loop. The caller closes it.
func New() (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &Loop{
		epoll:  epoll,
		events: make([]unix.EpollEvent, 1024),
		buf:    make([]byte, 256<<10),
	}, nil
}

// Close closes all connections and the Loop.
func (l *Loop) Close() {
	for _, s := range l.streams {
		if s != nil {
			s.close()
		}
	}
	unix.Close(l.epoll)
}

// Run handles events until done (which may be nil) says so, asked after every
// turn, or the deadline has passed. It reports whether done said so.
func (l *Loop) Run(deadline time.Time, done func() bool) bool {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		if done != nil && done() {
			return true
		}
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		l.turn(left)
	}
}

// turn waits for events and handles them. The first look doesn't tell Go's
// scheduler, which is cheaper and finds something whenever the server is busy.
func (l *Loop) turn(wait time.Duration) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll),
		uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), 0, 0, 0)
	if errno != 0 {
		n = 0
	}
	if n == 0 {
		ms := int((wait + time.Millisecond - 1) / time.Millisecond)
		waited, err := unix.EpollWait(l.epoll, l.events, ms)
		if err != nil {
			return // EINTR
		}
		n = uintptr(waited)
	}
	for i := range l.events[:n] {
		event := &l.events[i]
		// The number may belong to a new connection by now.
		if s := l.streams[event.Fd]; s != nil && s.serial == event.Pad {
			s.ready(event.Events)
		}
	}
}

// sources is how many addresses connections come from, in turn, so that ports
// don't run out.
const sources = 8

// dial starts to connect s. A receive buffer of 0 is the system's default.
func (l *Loop) dial(s *stream, owner owner, addr netip.AddrPort, receive int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	for len(l.streams) <= fd {
		l.streams = append(l.streams, nil)
	}
	l.dialed++
	*s = stream{loop: l, fd: fd, serial: l.dialed, owner: owner, connecting: true}
	l.streams[fd] = s

	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	if receive > 0 {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receive)
	}
	source := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + l.dialed%sources)}}
	if err := unix.Bind(fd, source); err != nil {
		s.close()
		return os.NewSyscallError("bind", err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())})
	if err != nil && err != unix.EINPROGRESS {
		s.close()
		return os.NewSyscallError("connect", err)
	}
	if err := s.watch(unix.EPOLL_CTL_ADD, unix.EPOLLOUT); err != nil {
		s.close()
		return err
	}
	return nil
}
