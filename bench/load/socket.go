package load

import (
	"bytes"
	"fmt"
	"net/netip"
)

// Events are the callbacks of sockets. Those that are nil aren't called.
type Events struct {
	// Ready is called when the socket has joined "/" (or, of a probe, when the
	// server has answered it).
	Ready func(*Socket)
	// Message is called for each Socket.IO packet ("2[...]") and attachment.
	Message func(s *Socket, data []byte, binary bool)
	// Handled is called when all that one read brought was handed over.
	Handled func(*Socket)
	// Ended is called when the server, or the network, ends the connection. It
	// is counted as a fault unless Expected is set.
	Ended func(*Socket)
}

// Socket is a Socket.IO client over WebSocket.
type Socket struct {
	// Index is the caller's.
	Index int
	// Expected says that the connection may end without that being a fault.
	Expected bool

	stream
	events *Events
	host   string
	sid    string // of the session to upgrade; "" for a new one
	state  state
}

type state uint8

const (
	connecting state = iota // waits for 101
	opening                 // waits for the open packet
	joining                 // waits for the answer to CONNECT
	probing                 // waits for the answer to the probe
	joined
)

// FramePing is the heartbeat of clients of version 2.
var FramePing = AppendFrame(nil, Text, "2")

// Prepared frames.
var (
	framePong    = AppendFrame(nil, Text, "3")
	frameJoin    = AppendFrame(nil, Text, "40")
	frameProbe   = AppendFrame(nil, Text, "2probe")
	frameUpgrade = AppendFrame(nil, Text, "5")
	frameClose   = AppendFrame(nil, opClose, "\x03\xe8")
)

// Dial starts a WebSocket session that joins "/". Its receive buffer has the
// system's size unless receive is above 0.
func (l *Loop) Dial(addr netip.AddrPort, receive int, events *Events) (*Socket, error) {
	return l.dialSocket(addr, receive, "", events)
}

func (l *Loop) dialSocket(addr netip.AddrPort, receive int, sid string, events *Events) (*Socket, error) {
	s := &Socket{events: events, host: addr.String(), sid: sid}
	if err := l.dial(&s.stream, s, addr, receive); err != nil {
		return nil, err
	}
	return s, nil
}

// Write sends prepared frames.
func (s *Socket) Write(frames []byte) { s.write(frames) }

// Pause stops reading for good.
func (s *Socket) Pause() { s.pause() }

// Close ends the connection, with a close frame if polite.
func (s *Socket) Close(polite bool) {
	if polite && s.state != connecting {
		s.write(frameClose)
	}
	s.close()
}

func (s *Socket) opened() {
	query := "EIO=4&transport=websocket"
	if s.loop.Version2 {
		query = "EIO=3&transport=websocket"
	}
	if s.sid != "" {
		query += "&sid=" + s.sid
	}
	s.write(fmt.Appendf(nil, "GET /socket.io/?%s HTTP/1.1\r\n"+
		"Host: %s\r\n"+
		"User-Agent: roomcast-bench\r\n"+
		"Connection: Upgrade\r\n"+
		"Upgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", query, s.host))
}

// accept is the answer to the key above (RFC 6455, section 1.3).
var accept = []byte("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")

func (s *Socket) received(data []byte) int {
	used := 0
	if s.state == connecting {
		end := bytes.Index(data, []byte("\r\n\r\n"))
		if end < 0 {
			return 0
		}
		head := data[:end]
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, accept) {
			s.end(fmt.Errorf("answer to the WebSocket handshake: %.80q", data))
			return 0
		}
		used = end + 4
		if s.state = opening; s.sid != "" {
			s.state = probing
			s.write(frameProbe)
		}
	}
	for {
		opcode, payload, size, err := parseFrame(data[used:])
		if err != nil {
			s.end(err)
			return 0
		}
		if payload == nil && size > len(data)-used {
			s.want = size
			break
		}
		used += size
		s.frame(opcode, payload)
		if s.closed {
			return 0
		}
	}
	if s.events.Handled != nil {
		s.events.Handled(s)
	}
	return used
}

func (s *Socket) frame(opcode byte, data []byte) {
	if s.loop.Version2 {
		data = bytes.TrimSuffix(data, newline) // googollee ends its packets so
	}
	switch {
	case opcode == Text && len(data) > 0 && data[0] == '4' && s.state == joined:
		s.events.Message(s, data[1:], false)
	case opcode == Binary && s.state == joined:
		s.events.Message(s, data, true)
	case opcode == Text && string(data) == "2":
		s.write(framePong)
	case opcode == Text && s.loop.Version2 && string(data) == "3":
	case opcode == Text && s.loop.Version2 && s.state == opening && len(data) > 0 && data[0] == '0':
		s.state = joining // without asking
	case opcode == Text && s.state == opening && len(data) > 0 && data[0] == '0':
		s.state = joining
		s.write(frameJoin)
	case opcode == Text && s.state == joining && bytes.HasPrefix(data, []byte(`40{"sid":"`)),
		opcode == Text && s.state == joining && s.loop.Version2 && string(data) == "40",
		opcode == Text && s.state == probing && string(data) == "3probe":
		s.state = joined
		if s.events.Ready != nil {
			s.events.Ready(s)
		}
	case opcode == opPing:
		s.write(AppendFrame(nil, opPong, data))
	case opcode == opClose:
		s.end(fmt.Errorf("the server closed the WebSocket: %q", data))
	case opcode == opPong, opcode == Text && string(data) == "6":
	default:
		s.end(fmt.Errorf("unexpected frame: opcode %d, %.80q", opcode, data))
	}
}

var newline = []byte("\n")

func (s *Socket) ended(err error) {
	faults := &s.loop.Faults
	switch {
	case s.Expected:
	case s.state == joined:
		faults.Note(&faults.Lost, "socket %d: %v", s.Index, err)
	default:
		faults.Note(&faults.Handshakes, "socket %d: %v", s.Index, err)
	}
	if s.events.Ended != nil {
		s.events.Ended(s)
	}
}
