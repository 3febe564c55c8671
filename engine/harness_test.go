package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/engine/wsconn"
	"github.com/roomcast/roomcast/internal/memnet"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a server on a network in memory, inside of a synctest bubble.
type host struct {
	*testing.T
	srv    *engine.Server
	l      *memnet.Listener
	client *http.Client
	upper  *upper
	errors chan *engine.ConnectionError
	log    *bytes.Buffer
}

// run runs f in a bubble, with a server for cfg that is shut down afterwards.
func run(t *testing.T, cfg engine.Config, f func(h *host)) {
	t.Helper()
	runUnder(t, cfg, nil, f)
}

// runUnder is run with a middleware around the server.
func runUnder(t *testing.T, cfg engine.Config, middleware func(http.Handler) http.Handler, f func(h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &host{T: t, l: memnet.Listen(), upper: &upper{echo: true}, errors: make(chan *engine.ConnectionError, 100), log: new(bytes.Buffer)}
		if cfg.Handler == nil {
			cfg.Handler = h.upper
		}
		cfg.OnConnectionError = func(e *engine.ConnectionError) { h.errors <- e }
		cfg.WebSocket = wsconn.NewUpgrader(wsconn.Config{MaxMessage: cfg.MaxPayload})
		if cfg.Logger == nil {
			cfg.Logger = slog.New(slog.NewTextHandler(h.log, nil))
		}
		h.srv = engine.New(cfg)
		var handler http.Handler = h.srv
		if middleware != nil {
			handler = middleware(handler)
		}
		web := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		go web.Serve(h.l)
		transport := &http.Transport{DialContext: h.l.DialContext, DisableCompression: true, MaxIdleConnsPerHost: 10}
		h.client = &http.Client{Transport: transport}
		f(h)
		if err := h.srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
		web.Close()
		synctest.Wait()
		if n := h.srv.Stats().Sessions(); n != 0 {
			t.Errorf("%d sessions are counted after Shutdown", n)
		}
	})
}

// upper is an upper layer that records, and by default echoes.
type upper struct {
	mu     sync.Mutex
	echo   bool
	s      *engine.Session // the last one
	open   func(*engine.Session)
	on     func(s *engine.Session, data []byte)
	events []string
}

func (u *upper) Open(s *engine.Session) engine.Receiver {
	u.mu.Lock()
	u.s = s
	u.mu.Unlock()
	if u.open != nil {
		u.open(s)
	}
	return &receiver{u, s}
}

func (u *upper) record(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.events = append(u.events, fmt.Sprintf(format, args...))
}

// log is what was recorded since the last call.
func (u *upper) take() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := strings.Join(u.events, ", ")
	u.events = nil
	return all
}

type receiver struct {
	u *upper
	s *engine.Session
}

func (r *receiver) Message(data []byte, binary, owned bool) {
	if !r.u.echo {
		if binary {
			r.u.record("%x", data)
		} else {
			r.u.record("%s", data)
		}
	}
	if r.u.on != nil {
		r.u.on(r.s, data)
	}
	if r.u.echo {
		r.s.Send(engine.NewBatch(false, engine.Packet{Type: engine.Message, Binary: binary, Data: bytes.Clone(data)}))
	}
}
func (r *receiver) Handled()  {}
func (r *receiver) Upgraded() { r.u.record("upgraded") }
func (r *receiver) Closed(reason engine.Reason, cause error) {
	if cause != nil {
		r.u.record("%s: %v", reason, cause)
	} else {
		r.u.record("%s", reason)
	}
}

func text(s string) *engine.Batch {
	return engine.NewBatch(false, engine.Packet{Type: engine.Message, Data: []byte(s)})
}

// do sends a request; it fails the test if there is no response.
func (h *host) do(method, query, body string, headers ...string) *response {
	h.Helper()
	res, err := h.try(context.Background(), method, query, strings.NewReader(body), headers...)
	if err != nil {
		h.Fatalf("%s %s: %v", method, query, err)
	}
	return res
}

type response struct {
	status int
	header http.Header
	body   string
}

func (r *response) String() string { return fmt.Sprintf("%d %q", r.status, r.body) }

func (h *host) try(ctx context.Context, method, query string, body io.Reader, headers ...string) (*response, error) {
	if s, ok := body.(*strings.Reader); ok && s.Len() == 0 {
		body = nil
	}
	url := "http://host/engine.io/?" + query
	if strings.HasPrefix(query, "/") {
		url = "http://host" + query
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return &response{res.StatusCode, res.Header, string(b)}, err
}

// expect compares a response with a status and a body.
func (h *host) expect(res *response, status int, body string) {
	h.Helper()
	if res.status != status || res.body != body {
		h.Errorf("got %s, want %d %q", res, status, body)
	}
}

// polling opens a polling session, of revision 4 by default.
func (h *host) polling(query string) (sid string) {
	h.Helper()
	if !strings.Contains(query, "EIO=") {
		query = "EIO=4&" + query
	}
	res := h.do("GET", query+"&transport=polling", "")
	_, packet, _ := strings.Cut(res.body, "0{")
	var open struct{ SID string }
	packet, _, _ = strings.Cut("{"+packet, "\x1e")
	if err := json.Unmarshal([]byte(packet), &open); err != nil || res.status != 200 {
		h.Fatalf("handshake: %s: %v", res, err)
	}
	return open.SID
}

func poll(sid string) string   { return "EIO=4&transport=polling&sid=" + sid }
func pollV3(sid string) string { return "EIO=3&transport=polling&sid=" + sid }

// async sends a request in the background and returns its response later.
func (h *host) async(method, query, body string) <-chan *response {
	c := make(chan *response, 1)
	go func() {
		res, err := h.try(context.Background(), method, query, strings.NewReader(body))
		if err != nil {
			res = &response{body: "error"}
		}
		c <- res
	}()
	synctest.Wait()
	return c
}

// refused expects a connection error.
func (h *host) refused(code int, key string, value any) {
	h.Helper()
	synctest.Wait()
	select {
	case e := <-h.errors:
		if e.Code != code || key != "" && fmt.Sprint(e.Context[key]) != fmt.Sprint(value) {
			h.Errorf("connection error %v, want code %d with %s = %v", e, code, key, value)
		}
	default:
		h.Errorf("no connection error, want code %d", code)
	}
}

// rejected is how often the server has turned something away for reason.
func (h *host) rejected(reason string) (n uint64) {
	h.srv.Stats().Rejected(func(name string, count uint64) {
		if name == reason {
			n = count
		}
	})
	return n
}

// closed expects the end of the session.
func (h *host) closed(want string) {
	h.Helper()
	synctest.Wait()
	if got := h.upper.take(); got != want {
		h.Errorf("the upper layer heard %q, want %q", got, want)
	}
}

// socket is the client's side of a WebSocket.
type socket struct {
	h      *host
	conn   net.Conn
	r      *bufio.Reader
	status int
	header http.Header
	body   string
}

// dial sends a WebSocket handshake.
func (h *host) dial(query string, headers ...string) *socket {
	h.Helper()
	conn, err := h.l.Dial(context.Background())
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /engine.io/?%s HTTP/1.1\r\nHost: host\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", query)
	for i := 0; i < len(headers); i += 2 {
		fmt.Fprintf(conn, "%s: %s\r\n", headers[i], headers[i+1])
	}
	io.WriteString(conn, "\r\n")
	ws := &socket{h: h, conn: conn, r: bufio.NewReader(conn)}
	res, err := http.ReadResponse(ws.r, nil)
	if err != nil {
		h.Fatal(err)
	}
	ws.status, ws.header = res.StatusCode, res.Header
	if res.StatusCode != http.StatusSwitchingProtocols {
		b, _ := io.ReadAll(res.Body)
		ws.body = string(b)
	}
	return ws
}

// websocket opens a session on a WebSocket.
func (h *host) websocket(query string) *socket {
	h.Helper()
	if !strings.Contains(query, "EIO=") {
		query = "EIO=4&" + query
	}
	ws := h.dial(query + "&transport=websocket")
	if got := ws.read(); !strings.HasPrefix(got, `0{"sid":"`) || !strings.Contains(got, `"upgrades":[]`) {
		h.Fatalf("handshake: %d, %q", ws.status, got)
	}
	return ws
}

// send sends messages: text, or binary if they begin with a NUL, which is left out.
func (ws *socket) send(messages ...string) {
	var out []byte
	for _, m := range messages {
		op := byte(0x81)
		if strings.HasPrefix(m, "\x00") {
			op, m = 0x82, m[1:]
		}
		out = append(out, op)
		if len(m) < 126 {
			out = append(out, 0x80|byte(len(m)))
		} else {
			out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(len(m)))
		}
		out = append(out, 0, 0, 0, 0)
		out = append(out, m...)
	}
	ws.conn.Write(out)
}

// read returns the next message: binary ones begin with a NUL, "close" is a
// close frame and its code, "end" the end of the connection.
func (ws *socket) read() string {
	head := make([]byte, 2)
	if _, err := io.ReadFull(ws.r, head); err != nil {
		return "end"
	}
	n := int(head[1])
	switch n {
	case 126:
		b := make([]byte, 2)
		io.ReadFull(ws.r, b)
		n = int(binary.BigEndian.Uint16(b))
	case 127:
		b := make([]byte, 8)
		io.ReadFull(ws.r, b)
		n = int(binary.BigEndian.Uint64(b))
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(ws.r, data); err != nil {
		return "end"
	}
	switch head[0] {
	case 0x81:
		return string(data)
	case 0x82:
		return "\x00" + string(data)
	case 0x88:
		if n < 2 {
			return "close"
		}
		return fmt.Sprintf("close %d", binary.BigEndian.Uint16(data))
	}
	return fmt.Sprintf("frame %x", head[0])
}

// expect reads the given messages.
func (ws *socket) expect(messages ...string) {
	ws.h.Helper()
	for _, want := range messages {
		if got := ws.read(); got != want {
			ws.h.Errorf("got %.80q, want %.80q", got, want)
		}
	}
}

// silent expects that nothing arrives for d.
func (ws *socket) silent(d time.Duration) {
	ws.h.Helper()
	ws.conn.SetReadDeadline(time.Now().Add(d))
	if b, err := ws.r.Peek(1); err == nil || !errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		ws.h.Errorf("expected silence, got %q, %v", b, err)
	}
	ws.conn.SetReadDeadline(time.Time{})
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
