package wsconn

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/roomcast/roomcast/engine"
)

// echoSink answers every message, the answers of one read with one write.
type echoSink struct {
	c       *Conn
	reply   *engine.Batch
	pending []*engine.Batch
}

func (s *echoSink) Frame(data []byte, isBinary, owned bool) error {
	s.pending = append(s.pending, s.reply)
	return nil
}

func (s *echoSink) Handled() {
	if done, err := s.c.Write(s.pending); !done && err == nil {
		s.c.Drain()
	}
	s.pending = s.pending[:0]
}

// BenchmarkEcho sends 64-byte messages over loopback TCP and waits for as many
// answers. An operation is one message.
func BenchmarkEcho(b *testing.B) {
	for _, inFlight := range []int{1, 16} {
		b.Run(itoa(inFlight), func(b *testing.B) {
			c, client := pair(b, "raw", Config{})
			payload := strings.Repeat("x", 63)
			reply := engine.NewBatch(true, msg(payload))
			done := serve(c, &echoSink{c: c, reply: reply})
			in := []byte(strings.Repeat(string(text("4"+payload)), inFlight))
			out := make([]byte, (2+64)*inFlight)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%inFlight != 0 {
					continue
				}
				client.Write(in)
				if _, err := io.ReadFull(client, out); err != nil {
					b.Fatal(err)
				}
			}
			client.Close()
			<-done
		})
	}
}

// BenchmarkEcho1MiB sends messages of 1 MiB there and back.
func BenchmarkEcho1MiB(b *testing.B) {
	c, client := pair(b, "raw", Config{MaxMessage: 2 << 20})
	done := serve(c, &record{do: func(data []byte, isBinary, owned bool) error {
		return send(c, engine.Packet{Type: engine.Message, Binary: true, Data: data})
	}})
	in := bin(strings.Repeat("x", 1<<20))
	out := make([]byte, 10+1<<20)
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		go client.Write(in)
		if _, err := io.ReadFull(client, out); err != nil {
			b.Fatal(err)
		}
	}
	client.Close()
	<-done
}

// BenchmarkRead parses frames of 64 bytes that are there already.
func BenchmarkRead(b *testing.B) {
	in := []byte(strings.Repeat(string(text(strings.Repeat("x", 64))), 200))
	cfg := Config{}.withDefaults()
	c, _ := newConn(&script{}, &cfg, engine.WebSocket, false, nil)
	c.sink = discard{}
	buf := make([]byte, len(in))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, in)
		if err := c.take(buf); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Frame([]byte, bool, bool) error { return nil }
func (discard) Handled()                       {}

// signal tells of every message.
type signal chan bool

func (s signal) Frame([]byte, bool, bool) error { s <- true; return nil }
func (s signal) Handled()                       {}

// BenchmarkIdle reports what an idle connection takes: the Conn, its net.Conn
// and the goroutine in Serve, after messages and a heartbeat.
func BenchmarkIdle(b *testing.B) {
	const n = 1000
	for b.Loop() {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		cfg := Config{}.withDefaults()
		clients := make([]net.Conn, n)
		servers := make([]net.Conn, n)
		for i := range n {
			if clients[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
				b.Fatal(err)
			}
			if servers[i], err = l.Accept(); err != nil {
				b.Fatal(err)
			}
		}
		got := make(chan bool, n)
		ended := make(chan error, n)
		conns := make([]*Conn, n)
		sink := signal(got)
		heap, stacks := memory()
		for i := range n {
			conns[i], _ = newConn(servers[i], &cfg, engine.WebSocket, false, nil)
			go serveOn(conns[i], sink, ended)
		}
		for _, in := range [][]byte{text("40{}"), text("a message"), text("3")} {
			for i := range n {
				clients[i].Write(in)
				<-got
			}
			// From what stacks a collection finds, the runtime tells how large
			// new ones are to be.
			runtime.GC()
		}
		heap2, stacks2 := memory()
		b.ReportMetric(float64(heap2-heap)/n, "heap-B/conn")
		b.ReportMetric(float64(stacks2-stacks)/n, "stack-B/conn")
		b.ReportMetric(float64(unsafe.Sizeof(Conn{})), "struct-B/conn")
		for _, c := range clients {
			c.Close()
		}
		for range n {
			<-ended
		}
		l.Close()
		runtime.KeepAlive(conns)
	}
}

// memory returns the bytes in use by heap and stacks.
func memory() (heap, stacks int64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.StackInuse)
}
