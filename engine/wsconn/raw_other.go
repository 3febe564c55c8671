//go:build !unix

package wsconn

import (
	"net"
	"syscall"
)

// rawConn returns nil: connections are used in the blocking way here.
func rawConn(net.Conn) (syscall.RawConn, error) { return nil, nil }

func (c *Conn) serveRaw() (renew bool) { return false }

func (c *Conn) writeRaw([][]byte) (int, error) { return 0, syscall.EINVAL }

func (c *Conn) writeOne([]byte) (int, error) { return 0, syscall.EINVAL }
