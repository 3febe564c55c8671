package namespaces_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/namespaces"
)

// line is a connection without a network: what the server writes is counted.
type line struct {
	engine.Conn // panics where it isn't expected
	sink        chan engine.Sink
	done        chan struct{}
	written     atomic.Int64 // batches
	wrote       chan struct{}
}

func (l *line) Transport() string { return "websocket" }

func (l *line) Serve(sink engine.Sink) error {
	l.sink <- sink
	<-l.done
	return io.EOF
}

func (l *line) Write(batches []*engine.Batch) (done bool, err error) {
	l.written.Add(int64(len(batches)))
	select {
	case l.wrote <- struct{}{}:
	default:
	}
	return true, nil
}

func (l *line) Close() error {
	select {
	case <-l.done:
	default:
		close(l.done)
	}
	return nil
}

// wait waits until n batches were written.
func (l *line) wait(n int64) {
	for l.written.Load() < n {
		<-l.wrote
	}
}

// exchange hands out lines.
type exchange chan *line

func (e exchange) Upgrade(http.ResponseWriter, *http.Request, http.Header, int, bool) (engine.Conn, error) {
	l := &line{sink: make(chan engine.Sink, 1), done: make(chan struct{}), wrote: make(chan struct{}, 1)}
	e <- l
	return l, nil
}

// connected returns a registry, and a function that connects a client to /.
func connected(b *testing.B, cfg namespaces.Config) (*namespaces.Namespace, func() (*line, engine.Sink)) {
	b.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	reg, err := namespaces.NewRegistry(cfg)
	if err != nil {
		b.Fatal(err)
	}
	lines := make(exchange, 1)
	srv := engine.New(engine.Config{Handler: reg, WebSocket: lines, HandshakeRate: -1, MaxQueuedPackets: -1, MaxQueuedBytes: -1})
	b.Cleanup(func() {
		reg.Close(context.Background())
		srv.Shutdown(context.Background())
	})
	ns, err := reg.Of("/")
	if err != nil {
		b.Fatal(err)
	}
	return ns, func() (*line, engine.Sink) {
		r := httptest.NewRequest("GET", "/?EIO=4&transport=websocket", nil)
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		srv.ServeHTTP(httptest.NewRecorder(), r)
		l := <-lines
		sink := <-l.sink
		if err := sink.Frame([]byte("40"), false, false); err != nil {
			b.Fatal(err)
		}
		sink.Handled()
		l.wait(2) // the open packet and the answer to CONNECT
		return l, sink
	}
}

// BenchmarkDispatch is an event's way through decoder, mailbox, handler and its ack: one
// at a time, and 16 in one read.
func BenchmarkDispatch(b *testing.B) {
	for _, inFlight := range []int{1, 16} {
		for name, packet := range map[string]string{
			"text":   `421["echo","0123456789012345678901234567890123456789012345678901234567890123"]`,
			"object": `421["object",{"room":"lobby","text":"hello there","at":1700000000000}]`,
		} {
			b.Run(fmt.Sprintf("%s/%d", name, inFlight), func(b *testing.B) {
				ns, connect := connected(b, namespaces.Config{})
				namespaces.OnAck(ns, "echo", func(_ context.Context, _ *namespaces.Socket, s string) (string, error) { return s, nil })
				type message struct {
					Room string `json:"room"`
					Text string `json:"text"`
					At   int64  `json:"at"`
				}
				namespaces.OnAck(ns, "object", func(_ context.Context, _ *namespaces.Socket, m message) (message, error) { return m, nil })
				l, sink := connect()
				frame := []byte(packet)
				want := l.written.Load()
				b.ReportAllocs()
				b.SetBytes(int64(len(packet)))
				for n := 0; b.Loop(); n++ {
					if err := sink.Frame(frame, false, false); err != nil {
						b.Fatal(err)
					}
					if want++; (n+1)%inFlight == 0 {
						sink.Handled()
						l.wait(want)
					}
				}
				sink.Handled()
				l.wait(want)
			})
		}
	}
}

// BenchmarkFanOut is a broadcast to a room, up to the last write.
func BenchmarkFanOut(b *testing.B) {
	for _, members := range []int{10, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			ns, connect := connected(b, namespaces.Config{})
			var lines []*line
			for range members {
				l, _ := connect()
				lines = append(lines, l)
			}
			for _, s := range ns.Sockets() {
				if err := s.Join("room"); err != nil {
					b.Fatal(err)
				}
			}
			text := string(bytes.Repeat([]byte("x"), 64))
			sent := int64(2)
			b.ReportAllocs()
			for b.Loop() {
				if err := ns.To("room").Emit(context.Background(), "said", text); err != nil {
					b.Fatal(err)
				}
				sent++
				for _, l := range lines {
					l.wait(sent)
				}
			}
		})
	}
}
