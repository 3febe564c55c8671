package wsconn

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/roomcast/roomcast/engine"
)

// ProtocolError says how a peer broke the WebSocket protocol or a limit.
type ProtocolError struct {
	Code  ws.StatusCode // sent to the peer in the close frame
	Msg   string        // for the log
	Limit error         // of package engine, such as engine.ErrMessageSize; nil: it was the protocol
}

// Error has both.
func (e *ProtocolError) Error() string {
	return fmt.Sprintf("wsconn: %s (closed with %d)", e.Msg, e.Code)
}

// Unwrap returns Limit.
func (e *ProtocolError) Unwrap() error { return e.Limit }

func protocolError(msg string) error {
	return &ProtocolError{Code: ws.StatusProtocolError, Msg: msg}
}

// header is the header of a frame.
type header struct {
	op     ws.OpCode
	fin    bool
	rsv    byte // bits as on the wire: 0x40, 0x20, 0x10
	masked bool
	mask   [4]byte
	length int
}

const (
	maxHeader = 14
	rsv1      = 0x40
)

// parseHeader parses a client's frame header at the start of b. A size of 0
// means that more bytes are needed.
func parseHeader(b []byte) (h header, size int, err error) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h.fin = b[0]&0x80 != 0
	h.rsv = b[0] & 0x70
	h.op = ws.OpCode(b[0] & 0x0f)
	h.masked = b[1]&0x80 != 0
	h.length = int(b[1] & 0x7f)
	size = 2
	switch h.length {
	case 126:
		if len(b) < 4 {
			return h, 0, nil
		}
		h.length = int(binary.BigEndian.Uint16(b[2:]))
		size = 4
	case 127:
		if len(b) < 10 {
			return h, 0, nil
		}
		n := binary.BigEndian.Uint64(b[2:])
		if n > math.MaxInt64 {
			return h, 0, protocolError("frame length has its highest bit set")
		}
		if n > math.MaxInt { // on 32 bits
			return h, 0, &ProtocolError{ws.StatusMessageTooBig, fmt.Sprintf("frame of %d bytes", n), engine.ErrMessageSize}
		}
		h.length = int(n)
		size = 10
	}
	if h.masked {
		if len(b) < size+4 {
			return h, 0, nil
		}
		copy(h.mask[:], b[size:])
		size += 4
	}
	return h, size, nil
}

// check says whether a frame with header h may come now. It changes nothing.
func (c *Conn) check(h header) error {
	switch {
	case h.op.IsReserved():
		return protocolError(fmt.Sprintf("reserved opcode %d", h.op))
	case !h.masked:
		return protocolError("frame is not masked")
	case h.rsv&^rsv1 != 0 || h.rsv != 0 && (!c.deflate || h.op != ws.OpText && h.op != ws.OpBinary):
		return protocolError("reserved bits are set")
	}
	if h.op.IsControl() {
		switch {
		case !h.fin:
			return protocolError("control frame is fragmented")
		case h.length > ws.MaxControlFramePayloadSize:
			return protocolError(fmt.Sprintf("control frame of %d bytes", h.length))
		}
		return nil
	}
	had, frames := 0, 1
	if m := c.msg; m != nil {
		had, frames = len(m.data), m.frames+1
	}
	switch {
	case h.op == ws.OpContinuation && c.msg == nil:
		return protocolError("continuation of no message")
	case h.op != ws.OpContinuation && c.msg != nil:
		return protocolError("new message inside a fragmented one")
	case h.length > c.cfg.MaxMessage-had:
		return tooBig(c.cfg.MaxMessage)
	case frames > c.cfg.MaxFragments:
		return &ProtocolError{ws.StatusPolicyViolation, fmt.Sprintf("message in more than %d fragments", c.cfg.MaxFragments), engine.ErrFragments}
	}
	return nil
}

func tooBig(limit int) error {
	return &ProtocolError{ws.StatusMessageTooBig, fmt.Sprintf("message of more than %d bytes", limit), engine.ErrMessageSize}
}

// checkClose checks a close frame's payload and returns the code to answer
// with, 0 for none.
func checkClose(p []byte) (ws.StatusCode, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(p) == 1 {
		return 0, protocolError("close frame of one byte")
	}
	code := ws.StatusCode(binary.BigEndian.Uint16(p))
	if !validCloseCode(code) {
		return 0, protocolError(fmt.Sprintf("close code %d", code))
	}
	if !utf8.Valid(p[2:]) {
		return 0, &ProtocolError{Code: ws.StatusInvalidFramePayloadData, Msg: "close reason is not UTF-8"}
	}
	return code, nil
}

// validCloseCode reports whether a peer may send code.
//
// https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
func validCloseCode(code ws.StatusCode) bool {
	switch {
	case 1000 <= code && code <= 1014:
		return code != 1004 && code != ws.StatusNoStatusRcvd && code != ws.StatusAbnormalClosure
	default:
		return 3000 <= code && code <= 4999
	}
}

// appendFrame appends a server's control frame.
func appendFrame(b []byte, op ws.OpCode, payload []byte) []byte {
	b = append(b, 0x80|byte(op), byte(len(payload)))
	return append(b, payload...)
}

// appendClose appends a close frame with code, or without for 0.
func appendClose(b []byte, code ws.StatusCode) []byte {
	if code == 0 {
		return appendFrame(b, ws.OpClose, nil)
	}
	return appendFrame(b, ws.OpClose, binary.BigEndian.AppendUint16(nil, uint16(code)))
}
