package wsconn

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/roomcast/roomcast/engine"
)

// site is an HTTP server whose WebSocket connections echo.
type site struct {
	*httptest.Server
	conns sync.WaitGroup
	ended chan error
}

// serveSite starts a site. wrap, if not nil, is middleware.
func serveSite(t testing.TB, cfg Config, secure bool, wrap func(http.Handler) http.Handler) *site {
	t.Helper()
	s := &site{ended: make(chan error, 100)}
	up := NewUpgrader(cfg)
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, http.Header{"X-Given": {"1"}}, 4, false)
		if err != nil {
			s.ended <- err
			return
		}
		s.conns.Go(func() {
			sink := &record{do: func(data []byte, isBinary, _ bool) error { return echo(c.(*Conn), data, isBinary) }}
			s.ended <- <-serve(c.(*Conn), sink)
		})
	})
	if wrap != nil {
		h = wrap(h)
	}
	s.Server = httptest.NewUnstartedServer(h)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.Client().CloseIdleConnections()
		s.Close()
		s.conns.Wait()
	})
	return s
}

// request is a handshake with changes: "Name: value" sets, "Name:" removes.
func request(method, proto string, changes ...string) string {
	h := map[string]string{
		"Host": "x", "Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	}
	for _, c := range changes {
		name, value, _ := strings.Cut(c, ":")
		h[name] = strings.TrimSpace(value)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s / %s\r\n", method, proto)
	for name, value := range h {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	return b.String() + "\r\n"
}

func (s *site) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestHandshake has the headers of the 101, and frames sent with the request.
func TestHandshake(t *testing.T) {
	s := serveSite(t, Config{}, false, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Middleware", "2")
			w.Header().Set("Content-Type", "text/html")
			next.ServeHTTP(w, r)
		})
	})
	c := s.dial(t)
	payload := strings.Repeat("x", 3000)
	in := join([]byte(request("GET", "HTTP/1.1", "Sec-WebSocket-Protocol: a, b")), text(payload), text("second"))
	cut := len(in) - 5 // the rest of a frame comes later
	c.Write(in[:cut])
	r := bufio.NewReader(c)
	rsp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Upgrade": "websocket", "Connection": "Upgrade",
		"Sec-WebSocket-Protocol": "a", "Sec-WebSocket-Extensions": "",
		"X-Given": "1", "X-Middleware": "2", "Content-Type": "", "Content-Length": "",
	} {
		if got := rsp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if rsp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("status %d", rsp.StatusCode)
	}
	for _, want := range []string{payload, "second"} {
		f, err := ws.ReadFrame(r)
		if err != nil || string(f.Payload) != want {
			t.Fatalf("frame %v, error %v", f.Header, err)
		}
		c.Write(in[cut:])
		cut = len(in)
	}
	c.Write(closing(1000, ""))
	if got := frames(readAllFrom(t, r)); got != "close 1000" {
		t.Errorf("sent %q", got)
	}
	if err := <-s.ended; err != io.EOF {
		t.Error(err)
	}
}

func readAllFrom(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBadHandshakes are answered in plain HTTP, and the connection stays usable.
func TestBadHandshakes(t *testing.T) {
	s := serveSite(t, Config{}, false, nil)
	for _, tt := range []struct{ name, in string }{
		{"method", request("POST", "HTTP/1.1", "Content-Length: 0")},
		{"no upgrade", request("GET", "HTTP/1.1", "Upgrade:")},
		{"other upgrade", request("GET", "HTTP/1.1", "Upgrade: h2c")},
		{"no connection", request("GET", "HTTP/1.1", "Connection: keep-alive")},
		{"no version", request("GET", "HTTP/1.1", "Sec-WebSocket-Version:")},
		{"old version", request("GET", "HTTP/1.1", "Sec-WebSocket-Version: 8")},
		{"no key", request("GET", "HTTP/1.1", "Sec-WebSocket-Key:")},
		{"short key", request("GET", "HTTP/1.1", "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==")},
		{"key that isn't base64", request("GET", "HTTP/1.1", "Sec-WebSocket-Key: dGhlIHNhb!BsZSBub25jZQ==")},
		{"HTTP/1.0", request("GET", "HTTP/1.0")},
	} {
		c := s.dial(t)
		io.WriteString(c, tt.in)
		rsp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if rsp.StatusCode != http.StatusBadRequest || rsp.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("%s: status %d, header %v", tt.name, rsp.StatusCode, rsp.Header)
		}
		if err := <-s.ended; err == nil {
			t.Errorf("%s: no error", tt.name)
		}
	}
}

// wrapped hides what a response writer can do, but for Unwrap.
type wrapped struct{ w http.ResponseWriter }

func (w wrapped) Header() http.Header         { return w.w.Header() }
func (w wrapped) Write(p []byte) (int, error) { return w.w.Write(p) }
func (w wrapped) WriteHeader(code int)        { w.w.WriteHeader(code) }
func (w wrapped) Unwrap() http.ResponseWriter { return w.w }

// TestCoder echoes with another implementation as client: plain, over TLS,
// behind wrapped writers, with compression and without.
func TestCoder(t *testing.T) {
	wrap := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(wrapped{wrapped{w}}, r)
		})
	}
	for name, tt := range map[string]struct {
		cfg    Config
		secure bool
		mode   websocket.CompressionMode
	}{
		"plain":                      {Config{}, false, 0},
		"TLS":                        {Config{}, true, 0},
		"deflate":                    {Config{Deflate: true}, false, websocket.CompressionNoContextTakeover},
		"deflate of all":             {Config{Deflate: true, DeflateThreshold: -1}, false, websocket.CompressionNoContextTakeover},
		"deflate, client's context":  {Config{Deflate: true}, false, websocket.CompressionContextTakeover},
		"deflate, TLS":               {Config{Deflate: true}, true, websocket.CompressionNoContextTakeover},
		"deflate not offered":        {Config{Deflate: true}, false, websocket.CompressionDisabled},
		"deflate offered for nought": {Config{}, false, websocket.CompressionContextTakeover},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveSite(t, tt.cfg, tt.secure, wrap)
			ctx := context.Background()
			c, _, err := websocket.Dial(ctx, s.URL, &websocket.DialOptions{
				HTTPClient: s.Client(), CompressionMode: tt.mode, CompressionThreshold: 100,
			})
			if err != nil {
				t.Fatal(err)
			}
			c.SetReadLimit(1 << 20)
			for _, n := range []int{1, 2, 99, 100, 125, 126, 1023, 1024, 8192, 65535, 65536, 300_000, 1_000_000} {
				for _, typ := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
					data := []byte(strings.Repeat("abcdefgh", n/8+1)[:n])
					for i := 0; i < n; i += 13 {
						data[i] = "0123456789"[i%10]
					}
					go c.Write(ctx, typ, data)
					gotTyp, got, err := c.Read(ctx)
					if err != nil {
						t.Fatalf("%d bytes: %v", n, err)
					}
					if gotTyp != typ || string(got) != string(data) {
						t.Fatalf("%d bytes came back as %d", n, len(got))
					}
				}
			}
			if err := c.Close(websocket.StatusGoingAway, "bye"); err != nil {
				t.Error(err)
			}
			if err := <-s.ended; err != io.EOF {
				t.Error(err)
			}
		})
	}
}

// TestCoderSeesCodes: another implementation understands how we close.
func TestCoderSeesCodes(t *testing.T) {
	s := serveSite(t, Config{MaxMessage: 1000}, false, nil)
	ctx := context.Background()
	for want, send := range map[websocket.StatusCode]func(*websocket.Conn) error{
		websocket.StatusMessageTooBig: func(c *websocket.Conn) error {
			return c.Write(ctx, websocket.MessageText, make([]byte, 100_000))
		},
		websocket.StatusInvalidFramePayloadData: func(c *websocket.Conn) error {
			return c.Write(ctx, websocket.MessageText, []byte{0xff})
		},
	} {
		c, _, err := websocket.Dial(ctx, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		send(c)
		if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != want {
			t.Errorf("closed with %v, want %v", err, want)
		}
		c.CloseNow()
		if err := <-s.ended; outcome(err) != itoa(int(want)) {
			t.Error(err)
		}
	}
}

// TestRevisions: the wire follows the revision and b64.
func TestRevisions(t *testing.T) {
	p := engine.Packet{Type: engine.Message, Binary: true, Data: []byte{1, 2, 3}}
	for _, deflate := range []bool{false, true} {
		for _, tt := range []struct {
			rev  int
			b64  bool
			want string
		}{
			{4, false, "binary \x01\x02\x03"},
			{4, true, "text bAQID"},
			{3, false, "binary \x04\x01\x02\x03"},
			{3, true, "text b4AQID"},
		} {
			s := &script{}
			cfg := Config{DeflateThreshold: -1}.withDefaults()
			c, _ := newConn(s, &cfg, engine.WebSocketWire(tt.rev, tt.b64), deflate, nil)
			if err := send(c, p); err != nil {
				t.Fatal(err)
			}
			sent := s.out.Bytes()
			if deflate {
				sent = inflated(t, sent)
			}
			if got := frames(sent); got != tt.want {
				t.Errorf("revision %d, b64 %v, deflate %v: %q", tt.rev, tt.b64, deflate, got)
			}
		}
	}
}
