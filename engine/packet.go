package engine

// PacketType is the type of an Engine.IO packet.
type PacketType byte

// The packet types, with the digit that each has on the wire.
const (
	Open    PacketType = iota // 0
	Close                     // 1
	Ping                      // 2
	Pong                      // 3
	Message                   // 4
	Upgrade                   // 5
	Noop                      // 6
)

// Packet is one Engine.IO packet. Binary packets are always messages.
type Packet struct {
	Type   PacketType
	Binary bool
	Data   []byte
}
