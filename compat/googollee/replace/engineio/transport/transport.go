// Package transport has the interfaces of transports.
package transport

import "github.com/roomcast/roomcast/compat/googollee/engineio/transport"

type (
	Conn        = transport.Conn
	FrameReader = transport.FrameReader
	FrameWriter = transport.FrameWriter
	Transport   = transport.Transport
)
