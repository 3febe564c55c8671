package redisadapter

import (
	"bytes"
	"fmt"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/parser"
)

// kind is what a message is about, with its number in the cluster protocol that
// the sharded and the streams adapter share. The classic protocol has numbers of its own.
//
// https://github.com/socketio/socket.io/blob/main/packages/socket.io-adapter/lib/cluster-adapter.ts
type kind int

const (
	kindBroadcast   kind = 3
	kindJoin        kind = 4
	kindLeave       kind = 5
	kindDisconnect  kind = 6
	kindFetch       kind = 7
	kindFetchReply  kind = 8
	kindServerEmit  kind = 9
	kindServerReply kind = 10
	kindClients     kind = 11 // how many clients a broadcast asks
	kindAck         kind = 12

	// Only in the classic protocol.
	kindAllRooms kind = 101
	kindSockets  kind = 102 // ids, as asked by servers up to version 7 of the adapter
	kindDone     kind = 103 // the answer to an old request about one socket
)

// message is one message between nodes, whatever its form.
type message struct {
	kind      kind
	uid       string // of the adapter that sent it: one namespace of one node
	namespace string
	request   string // id: an answer is wanted, or this is one

	op    *adapters.Op   // what to do or to ask
	reply adapters.Reply // of an answer

	acked bool     // the event was sent to one client with an ack id: it isn't replayed
	rooms []string // kindAllRooms' answer
	old   bool     // a request in the old form, about the one socket in op.Target

	// nothing marks an answer to ServerAsk without a value, which Go nodes
	// give each other: Node servers stay silent, and are waited for in vain.
	nothing bool
}

// isReply reports whether the message answers one of ours.
func (k kind) isReply() bool {
	switch k {
	case kindFetchReply, kindServerReply, kindClients, kindAck:
		return true
	}
	return false
}

// kindOf returns how an operation is sent.
func kindOf(op *adapters.Op) kind {
	switch op.Kind {
	case adapters.Emit, adapters.Ask:
		return kindBroadcast
	case adapters.Join:
		return kindJoin
	case adapters.Leave:
		return kindLeave
	case adapters.Disconnect:
		return kindDisconnect
	case adapters.Fetch:
		return kindFetch
	case adapters.ServerEmit, adapters.ServerAsk:
		return kindServerEmit
	}
	return 0
}

// replyKind returns how a reply to an operation is sent.
func replyKind(op *adapters.Op, r adapters.Reply) kind {
	switch {
	case op.Kind == adapters.Fetch:
		return kindFetchReply
	case op.Kind == adapters.ServerAsk:
		return kindServerReply
	case r.Clients >= 0:
		return kindClients
	}
	return kindAck
}

// payloadLimits are those for data of other nodes: what a node may send is for
// its own limits to say. Only what would harm clients or Node is refused.
var payloadLimits = parser.Limits{MaxAttachments: -1, MaxAttachmentBytes: -1, MaxDepth: 1000, MaxEventName: -1, MaxNamespace: -1}

// checkEvent checks that p is an event that clients can be sent.
func checkEvent(p parser.Payload) error {
	if p.JSON == nil {
		return fmt.Errorf("event without data: %w", parser.ErrInvalidPayload)
	}
	packet := parser.Packet{Type: parser.Event, Namespace: "/", ID: parser.NoID, Payload: p}
	return packet.Check(payloadLimits)
}

// single returns the first element of p, an array: acks and answers carry one
// value. It has no JSON if there is none.
func single(p parser.Payload) (parser.Payload, error) {
	args, err := parser.ParseArgs(p)
	if err != nil || args.Len() == 0 {
		return parser.Payload{}, err
	}
	raw := args.Raw(0)
	if args.Len() == 1 || len(p.Attachments) == 0 {
		return parser.Payload{JSON: raw, Attachments: p.Attachments}, nil
	}
	places, err := p.Placeholders()
	if err != nil {
		return parser.Payload{}, err
	}
	start := firstByte(p.JSON)
	var one parser.Payload
	from := 0
	for _, at := range places {
		if at.Start >= start+len(raw) {
			break
		}
		one.JSON = append(one.JSON, raw[from:at.Start-start]...)
		one.JSON = parser.AppendPlaceholder(one.JSON, len(one.Attachments))
		one.Attachments = append(one.Attachments, p.Attachments[at.Num])
		from = at.End - start
	}
	one.JSON = append(one.JSON, raw[from:]...)
	return one, nil
}

// firstByte returns where the first element of an array begins.
func firstByte(array []byte) int {
	i := bytes.IndexByte(array, '[') + 1
	return len(array) - len(bytes.TrimLeft(array[i:], " \t\r\n"))
}

// list returns v as an array of one element; of none if v is undefined.
func list(v parser.Payload) parser.Payload {
	b := make([]byte, 0, len(v.JSON)+2)
	b = append(append(append(b, '['), v.JSON...), ']')
	return parser.Payload{JSON: b, Attachments: v.Attachments}
}
