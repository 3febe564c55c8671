//go:build unix && (!linux || race || msan || asan)

package wsconn

import "syscall"

// The race detector learns from package syscall what happens before what.

func sysRead(fd int, p []byte) (int, error)  { return syscall.Read(fd, p) }
func sysWrite(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }
