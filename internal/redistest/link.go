package redistest

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Link is a TCP connection between a program and a server that tests can cut,
// hold up and slow down, in one direction or both. Its methods may be called at any time.
type Link struct {
	Addr string // where to connect to

	to   string
	ln   net.Listener
	mu   sync.Mutex
	cond *sync.Cond
	cut  bool
	held [2]bool // by direction
	wait time.Duration
	loss float64
	ends map[net.Conn]*pair
	done bool
	run  sync.WaitGroup
}

// The directions.
const (
	toServer = iota
	toProgram
)

// pair is one connection: its two ends. Guarded by the link's lock.
type pair struct{ forgotten bool }

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
	l := &Link{Addr: ln.Addr().String(), to: to, ln: ln, ends: map[net.Conn]*pair{}}
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
func (l *Link) Hold() { l.change(func() { l.held = [2]bool{true, true} }) }

// HoldRequests is Hold of what the program sends.
func (l *Link) HoldRequests() { l.change(func() { l.held[toServer] = true }) }

// HoldReplies is Hold of what the server sends.
func (l *Link) HoldReplies() { l.change(func() { l.held[toProgram] = true }) }

// Release undoes Hold, HoldRequests and HoldReplies.
func (l *Link) Release() { l.change(func() { l.held = [2]bool{} }) }

// Slow delays what passes.
func (l *Link) Slow(by time.Duration) { l.change(func() { l.wait = by }) }

// Lose has that part of what passes, from 0 to 1, come later and what follows it wait, as if packets were lost and
// sent again: by 200 to 800 ms.
func (l *Link) Lose(part float64) { l.change(func() { l.loss = part }) }

// Forget leaves all connections that there are half open: nothing passes any more, and neither end is told. New ones work.
func (l *Link) Forget() {
	l.change(func() {
		for _, p := range l.ends {
			p.forgotten = true
		}
	})
}

// Close ends the link.
func (l *Link) Close() {
	_ = l.ln.Close()
	l.change(func() { l.done, l.held = true, [2]bool{} })
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
	p := &pair{}
	l.ends[a], l.ends[b] = p, p
	l.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { l.pass(p, toServer, b, a) })
	l.pass(p, toProgram, a, b)
	both.Wait()
	l.mu.Lock()
	delete(l.ends, a)
	delete(l.ends, b)
	l.mu.Unlock()
}

// pass copies in one direction until that ends, and then ends the other, too.
func (l *Link) pass(p *pair, direction int, to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		for l.held[direction] && !p.forgotten {
			l.cond.Wait()
		}
		wait, forgotten := l.wait, p.forgotten
		if rand.Float64() < l.loss {
			wait += 200*time.Millisecond + rand.N(600*time.Millisecond)
		}
		l.mu.Unlock()
		if n > 0 && !forgotten {
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
