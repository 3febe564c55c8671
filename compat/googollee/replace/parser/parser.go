// Package parser has binary values.
package parser

import "github.com/roomcast/roomcast/compat/googollee/parser"

type (
	Buffer     = parser.Buffer
	BufferData = parser.BufferData
	Header     = parser.Header
	Payload    = parser.Payload
	Type       = parser.Type
)

// The types of packets.
const (
	Connect    = parser.Connect
	Disconnect = parser.Disconnect
	Event      = parser.Event
	Ack        = parser.Ack
	Error      = parser.Error
)

// ErrInvalidPacketType says that a packet has no type that there is.
var ErrInvalidPacketType = parser.ErrInvalidPacketType
