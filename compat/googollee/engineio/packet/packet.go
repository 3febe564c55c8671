// Package packet has the types of Engine.IO packets, as googollee's package of that name.
package packet

// Type is the type of a packet.
type Type int

// The types of packets, in the order of the protocol.
const (
	OPEN Type = iota
	CLOSE
	PING
	PONG
	MESSAGE
	UPGRADE
	NOOP
)

var names = [...]string{"open", "close", "ping", "pong", "message", "upgrade", "noop"}

// String returns the type's name.
func (t Type) String() string {
	if t < 0 || int(t) >= len(names) {
		return "unknown"
	}
	return names[t]
}
