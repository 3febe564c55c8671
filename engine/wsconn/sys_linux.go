//go:build linux && !race && !msan && !asan

package wsconn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// brief is up to how many bytes are read or written without telling the scheduler: the
// descriptors don't block, and so little is copied sooner than the scheduler could use the time.
// Telling it costs a tenth of the system call, and, if the kernel has
// other things to do meanwhile, another thread.
const brief = bufferSize

// sysRead is read(2) on a descriptor that doesn't block.
func sysRead(fd int, p []byte) (int, error) {
	if len(p) == 0 || len(p) > brief {
		return syscall.Read(fd, p)
	}
	return rawIO(unix.SYS_READ, fd, p)
}

// sysWrite is write(2) on a descriptor that doesn't block.
func sysWrite(fd int, p []byte) (int, error) {
	if len(p) == 0 || len(p) > brief {
		return syscall.Write(fd, p)
	}
	return rawIO(unix.SYS_WRITE, fd, p)
}

func rawIO(trap uintptr, fd int, p []byte) (int, error) {
	n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN:
		return -1, syscall.EAGAIN
	default:
		return -1, errno
	}
}
