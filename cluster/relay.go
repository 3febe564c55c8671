package cluster

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Where nodes can't reach each other, requests and answers go through the Store,
// in pieces that are sealed one by one.
//
//	kind 1 | from 6 | call 16 | time 8 | piece 2 | pieces 2 | data | seal 32
//
// The seal also covers whom the piece is for. time is the store's, in Unix
// milliseconds; pieces that are older than relayAge, or were seen, aren't taken.
// All the pieces of a call have the same time.

// The kinds of pieces.
const (
	pieceRequest byte = iota + 1
	pieceAnswer
	pieceCancel // the client has gone
)

const (
	callBytes = 16
	pieceHead = 1 + idBytes + callBytes + 8 + 2 + 2
	sealBytes = 32
	pieceData = 256 << 10 // of one piece
	maxPieces = 64        // of one message, so 16 MiB
	relayAge  = 10 * time.Second
	maxSpent  = 1 << 16 // calls that are remembered, against repetition
)

type call [callBytes]byte

// piece is a part of a message through the store.
type piece struct {
	kind      byte
	from      ID
	call      call
	time      int64
	index, of int
	data      []byte
}

func (p *piece) append(b []byte, k *keys, to ID) []byte {
	start := len(b)
	from := p.from.bytes()
	b = append(b, p.kind)
	b = append(b, from[:]...)
	b = append(b, p.call[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(p.time))
	b = binary.BigEndian.AppendUint16(b, uint16(p.index))
	b = binary.BigEndian.AppendUint16(b, uint16(p.of))
	b = append(b, p.data...)
	id := to.bytes()
	return append(b, k.sealOf("relay", id[:], b[start:])...)
}

// parsePiece parses and checks a piece for a node. Its data aliases b.
func parsePiece(b []byte, k *keys, to ID) (p piece, err error) {
	if len(b) < pieceHead+sealBytes || len(b) > pieceHead+pieceData+sealBytes {
		return p, fmt.Errorf("cluster: a piece of %d bytes", len(b))
	}
	sealed, seal := b[:len(b)-sealBytes], b[len(b)-sealBytes:]
	id := to.bytes()
	if !hmac.Equal(seal, k.sealOf("relay", id[:], sealed)) {
		return p, errSeal
	}
	p.kind = b[0]
	var from [8]byte
	copy(from[2:], b[1:])
	p.from = ID(binary.BigEndian.Uint64(from[:]))
	copy(p.call[:], b[1+idBytes:])
	rest := b[1+idBytes+callBytes:]
	p.time = int64(binary.BigEndian.Uint64(rest))
	p.index, p.of = int(binary.BigEndian.Uint16(rest[8:])), int(binary.BigEndian.Uint16(rest[10:]))
	p.data = sealed[pieceHead:]
	if p.of < 1 || p.of > maxPieces || p.index >= p.of || p.kind < pieceRequest || p.kind > pieceCancel {
		return p, fmt.Errorf("cluster: piece %d of %d, kind %d", p.index, p.of, p.kind)
	}
	return p, nil
}

// gathering is a message whose pieces come in.
type gathering struct {
	of   int
	data []byte
	next int // pieces come in order
}

// add adds a piece. It reports whether the message is whole.
func (g *gathering) add(p *piece) (whole bool, err error) {
	if g.next == 0 {
		g.of = p.of
	}
	if p.index != g.next || p.of != g.of {
		return false, fmt.Errorf("cluster: piece %d of %d, want %d of %d", p.index, p.of, g.next, g.of)
	}
	g.next++
	g.data = append(g.data, p.data...)
	return g.next == g.of, nil
}

// relay is what goes through the store.
type relay struct {
	node *Node

	mu      sync.Mutex
	asked   map[call]*asking   // here, of others
	serving map[call]*serving  // of others, here
	spent   map[call]time.Time // calls that were served, until they are too old to be repeated
	closed  bool
	tasks   sync.WaitGroup
}

// asking is a request that waits for another node's answer.
type asking struct {
	to     ID
	answer gathering
	done   chan struct{} // closed when it is whole, or there will be none
	err    error
}

// serving is another node's request, coming in or being answered.
type serving struct {
	from    ID
	request gathering
	begun   time.Time
	cancel  context.CancelFunc // nil until it is whole
}

func (rl *relay) init(n *Node) {
	rl.node = n
	rl.asked = make(map[call]*asking)
	rl.serving = make(map[call]*serving)
	rl.spent = make(map[call]time.Time)
}

// send sends a message in pieces.
func (rl *relay) send(ctx context.Context, kind byte, c call, to ID, data []byte) (heard bool, err error) {
	n := rl.node
	of := max((len(data)+pieceData-1)/pieceData, 1)
	if of > maxPieces {
		return false, fmt.Errorf("cluster: %d bytes are too many for the store", len(data))
	}
	at := n.table.storeTime().UnixMilli()
	for i := range of {
		part := data[i*pieceData : min((i+1)*pieceData, len(data))]
		p := piece{kind, n.id, c, at, i, of, part}
		if heard, err = n.cfg.Store.Send(ctx, to, p.append(nil, n.keys, to)); err != nil || !heard {
			return false, err
		}
	}
	return true, nil
}

var errNoAnswer = errors.New("cluster: there will be no answer")

// relay hands the request on through the store. It reports whether it is answered.
func (f *forward) relay() bool {
	n, rl := f.node, &f.node.relay
	var c call
	rand.Read(c[:])
	a := &asking{to: f.to.ID, done: make(chan struct{})}
	rl.mu.Lock()
	if rl.closed {
		rl.mu.Unlock()
		return false
	}
	rl.asked[c] = a
	rl.mu.Unlock()
	defer func() {
		rl.mu.Lock()
		delete(rl.asked, c)
		rl.mu.Unlock()
	}()

	data := append(f.msg.appendHead(nil, ""), f.msg.body...)
	ctx, cancel := context.WithTimeout(f.r.Context(), beatTimeout)
	heard, err := rl.send(ctx, pieceRequest, c, f.to.ID, data)
	cancel()
	if err != nil || !heard {
		n.stats.Failed[FailedUnreachable].Add(1)
		if err != nil {
			n.log.Warn("cluster: a request couldn't be handed on through the store", "node", f.to.Name, "error", err)
		}
		return false
	}
	// A piece may be lost with the store's connection. Of a GET, which is held, that shows by the session's heartbeat.
	var late <-chan time.Time
	if f.msg.method == http.MethodPost {
		timer := time.NewTimer(relayAge)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-a.done:
	case <-late:
		n.stats.Failed[FailedBroken].Add(1)
		return false
	case <-f.r.Context().Done():
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.r.Context()), beatTimeout)
		defer cancel()
		_, _ = rl.send(ctx, pieceCancel, c, f.to.ID, nil) // else the session ends by its heartbeat
		return true
	}
	if a.err != nil {
		n.stats.Failed[FailedBroken].Add(1)
		return false
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(a.answer.data)), &http.Request{Method: f.msg.method})
	if err != nil {
		n.stats.Failed[FailedBroken].Add(1)
		return false
	}
	f.count(Relayed)
	_ = f.respond(res) // the client's affair
	return true
}

// receive takes in what others send through the store, until ctx ends.
func (n *Node) receive(ctx context.Context) {
	for ctx.Err() == nil {
		if err := n.cfg.Store.Receive(ctx, n.id, n.relay.take); err != nil && ctx.Err() == nil {
			n.log.Warn("cluster: messages through the store can't be received", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(beatInterval):
			}
		}
	}
}

// take takes in one piece.
func (rl *relay) take(b []byte) {
	n := rl.node
	p, err := parsePiece(b, n.keys, n.id)
	if err == nil && n.table.storeTime().Sub(time.UnixMilli(p.time)).Abs() > relayAge {
		err = errors.New("cluster: a piece from another time")
	}
	if err != nil {
		n.stats.Refused.Add(1)
		return
	}
	rl.mu.Lock()
	defer rl.mu.Unlock()
	switch p.kind {
	case pieceRequest:
		rl.request(&p)
	case pieceAnswer:
		a := rl.asked[p.call]
		if a == nil || a.to != p.from {
			return // nobody waits any more
		}
		whole, err := a.answer.add(&p)
		if whole || err != nil {
			a.err = err
			delete(rl.asked, p.call)
			close(a.done)
		}
	case pieceCancel:
		if s := rl.serving[p.call]; s != nil && s.from == p.from && s.cancel != nil {
			s.cancel()
		}
	}
}

// request takes in a piece of a request. rl.mu is held.
func (rl *relay) request(p *piece) {
	n := rl.node
	s := rl.serving[p.call]
	if s == nil {
		_, again := rl.spent[p.call]
		if again || p.index != 0 || rl.closed {
			n.stats.Refused.Add(1)
			return
		}
		if len(rl.serving) >= n.cfg.MaxForwards || len(rl.spent) >= maxSpent {
			n.stats.Refused.Add(1)
			c, from := p.call, p.from
			rl.tasks.Go(func() { rl.turnAway(c, from) })
			return
		}
		rl.spent[p.call] = time.Now()
		s = &serving{from: p.from, begun: time.Now()}
		rl.serving[p.call] = s
	}
	if s.cancel != nil || s.from != p.from {
		n.stats.Refused.Add(1)
		return
	}
	whole, err := s.request.add(p)
	if err != nil || len(s.request.data) > n.cfg.MaxBody+128<<10 {
		n.stats.Refused.Add(1)
		delete(rl.serving, p.call)
		return
	}
	if !whole {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	c, data := p.call, s.request.data
	s.request.data = nil
	rl.tasks.Go(func() {
		defer cancel()
		rl.serve(ctx, c, s.from, data)
		rl.mu.Lock()
		delete(rl.serving, c)
		rl.mu.Unlock()
	})
}

// turnAway says that there are too many requests: who has asked would wait in vain.
func (rl *relay) turnAway(c call, from ID) {
	ctx, cancel := context.WithTimeout(context.Background(), beatTimeout)
	defer cancel()
	w := &recorder{header: make(http.Header)}
	busy(w)
	_, _ = rl.send(ctx, pieceAnswer, c, from, w.bytes())
}

// serve answers another node's request.
func (rl *relay) serve(ctx context.Context, c call, from ID, data []byte) {
	n := rl.node
	n.mu.Lock()
	h := n.handler
	n.mu.Unlock()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
	if err != nil || h == nil {
		n.stats.Refused.Add(1)
		return
	}
	w := &recorder{header: make(http.Header)}
	if !n.guarded(w, r.WithContext(ctx), h) || ctx.Err() != nil {
		return // nobody waits
	}
	limited, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	if _, err := rl.send(limited, pieceAnswer, c, from, w.bytes()); err != nil {
		n.log.Warn("cluster: an answer couldn't be sent through the store", "error", err)
	}
}

// guarded serves a request as net/http would: a panic ends no more than that.
func (n *Node) guarded(w http.ResponseWriter, r *http.Request, h http.Handler) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			ok = false
			n.log.Error("cluster: a request's handler panicked", "panic", fmt.Sprint(v))
		}
	}()
	n.serve(w, r, h)
	return true
}

// recorder is the http.ResponseWriter of a request through the store.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

var errAnswerTooLarge = errors.New("cluster: the answer is too large for the store")

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.body.Len()+len(b) > (maxPieces-1)*pieceData {
		return 0, errAnswerTooLarge
	}
	return w.body.Write(b)
}

// bytes is the response in the form of HTTP/1.1.
func (w *recorder) bytes() []byte {
	w.WriteHeader(http.StatusOK)
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", w.status, http.StatusText(w.status))
	w.header.Set("Content-Length", strconv.Itoa(w.body.Len()))
	_ = w.header.Write(&b)
	_, _ = io.WriteString(&b, "\r\n")
	b.Write(w.body.Bytes())
	return b.Bytes()
}

// drop ends what a node that has gone has asked for, or was asked for.
func (rl *relay) drop(id ID) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	for c, a := range rl.asked {
		if a.to == id {
			a.err = errNoAnswer
			delete(rl.asked, c)
			close(a.done)
		}
	}
	for c, s := range rl.serving {
		switch {
		case s.from != id:
		case s.cancel != nil:
			s.cancel()
		default:
			delete(rl.serving, c)
		}
	}
}

// sweep forgets calls that are too old to be repeated, and requests that didn't come whole.
func (rl *relay) sweep() {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	limit := time.Now().Add(-2*relayAge - time.Second)
	for c, at := range rl.spent {
		if at.Before(limit) {
			delete(rl.spent, c)
		}
	}
	for c, s := range rl.serving {
		if s.cancel == nil && s.begun.Before(limit) {
			delete(rl.serving, c)
		}
	}
}

func (rl *relay) close() {
	rl.mu.Lock()
	rl.closed = true
	for c, a := range rl.asked {
		a.err = errNoAnswer
		delete(rl.asked, c)
		close(a.done)
	}
	for _, s := range rl.serving {
		if s.cancel != nil {
			s.cancel()
		}
	}
	rl.mu.Unlock()
	rl.tasks.Wait()
}
