package wsconn

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"runtime"
	"sync"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/roomcast/roomcast/engine"
)

// deflateOffer finds a permessage-deflate offer that can be accepted. Messages
// are always compressed each by itself, both ways: a window kept for each
// connection would cost some 100 KB of memory.
//
// https://datatracker.ietf.org/doc/html/rfc7692#section-7.1
type deflateOffer struct{ accepted bool }

func (d *deflateOffer) negotiate(opt httphead.Option) (accept httphead.Option, err error) {
	var p wsflate.Parameters
	if d.accepted || string(opt.Name) != wsflate.ExtensionName || p.Parse(opt) != nil {
		return accept, nil // an offer that we don't understand is declined
	}
	if p.ServerMaxWindowBits.Defined() && p.ServerMaxWindowBits < 15 {
		return accept, nil // compress/flate has one window size: 32 KiB
	}
	d.accepted = true
	return wsflate.Parameters{
		ServerNoContextTakeover: true,
		ClientNoContextTakeover: true,
		ServerMaxWindowBits:     p.ServerMaxWindowBits,
	}.Option(), nil
}

// tail is what a sender leaves out at the end of a message, followed by an
// empty last block, so that the inflater sees an end.
const tail = "\x00\x00\xff\xff\x01\x00\x00\xff\xff"

// inflaters has readers of 40 KB each.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}

// inflate inflates a message of at most limit bytes.
func inflate(data []byte, limit int) ([]byte, error) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	src := io.MultiReader(bytes.NewReader(data), bytes.NewReader([]byte(tail)))
	if err := r.(flate.Resetter).Reset(src, nil); err != nil {
		return nil, err
	}
	out := make([]byte, 0, min(limit, max(512, 4*len(data))))
	for {
		if len(out) == cap(out) {
			// One byte more than allowed tells that there is too much.
			grown := make([]byte, len(out), min(2*len(out), limit)+1)
			copy(grown, out)
			out = grown
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		switch {
		case len(out) > limit:
			return nil, tooBig(limit)
		case err == io.EOF:
			return out, nil
		case err != nil:
			return nil, &ProtocolError{Code: ws.StatusInvalidFramePayloadData, Msg: "malformed deflate data"}
		}
	}
}

// deflater is a compressor with its output. Compressors take about a megabyte, so
// there are only as many as can run; who finds none waits for it.
type deflater struct {
	w   *flate.Writer
	buf bytes.Buffer
}

var deflaters = make(chan *deflater, runtime.GOMAXPROCS(0))

func init() {
	for range cap(deflaters) {
		deflaters <- nil // made when first needed
	}
}

func getDeflater() *deflater {
	if d := <-deflaters; d != nil {
		return d
	}
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // the level is valid: no error
	return &deflater{w: w}
}

func putDeflater(d *deflater) {
	if d.buf.Cap() > 1<<20 {
		d.buf = bytes.Buffer{}
	}
	deflaters <- d
}

// encodeDeflated adds batches to out, with messages of at least the threshold
// compressed.
func (c *Conn) encodeDeflated(out *engine.Output, batches []*engine.Batch) {
	for _, b := range batches {
		if b.Size() < c.cfg.DeflateThreshold {
			out.Add(b, c.wire)
			continue
		}
		for _, p := range b.Packets() {
			c.encodePacket(out, p)
		}
	}
}

// encodePacket adds a packet as one frame, compressed if that is worth it.
func (c *Conn) encodePacket(out *engine.Output, p engine.Packet) {
	if len(p.Data) < c.cfg.DeflateThreshold {
		out.Add(engine.NewBatch(false, p), c.wire)
		return
	}
	head, data, op := c.message(p)
	d := getDeflater()
	defer putDeflater(d)
	d.buf.Reset()
	d.w.Reset(&d.buf)
	d.w.Write(head) // into memory: no error
	d.w.Write(data)
	d.w.Flush()
	z := bytes.TrimSuffix(d.buf.Bytes(), []byte(tail[:4]))
	frame := appendDataHeader(make([]byte, 0, 10+len(z)), op, len(z))
	out.AddBytes(append(frame, z...))
}

// message returns the payload of the message for p: head and data.
func (c *Conn) message(p engine.Packet) (head, data []byte, op ws.OpCode) {
	rev := 4
	if c.wire == engine.WebSocketV3 || c.wire == engine.WebSocketV3Base64 {
		rev = 3
	}
	switch {
	case !p.Binary || c.wire == engine.WebSocketBase64 || c.wire == engine.WebSocketV3Base64:
		return p.AppendText(nil, rev), nil, ws.OpText
	case rev == 3:
		return []byte{byte(p.Type)}, p.Data, ws.OpBinary
	default:
		return nil, p.Data, ws.OpBinary
	}
}

// appendDataHeader appends the header of a compressed message of n bytes.
func appendDataHeader(b []byte, op ws.OpCode, n int) []byte {
	b = append(b, 0x80|rsv1|byte(op))
	switch {
	case n < 126:
		return append(b, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
}
