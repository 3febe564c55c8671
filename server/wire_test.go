package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/roomcast/roomcast/server/servertest"
)

// wire is a client that speaks the protocol by hand, over one transport.
//
// Packets are those of Engine.IO as text: 42["hi"]. Binary ones are a b and their base64,
// on every transport and in both revisions.
type wire struct {
	t    testing.TB
	in   chan string // what the server sends; closed at the end of the connection
	send func(packets ...string)
	cut  func() // cuts the connection without a word
}

// patience is how long a packet is waited for; time may be fake.
const patience = 5 * time.Second

// next returns the next packet, "nothing" if none comes, or "end". A ping is answered.
func (w *wire) next() string {
	timeout := time.After(patience)
	for {
		select {
		case p, ok := <-w.in:
			switch {
			case !ok:
				return "end"
			case p == "2":
				w.send("3")
				continue
			}
			return p
		case <-timeout:
			return "nothing"
		}
	}
}

func (w *wire) expect(packets ...string) {
	w.t.Helper()
	for _, want := range packets {
		if got := w.next(); got != want {
			w.t.Fatalf("got %.200s, want %.200s", got, want)
		}
	}
}

// connect joins a namespace and returns the socket's id.
func (w *wire) connect(namespace, auth string) (sid string) {
	w.t.Helper()
	prefix := "40"
	if namespace != "/" {
		prefix += namespace + ","
	}
	w.send(prefix + auth)
	got := w.next()
	var answer struct{ SID string }
	if data, ok := strings.CutPrefix(got, prefix); !ok || json.Unmarshal([]byte(data), &answer) != nil || answer.SID == "" {
		w.t.Fatalf("CONNECT to %s is answered with %s", namespace, got)
	}
	return answer.SID
}

// transports are what dial knows.
var transports = []string{"polling", "websocket"}

// dial opens a session: over polling or websocket, or with "eio3-" in front as a
// client of version 2 does.
func dial(t testing.TB, ts *servertest.Server, transport string) *wire {
	t.Helper()
	kind, eio3 := strings.CutPrefix(transport, "eio3-")
	query := "EIO=4&transport=" + kind
	if eio3 {
		query = "EIO=3&transport=" + kind
	}
	w := &wire{t: t, in: make(chan string, 100)}
	if kind == "websocket" {
		w.webSocket(ts, query, eio3)
	} else {
		w.poll(ts, strings.Replace(query, "EIO=3", "EIO=3&b64=1", 1), eio3)
	}
	if open := w.next(); !strings.HasPrefix(open, "0{") {
		t.Fatalf("%s: the handshake is answered with %s", transport, open)
	}
	return w
}

func (w *wire) webSocket(ts *servertest.Server, query string, eio3 bool) {
	w.t.Helper()
	d := ws.Dialer{NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return ts.Dial(ctx) }}
	conn, br, _, err := d.Dial(context.Background(), "ws://memory/socket.io/?"+query)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cut = func() { conn.Close() }
	w.t.Cleanup(w.cut)
	prefix := "" // of binary messages
	if eio3 {
		prefix = "\x04"
	}
	w.send = func(packets ...string) {
		var out strings.Builder // one write: they are read together
		for _, p := range packets {
			if data, ok := fromBase64(p); ok {
				wsutil.WriteClientBinary(&out, []byte(prefix+data))
			} else {
				wsutil.WriteClientText(&out, []byte(p))
			}
		}
		io.WriteString(conn, out.String())
	}
	var in io.Reader = conn
	if br != nil {
		in = br
	}
	go func() {
		defer close(w.in)
		for {
			data, op, err := wsutil.ReadServerData(struct {
				io.Reader
				io.Writer
			}{in, conn})
			switch {
			case err != nil:
				return
			case op == ws.OpBinary:
				w.in <- toBase64(strings.TrimPrefix(string(data), prefix))
			default:
				w.in <- string(data)
			}
		}
	}()
}

// poll has a GET open at all times, as clients do.
func (w *wire) poll(ts *servertest.Server, query string, eio3 bool) {
	w.t.Helper()
	p := newPoller(w.t, ts, query)
	separate, join := strings.Split, func(list []string, _ string) string { return strings.Join(list, "\x1e") }
	if eio3 {
		separate, join = splitV3, joinV3
	}
	status, body := p.get()
	packets := separate(body, "\x1e")
	var open struct{ SID string }
	if status != 200 || json.Unmarshal([]byte(packets[0][1:]), &open) != nil {
		w.t.Fatalf("handshake: %d %s", status, body)
	}
	p.query += "&sid=" + open.SID
	ctx, cancel := context.WithCancel(context.Background())
	w.cut = cancel
	w.t.Cleanup(cancel)
	w.send = func(packets ...string) {
		for i, packet := range packets {
			if eio3 && strings.HasPrefix(packet, "b") {
				packets[i] = "b4" + packet[1:]
			}
		}
		p.post(join(packets, "\x1e"))
	}
	go func() {
		defer close(w.in)
		for {
			for _, packet := range packets {
				if eio3 && strings.HasPrefix(packet, "b4") {
					packet = "b" + packet[2:]
				}
				switch packet {
				case "6":
				case "1":
					return
				default:
					w.in <- packet
				}
			}
			if status, body = p.getUntil(ctx); status != 200 {
				return
			}
			packets = separate(body, "\x1e")
		}
	}()
}

func toBase64(data string) string { return "b" + base64.StdEncoding.EncodeToString([]byte(data)) }

func fromBase64(packet string) (data string, ok bool) {
	packet, ok = strings.CutPrefix(packet, "b")
	b, err := base64.StdEncoding.DecodeString(packet)
	return string(b), ok && err == nil
}

// splitV3 splits a payload of revision 3, such as 3:40,2:41.
func splitV3(body, _ string) (packets []string) {
	for len(body) > 0 {
		var n int
		head, rest, _ := strings.Cut(body, ":")
		fmt.Sscan(head, &n)
		units := 0
		end := 0
		for end = range rest + " " { // lengths count what JavaScript does
			if units >= n {
				break
			}
			if units++; strings.HasPrefix(rest[end:], "\xf0") {
				units++
			}
		}
		packets = append(packets, rest[:end])
		body = rest[end:]
	}
	return packets
}

func joinV3(packets []string, _ string) string {
	var b strings.Builder
	for _, p := range packets {
		fmt.Fprintf(&b, "%d:%s", len(utf16.Encode([]rune(p))), p)
	}
	return b.String()
}

// poller sends the requests of polling.
type poller struct {
	t      testing.TB
	client *http.Client
	query  string
}

func newPoller(t testing.TB, ts *servertest.Server, query string) *poller {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return ts.Dial(ctx) },
		MaxIdleConnsPerHost: 4,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &poller{t, &http.Client{Transport: transport}, query}
}

// open performs a handshake and returns a poller that holds no GET by itself.
func open(t testing.TB, ts *servertest.Server) *poller {
	t.Helper()
	p := newPoller(t, ts, "EIO=4&transport=polling")
	_, body := p.get()
	var open struct{ SID string }
	if len(body) == 0 || json.Unmarshal([]byte(body[1:]), &open) != nil {
		t.Fatalf("handshake: %s", body)
	}
	p.query += "&sid=" + open.SID
	return p
}

func (p *poller) get() (status int, body string) { return p.getUntil(context.Background()) }

func (p *poller) getUntil(ctx context.Context) (status int, body string) {
	return p.do(ctx, "GET", "")
}

func (p *poller) post(body string) (status int, answer string) {
	return p.do(context.Background(), "POST", body)
}

func (p *poller) do(ctx context.Context, method, body string) (int, string) {
	req, err := http.NewRequestWithContext(ctx, method, "http://memory/socket.io/?"+p.query, strings.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return 0, ""
	}
	res, err := p.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}
