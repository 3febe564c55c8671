//go:build !unix

package wsconn

import (
	"net"
	"syscall"
)

// descriptor returns none: connections are used in the blocking way here.
func descriptor(net.Conn) (int, error) { return noFD, nil }

func (c *Conn) serveRaw() (renew bool) { return false }

func (c *Conn) writeRaw([][]byte) (int, error) { return 0, syscall.EINVAL }
