// Package packet has the types of Engine.IO packets.
package packet

import "github.com/roomcast/roomcast/compat/googollee/engineio/packet"

// Type is the type of a packet.
type Type = packet.Type

// The types of packets.
const (
	OPEN    = packet.OPEN
	CLOSE   = packet.CLOSE
	PING    = packet.PING
	PONG    = packet.PONG
	MESSAGE = packet.MESSAGE
	UPGRADE = packet.UPGRADE
	NOOP    = packet.NOOP
)
