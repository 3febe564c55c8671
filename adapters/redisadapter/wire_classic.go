package redisadapter

import (
	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/parser"
	"github.com/roomcast/roomcast/parser/msgpack"
)

// The protocol of the official classic adapter: broadcasts are MessagePack
// arrays, requests and answers JSON, but for broadcasts with acks.
//
// https://github.com/socketio/socket.io-redis-adapter/blob/main/lib/index.ts

// Numbers of requests and answers.
const (
	classicSockets     = 0
	classicAllRooms    = 1
	classicJoin        = 2
	classicLeave       = 3
	classicDisconnect  = 4
	classicFetch       = 5
	classicServerEmit  = 6
	classicBroadcast   = 7
	classicClientCount = 8
	classicAck         = 9
)

// encodeBroadcast writes ["uid",{packet},{opts}].
func encodeBroadcast(m *message) ([]byte, error) {
	w := &packSink{dst: make([]byte, 0, m.size())}
	w.array(3)
	w.text(m.uid)
	if err := writeClassicPacket(w, m); err != nil {
		return nil, err
	}
	writeOpts(w, m.op, true)
	return w.dst, nil
}

func writeClassicPacket(w sink, m *message) error {
	w.object(3)
	w.key("type")
	w.int(2)
	w.key("data")
	if err := w.payload(m.op.Data); err != nil {
		return err
	}
	w.key("nsp")
	w.text(m.namespace)
	w.end()
	return nil
}

// decodeBroadcast reads what encodeBroadcast writes.
func decodeBroadcast(b []byte) (*message, error) {
	s := packSource{msgpack.NewReader(b, payloadLimits)}
	m := &message{kind: kindBroadcast, op: &adapters.Op{Kind: adapters.Emit}}
	n, err := s.Array()
	if err != nil {
		return nil, err
	}
	if n != 3 {
		return nil, malformed("a broadcast has three parts")
	}
	if m.uid, err = s.text(); err != nil {
		return nil, err
	}
	m.namespace = "/"
	if err := readPacket(s, m, m.op); err != nil {
		return nil, err
	}
	if err := readOpts(s, m.op); err != nil {
		return nil, err
	}
	return m, s.end()
}

// encodeRequest writes a request, or an operation that isn't a broadcast.
// Requests of emitters carry no uid.
func encodeRequest(m *message) ([]byte, error) {
	if m.kind == kindBroadcast {
		return encodeAsk(m)
	}
	w := &jsonSink{dst: make([]byte, 0, m.size())}
	w.object(0)
	if m.uid != "" {
		w.key("uid")
		w.text(m.uid)
	}
	if m.request != "" {
		w.key("requestId")
		w.text(m.request)
	}
	w.key("type")
	switch m.kind {
	case kindJoin, kindLeave:
		w.int(int64(classicJoin + m.kind - kindJoin))
		w.key("opts")
		writeOpts(w, m.op, false)
		w.key("rooms")
		writeTexts(w, m.op.Rooms)
	case kindDisconnect:
		w.int(classicDisconnect)
		w.key("opts")
		writeOpts(w, m.op, false)
		w.key("close")
		w.bool(m.op.Close)
	case kindFetch:
		w.int(classicFetch)
		w.key("opts")
		writeOpts(w, m.op, false)
	case kindServerEmit:
		w.int(classicServerEmit)
		w.key("data")
		if err := w.payload(m.op.Data); err != nil {
			return nil, err
		}
	default:
		return nil, malformed("this can't be sent")
	}
	w.end()
	return w.dst, nil
}

func encodeAsk(m *message) ([]byte, error) {
	w := &packSink{dst: make([]byte, 0, m.size())}
	w.object(5)
	w.key("uid")
	w.text(m.uid)
	w.key("requestId")
	w.text(m.request)
	w.key("type")
	w.int(classicBroadcast)
	w.key("packet")
	if err := writeClassicPacket(w, m); err != nil {
		return nil, err
	}
	w.key("opts")
	writeOpts(w, m.op, true)
	return w.dst, nil
}

// request gathers the members of a request, which come in any order.
type request struct {
	typ    int64
	opts   bool
	packet bool
	sid    string // of the old form
	room   string
	data   parser.Payload
}

// decodeRequest reads a request. A kind of 0 is one that we don't know.
func decodeRequest(b []byte) (*message, error) {
	s, err := newSource(b)
	if err != nil {
		return nil, err
	}
	op := &adapters.Op{}
	m := &message{op: op, namespace: "/"}
	r := request{typ: -1}
	err = s.object(func(key string) (err error) {
		switch key {
		case "type":
			r.typ, err = s.int()
		case "uid":
			m.uid, err = s.text()
		case "requestId":
			m.request, err = s.text()
		case "opts":
			r.opts = true
			err = readOpts(s, op)
		case "rooms":
			op.Rooms, err = readTexts(s)
		case "close":
			op.Close, err = s.truth()
		case "sid":
			r.sid, err = s.text()
		case "room":
			r.room, err = s.text()
		case "data":
			r.data, err = s.payload()
		case "packet":
			r.packet = true
			err = readPacket(s, m, op)
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err == nil {
		err = r.complete(m, op)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// complete makes m of the members, and checks that those that it needs were there.
func (r *request) complete(m *message, op *adapters.Op) error {
	wants := false // an id, for the answer
	switch r.typ {
	case classicSockets:
		m.kind, wants = kindSockets, true
		op.Kind, op.Target.Rooms, op.Rooms = adapters.Fetch, op.Rooms, nil
	case classicAllRooms:
		m.kind, wants, m.op = kindAllRooms, true, nil
	case classicJoin, classicLeave, classicDisconnect:
		m.kind = kindJoin + kind(r.typ-classicJoin)
		op.Kind = [...]adapters.Kind{adapters.Join, adapters.Leave, adapters.Disconnect}[r.typ-classicJoin]
		if !r.opts {
			if r.sid == "" {
				return malformed("neither opts nor sid")
			}
			m.old, wants = true, true
			op.Target.Rooms = []string{r.sid}
			if r.typ != classicDisconnect {
				op.Rooms = []string{r.room}
			}
		}
	case classicFetch:
		m.kind, wants = kindFetch, true
		op.Kind = adapters.Fetch
		if !r.opts {
			return malformed("no opts")
		}
	case classicServerEmit:
		m.kind = kindServerEmit
		op.Kind = adapters.ServerEmit
		if m.request != "" {
			op.Kind = adapters.ServerAsk
		}
		op.Data = takeBuffers(r.data)
		return checkEvent(op.Data)
	case classicBroadcast:
		m.kind, wants = kindBroadcast, true
		op.Kind = adapters.Ask
		if !r.packet || !r.opts {
			return malformed("neither packet nor opts")
		}
	default:
		m.op = nil
		return nil
	}
	if wants && m.request == "" {
		return malformed("a request without an id")
	}
	return nil
}

// encodeResponse writes an answer. uid is ours: Node doesn't look at it, and
// other Go nodes know by it who has answered.
func encodeResponse(m *message) ([]byte, error) {
	if m.kind == kindAck {
		return encodeClassicAck(m)
	}
	w := &jsonSink{dst: make([]byte, 0, m.size())}
	w.object(0)
	switch m.kind {
	case kindServerReply:
		w.key("type")
		w.int(classicServerEmit)
	case kindClients:
		w.key("type")
		w.int(classicClientCount)
	}
	w.key("requestId")
	w.text(m.request)
	switch m.kind {
	case kindFetchReply:
		w.key("sockets")
		if err := writeSockets(w, m.reply.Sockets); err != nil {
			return nil, err
		}
	case kindSockets:
		w.key("sockets")
		ids := make([]string, len(m.reply.Sockets))
		for i := range ids {
			ids[i] = m.reply.Sockets[i].ID
		}
		writeTexts(w, ids)
	case kindAllRooms:
		w.key("rooms")
		writeTexts(w, m.rooms)
	case kindServerReply:
		if m.nothing {
			w.key("nothing")
			w.bool(true)
		}
		answer, err := answerOf(m.reply.Data)
		if err != nil {
			return nil, err
		}
		if answer.JSON != nil {
			w.key("data")
			if err := w.payload(answer); err != nil {
				return nil, err
			}
		}
	case kindClients:
		w.key("clientCount")
		w.int(int64(m.reply.Clients))
	case kindDone:
	default:
		return nil, malformed("this can't be sent")
	}
	w.key("uid")
	w.text(m.uid)
	w.end()
	return w.dst, nil
}

func encodeClassicAck(m *message) ([]byte, error) {
	answer, err := answerOf(m.reply.Data)
	if err != nil {
		return nil, err
	}
	w := &packSink{dst: make([]byte, 0, m.size())}
	n := 3
	if answer.JSON != nil {
		n++
	}
	w.object(n)
	w.key("type")
	w.int(classicAck)
	w.key("requestId")
	w.text(m.request)
	if answer.JSON != nil {
		w.key("packet")
		if err := w.payload(answer); err != nil {
			return nil, err
		}
	}
	w.key("uid")
	w.text(m.uid)
	return w.dst, nil
}

// decodeResponse reads an answer. A kind of 0 is one to a request that we never make.
func decodeResponse(b []byte) (*message, error) {
	s, err := newSource(b)
	if err != nil {
		return nil, err
	}
	m := &message{reply: adapters.Reply{Clients: -1}}
	typ := int64(-1)
	var data, sockets int = -1, -1
	err = s.object(func(key string) (err error) {
		switch key {
		case "type":
			typ, err = s.int()
		case "uid":
			m.uid, err = s.text()
		case "requestId":
			m.request, err = s.text()
		case "sockets":
			sockets = s.place()
			err = s.skip()
		case "clientCount":
			var n int64
			n, err = s.int()
			m.reply.Clients = int(min(max(n, 0), 1<<30))
		case "nothing":
			m.nothing, err = s.truth()
		case "data", "packet":
			data = s.place()
			err = s.skip()
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, err
	}
	if m.request == "" {
		return nil, malformed("an answer without an id")
	}
	switch {
	case typ == classicClientCount:
		m.kind = kindClients
		if m.reply.Clients < 0 {
			return nil, malformed("no number of clients")
		}
	case typ == classicAck || typ == classicServerEmit:
		m.kind = kindAck
		m.reply.Data = noArgs
		if data >= 0 {
			s.goTo(data)
			m.reply.Data, err = readAnswer(s)
		}
		if typ == classicServerEmit {
			m.kind = kindServerReply
			m.reply.Data = takeBuffers(m.reply.Data)
		}
	case typ < 0 && sockets >= 0:
		m.kind = kindFetchReply
		s.goTo(sockets)
		m.reply.Sockets, err = readSockets(s)
	}
	return m, err
}
