package wtconn_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/engine/wtconn"
	"github.com/roomcast/roomcast/internal/testcert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upper is an upper layer that echoes messages.
type upper struct {
	opened   chan *engine.Session
	upgraded chan bool
	closed   chan engine.Reason
}

func newUpper() *upper {
	return &upper{make(chan *engine.Session, 10), make(chan bool, 10), make(chan engine.Reason, 10)}
}

type receiver struct {
	*upper
	s *engine.Session
}

func (u *upper) Open(s *engine.Session) engine.Receiver {
	u.opened <- s
	return &receiver{u, s}
}

func (r *receiver) Message(data []byte, isBinary, owned bool) {
	data = append([]byte(nil), data...)
	r.s.Send(engine.NewBatch(false, engine.Packet{Type: engine.Message, Binary: isBinary, Data: data}))
}

func (r *receiver) Handled()                             {}
func (r *receiver) Upgraded()                            { r.upgraded <- true }
func (r *receiver) Closed(reason engine.Reason, _ error) { r.closed <- reason }

// host is an engine behind a wtconn.Server on loopback.
type host struct {
	*testing.T
	*upper
	addr string
	eng  *engine.Server
	web  *httptest.Server // the same engine over HTTP/1.1
}

func start(t *testing.T, cfg engine.Config, wrap func(http.Handler) http.Handler) *host {
	t.Helper()
	return startWith(t, wtconn.Config{MaxMessage: cfg.MaxPayload}, cfg, wrap)
}

func startWith(t *testing.T, wtCfg wtconn.Config, cfg engine.Config, wrap func(http.Handler) http.Handler) *host {
	t.Helper()
	h := &host{T: t, upper: newUpper()}
	wtCfg.TLS = &tls.Config{Certificates: []tls.Certificate{testcert.New(t, "test")}}
	wtCfg.Logger = slog.New(slog.DiscardHandler)
	wt := wtconn.NewServer(wtCfg)
	cfg.Handler, cfg.WebTransport, cfg.Logger = h.upper, wt, slog.New(slog.DiscardHandler)
	h.eng = engine.New(cfg)
	var handler http.Handler = h.eng
	if wrap != nil {
		handler = wrap(handler)
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.addr = pc.LocalAddr().String()
	served := make(chan error, 1)
	go func() { served <- wt.Serve(pc, handler) }()
	h.web = httptest.NewServer(handler)
	t.Cleanup(func() {
		h.web.Client().CloseIdleConnections()
		h.web.Close()
		if err := h.eng.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		wt.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return h
}

// client is a WebTransport session with its first stream.
type client struct {
	t    *testing.T
	sess *webtransport.Session
	*webtransport.Stream
}

// dial opens a session; the stream is made when it is first written to.
func (h *host) dial(query string, header http.Header) (*client, *http.Response, error) {
	h.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	d := webtransport.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}}
	h.Cleanup(func() { d.Close() })
	rsp, sess, err := d.Dial(ctx, "https://"+h.addr+"/engine.io/?EIO=4&transport=webtransport"+query, header)
	if err != nil {
		return nil, rsp, err
	}
	c := &client{t: h.T, sess: sess}
	h.Cleanup(func() { sess.CloseWithError(0, "") })
	return c, rsp, nil
}

func (h *host) connect() *client {
	h.Helper()
	c, _, err := h.dial("", nil)
	if err != nil {
		h.Fatal(err)
	}
	return c
}

// write writes a frame.
func (c *client) write(isBinary bool, s string) {
	c.t.Helper()
	var head []byte
	switch n := len(s); {
	case n < 126:
		head = []byte{byte(n)}
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16([]byte{126}, uint16(n))
	default:
		head = binary.BigEndian.AppendUint64([]byte{127}, uint64(n))
	}
	if isBinary {
		head[0] |= 0x80
	}
	c.raw(string(head) + s)
}

// raw writes bytes.
func (c *client) raw(s string) {
	c.t.Helper()
	if c.Stream == nil {
		str, err := c.sess.OpenStream()
		if err != nil {
			c.t.Fatal(err)
		}
		c.Stream = str
	}
	if _, err := c.Stream.Write([]byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

// read reads a frame.
func (c *client) read() string {
	c.t.Helper()
	var head [9]byte
	c.full(head[:1])
	n := uint64(head[0] & 0x7f)
	switch n {
	case 126:
		c.full(head[1:3])
		n = uint64(binary.BigEndian.Uint16(head[1:]))
	case 127:
		c.full(head[1:9])
		n = binary.BigEndian.Uint64(head[1:])
	}
	data := make([]byte, n)
	c.full(data)
	if head[0]&0x80 != 0 {
		return "binary " + string(data)
	}
	return string(data)
}

func (c *client) full(b []byte) {
	c.t.Helper()
	if _, err := io.ReadFull(c.Stream, b); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads a frame that must be want.
func (c *client) expect(want string) {
	c.t.Helper()
	if got := c.read(); got != want {
		c.t.Fatalf("got %.80q, want %.80q", got, want)
	}
}

// open does the handshake and returns the session id.
func (c *client) open() string {
	c.t.Helper()
	c.write(false, "0")
	return sid(c.t, c.read())
}

// ended waits for the end of the session.
func (c *client) ended() { <-c.sess.Context().Done() }

func sid(t *testing.T, packet string) string {
	t.Helper()
	var open struct {
		SID      string
		Upgrades []string
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(packet, "0")), &open); err != nil || open.SID == "" {
		t.Fatalf("open packet %q: %v", packet, err)
	}
	return open.SID
}

func (h *host) closedWith(want engine.Reason) {
	h.Helper()
	if got := <-h.closed; got != want {
		h.Errorf("closed with %q, want %q", got, want)
	}
}

// get is a polling request.
func (h *host) get(query string) string {
	h.Helper()
	rsp, err := h.web.Client().Get(h.web.URL + "/engine.io/?EIO=4&transport=polling" + query)
	if err != nil {
		h.Fatal(err)
	}
	defer rsp.Body.Close()
	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		h.Fatal(err)
	}
	return string(b)
}

// TestConnect opens a session directly and sends every kind of message.
func TestConnect(t *testing.T) {
	h := start(t, engine.Config{}, nil)
	c := h.connect()
	c.open()
	s := <-h.opened
	if s.Transport() != "webtransport" || s.Protocol() != 4 {
		t.Errorf("session of revision %d on %s", s.Protocol(), s.Transport())
	}
	c.write(false, "4hello")
	c.expect("4hello")
	c.write(true, "\x01\x02\x03")
	c.expect("binary \x01\x02\x03")
	big := strings.Repeat("x", 999_999)
	for range 3 {
		go c.write(false, "4"+big)
		c.expect("4" + big)
		go c.write(true, big)
		c.expect("binary " + big)
	}
	c.sess.CloseWithError(0, "")
	h.closedWith(engine.TransportClose)
}

// TestGin is the same behind a router whose response writer hides HTTP/3.
func TestGin(t *testing.T) {
	gin.SetMode(gin.ReleaseMode)
	h := start(t, engine.Config{}, func(next http.Handler) http.Handler {
		g := gin.New()
		g.Use(gin.Recovery())
		g.Any("/engine.io/*any", gin.WrapH(next))
		return g
	})
	c := h.connect()
	c.open()
	c.write(false, "4hello")
	c.expect("4hello")
}

// TestUpgrade moves a polling session.
func TestUpgrade(t *testing.T) {
	h := start(t, engine.Config{}, nil)
	open := h.get("")
	if !strings.Contains(open, `"upgrades":["webtransport"]`) {
		t.Errorf("open packet %s", open)
	}
	id := sid(t, open)
	c, _, err := h.dial("&sid="+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.write(false, `0{"sid":"`+id+`"}`)
	c.write(false, "2probe")
	c.expect("3probe")
	c.write(false, "5")
	<-h.upgraded
	if s := h.eng.Session(id); s == nil || s.Transport() != "webtransport" {
		t.Errorf("session %v", s)
	}
	c.write(false, "4hello")
	c.expect("4hello")
}

// TestHandshakes has first packets that open no session: it is closed.
func TestHandshakes(t *testing.T) {
	h := start(t, engine.Config{}, nil)
	for _, in := range []string{
		"\x014",       // another packet
		"\x07abcdefg", // none
		"\x81\x00",    // binary
		"\x00",        // empty frame
		"\x80",        //
		"\x7f\x00\x20" + "\x00\x00\x00\x00\x00\x00", // 2^53
		"\x0d" + `0{"sid":"no"}`,                    // no such session
		"\x08" + `0{"sid":`,                         // no JSON
		"\x0b" + `0{"sid":42}`,                      //
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		c := h.connect()
		c.raw(in)
		c.ended()
	}
	if n := h.eng.Stats().Sessions(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// TestNoStream: a client that opens no stream in time is let go.
func TestNoStream(t *testing.T) {
	h := start(t, engine.Config{UpgradeTimeout: 50 * time.Millisecond}, nil)
	h.connect().ended()
	c := h.connect() // opened, but silent
	c.raw("\x05")
	c.ended()
}

// TestServerCloses: what was sent before the end still arrives.
func TestServerCloses(t *testing.T) {
	h := start(t, engine.Config{}, nil)
	for range 5 {
		c := h.connect()
		c.open()
		s := <-h.opened
		bye := strings.Repeat("bye", 10_000)
		s.Send(engine.NewBatch(false, engine.Packet{Type: engine.Message, Data: []byte(bye)}))
		s.Close()
		c.expect("4" + bye)
		c.ended()
		h.closedWith(engine.ForcedClose)
	}
}

// TestClientGoes: the ways in which a client ends are all a transport close.
func TestClientGoes(t *testing.T) {
	h := start(t, engine.Config{}, nil)
	for name, leave := range map[string]func(*client){
		"session": func(c *client) { c.sess.CloseWithError(0, "") },
		"code":    func(c *client) { c.sess.CloseWithError(42, "reason") },
		"stream":  func(c *client) { c.Stream.Close() },
		"reset":   func(c *client) { c.Stream.CancelWrite(1) },
	} {
		c := h.connect()
		c.open()
		leave(c)
		if got := <-h.closed; got != engine.TransportClose {
			t.Errorf("%s: closed with %q", name, got)
		}
	}
}

// TestParseErrors: frames out of the protocol close the session.
func TestParseErrors(t *testing.T) {
	h := start(t, engine.Config{MaxPayload: 100}, nil)
	for _, in := range []string{"\x00", "\x80", "\x65", "\xe5", "\x01x"} { // 0x65 is 101
		c := h.connect()
		c.open()
		c.raw(in)
		c.ended()
		h.closedWith(engine.ParseError)
	}
	c := h.connect()
	c.open()
	c.write(true, strings.Repeat("x", 100))
	c.expect("binary " + strings.Repeat("x", 100))
}

// TestPingTimeout: a silent client is closed.
func TestPingTimeout(t *testing.T) {
	h := start(t, engine.Config{PingInterval: 20 * time.Millisecond, PingTimeout: 20 * time.Millisecond}, nil)
	c := h.connect()
	c.open()
	c.expect("2")
	c.ended()
	h.closedWith(engine.PingTimeout)
}

// TestAdmission: WebTransport is no way around what guards the other transports.
func TestAdmission(t *testing.T) {
	var refuse atomic.Bool // read by the server's goroutines
	h := start(t, engine.Config{MaxSessions: 1, AllowRequest: func(*http.Request) error {
		if refuse.Load() {
			return errors.New("no")
		}
		return nil
	}}, nil)
	refused := func(name, query string, header http.Header) {
		t.Helper()
		c, rsp, err := h.dial(query, header)
		if err == nil {
			c.raw("\x010")
			t.Errorf("%s: admitted", name)
		} else if rsp == nil || rsp.StatusCode < 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("foreign origin", "", http.Header{"Origin": {"https://evil.example"}})
	refuse.Store(true)
	refused("AllowRequest", "", nil)
	refuse.Store(false)
	c, _, err := h.dial("", http.Header{"Origin": {"https://" + h.addr}})
	if err != nil {
		t.Fatal(err)
	}
	c.open()
	refused("more than MaxSessions", "", nil)
}

// TestDrainTimeout: a client that doesn't read is closed.
func TestDrainTimeout(t *testing.T) {
	h := startWith(t, wtconn.Config{WriteTimeout: 50 * time.Millisecond}, engine.Config{}, nil)
	c := h.connect()
	c.open()
	s := <-h.opened
	for range 30 { // 2 MB: more than a client takes that doesn't read, less than the queue's limit
		s.Send(engine.NewBatch(false, engine.Packet{Type: engine.Message, Binary: true, Data: make([]byte, 64<<10)}))
	}
	h.closedWith(engine.TransportError)
}

// TestNotWebTransport: other requests are refused, and HTTP/3 serves polling.
func TestNotWebTransport(t *testing.T) {
	wt := wtconn.NewServer(wtconn.Config{})
	w := httptest.NewRecorder()
	if _, err := wt.Upgrade(w, httptest.NewRequest(http.MethodConnect, "/", nil), nil, 4, false); err == nil || w.Code != http.StatusBadRequest {
		t.Errorf("status %d, error %v", w.Code, err)
	}
	if err := wt.ListenAndServe("127.0.0.1:0", http.NotFoundHandler()); err == nil || !strings.Contains(err.Error(), "Config.TLS") {
		t.Errorf("without a certificate: %v", err)
	}
	wt.Close()

	h := start(t, engine.Config{}, nil)
	tr := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.Close()
	rsp, err := (&http.Client{Transport: tr}).Get("https://" + h.addr + "/engine.io/?EIO=4&transport=polling")
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()
	b, _ := io.ReadAll(rsp.Body)
	sid(t, string(b))
}

// TestMaxConns: connections above the limit are closed.
func TestMaxConns(t *testing.T) {
	h := startWith(t, wtconn.Config{MaxConns: 1}, engine.Config{}, nil)
	c := h.connect()
	c.open()
	if _, _, err := h.dial("", nil); err == nil {
		t.Error("a second connection was admitted")
	}
	c.write(false, "4hello")
	c.expect("4hello")
}
