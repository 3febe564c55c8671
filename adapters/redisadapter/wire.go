package redisadapter

import (
	"encoding/json"
	"time"

	"github.com/roomcast/roomcast/adapters"
	"github.com/roomcast/roomcast/parser"
)

// The parts of messages that all protocols have in common.

// writeOpts writes target and flags. The lists are never left out: Node
// iterates over them without looking.
func writeOpts(w sink, op *adapters.Op, flags bool) {
	n := 2
	if flags {
		n++
	}
	w.object(n)
	w.key("rooms")
	writeTexts(w, op.Target.Rooms)
	w.key("except")
	writeTexts(w, op.Target.Except)
	if flags {
		w.key("flags")
		writeFlags(w, op)
	}
	w.end()
}

func writeFlags(w sink, op *adapters.Op) {
	n := 0
	for _, set := range []bool{op.Volatile, op.NoCompress, op.Timeout > 0} {
		if set {
			n++
		}
	}
	w.object(n)
	if op.Volatile {
		w.key("volatile")
		w.bool(true)
	}
	if op.NoCompress {
		w.key("compress")
		w.bool(false)
	}
	if op.Timeout > 0 {
		w.key("timeout")
		w.int(max(op.Timeout.Milliseconds(), 1))
	}
	w.end()
}

func writeTexts(w sink, list []string) {
	w.array(len(list))
	for _, s := range list {
		w.text(s)
	}
	w.end()
}

// readOpts reads what writeOpts writes. Unknown members and flags are for newer
// servers to know.
func readOpts(s source, op *adapters.Op) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "rooms":
			op.Target.Rooms, err = readTexts(s)
		case "except":
			op.Target.Except, err = readTexts(s)
		case "flags":
			err = readFlags(s, op)
		default:
			err = s.skip()
		}
		return err
	})
}

func readFlags(s source, op *adapters.Op) error {
	return s.object(func(key string) (err error) {
		switch key {
		case "volatile":
			op.Volatile, err = s.truth()
		case "compress":
			var on bool
			on, err = s.truth()
			op.NoCompress = !on
		case "timeout":
			var ms int64
			if ms, err = s.int(); err == nil {
				op.Timeout = time.Duration(min(max(ms, 0), int64(24*time.Hour/time.Millisecond))) * time.Millisecond
			}
		default:
			err = s.skip()
		}
		return err
	})
}

// readTexts reads rooms. Numbers are rooms too: Node compares them as text in
// the classic protocol, and has no other use for them in the others.
func readTexts(s source) (list []string, err error) {
	err = s.array(func(int) error {
		text, err := s.text()
		list = append(list, text)
		return err
	})
	return list, err
}

// readPacket reads a Socket.IO packet, which must be an event.
func readPacket(s source, m *message, op *adapters.Op) error {
	typ := int64(-1)
	err := s.object(func(key string) (err error) {
		switch key {
		case "type":
			typ, err = s.int()
		case "data":
			op.Data, err = s.payload()
		case "nsp":
			m.namespace, err = s.text()
		case "id":
			m.acked = true
			err = s.skip()
		default:
			err = s.skip()
		}
		return err
	})
	if err != nil {
		return err
	}
	if typ != int64(parser.Event) && typ != int64(parser.BinaryEvent) {
		return malformed("the packet is no event")
	}
	return checkEvent(op.Data)
}

// writeSockets writes the descriptions of sockets.
func writeSockets(w sink, list []adapters.Socket) error {
	w.array(len(list))
	for i := range list {
		if err := writeSocket(w, &list[i]); err != nil {
			return err
		}
	}
	w.end()
	return nil
}

func writeSocket(w sink, s *adapters.Socket) error {
	w.object(4)
	w.key("id")
	w.text(s.ID)
	w.key("handshake")
	h, err := json.Marshal(s.Handshake)
	if err != nil {
		return err
	}
	if err := w.payload(parser.Payload{JSON: h}); err != nil {
		return err
	}
	w.key("rooms")
	writeTexts(w, s.Rooms)
	w.key("data")
	data, err := socketData(s.Data)
	if err != nil {
		return err
	}
	if err := w.payload(data); err != nil {
		return err
	}
	w.end()
	return nil
}

var noData = parser.Payload{JSON: []byte("{}")}

func socketData(data map[string]any) (parser.Payload, error) {
	if len(data) == 0 {
		return noData, nil
	}
	p, err := parser.Marshal(data)
	if err != nil {
		return p, err
	}
	return single(p)
}

func readSockets(s source) (list []adapters.Socket, err error) {
	list = []adapters.Socket{}
	err = s.array(func(int) error {
		socket, err := readSocket(s)
		list = append(list, socket)
		return err
	})
	return list, err
}

func readSocket(s source) (socket adapters.Socket, err error) {
	err = s.object(func(key string) error {
		switch key {
		case "id":
			socket.ID, err = s.text()
		case "rooms":
			socket.Rooms, err = readTexts(s)
		case "handshake":
			var p parser.Payload
			if p, err = s.payload(); err == nil {
				err = decodeValue(p, &socket.Handshake)
			}
		case "data":
			var p parser.Payload
			if p, err = s.payload(); err == nil && p.JSON != nil {
				// A program in JavaScript may have put anything there.
				if decodeValue(takeBuffers(p), &socket.Data) != nil {
					socket.Data = nil
				}
			}
		default:
			err = s.skip()
		}
		return err
	})
	return socket, err
}

// hasBinary reports whether sockets' data holds binary values.
func hasBinary(list []adapters.Socket) bool {
	for i := range list {
		if p, err := socketData(list[i].Data); err == nil && len(p.Attachments) > 0 {
			return true
		}
	}
	return false
}

// answerOf returns the one value that an ack or answer carries, or none.
func answerOf(p parser.Payload) (parser.Payload, error) {
	if p.JSON == nil {
		return p, nil
	}
	return single(p)
}

// readAnswer reads such a value, as the list of arguments that it is the first of.
func readAnswer(s source) (parser.Payload, error) {
	p, err := s.payload()
	if err != nil {
		return p, err
	}
	p = list(p)
	if _, err := parser.ParseArgs(p); err != nil {
		return parser.Payload{}, err
	}
	return p, nil
}

var noArgs = parser.Payload{JSON: []byte("[]")}
