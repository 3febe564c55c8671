// Package adapters is what the nodes of a cluster say to each other: operations
// on the sockets of a namespace, published to or asked of all other nodes, and
// the log from which clients that were away recover.
package adapters

import (
	"time"

	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/rooms"
)

// Kind is what an Op does.
type Kind uint8

const (
	Emit       Kind = iota + 1 // send an event to the target
	Ask                        // send an event to the target and collect the acks
	Join                       // make the target join rooms
	Leave                      // make the target leave rooms
	Disconnect                 // disconnect the target
	Fetch                      // describe the target
	ServerEmit                 // raise an event on the other nodes themselves
	ServerAsk                  // the same, each node answering
)

// Op is one operation on the sockets of a namespace, wherever they are.
// It is not changed once it was published.
type Op struct {
	Kind   Kind
	Target rooms.Target
	Data   parser.Payload // Emit, Ask, ServerEmit, ServerAsk: the event with its arguments
	Rooms  []string       // Join, Leave
	Close  bool           // Disconnect: the whole connection, not only the namespace

	Volatile   bool          // Emit: drop it where it can't be sent at once
	NoCompress bool          // Emit, Ask
	Timeout    time.Duration // Ask: how long the asking node waits
}

// Recoverable reports whether op goes into the log: events that a client
// which was away has to be told.
func (op *Op) Recoverable() bool { return op.Kind == Emit && !op.Volatile }

// Reply is one answer to a request: to Ask first the number of clients asked on a
// node, then an ack for each; to Fetch a node's sockets; to ServerAsk an answer.
type Reply struct {
	Node    string
	Clients int            // Ask: how many clients of this node were asked; -1 in acks
	Data    parser.Payload // Ask, ServerAsk: the arguments of the answer
	Sockets []Socket       // Fetch
}

// Socket describes a socket on any node, as FetchSockets returns it.
type Socket struct {
	ID        string         `json:"id"`
	Handshake Handshake      `json:"handshake"`
	Rooms     []string       `json:"rooms"`
	Data      map[string]any `json:"data"`
}
