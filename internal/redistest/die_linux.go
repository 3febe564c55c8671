package redistest

import "syscall"

// dieWithUs has the server end with the test's process, however that ends.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
