package redisqueue

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// Flags of records and entries. The lower two bits of a record's are its priority.
const (
	flagTTL         = 4
	flagKey         = 8
	flagID          = 16
	flagHeaders     = 32
	flagAttachments = 64
	flagTopic       = 128

	flagExisting = 1 // of an entry, for the function only
)

// content is what only this package looks into: the body of a record or entry.
type content struct {
	id, topic string
	headers   map[string]string
	payload   queues.Payload
}

// size is about how long a body is.
func (c *content) size() int { return c.payload.Size() + len(c.id) + len(c.topic) + 8 }

// appendBody packs a content, and says by flags what is in it.
func (c *content) appendBody(b []byte) (flags byte, _ []byte) {
	if c.id != "" {
		flags |= flagID
		b = appendString(b, c.id)
	}
	if c.topic != "" {
		flags |= flagTopic
		b = appendString(b, c.topic)
	}
	if len(c.headers) > 0 {
		flags |= flagHeaders
		b = binary.AppendUvarint(b, uint64(len(c.headers)))
		for k, v := range c.headers {
			b = appendString(appendString(b, k), v)
		}
	}
	if len(c.payload.Attachments) > 0 {
		flags |= flagAttachments
		b = binary.AppendUvarint(b, uint64(len(c.payload.Attachments)))
		for _, a := range c.payload.Attachments {
			b = appendString(b, a)
		}
	}
	return flags, append(b, c.payload.JSON...)
}

func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// reader takes values off the front of b. After an error all are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

// fixed reads a number of n bytes, the highest first.
func (r *reader) fixed(n int) (v uint64) {
	if len(r.b) < n {
		r.fail()
		return 0
	}
	for _, c := range r.b[:n] {
		v = v<<8 | uint64(c)
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

// count reads how many values follow, of at least so many bytes each.
func (r *reader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/least) {
		r.fail()
		return 0
	}
	return int(n)
}

// content reads a body, which is all that is left.
func (r *reader) content(flags byte) (c content) {
	if flags&flagID != 0 {
		c.id = string(r.bytes())
	}
	if flags&flagTopic != 0 {
		c.topic = string(r.bytes())
	}
	if flags&flagHeaders != 0 {
		n := r.count(2)
		c.headers = make(map[string]string, n)
		for range n {
			k := string(r.bytes())
			c.headers[k] = string(r.bytes())
		}
	}
	if flags&flagAttachments != 0 {
		c.payload.Attachments = make([][]byte, r.count(1))
		for i := range c.payload.Attachments {
			c.payload.Attachments[i] = r.bytes()
		}
	}
	c.payload.JSON = slices.Clip(r.b)
	r.b = nil
	return c
}

// parseRecord reads a message of a queue. Its payload aliases b.
func parseRecord(queue string, seq uint64, b []byte) (*queues.Message, error) {
	r := &reader{b: b}
	stored := at(r.fixed(6))
	flags := byte(r.fixed(1))
	m := &queues.Message{Queue: queue, Seq: seq, Priority: int(flags & 3), Stored: stored}
	r.fixed(4) // the size
	if flags&flagTTL != 0 {
		r.fixed(6)
		r.fixed(6)
	}
	if flags&flagKey != 0 {
		m.Key = string(r.take(r.fixed(1)))
	}
	c := r.content(flags)
	if r.bad {
		return nil, errCorrupt
	}
	m.ID, m.Headers, m.Payload = c.id, c.headers, c.payload
	if m.ID == "" {
		m.ID = madeID(seq)
	}
	return m, nil
}

// tries is what is kept of a message that was handed out.
type tries struct {
	fence         uint64
	attempt       int
	failures      int
	node, session string
	text          string // what was said when it failed last
}

func parseTries(b []byte) (t tries, err error) {
	r := &reader{b: b}
	r.fixed(1 + 4) // flags and size
	t.fence = r.fixed(7)
	r.fixed(1) // state
	t.attempt, t.failures = int(r.fixed(4)), int(r.fixed(4))
	r.fixed(6) // grace
	t.node = string(r.take(r.fixed(2)))
	t.session = string(r.take(r.fixed(2)))
	r.take(r.fixed(1)) // key
	t.text = string(r.b)
	if r.bad {
		return tries{}, errCorrupt
	}
	return t, nil
}

// letter is what is kept of a dead message.
type letter struct {
	died              time.Time
	attempt, failures int
	reason, text      string
	record            []byte
}

func parseLetter(b []byte) (l letter, err error) {
	r := &reader{b: b}
	l.died = at(r.fixed(6))
	l.attempt, l.failures = int(r.fixed(4)), int(r.fixed(4))
	l.reason = string(r.take(r.fixed(1)))
	l.text = string(r.take(r.fixed(2)))
	l.record = r.b
	if r.bad {
		return letter{}, errCorrupt
	}
	return l, nil
}

// parseEntry reads an entry of an inbox. Its payload aliases b.
func parseEntry(inbox string, epoch, seq uint64, b []byte) (*queues.InboxMessage, error) {
	r := &reader{b: b}
	flags := byte(r.fixed(1))
	m := &queues.InboxMessage{Inbox: inbox, Epoch: epoch, Seq: seq, Stored: at(r.fixed(6))}
	r.fixed(6 + 4) // when it expires, its size
	c := r.content(flags)
	if r.bad {
		return nil, errCorrupt
	}
	m.ID, m.Topic, m.Headers, m.Payload = c.id, c.topic, c.headers, c.payload
	return m, nil
}

func at(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}
