package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
)

// exchange is an HTTP/1.1 keep-alive connection.
type exchange struct {
	stream
	first    []byte // request to send when connected
	response func(status int, body []byte)
	fail     func(error)
}

func (l *Loop) dialExchange(addr netip.AddrPort, first []byte, response func(int, []byte), fail func(error)) (*exchange, error) {
	x := &exchange{first: first, response: response, fail: fail}
	if err := l.dial(&x.stream, x, addr, 0); err != nil {
		return nil, err
	}
	return x, nil
}

func (x *exchange) opened() {
	x.write(x.first)
	x.first = nil
}

func (x *exchange) ended(err error) { x.fail(err) }

func (x *exchange) received(data []byte) int {
	used := 0
	for used < len(data) && !x.closed {
		status, body, size, err := parseResponse(data[used:])
		if err != nil {
			x.end(err)
			return 0
		}
		if size > len(data)-used {
			x.want = size
			break
		}
		used += size
		x.response(status, body)
	}
	return used
}

// parseResponse parses a response that has a Content-Length. If it is not
// complete, size is larger than data.
func parseResponse(data []byte) (status int, body []byte, size int, err error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil, len(data) + 1, nil
	}
	head := data[:end+2]
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, nil, 0, fmt.Errorf("not an HTTP response: %.80q", head)
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, nil, 0, fmt.Errorf("not an HTTP response: %.80q", head)
	}
	length := -1
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return 0, nil, 0, err
			}
		}
	}
	if length < 0 {
		return 0, nil, 0, fmt.Errorf("response without Content-Length: %.200q", head)
	}
	size = end + 4 + length
	if size > len(data) {
		return 0, nil, size, nil
	}
	return status, data[end+4 : size], size, nil
}

// PollEvents are the callbacks of pollers.
type PollEvents struct {
	// Ready is called when the poller has joined "/" and, if it upgrades, when
	// it has.
	Ready func(*Poller)
	// Message is called for each Socket.IO packet.
	Message func(p *Poller, data []byte)
	// Posted is called when the server has taken what Write sent, be it before
	// or after its answers arrive.
	Posted func(*Poller)
	// Failed is called after the poller was counted as a fault.
	Failed func(*Poller)
}

// Poller is a Socket.IO client that polls, on two keep-alive connections, and
// may then upgrade to WebSocket the way the official client does.
type Poller struct {
	// Index is the caller's.
	Index int
	// Socket is the WebSocket, after an upgrade.
	Socket *Socket

	loop    *Loop
	addr    netip.AddrPort
	events  *PollEvents
	upgrade *Events // of the WebSocket; nil: stays on polling
	get     *exchange
	post    *exchange
	sid     string
	poll    []byte // prepared GET
	head    []byte // of a POST, up to the length
	polling bool   // a GET is held
	posting int    // POSTs that aren't answered
	probed  bool   // the server answered the probe
	joined  bool
	ready   bool
	closed  bool
}

// DialPolling starts a session that polls. If upgrade isn't nil, it upgrades at
// once, and what arrives over the WebSocket goes to upgrade.
func (l *Loop) DialPolling(addr netip.AddrPort, events *PollEvents, upgrade *Events) (*Poller, error) {
	p := &Poller{loop: l, addr: addr, events: events, upgrade: upgrade}
	first := fmt.Appendf(nil, "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n"+
		"Host: %s\r\nUser-Agent: roomcast-bench\r\nAccept: */*\r\n\r\n", addr)
	var err error
	p.get, err = l.dialExchange(addr, first, p.opened, p.fail)
	return p, err
}

// opened takes the answer to the handshake.
func (p *Poller) opened(status int, body []byte) {
	var open struct{ SID string }
	if status != 200 || len(body) == 0 || body[0] != '0' || json.Unmarshal(body[1:], &open) != nil || open.SID == "" {
		p.fail(fmt.Errorf("answer to the polling handshake: %d %.80q", status, body))
		return
	}
	p.sid = open.SID
	line := "/socket.io/?EIO=4&transport=polling&sid=" + p.sid
	p.poll = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: roomcast-bench\r\nAccept: */*\r\n\r\n", line, p.addr)
	p.head = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: roomcast-bench\r\nAccept: */*\r\n"+
		"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: ", line, p.addr)
	p.get.response = p.polled
	p.posting++
	var err error
	if p.post, err = p.loop.dialExchange(p.addr, p.Request("40"), p.posted, p.fail); err == nil && p.upgrade != nil {
		p.Socket, err = p.loop.dialSocket(p.addr, 0, p.sid, p.probe())
	}
	if err != nil {
		p.fail(err)
		return
	}
	p.wait()
}

// Request prepares a POST with packets.
func (p *Poller) Request(packets string) []byte {
	return fmt.Appendf(p.head[:len(p.head):len(p.head)], "%d\r\n\r\n%s", len(packets), packets)
}

// Write sends a prepared POST.
func (p *Poller) Write(request []byte) {
	p.posting++
	p.post.write(request)
}

func (p *Poller) wait() {
	p.polling = true
	p.get.write(p.poll)
}

func (p *Poller) posted(status int, body []byte) {
	p.posting--
	if status != 200 || string(body) != "ok" {
		p.fail(fmt.Errorf("answer to a POST: %d %.80q", status, body))
		return
	}
	if p.proceed(); p.ready && !p.closed && p.posting == 0 && p.events.Posted != nil {
		p.events.Posted(p)
	}
}

// polled takes the answer to a GET.
func (p *Poller) polled(status int, body []byte) {
	p.polling = false
	if status != 200 {
		p.fail(fmt.Errorf("answer to a GET: %d %.80q", status, body))
		return
	}
	for packet := range bytes.SplitSeq(body, []byte{0x1e}) {
		switch {
		case string(packet) == "2":
			p.Write(p.Request("3"))
		case string(packet) == "6":
		case !p.joined && bytes.HasPrefix(packet, []byte(`40{"sid":"`)):
			p.joined = true
		case p.joined && len(packet) > 0 && packet[0] == '4':
			p.events.Message(p, packet[1:])
		default:
			p.fail(fmt.Errorf("unexpected packet %.80q", packet))
		}
		if p.closed {
			return
		}
	}
	if !p.probed || !p.joined {
		p.wait()
	}
	p.proceed()
}

// probe returns what the WebSocket calls until the upgrade is done.
func (p *Poller) probe() *Events {
	return &Events{
		Ready: func(*Socket) {
			p.probed = true
			p.proceed()
		},
		Message: func(s *Socket, data []byte, _ bool) {
			p.loop.Faults.Note(&p.loop.Faults.Wrong, "packet before the upgrade: %.80q", data)
		},
		Ended: func(*Socket) {
			p.Close() // counted by the socket
			p.events.Failed(p)
		},
	}
}

// proceed upgrades when the server has answered the probe and released the GET.
func (p *Poller) proceed() {
	if p.ready || !p.joined || p.posting > 0 || p.upgrade != nil && (!p.probed || p.polling) {
		return
	}
	p.ready = true
	if p.upgrade != nil {
		p.Socket.Index = p.Index
		p.Socket.events = p.upgrade
		p.Socket.write(frameUpgrade)
		p.get.close()
		p.post.close()
	}
	p.events.Ready(p)
}

func (p *Poller) fail(err error) {
	if p.closed {
		return
	}
	p.Close()
	faults := &p.loop.Faults
	if p.ready {
		faults.Note(&faults.Lost, "poller %d: %v", p.Index, err)
	} else {
		faults.Note(&faults.Handshakes, "poller %d: %v", p.Index, err)
	}
	p.events.Failed(p)
}

// Close ends the connections.
func (p *Poller) Close() {
	p.closed = true
	p.get.close()
	if p.post != nil {
		p.post.close()
	}
	if p.Socket != nil {
		p.Socket.close()
	}
}
