package redistest

import (
	"io"
	"net"
	"sync"
)

// Proxy is a link to a server that can hang: nothing passes, and nobody is told.
type Proxy struct {
	Addr string

	mu     sync.Mutex
	frozen chan struct{} // not nil while it hangs; closed at its end
}

// NewProxy starts a proxy that ends with the test.
func NewProxy(t TB, server string) *Proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: ln.Addr().String()}
	var all sync.WaitGroup
	var mu sync.Mutex
	conns := []net.Conn{}
	t.Cleanup(func() {
		_ = ln.Close()
		p.Thaw()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	all.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, in, out)
			mu.Unlock()
			all.Go(func() { p.copy(in, out) })
			all.Go(func() { p.copy(out, in) })
		}
	})
	return p
}

func (p *Proxy) copy(dst, src net.Conn) {
	defer dst.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := src.Read(b)
		p.wait()
		if n > 0 {
			if _, err := dst.Write(b[:n]); err != nil {
				return
			}
		}
		if err == io.EOF || err != nil {
			return
		}
	}
}

func (p *Proxy) wait() {
	p.mu.Lock()
	frozen := p.frozen
	p.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

// Freeze makes the link hang.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// Thaw lets everything pass again, with what has waited.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}
