package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// pipe is a Conn that records what is written, one line for each Write.
type pipe struct {
	transport string
	frames    chan string // what the peer sends
	closed    chan struct{}
	once      sync.Once

	mu      sync.Mutex
	writes  []string
	blocked chan error // Write leaves all to Drain, which waits for it
	err     error      // of the next Write
}

func newPipe(transport string) *pipe {
	return &pipe{transport: transport, frames: make(chan string), closed: make(chan struct{})}
}

func (p *pipe) Transport() string { return p.transport }
func (p *pipe) Serve(sink Sink) error {
	for {
		select {
		case <-p.closed:
			return errors.New("closed")
		case f, ok := <-p.frames:
			if !ok {
				return io.EOF
			}
			if err := sink.Frame([]byte(f), false, true); err != nil {
				p.Close()
				return err
			}
			sink.Handled()
		}
	}
}
func (p *pipe) Write(batches []*Batch) (bool, error) {
	var line []string
	for _, b := range batches {
		for _, pkt := range b.Packets() {
			line = append(line, string(pkt.AppendText(nil, 4)))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return false, p.err
	}
	p.writes = append(p.writes, strings.Join(line, " "))
	return p.blocked == nil, nil
}
func (p *pipe) Drain() error {
	select {
	case err := <-p.blocked:
		return err
	case <-p.closed:
		return errors.New("closed")
	}
}
func (p *pipe) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

// wrote returns what was written since the last call.
func (p *pipe) wrote() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := strings.Join(p.writes, " | ")
	p.writes = nil
	return all
}

// ends records how a session ends.
type ends struct {
	mu  sync.Mutex
	all []string
}

func (e *ends) Open(s *Session) Receiver   { return e }
func (e *ends) Message([]byte, bool, bool) {}
func (e *ends) Handled()                   {}
func (e *ends) Upgraded()                  {}
func (e *ends) Closed(r Reason, cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, fmt.Sprint(r, ": ", cause))
}
func (e *ends) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.all, ", ")
}

func testServer(t testing.TB, cfg Config) (*Server, *ends) {
	e := new(ends)
	cfg.WebSocket = noUpgrader{}
	if cfg.Handler == nil {
		cfg.Handler = e
	}
	srv := New(cfg)
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return srv, e
}

// connect opens a session on conn.
func connect(srv *Server, conn Conn, id string) *Session {
	srv.mu.Lock()
	srv.places++
	srv.mu.Unlock()
	k := srv.openOn(conn, id, Request{}, 4)
	srv.tasks.run(k.serve)
	return k.s
}

func msg(s string) *Batch { return NewBatch(false, Packet{Type: Message, Data: []byte(s)}) }

func session(t *testing.T, cfg Config) (*Session, *pipe, *ends) {
	srv, e := testServer(t, cfg)
	p := newPipe("websocket")
	s := connect(srv, p, "id")
	if got := p.wrote(); !strings.HasPrefix(got, `0{"sid":"id",`) {
		t.Fatalf("wrote %q first", got)
	}
	return s, p, e
}

func expect(t *testing.T, p *pipe, want string) {
	t.Helper()
	synctest.Wait()
	if got := p.wrote(); got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestAppendAndFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := session(t, Config{})
		if !s.Append(msg("a")) {
			t.Error("the first Append need not flush")
		}
		if s.Append(msg("b")) {
			t.Error("the second Append must flush, too")
		}
		s.Send(msg("c")) // somebody will flush
		expect(t, p, "")
		s.Flush()
		expect(t, p, "4a 4b 4c")
		s.Send(msg("d"))
		expect(t, p, "4d")
	})
}

func TestSlowWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, e := session(t, Config{})
		p.blocked = make(chan error)
		s.Send(msg("a"))
		s.Send(msg("b"))
		if s.Append(msg("c")) {
			t.Error("Append wants a flush while one is going on")
		}
		if flush, queued := s.AppendVolatile(msg("v")); flush || queued {
			t.Error("a volatile packet was queued behind a blocked write")
		}
		expect(t, p, "4a")
		p.blocked <- nil
		expect(t, p, "4b 4c") // what gathered leaves together
		p.blocked <- nil
		synctest.Wait()
		p.mu.Lock()
		p.blocked = nil
		p.mu.Unlock()
		if flush, queued := s.AppendVolatile(msg("v")); !flush || !queued {
			t.Error("a volatile packet was dropped on an idle session")
		}
		s.Flush()
		expect(t, p, "4v")

		p.blocked = make(chan error)
		s.Send(msg("d"))
		if s.Close() {
			t.Error("Close did not wait for the write")
		}
		s.Send(msg("dropped"))
		p.blocked <- nil
		expect(t, p, "4d")
		if e.String() != "forced close: <nil>" {
			t.Errorf("ended with %s", e)
		}
		<-p.closed
	})
}

func TestFailedWrites(t *testing.T) {
	for _, later := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, p, e := session(t, Config{})
			if later {
				p.blocked = make(chan error)
				s.Send(msg("a"))
				p.blocked <- errors.New("boom")
			} else {
				p.err = errors.New("boom")
				s.Send(msg("a"))
			}
			synctest.Wait()
			if e.String() != "transport error: boom" || s.Append(msg("b")) {
				t.Errorf("ended with %s", e)
			}
		})
	}
}

func TestOverflow(t *testing.T) {
	for _, cfg := range []Config{{MaxQueuedPackets: 10}, {MaxQueuedBytes: 4 * 100, MaxPayload: 100}} {
		synctest.Test(t, func(t *testing.T) {
			s, p, e := session(t, cfg)
			p.blocked = make(chan error)
			data := strings.Repeat("x", 24) // counts as 40
			for range 10 {
				s.Send(msg(data))
			}
			synctest.Wait()
			if e.String() != "" {
				t.Fatalf("ended at the limit: %s", e)
			}
			s.Send(msg(data))
			s.Send(msg(data))
			synctest.Wait()
			if e.String() != "transport error: "+ErrSlowConsumer.Error() || s.server.stats.rejected[RejectedSlowConsumer].Load() != 1 {
				t.Errorf("ended with %s", e)
			}
		})
	}
	// A batch that is larger than the limit alone passes if nothing waits.
	synctest.Test(t, func(t *testing.T) {
		s, p, e := session(t, Config{MaxQueuedBytes: 100, MaxPayload: 25})
		s.Send(msg(strings.Repeat("x", 1000)))
		if p.wrote() == "" || e.String() != "" {
			t.Error("not written")
		}
	})
}

func TestCork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := session(t, Config{})
		s.Cork()
		s.Cork()
		s.Send(msg("a"))
		if s.Append(msg("b")) {
			t.Error("Append wants a flush while corked")
		}
		s.Uncork()
		s.Send(msg("c"))
		expect(t, p, "")
		s.Uncork()
		expect(t, p, "4a 4b 4c")

		s.Cork()
		s.Send(msg("d"))
		s.Push()
		expect(t, p, "4d")
		s.Send(msg("e")) // the handler takes its time
		time.Sleep(corkTime - 1)
		expect(t, p, "")
		time.Sleep(1)
		expect(t, p, "4e")
		s.Send(msg("f"))
		time.Sleep(corkTime)
		expect(t, p, "4f")

		var want []string
		for i := range 64 {
			s.Send(msg(fmt.Sprint(i)))
			want = append(want, fmt.Sprintf("4%d", i))
		}
		expect(t, p, strings.Join(want, " ")) // much has gathered
		s.Send(msg(strings.Repeat("x", 64<<10)))
		expect(t, p, "4"+strings.Repeat("x", 64<<10))
		s.Uncork()
		expect(t, p, "")
		if s.cork != nil {
			t.Error("a timer is left")
		}
	})
}

// What was gathered without a timer leaves with the cork, or in time once its caller goes on.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := session(t, Config{})
		s.Cork()
		if s.Gather(msg("a")) || s.cork != nil {
			t.Error("Gather wants a flush, or has armed the timer")
		}
		s.Uncork()
		expect(t, p, "4a")

		s.Cork()
		s.Hold() // for nothing
		if s.cork != nil {
			t.Error("a timer was armed for nothing")
		}
		s.Gather(msg("b"))
		time.Sleep(10 * corkTime)
		expect(t, p, "")
		s.Hold()
		s.Gather(msg("c"))
		time.Sleep(corkTime)
		expect(t, p, "4b 4c")
		s.Gather(msg("d"))
		s.Send(msg("e")) // which arms it for both
		time.Sleep(corkTime)
		expect(t, p, "4d 4e")
		s.Gather(msg("f"))
		s.Uncork()
		expect(t, p, "4f")
		s.Hold()
		if !s.Gather(msg("g")) {
			t.Error("without a cork Gather wants no flush")
		}
		s.Flush()
		expect(t, p, "4g")

		// Who has gathered something goes while another one, who may take long, corks on.
		s.Cork()
		s.Gather(msg("h"))
		s.Cork()
		s.Uncork()
		expect(t, p, "")
		time.Sleep(corkTime)
		expect(t, p, "4h")
		s.Uncork()
	})
}

// A batch from NewSingle is used again when it is written, and not before.
func TestSingle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := session(t, Config{})
		var want []string
		s.Cork()
		for i := range 20 {
			b := NewSingle()
			text := fmt.Appendf(b.Buffer(), "message %d %s", i, strings.Repeat("x", i*300))
			b.SetText(text)
			if b.Size() != len(text) || len(b.Packets()) != 1 {
				t.Fatalf("a batch of %d packets and %d bytes", len(b.Packets()), b.Size())
			}
			s.Append(b)
			want = append(want, "4"+string(text))
		}
		NewSingle().Release()
		s.Uncork()
		expect(t, p, strings.Join(want, " "))
	})
}

func TestFanout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, _ := testServer(t, Config{})
		var f Fanout
		for _, n := range []int{1, 2, 3, 100} {
			var sessions []*Session
			var pipes []*pipe
			for i := range n {
				p := newPipe("websocket")
				sessions = append(sessions, connect(srv, p, fmt.Sprint(n, i)))
				p.wrote()
				pipes = append(pipes, p)
			}
			for i := range 3 {
				b := NewBatch(true, Packet{Type: Message, Data: fmt.Append(nil, i)})
				for _, s := range sessions {
					if s.Append(b) {
						f.Add(s)
					}
				}
			}
			f.Commit()
			for _, p := range pipes {
				expect(t, p, "40 41 42")
			}
		}
	})
}

// One goroutine's order holds, whether it sends alone or through a fan-out.
func TestOrder(t *testing.T) {
	srv, _ := testServer(t, Config{MaxQueuedPackets: -1, MaxQueuedBytes: -1})
	var pipes []*pipe
	var sessions []*Session
	for i := range 10 {
		pipes = append(pipes, newPipe("websocket"))
		sessions = append(sessions, connect(srv, pipes[i], fmt.Sprint(i)))
		pipes[i].wrote()
	}
	var wg sync.WaitGroup
	const n = 300
	for g := range 3 {
		wg.Go(func() {
			var f Fanout
			for i := range n {
				b := NewBatch(true, Packet{Type: Message, Data: fmt.Appendf(nil, "%d:%d", g, i)})
				for j, s := range sessions {
					if (i+j)%4 == 0 {
						s.Send(b)
					} else if s.Append(b) {
						f.Add(s)
					}
				}
				f.Commit()
			}
		})
	}
	wg.Wait()
	for _, s := range sessions {
		s.Close()
		<-s.Done()
	}
	for _, p := range pipes {
		var next [3]int
		for _, m := range strings.FieldsFunc(p.wrote(), func(r rune) bool { return r == ' ' || r == '|' }) {
			var g, i int
			fmt.Sscanf(m, "4%d:%d", &g, &i)
			if i != next[g] {
				t.Fatalf("goroutine %d: %d came when %d was next", g, i, next[g])
			}
			next[g]++
		}
		if next != [3]int{n, n, n} {
			t.Errorf("got %v messages", next)
		}
	}
}

func TestDoneAndErr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, _ := session(t, Config{})
		if s.Err() != nil {
			t.Error(s.Err())
		}
		done := s.Done()
		close(p.frames)
		<-done
		<-s.Done()
		if err := s.Err(); err == nil || err.Error() != "engine: session closed: transport close" {
			t.Error(err)
		}
	})
}

// The handler may end a session before it has returned its receiver.
func TestCloseWhileOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &opener{}
		srv, _ := testServer(t, Config{Handler: o})
		connect(srv, newPipe("websocket"), "id")
		if o.String() != "forced close: <nil>" {
			t.Errorf("heard %q", o)
		}
	})
}

type opener struct{ ends }

func (o *opener) Open(s *Session) Receiver {
	s.CloseNow()
	return o
}

func TestSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Session{}) + unsafe.Sizeof(sink{}); n > 480 {
		t.Errorf("Session and sink take %d bytes", n)
	}
}

func TestWebTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, e := testServer(t, Config{Transports: []string{"polling", "webtransport"}, WebTransport: noUpgrader{}})
		greet := func(admitted bool) *pipe {
			p := newPipe("webtransport")
			g := &greeter{srv: srv, conn: p}
			if admitted {
				g.id, g.place = newID(), true
				srv.mu.Lock()
				srv.places++
				srv.mu.Unlock()
			}
			g.timer = time.AfterFunc(srv.cfg.UpgradeTimeout, func() { p.Close() })
			srv.tasks.run(g.serve)
			return p
		}
		p := greet(true)
		p.frames <- "0"
		synctest.Wait()
		if got := p.wrote(); !strings.Contains(got, `"upgrades":[]`) || srv.stats.WebTransport.Load() != 1 {
			t.Errorf("wrote %q", got)
		}
		time.Sleep(20 * time.Second) // beyond the time for the first packet
		synctest.Wait()
		close(p.frames)
		synctest.Wait()
		if e.String() != "transport close: <nil>" {
			t.Errorf("ended with %s", e)
		}

		for _, first := range []string{"4hello", "", "x", `0{"sid":"unknown"}`, `0{"sid":1}`, "0"} {
			p = greet(first != "0") // "0" was not admitted: the query named a session
			p.frames <- first
			<-p.closed
		}
		begin := time.Now()
		<-greet(true).closed
		if time.Since(begin) != 10*time.Second {
			t.Errorf("a silent connection was closed after %v", time.Since(begin))
		}

		s := srv.newSession("polling", Request{}, 4)
		s.poll = &poll{wake: make(chan struct{}, 1)}
		srv.mu.Lock()
		srv.places++
		srv.mu.Unlock()
		srv.open(s)
		s.Send(msg("queued"))
		p = greet(false)
		p.frames <- `0{"sid":"polling"}`
		synctest.Wait()
		second := greet(false)
		second.frames <- `0{"sid":"polling"}`
		<-second.closed
		p.frames <- "2probe"
		expect(t, p, "3probe")
		p.frames <- "5"
		expect(t, p, "4queued")
		if s.Transport() != "webtransport" {
			t.Errorf("on %s", s.Transport())
		}
		s.CloseNow()
		synctest.Wait()
		srv.mu.Lock()
		defer srv.mu.Unlock()
		if srv.places != 0 {
			t.Errorf("%d places are taken", srv.places)
		}
	})
}

type noUpgrader struct{ Upgrader }

// null is a Conn that takes everything.
type null struct{ closed chan struct{} }

func (n null) Transport() string            { return "websocket" }
func (n null) Serve(Sink) error             { <-n.closed; return io.EOF }
func (n null) Write([]*Batch) (bool, error) { return true, nil }
func (n null) Drain() error                 { return nil }
func (n null) Close() error                 { close(n.closed); return nil }

func BenchmarkSend(b *testing.B) {
	srv, _ := testServer(b, Config{PingInterval: -1})
	s := connect(srv, null{make(chan struct{})}, "id")
	data := []byte(`2["message","hello"]`)
	b.ReportAllocs()
	for b.Loop() {
		s.Send(NewBatch(false, Packet{Type: Message, Data: data}))
	}
}

func BenchmarkCorkedSends(b *testing.B) {
	srv, _ := testServer(b, Config{PingInterval: -1})
	s := connect(srv, null{make(chan struct{})}, "id")
	data := []byte(`2["message","hello"]`)
	b.ReportAllocs()
	for b.Loop() {
		s.Cork()
		for range 16 {
			s.Send(NewBatch(false, Packet{Type: Message, Data: data}))
		}
		s.Uncork()
	}
}

func BenchmarkFanout1000(b *testing.B) {
	srv, _ := testServer(b, Config{PingInterval: -1, MaxQueuedPackets: -1, MaxQueuedBytes: -1})
	var sessions []*Session
	for i := range 1000 {
		sessions = append(sessions, connect(srv, null{make(chan struct{})}, fmt.Sprint(i)))
	}
	data := []byte(`2["message","hello"]`)
	var f Fanout
	b.ReportAllocs()
	for b.Loop() {
		batch := NewBatch(true, Packet{Type: Message, Data: data})
		for _, s := range sessions {
			if s.Append(batch) {
				f.Add(s)
			}
		}
		f.Commit()
	}
}

func BenchmarkOutput(b *testing.B) {
	p := Packet{Type: Message, Data: bytes.Repeat([]byte("x"), 64)}
	for name, shared := range map[string]bool{"shared": true, "single": false} {
		batch := NewBatch(shared, p)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o := NewOutput()
				for range 16 {
					o.Add(batch, WebSocket)
				}
				o.Buffers()
				o.Release()
			}
		})
	}
}

func BenchmarkPayload(b *testing.B) {
	batches := make([]*Batch, 16)
	for i := range batches {
		batches[i] = NewBatch(false, Packet{Type: Message, Data: bytes.Repeat([]byte("x"), 64)})
	}
	for _, rev := range []int{3, 4} {
		body, _ := appendPayload(nil, batches, rev, true)
		b.Run(fmt.Sprintf("encode/rev%d", rev), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				body, _ = appendPayload(body[:0], batches, rev, true)
			}
		})
		b.Run(fmt.Sprintf("decode/rev%d", rev), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p := payload{rest: body, rev: rev}
				for _, ok, _ := p.next(); ok; _, ok, _ = p.next() {
				}
			}
		})
	}
}
