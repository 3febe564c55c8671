package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// tunnel is an upgraded connection of a client whose session is on another
// node: what one end sends goes to the other, unread. It has two goroutines
// and, while nothing is sent, no buffers.
type tunnel struct {
	node          *Node
	to            ID
	client, owner net.Conn
	once          sync.Once
	ends          sync.WaitGroup
}

// tunnels are those that are open.
type tunnels struct {
	mu     sync.Mutex
	open   map[*tunnel]struct{}
	closed bool
	tasks  sync.WaitGroup
}

func (ts *tunnels) init() { ts.open = make(map[*tunnel]struct{}) }

// tunnel hands the client's connection on, after the owner has accepted the
// upgrade. It returns at once, so that the HTTP server's goroutine and buffers are free.
func (f *forward) tunnel(l *link, res *http.Response) {
	n := f.node
	h := f.w.Header()
	client, rw, err := http.NewResponseController(f.w).Hijack()
	if err != nil {
		l.conn.Close()
		n.stats.Failed[FailedUnsuitable].Add(1)
		n.log.Error("cluster: the connection of an upgrade can't be taken over", "error", err)
		f.w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for name, values := range res.Header {
		h[name] = values
	}
	early, late := buffered(rw.Reader), buffered(l.r)
	t := &tunnel{node: n, to: f.to.ID, client: client, owner: l.conn}
	if err := t.accept(res.StatusCode, h, early, late, n.cfg.WriteTimeout); err != nil || !n.tunnels.start(t) {
		t.end()
		return
	}
	f.tunnelled = true
	n.stats.Upgrades.Add(1)
}

// buffered takes out what was read ahead.
func buffered(r interface {
	Buffered() int
	Peek(int) ([]byte, error)
}) []byte {
	b, _ := r.Peek(r.Buffered())
	return append([]byte(nil), b...)
}

// accept tells the client that its upgrade is accepted, and passes on what either end has sent ahead.
func (t *tunnel) accept(status int, h http.Header, early, late []byte, limit time.Duration) error {
	t.client.SetDeadline(time.Time{})
	t.client.SetWriteDeadline(time.Now().Add(limit))
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for name, values := range h {
		for _, v := range values {
			b = fmt.Appendf(b, "%s: %s\r\n", name, v)
		}
	}
	b = append(b, "\r\n"...)
	if _, err := t.client.Write(append(b, late...)); err != nil {
		return err
	}
	t.client.SetWriteDeadline(time.Time{})
	t.owner.SetDeadline(time.Time{})
	if len(early) > 0 {
		_, err := t.owner.Write(early)
		return err
	}
	return nil
}

// lingerTime is how long one direction of a tunnel outlives the other.
const lingerTime = 5 * time.Second

// run carries one direction. limit bounds how long a write may take, if it isn't 0.
func (t *tunnel) run(from, to net.Conn, limit time.Duration) {
	err := carry(from, to, limit)
	if err == nil { // from has ended in order: what is under way the other way may arrive
		if half, ok := to.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			to.SetReadDeadline(time.Now().Add(lingerTime))
		} else {
			t.end()
		}
	} else {
		t.end()
	}
	t.ends.Done()
	t.once.Do(func() { // the first to end waits for the second, and cleans up
		t.ends.Wait()
		t.end()
		t.node.tunnels.remove(t)
		t.node.forwards.Add(-1)
	})
}

func (t *tunnel) end() {
	t.client.Close()
	t.owner.Close()
}

// copyLoop is carry with a buffer of its own, for connections without a descriptor.
func copyLoop(from, to net.Conn, limit time.Duration) error {
	buf := make([]byte, 4<<10)
	for {
		k, err := from.Read(buf)
		if k > 0 {
			if werr := pass(to, buf[:k], limit); werr != nil {
				return werr
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// pass writes b.
func pass(to net.Conn, b []byte, limit time.Duration) error {
	if limit > 0 {
		to.SetWriteDeadline(time.Now().Add(limit))
	}
	_, err := to.Write(b)
	return err
}

// start has a tunnel carry what comes, unless all are closed.
func (ts *tunnels) start(t *tunnel) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return false
	}
	ts.open[t] = struct{}{}
	t.ends.Add(2)
	ts.tasks.Go(func() { t.run(t.client, t.owner, 0) })
	ts.tasks.Go(func() { t.run(t.owner, t.client, t.node.cfg.WriteTimeout) })
	return true
}

func (ts *tunnels) remove(t *tunnel) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	delete(ts.open, t)
}

func (ts *tunnels) all() []*tunnel {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	list := make([]*tunnel, 0, len(ts.open))
	for t := range ts.open {
		list = append(list, t)
	}
	return list
}

// drop closes the tunnels to a node that has gone.
func (ts *tunnels) drop(id ID) {
	for _, t := range ts.all() {
		if t.to == id {
			t.end()
		}
	}
}

// drain closes all tunnels at an even pace.
func (ts *tunnels) drain(ctx context.Context, over time.Duration) error {
	all := ts.all()
	begin := time.Now()
	for i, t := range all {
		at := over * time.Duration(i+1) / time.Duration(len(all))
		if wait := at - time.Since(begin); wait > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(wait):
			}
		}
		t.end()
	}
	return nil
}

// close ends all tunnels and waits for their goroutines.
func (ts *tunnels) close() {
	ts.mu.Lock()
	ts.closed = true
	ts.mu.Unlock()
	for _, t := range ts.all() {
		t.end()
	}
	ts.tasks.Wait()
}
