package redistest

import (
	"net"
	"sync"
	"time"
)

// Link is a TCP connection between a program and a server that tests can cut,
// hold up and slow down. Its methods may be called at any time.
type Link struct {
	Addr string // where to connect to

	to   string
	ln   net.Listener
	mu   sync.Mutex
	cond *sync.Cond
	cut  bool
	held bool
	wait time.Duration
	ends map[net.Conn]struct{}
	done bool
	run  sync.WaitGroup
}

// NewLink returns a link to a server's address, which ends with the test.
func NewLink(t TB, to string) *Link {
	t.Helper()
	l, err := OpenLink(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// OpenLink is NewLink for programs; Close ends it.
func OpenLink(to string) (*Link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{Addr: ln.Addr().String(), to: to, ln: ln, ends: map[net.Conn]struct{}{}}
	l.cond = sync.NewCond(&l.mu)
	l.run.Go(l.accept)
	return l, nil
}

// Cut breaks all connections, and refuses new ones until Mend.
func (l *Link) Cut() {
	l.change(func() { l.cut = true })
	l.Break()
}

// Mend undoes Cut.
func (l *Link) Mend() { l.change(func() { l.cut = false }) }

// Break breaks all connections that there are.
func (l *Link) Break() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.ends {
		_ = c.Close()
	}
}

// To has the link lead to another server from now on: new connections do.
func (l *Link) To(addr string) { l.change(func() { l.to = addr }) }

// Hold lets nothing pass, in either direction, without breaking anything. Release undoes it.
func (l *Link) Hold() { l.change(func() { l.held = true }) }

// Release undoes Hold.
func (l *Link) Release() { l.change(func() { l.held = false }) }

// Slow delays what passes.
func (l *Link) Slow(by time.Duration) { l.change(func() { l.wait = by }) }

// Close ends the link.
func (l *Link) Close() {
	_ = l.ln.Close()
	l.change(func() { l.done, l.held = true, false })
	l.Break()
	l.run.Wait()
}

func (l *Link) change(f func()) {
	l.mu.Lock()
	f()
	l.mu.Unlock()
	l.cond.Broadcast()
}

func (l *Link) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.run.Go(func() { l.join(c) })
	}
}

func (l *Link) join(a net.Conn) {
	defer a.Close()
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	b, err := net.DialTimeout("tcp", to, time.Second)
	if err != nil {
		return
	}
	defer b.Close()
	l.mu.Lock()
	if l.cut || l.done {
		l.mu.Unlock()
		return
	}
	l.ends[a], l.ends[b] = struct{}{}, struct{}{}
	l.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { l.pass(b, a) })
	l.pass(a, b)
	both.Wait()
	l.mu.Lock()
	delete(l.ends, a)
	delete(l.ends, b)
	l.mu.Unlock()
}

// pass copies in one direction until that ends, and then ends the other, too.
func (l *Link) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		for l.held {
			l.cond.Wait()
		}
		wait := l.wait
		l.mu.Unlock()
		if n > 0 {
			time.Sleep(wait)
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
