package cluster

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// link is a connection to another node's Serve. It is used for one request at a time.
//
// Both ends prove that they have the cluster's secret when it is made; each
// request is sealed with the nonces of both and its number, so that it is good
// here, now, and nowhere again.
type link struct {
	conn     net.Conn
	r        *bufio.Reader
	greeting []byte // both nonces
	seq      uint64
	idle     time.Time // since
}

const nonceBytes = 16

// helloPath is where a link begins.
const helloPath = "/hello"

// dial makes a link to a member.
func (n *Node) dial(ctx context.Context, m Member) (*link, error) {
	limited, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := n.cfg.Dial(limited, m.Addr)
	if err != nil {
		return nil, err
	}
	l := &link{conn: conn, r: bufio.NewReaderSize(conn, 2<<10)}
	conn.SetDeadline(time.Now().Add(dialTimeout))
	if err := n.greet(l, m.ID); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return l, nil
}

var errStranger = errors.New("cluster: who answers at the node's address doesn't know the cluster's secret, or is another node")

// greet exchanges nonces and has the other node prove itself.
func (n *Node) greet(l *link, to ID) error {
	mine := make([]byte, nonceBytes)
	rand.Read(mine)
	if _, err := fmt.Fprintf(l.conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n\r\n",
		helloPath, to, headerNonce, sealEncoding.EncodeToString(mine)); err != nil {
		return err
	}
	r := bufio.NewReader(io.LimitReader(l.conn, 4<<10)) // we don't know yet who this is
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	res.Body.Close()
	if r.Buffered() > 0 {
		return errStranger
	}
	theirs, err := sealEncoding.DecodeString(res.Header.Get(headerNonce))
	if err != nil || len(theirs) != nonceBytes || res.StatusCode != http.StatusNoContent {
		return errStranger
	}
	proof, err := sealEncoding.DecodeString(res.Header.Get(headerSeal))
	id := to.bytes()
	l.greeting = append(mine, theirs...)
	if err != nil || !hmac.Equal(proof, n.keys.sealOf("hello", l.greeting, id[:])) {
		return errStranger
	}
	return nil
}

// linkSeal seals the message with a number on a link.
func (k *keys) linkSeal(greeting []byte, seq uint64, m *message) []byte {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], seq)
	*b = m.appendSealed((*b)[:0])
	return k.sealOf("link", greeting, number[:], *b)
}

// write sends m, with its body.
func (l *link) write(k *keys, m *message) error {
	seal := base64.RawStdEncoding.EncodeToString(k.linkSeal(l.greeting, l.seq, m))
	l.seq++
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	*b = m.appendHead((*b)[:0], seal)
	bufs := net.Buffers{*b}
	if len(m.body) > 0 {
		bufs = append(bufs, m.body)
	}
	l.conn.SetWriteDeadline(time.Now().Add(linkWriteTimeout))
	_, err := bufs.WriteTo(l.conn)
	return err
}

// linkWriteTimeout is how long a node may take to read a request. It must not be
// longer than that: a frozen node is dead then.
const linkWriteTimeout = 5 * time.Second

// links are the connections to other nodes.
type links struct {
	node *Node

	mu     sync.Mutex
	idle   map[ID][]*link
	busy   map[ID]map[net.Conn]struct{}
	shun   map[ID]time.Time // until when a node isn't dialled
	closed bool
}

func (ls *links) init(n *Node) {
	ls.node = n
	ls.idle = make(map[ID][]*link)
	ls.busy = make(map[ID]map[net.Conn]struct{})
	ls.shun = make(map[ID]time.Time)
}

var errShunned = errors.New("cluster: the node couldn't be reached a moment ago")

// take returns a link for a request: one that is idle, or a new one.
func (ls *links) take(ctx context.Context, m Member) (*link, error) {
	ls.mu.Lock()
	if list := ls.idle[m.ID]; len(list) > 0 {
		l := list[len(list)-1]
		ls.idle[m.ID] = list[:len(list)-1]
		ls.use(m.ID, l.conn)
		ls.mu.Unlock()
		return l, nil
	}
	until, shunned := ls.shun[m.ID]
	ls.mu.Unlock()
	if shunned && time.Now().Before(until) {
		return nil, errShunned
	}
	l, err := ls.node.dial(ctx, m)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		ls.shun[m.ID] = time.Now().Add(shunTime)
		return nil, err
	case ls.closed:
		l.conn.Close()
		return nil, net.ErrClosed
	}
	delete(ls.shun, m.ID)
	ls.use(m.ID, l.conn)
	return l, nil
}

func (ls *links) use(id ID, conn net.Conn) {
	set := ls.busy[id]
	if set == nil {
		set = make(map[net.Conn]struct{})
		ls.busy[id] = set
	}
	set[conn] = struct{}{}
}

// release forgets that a link is busy. It reports whether the node still lives here.
func (ls *links) release(id ID, conn net.Conn) bool {
	set := ls.busy[id]
	if _, ok := set[conn]; !ok {
		return false
	}
	if delete(set, conn); len(set) == 0 {
		delete(ls.busy, id)
	}
	return true
}

// put gives a link back after a request that went well.
func (ls *links) put(id ID, l *link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if !ls.release(id, l.conn) || len(ls.idle[id]) >= maxIdle || l.r.Buffered() > 0 {
		l.conn.Close()
		return
	}
	l.idle = time.Now()
	ls.idle[id] = append(ls.idle[id], l)
}

// discard closes a link whose request went wrong.
func (ls *links) discard(id ID, l *link) {
	ls.detach(id, l)
	l.conn.Close()
}

// detach forgets a link, whose connection becomes a tunnel.
func (ls *links) detach(id ID, l *link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.release(id, l.conn)
}

// drop closes all links to a node that has gone.
func (ls *links) drop(id ID) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.idle[id] {
		l.conn.Close()
	}
	for conn := range ls.busy[id] {
		conn.Close()
	}
	delete(ls.idle, id)
	delete(ls.busy, id)
	delete(ls.shun, id)
}

// sweep closes links that were idle for long.
func (ls *links) sweep() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	limit := time.Now().Add(-linkIdle)
	for id, list := range ls.idle {
		old := 0 // the list is in the order of their last use
		for old < len(list) && list[old].idle.Before(limit) {
			list[old].conn.Close()
			old++
		}
		if ls.idle[id] = append(list[:0], list[old:]...); len(ls.idle[id]) == 0 {
			delete(ls.idle, id)
		}
	}
}

func (ls *links) close() {
	ls.mu.Lock()
	ls.closed = true
	var ids []ID
	for id := range ls.idle {
		ids = append(ids, id)
	}
	for id := range ls.busy {
		ids = append(ids, id)
	}
	ls.mu.Unlock()
	for _, id := range ids {
		ls.drop(id)
	}
}

// inbound is another node's link, as Serve sees it.
type inbound struct {
	mu       sync.Mutex
	greeting []byte
	seq      uint64
}

// hello answers the first request of a link.
func (n *Node) hello(w http.ResponseWriter, r *http.Request, in *inbound) error {
	theirs, err := sealEncoding.DecodeString(r.Header.Get(headerNonce))
	in.mu.Lock()
	defer in.mu.Unlock()
	if err != nil || len(theirs) != nonceBytes || in.greeting != nil {
		return errSeal
	}
	mine := make([]byte, nonceBytes)
	rand.Read(mine)
	in.greeting = bytes.Join([][]byte{theirs, mine}, nil)
	id := n.id.bytes()
	w.Header().Set(headerNonce, sealEncoding.EncodeToString(mine))
	w.Header().Set(headerSeal, sealEncoding.EncodeToString(n.keys.sealOf("hello", in.greeting, id[:])))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// check checks the seal of a request on a link.
func (n *Node) check(r *http.Request, in *inbound) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.greeting == nil || len(r.Header[headerSeal]) != 1 {
		return errSeal
	}
	seal, err := sealEncoding.DecodeString(r.Header[headerSeal][0])
	if err != nil || !hmac.Equal(seal, n.keys.linkSeal(in.greeting, in.seq, received(r))) {
		return errSeal
	}
	in.seq++
	return nil
}
