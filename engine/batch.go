package engine

// Wire names a form in which a batch goes over a connection.
type Wire uint8

// Batch is a run of packets that leave together and in order, such as a
// Socket.IO packet with its attachments. It is immutable, may be queued on any
// number of sessions, and keeps its encoded form for each Wire once that is
// asked for.
type Batch struct {
	packets []Packet
}

// NewBatch returns a batch of packets. It takes over packets and their data.
// A shared batch (for many sessions) caches its wire forms, others do not.
func NewBatch(shared bool, packets ...Packet) *Batch { panic("todo") }
