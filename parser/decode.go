package parser

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// decoder is the Decoder of the JSON codec.
type decoder struct {
	limits    *Limits // shared by all decoders of a server
	namespace string  // of the last packet that had one; most packets of a client have the same
	pending   *pending
}

// pending is a packet that waits for attachments.
type pending struct {
	packet Packet
	need   int // attachments that the packet has in all
	bytes  int // of those that are here
}

func (d *decoder) Pending() bool { return d.pending != nil }
func (d *decoder) Reset()        { d.pending = nil }

// Text parses <type>[<attachments>-][<namespace>,][<ack id>][<JSON>].
//
// The official parser takes whatever JavaScript converts to a number where it
// expects digits: "2 [...]" has ack id 0 there, "51e0-[...]" one attachment.
// Here digits are digits, and space in front of the JSON belongs to the JSON.
func (d *decoder) Text(b []byte, owned bool) (p Packet, ok bool, err error) {
	if d.pending != nil {
		return Packet{}, false, ErrUnexpectedText
	}
	if len(b) == 0 {
		return Packet{}, false, fmt.Errorf("%w: the message is empty", ErrUnknownType)
	}
	t := Type(b[0] - '0')
	if t > BinaryAck {
		return Packet{}, false, unknownType(b[0])
	}
	i, need := 1, 0
	if t >= BinaryEvent {
		if need, i, err = d.attachments(b); err != nil {
			return Packet{}, false, err
		}
		t -= BinaryEvent - Event
	}
	p = Packet{Type: t, Namespace: "/", ID: NoID}
	if i < len(b) && b[i] == '/' {
		if i, err = d.readNamespace(b, i, &p); err != nil {
			return Packet{}, false, err
		}
	}
	if i < len(b) && b[i]-'0' <= 9 {
		if p.ID, i, err = readID(b, i); err != nil {
			return Packet{}, false, err
		}
	}
	if i < len(b) {
		text := b[i:]
		if !utf8.Valid(text) {
			return Packet{}, false, &SyntaxError{Offset: i, Msg: "invalid UTF-8"}
		}
		if err := p.check(text, need, d.limits); err != nil {
			return Packet{}, false, at(err, i)
		}
		if owned {
			p.JSON = text[:len(text):len(text)]
		} else {
			p.JSON = make([]byte, len(text))
			copy(p.JSON, text)
		}
	} else if need > 0 {
		return Packet{}, false, ErrIllegalAttachments
	}
	if need > 0 {
		d.pending = &pending{packet: p, need: need}
		return Packet{Type: p.Type, Namespace: p.Namespace, ID: p.ID}, false, nil
	}
	return p, true, nil
}

// unknownType says it as JavaScript does: what is no digit is not a number.
func unknownType(c byte) error {
	if c-'0' <= 9 {
		return fmt.Errorf("%w %d", ErrUnknownType, c-'0')
	}
	return fmt.Errorf("%w NaN", ErrUnknownType)
}

// attachments reads the digits up to the dash of a binary packet.
func (d *decoder) attachments(b []byte) (n, end int, err error) {
	i := 1
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if n = n*10 + int(b[i]-'0'); n > 1<<27 {
			n = 1 << 27 // enough to be too many, and no overflow
		}
	}
	if i >= len(b) || b[i] != '-' || n == 0 {
		return 0, 0, ErrIllegalCount
	}
	// Each attachment has a placeholder of 27 bytes or more, so that even
	// without a limit there can't be more than this.
	if n > d.limits.MaxAttachments || n > len(b)/27 && n > 1<<16 {
		return 0, 0, ErrTooManyAttachments
	}
	return n, i + 1, nil
}

// readNamespace reads from the slash up to a comma or the end.
func (d *decoder) readNamespace(b []byte, i int, p *Packet) (end int, err error) {
	text := b[i:]
	if n := bytes.IndexByte(text, ','); n >= 0 {
		text = text[:n]
		end = i + n + 1
	} else {
		end = len(b)
	}
	switch {
	case string(text) == d.namespace:
		p.Namespace = d.namespace
		return end, nil
	case len(text) == 1: // "/,"
		return end, nil
	case p.Type == Connect && longQuery(text, d.limits.MaxNamespace):
	case len(text) > d.limits.MaxNamespace:
		return 0, ErrNamespaceTooLong
	}
	if !utf8.Valid(text) {
		return 0, ErrInvalidNamespace
	}
	p.Namespace = string(text)
	if len(text) <= d.limits.MaxNamespace { // a query comes once, and may be long
		d.namespace = p.Namespace
	}
	return end, nil
}

// maxQuery is how many bytes may follow the namespace in a CONNECT.
const maxQuery = 16 << 10

// longQuery reports whether a namespace is too long only because of its query,
// which is the auth of clients of version 2: a token, say.
func longQuery(namespace []byte, limit int) bool {
	name, query, _ := bytes.Cut(namespace, []byte("?"))
	return len(namespace) > limit && len(name) <= limit && len(query) <= maxQuery
}

func readID(b []byte, i int) (id int64, end int, err error) {
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		if id = id*10 + int64(b[i]-'0'); id > maxID {
			return 0, 0, ErrInvalidID
		}
	}
	return id, i, nil
}

// at moves the offset of a SyntaxError to where the text starts in its packet.
func at(err error, offset int) error {
	if s, ok := err.(*SyntaxError); ok {
		return &SyntaxError{Offset: s.Offset + offset, Msg: s.Msg}
	}
	return err
}

// check validates text as the data of p with n attachments, and fills p.elems.
// text is UTF-8 and not empty.
func (p *Packet) check(text []byte, n int, limits *Limits) error {
	s := scanner{text: text, depth: limits.MaxDepth, strict: limits.StrictKeys}
	if n > 0 {
		s.found = &placeholders{count: n}
	}
	var err error
	switch p.Type {
	case Event:
		if err = s.array(&p.elems); err == nil {
			err = p.checkName(text, limits)
		}
	case Ack:
		err = s.array(&p.elems)
	case Connect, ConnectError:
		if err = s.only(); err != nil {
			break
		}
		if c := text[s.space(0)]; c != '{' && (c != '"' || p.Type == Connect) {
			err = ErrInvalidPayload
		}
	default:
		err = ErrInvalidPayload // Disconnect has none
	}
	if err == nil && s.found != nil {
		err = s.found.complete()
	}
	p.unsafe = s.unsafe
	return err
}

// checkName checks that the first element is a number or a name that is free.
func (p *Packet) checkName(text []byte, limits *Limits) error {
	if p.elems.n == 0 {
		return ErrInvalidPayload
	}
	raw := p.elems.at(0).of(text)
	if raw[0] != '"' {
		if raw[0] != '-' && raw[0]-'0' > 9 {
			return ErrInvalidPayload
		}
	} else if raw = name(raw); IsReserved(string(raw)) {
		return ErrInvalidPayload
	}
	if len(raw) > limits.MaxEventName {
		return ErrEventTooLong
	}
	return nil
}

// Check validates a packet that some other decoder than that of JSON has put
// together, by the same rules, and finds its arguments. Type is one of the
// five types without attachments of their own.
func (p *Packet) Check(limits Limits) error {
	limits = limits.Resolved()
	p.elems = elements{}
	switch {
	case p.Type > ConnectError:
		return ErrUnknownType
	case p.ID > maxID:
		return ErrInvalidID
	case len(p.Namespace) == 0 || p.Namespace[0] != '/':
		return ErrInvalidNamespace
	case len(p.Namespace) > limits.MaxNamespace:
		return ErrNamespaceTooLong
	case len(p.Attachments) > limits.MaxAttachments:
		return ErrTooManyAttachments
	case p.JSON == nil && len(p.Attachments) > 0:
		return ErrIllegalAttachments
	case p.JSON == nil:
		return nil
	case !utf8.Valid(p.JSON):
		return errUTF8
	}
	return p.check(p.JSON, len(p.Attachments), &limits)
}

func (d *decoder) Binary(b []byte, owned bool) (p Packet, ok bool, err error) {
	w := d.pending
	if w == nil {
		return Packet{}, false, ErrUnexpectedBinary
	}
	if w.bytes += len(b); w.bytes > d.limits.MaxAttachmentBytes {
		return Packet{}, false, ErrAttachmentsTooLong
	}
	if !owned || b == nil {
		b = append(make([]byte, 0, len(b)), b...) // never nil, even if empty
	}
	w.packet.Attachments = append(w.packet.Attachments, b)
	if len(w.packet.Attachments) < w.need {
		return Packet{Type: w.packet.Type, Namespace: w.packet.Namespace, ID: w.packet.ID}, false, nil
	}
	d.pending = nil
	return w.packet, true, nil
}
