package wsconn

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/roomcast/roomcast/engine"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a connection whose reads return the chunks of in, then end, or
// EOF. It keeps what is written to it.
type script struct {
	in  [][]byte
	end error
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, cmp.Or(s.end, io.EOF)
	}
	n := copy(p, s.in[0])
	if s.in[0] = s.in[0][n:]; len(s.in[0]) == 0 {
		s.in = s.in[1:]
	}
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return nil }
func (s *script) RemoteAddr() net.Addr             { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// each returns in as chunks of n bytes.
func each(in []byte, n int) (chunks [][]byte) {
	for len(in) > n {
		chunks = append(chunks, bytes.Clone(in[:n]))
		in = in[n:]
	}
	return append(chunks, bytes.Clone(in))
}

// record is a sink that writes down what it gets.
type record struct {
	mu     sync.Mutex
	frames []string
	do     func(data []byte, isBinary, owned bool) error
}

func (r *record) Frame(data []byte, isBinary, owned bool) error {
	s := show(data)
	if isBinary {
		s = "binary " + s
	}
	r.mu.Lock()
	r.frames = append(r.frames, s)
	r.mu.Unlock()
	if r.do != nil {
		return r.do(data, isBinary, owned)
	}
	return nil
}

func (r *record) Handled() {}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.frames, ", ")
}

// show is data, in short when it is long.
func show(data []byte) string {
	if len(data) > 64 {
		return fmt.Sprintf("%.4s…%d", data, len(data))
	}
	return string(data)
}

// frames writes down what a server sent.
func frames(sent []byte) string {
	var list []string
	for r := bytes.NewReader(sent); r.Len() > 0; {
		f, err := ws.ReadFrame(r)
		if err != nil {
			list = append(list, "truncated")
			break
		}
		s := map[ws.OpCode]string{ws.OpText: "text", ws.OpBinary: "binary", ws.OpClose: "close", ws.OpPing: "ping", ws.OpPong: "pong"}[f.Header.OpCode]
		switch {
		case f.Header.OpCode == ws.OpClose && len(f.Payload) > 0:
			s += fmt.Sprintf(" %d", binary.BigEndian.Uint16(f.Payload))
		case len(f.Payload) > 0:
			s += " " + show(f.Payload)
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

// frame is a client's frame. first is its first byte, FIN and RSV included.
func frame(first byte, payload string) []byte {
	return frameMask(first, payload, [4]byte{0x37, 0xfa, 0x21, 0x3d})
}

func frameMask(first byte, payload string, mask [4]byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, mask[:]...)
	p := []byte(payload)
	for i := range p {
		p[i] ^= mask[i%4]
	}
	return append(b, p...)
}

func text(s string) []byte { return frame(0x81, s) }
func bin(s string) []byte  { return frame(0x82, s) }
func ping(s string) []byte { return frame(0x89, s) }
func closing(code int, reason string) []byte {
	return frame(0x88, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// play serves chunks to a Conn over a scripted connection.
func play(t testing.TB, cfg Config, deflate bool, chunks ...[]byte) (got, sent string, err error) {
	t.Helper()
	s := &script{in: chunks}
	full := cfg.withDefaults()
	c, err := newConn(s, &full, engine.WebSocket, deflate, nil)
	if err != nil {
		t.Fatal(err)
	}
	var sink record
	err = <-serve(c, &sink)
	return sink.String(), frames(s.out.Bytes()), err
}

// outcome is an error in a word: "", or the close code, or its text.
func outcome(err error) string {
	var p *ProtocolError
	switch {
	case err == io.EOF:
		return ""
	case errors.As(err, &p):
		return fmt.Sprint(p.Code)
	default:
		return err.Error()
	}
}

// hidden is a connection whose descriptor can't be reached, as those of TLS.
type hidden struct{ net.Conn }

// kinds are the two ways in which a Conn uses a connection.
var kinds = map[string]func(net.Conn) net.Conn{
	"raw":      func(c net.Conn) net.Conn { return c },
	"blocking": func(c net.Conn) net.Conn { return hidden{c} },
}

// pair returns a Conn and the client's end of its TCP connection.
func pair(t testing.TB, kind string, cfg Config) (*Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	full := cfg.withDefaults()
	c, err := newConn(kinds[kind](nc), &full, engine.WebSocket, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if (c.raw != nil) != (kind == "raw") {
		t.Fatalf("%s connection has raw %v", kind, c.raw)
	}
	t.Cleanup(func() { c.nc.Close() })
	return c, client.(*net.TCPConn)
}

// serve runs c.Serve as engine does, and returns where its error comes.
func serve(c *Conn, sink engine.Sink) <-chan error {
	done := make(chan error, 1)
	go serveOn(c, sink, done)
	return done
}

// serveOn calls Serve, again and on a fresh goroutine for as long as it asks
// for that.
func serveOn(c *Conn, sink engine.Sink, done chan<- error) {
	if err := c.Serve(sink); err == engine.ErrRenew {
		go serveOn(c, sink, done)
	} else {
		done <- err
	}
}

// send writes packets as one batch, and waits.
func send(c *Conn, packets ...engine.Packet) error {
	done, err := c.Write([]*engine.Batch{engine.NewBatch(false, packets...)})
	if err == nil && !done {
		err = c.Drain()
	}
	return err
}

// echo sends back what a sink got.
func echo(c *Conn, data []byte, isBinary bool) error {
	p := engine.Packet{Type: engine.Message, Binary: isBinary, Data: bytes.Clone(data)}
	if !isBinary {
		if len(data) == 0 {
			return nil
		}
		p.Type, p.Data = engine.PacketType(data[0]-'0'), p.Data[1:]
	}
	return send(c, p)
}

// readAll reads to the end, which a reset may be, too.
func readAll(t testing.TB, c net.Conn) []byte {
	t.Helper()
	b, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("no end of the connection")
	}
	return b
}
