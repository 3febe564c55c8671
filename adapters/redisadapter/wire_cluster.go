package redisadapter

import (
	"github.com/roomcast/roomcast/adapters"
)

// The protocol of the official cluster adapters, which the sharded and the
// streams adapter send in different ways:
//
//	{"type":3,"data":{"packet":{"type":2,"data":["say","hi"]},"opts":{…}},"uid":"75b7814d6785816e","nsp":"/"}

// encodeCluster writes the envelope: as JSON, unless it holds binary values or
// packed is set.
func encodeCluster(m *message, packed bool) ([]byte, error) {
	var w sink
	if packed || m.binary() {
		w = &packSink{dst: make([]byte, 0, m.size())}
	} else {
		w = &jsonSink{dst: make([]byte, 0, m.size())}
	}
	w.object(4)
	w.key("type")
	w.int(int64(m.kind))
	w.key("data")
	if err := writeData(w, m); err != nil {
		return nil, err
	}
	w.key("uid")
	w.text(m.uid)
	w.key("nsp")
	w.text(m.namespace)
	w.end()
	return w.bytes(), nil
}

// binary reports whether m holds binary values.
func (m *message) binary() bool {
	switch {
	case m.kind == kindFetchReply:
		return hasBinary(m.reply.Sockets)
	case m.op != nil:
		return len(m.op.Data.Attachments) > 0
	}
	return len(m.reply.Data.Attachments) > 0
}

// size is about how long m gets.
func (m *message) size() int {
	n := 256 + len(m.reply.Data.JSON) + 600*len(m.reply.Sockets)
	attachments := m.reply.Data.Attachments
	if m.op != nil {
		n += len(m.op.Data.JSON) + 32*(len(m.op.Target.Rooms)+len(m.op.Target.Except)+len(m.op.Rooms))
		attachments = m.op.Data.Attachments
	}
	for _, b := range attachments {
		n += len(b) + 5
	}
	return n
}

// writeData writes the envelope's data.
func writeData(w sink, m *message) error {
	if m.kind.isReply() {
		return writeReply(w, m)
	}
	n := 2
	if m.request != "" {
		n++
	}
	switch m.kind {
	case kindBroadcast:
		w.object(n)
		w.key("packet")
		w.object(2)
		w.key("type")
		w.int(2)
		w.key("data")
		if err := w.payload(m.op.Data); err != nil {
			return err
		}
		w.end()
		if m.request != "" {
			w.key("requestId")
			w.text(m.request)
		}
		w.key("opts")
		writeOpts(w, m.op, true)
	case kindJoin, kindLeave:
		w.object(2)
		w.key("opts")
		writeOpts(w, m.op, true)
		w.key("rooms")
		writeTexts(w, m.op.Rooms)
	case kindDisconnect:
		w.object(2)
		w.key("opts")
		writeOpts(w, m.op, true)
		w.key("close")
		w.bool(m.op.Close)
	case kindFetch:
		w.object(2)
		w.key("opts")
		writeOpts(w, m.op, true)
		w.key("requestId")
		w.text(m.request)
	case kindServerEmit:
		w.object(n - 1)
		if m.request != "" {
			w.key("requestId")
			w.text(m.request)
		}
		w.key("packet")
		if err := w.payload(m.op.Data); err != nil {
			return err
		}
	default:
		return malformed("this can't be sent")
	}
	w.end()
	return nil
}

func writeReply(w sink, m *message) error {
	if m.kind == kindFetchReply || m.kind == kindClients {
		w.object(2)
		w.key("requestId")
		w.text(m.request)
		if m.kind == kindClients {
			w.key("clientCount")
			w.int(int64(m.reply.Clients))
		} else {
			w.key("sockets")
			if err := writeSockets(w, m.reply.Sockets); err != nil {
				return err
			}
		}
		w.end()
		return nil
	}
	answer, err := answerOf(m.reply.Data)
	if err != nil {
		return err
	}
	n := 1
	if answer.JSON != nil || m.nothing {
		n++
	}
	w.object(n)
	w.key("requestId")
	w.text(m.request)
	if m.nothing {
		w.key("nothing")
		w.bool(true)
	}
	if answer.JSON != nil {
		w.key("packet")
		if err := w.payload(answer); err != nil {
			return err
		}
	}
	w.end()
	return nil
}

// decodeCluster reads the envelope. Kinds that carry nothing for us, such as
// the heartbeats of older adapters, come without op.
func decodeCluster(b []byte) (*message, error) {
	s, err := newSource(b)
	if err != nil {
		return nil, err
	}
	m := &message{}
	data := -1 // where it stands, if it came before the type
	read := false
	err = s.object(func(key string) (err error) {
		switch key {
		case "type":
			var n int64
			n, err = s.int()
			m.kind = kind(n)
		case "uid":
			m.uid, err = s.text()
		case "nsp":
			m.namespace, err = s.text()
		case "data":
			if read = m.kind != 0; read {
				return readData(s, m)
			}
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
	if err == nil && !read {
		if data >= 0 {
			s.goTo(data)
			err = readData(s, m)
		} else if m.kind >= kindBroadcast && m.kind <= kindAck {
			err = malformed("no data")
		}
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// readData reads the data of a message whose kind is known.
func readData(s source, m *message) error {
	op := &adapters.Op{}
	m.reply.Clients = -1
	packet := false
	namespace := m.namespace // a packet's own says nothing here
	err := s.object(func(key string) (err error) {
		switch key {
		case "requestId":
			m.request, err = s.text()
		case "opts":
			err = readOpts(s, op)
		case "packet":
			packet = true
			switch m.kind {
			case kindBroadcast:
				err = readPacket(s, m, op)
			case kindServerEmit:
				if op.Data, err = s.payload(); err == nil {
					err = checkEvent(op.Data)
				}
			default:
				m.reply.Data, err = readAnswer(s)
			}
		case "rooms":
			op.Rooms, err = readTexts(s)
		case "nothing":
			m.nothing, err = s.truth()
		case "close":
			op.Close, err = s.truth()
		case "sockets":
			m.reply.Sockets, err = readSockets(s)
		case "clientCount":
			var n int64
			n, err = s.int()
			m.reply.Clients = int(min(max(n, 0), 1<<30))
		default:
			err = s.skip()
		}
		return err
	})
	m.namespace = namespace
	if err != nil {
		return err
	}
	return m.complete(op, packet)
}

// complete checks that what m's kind needs was there.
func (m *message) complete(op *adapters.Op, packet bool) error {
	asked := m.request != ""
	switch m.kind {
	case kindBroadcast:
		op.Kind = adapters.Emit
		if asked {
			op.Kind = adapters.Ask
		}
	case kindServerEmit:
		op.Kind = adapters.ServerEmit
		if asked {
			op.Kind = adapters.ServerAsk
		}
	case kindJoin:
		op.Kind = adapters.Join
	case kindLeave:
		op.Kind = adapters.Leave
	case kindDisconnect:
		op.Kind = adapters.Disconnect
	case kindFetch:
		op.Kind = adapters.Fetch
		if !asked {
			return malformed("a request without an id")
		}
	case kindAck, kindServerReply:
		if m.reply.Data.JSON == nil {
			m.reply.Data = noArgs
		}
		fallthrough
	case kindFetchReply, kindClients:
		if !asked {
			return malformed("an answer without an id")
		}
		if m.kind == kindClients && m.reply.Clients < 0 {
			return malformed("no number of clients")
		}
		return nil
	default:
		return nil
	}
	if (m.kind == kindBroadcast || m.kind == kindServerEmit) && !packet {
		return malformed("no packet")
	}
	m.op = op
	return nil
}
