//go:build !unix

package cluster

import (
	"net"
	"time"
)

func carry(from, to net.Conn, limit time.Duration) error { return copyLoop(from, to, limit) }
