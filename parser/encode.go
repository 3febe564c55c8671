package parser

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
)

// JSON is the default Codec: text packets, with attachments in binary messages
// that follow.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) Name() string { return "json" }

func (jsonCodec) NewDecoder(limits Limits) Decoder {
	return &decoder{limits: sharedLimits(limits.Resolved())}
}

func (jsonCodec) Encode(p *Packet) (Encoded, error) {
	t := p.Type
	if t > ConnectError {
		return Encoded{}, fmt.Errorf("parser: packet type %d can't be encoded: use Event or Ack", t)
	}
	if err := checkNamespace(p.Namespace); err != nil {
		return Encoded{}, err
	}
	n := len(p.Attachments)
	if n > 0 {
		if t != Event && t != Ack {
			return Encoded{}, fmt.Errorf("parser: a %v packet can't carry binary data", t)
		}
		t += BinaryEvent - Event
	}
	b := make([]byte, 0, headerLen(p.Namespace)+len(p.JSON))
	b = appendHeader(b, t, p.Namespace, p.ID, n)
	b = append(b, p.JSON...)
	return Encoded{Text: b, Binary: p.Attachments}, nil
}

// lastLimits are those of the decoder made last: a server's are all the same.
var lastLimits atomic.Pointer[Limits]

func sharedLimits(l Limits) *Limits {
	if last := lastLimits.Load(); last != nil && *last == l {
		return last
	}
	lastLimits.Store(&l)
	return &l
}

// headerLen is the most that a header takes: type, count and dash, namespace
// and comma, id.
func headerLen(namespace string) int { return 1 + 4 + len(namespace) + 1 + 16 }

func appendHeader(b []byte, t Type, namespace string, id int64, attachments int) []byte {
	b = append(b, '0'+byte(t))
	if attachments > 0 {
		b = strconv.AppendInt(b, int64(attachments), 10)
		b = append(b, '-')
	}
	if namespace != "/" && namespace != "" {
		b = append(b, namespace...)
		b = append(b, ',')
	}
	if id >= 0 {
		b = strconv.AppendInt(b, id, 10)
	}
	return b
}

func checkNamespace(nsp string) error {
	if nsp == "" || nsp == "/" || nsp[0] == '/' && strings.IndexByte(nsp, ',') < 0 {
		return nil
	}
	return fmt.Errorf("parser: namespace %q must start with a slash and hold no comma", nsp)
}
