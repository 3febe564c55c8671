package engine

import "sync"

// Output gathers the wire forms of batches for one writev: small frames are
// copied into one buffer, data of 16 KiB and more is referenced. Get one with
// NewOutput and give it back with Release.
type Output struct {
	small []byte
	parts []part
	bufs  [][]byte
	next  int // first of bufs that is not written
	len   int
}

// part is a range of Output.small, or data that is referenced.
type part struct {
	data       []byte
	start, end int
}

var outputs = sync.Pool{New: func() any { return new(Output) }}

// NewOutput returns an empty Output from a pool.
func NewOutput() *Output { return outputs.Get().(*Output) }

// Release gives o back. The slices that Buffers returned are invalid then.
func (o *Output) Release() {
	if cap(o.small) > 64<<10 || cap(o.parts) > 1024 || cap(o.bufs) > 1024 {
		return
	}
	clear(o.parts[:cap(o.parts)])
	clear(o.bufs[:cap(o.bufs)])
	*o = Output{small: o.small[:0], parts: o.parts[:0], bufs: o.bufs[:0]}
	outputs.Put(o)
}

// Add appends b in the form w.
func (o *Output) Add(b *Batch, w Wire) {
	if b.size < large {
		if b.cache != nil {
			o.AddBytes(b.wire(w))
			return
		}
		o.grow(func(small []byte) []byte { return b.appendWire(small, w) })
		return
	}
	for _, p := range b.packets {
		o.addPacket(b, p, w)
	}
}

// addPacket appends a packet of a batch that has much data.
func (o *Output) addPacket(b *Batch, p Packet, w Wire) {
	head, raw := appendHead(o.small, p, w)
	if !raw && b.cache != nil && len(b.packets) == 1 {
		o.AddBytes(b.wire(w)) // base64: encoded once for all
		return
	}
	o.grow(func([]byte) []byte { return head })
	if raw {
		o.AddBytes(p.Data)
	} else {
		o.grow(func(small []byte) []byte { return p.AppendText(small, w.rev()) })
	}
}

// AddBytes appends finished bytes, such as a control frame. They must not
// change until Release.
func (o *Output) AddBytes(data []byte) {
	if len(data) < large {
		o.grow(func(small []byte) []byte { return append(small, data...) })
		return
	}
	o.parts = append(o.parts, part{data: data})
	o.len += len(data)
}

// grow lets f append to the buffer of small frames.
func (o *Output) grow(f func([]byte) []byte) {
	start := len(o.small)
	o.small = f(o.small)
	end := len(o.small)
	o.len += end - start
	if n := len(o.parts); n > 0 && o.parts[n-1].data == nil {
		o.parts[n-1].end = end
		return
	}
	o.parts = append(o.parts, part{start: start, end: end})
}

// Len is the number of bytes still to be written.
func (o *Output) Len() int { return o.len }

// Buffers returns what is to be written, after the last Add.
func (o *Output) Buffers() [][]byte {
	if len(o.bufs) == 0 {
		for _, p := range o.parts {
			if p.data == nil {
				p.data = o.small[p.start:p.end]
			}
			o.bufs = append(o.bufs, p.data)
		}
	}
	return o.bufs[o.next:]
}

// Advance drops the first n bytes of what Buffers returns: they are written.
func (o *Output) Advance(n int) {
	o.len -= n
	for bufs := o.Buffers(); n > 0 && len(bufs) > 0; bufs = bufs[1:] {
		if n < len(bufs[0]) {
			bufs[0] = bufs[0][n:]
			return
		}
		n -= len(bufs[0])
		bufs[0] = nil
		o.next++
	}
}
