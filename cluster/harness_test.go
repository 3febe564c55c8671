package cluster

import (
	"bufio"
	"bytes"
	"context"
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

	"go.uber.org/goleak"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/engine/wsconn"
	"github.com/roomcast/roomcast/internal/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a Store in memory, whose faults the tests choose.
type store struct {
	mu      sync.Mutex
	secret  []byte
	members map[ID]Seen
	at      map[ID]time.Time
	inbox   map[ID]func([]byte)
	down    bool
	beaten  int64
	hear    func(to ID, message []byte) // sees what is sent
}

func newStore() *store {
	return &store{members: make(map[ID]Seen), at: make(map[ID]time.Time), inbox: make(map[ID]func([]byte))}
}

var errDown = errors.New("the store is down")

func (s *store) Secret(_ context.Context, proposal []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	if s.secret == nil {
		s.secret = bytes.Clone(proposal)
	}
	return s.secret, nil
}

func (s *store) Beat(_ context.Context, self Member, within time.Duration) (Roll, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return Roll{}, errDown
	}
	s.beaten++
	now := time.Now()
	s.members[self.ID], s.at[self.ID] = Seen{Member: self}, now
	roll := Roll{Now: now.Add(time.Hour)} // a clock that differs from ours
	for id, m := range s.members {
		if m.Ago = now.Sub(s.at[id]); m.Ago <= within {
			roll.Members = append(roll.Members, m)
		}
	}
	return roll, nil
}

func (s *store) Send(_ context.Context, to ID, message []byte) (bool, error) {
	s.mu.Lock()
	f, down, hear := s.inbox[to], s.down, s.hear
	s.mu.Unlock()
	if down {
		return false, errDown
	}
	if hear != nil {
		hear(to, message)
	}
	if f != nil {
		f(bytes.Clone(message))
	}
	return f != nil, nil
}

func (s *store) Receive(ctx context.Context, to ID, f func([]byte)) error {
	s.mu.Lock()
	s.inbox[to] = f
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	delete(s.inbox, to)
	s.mu.Unlock()
	return nil
}

// set changes the store.
func (s *store) set(f func(s *store)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// world is a cluster in memory, inside of a synctest bubble.
type world struct {
	*testing.T
	store *store
	cfg   Config // for all nodes
	mu    sync.Mutex
	inner map[string]*memnet.Listener // for nodes, by address
	nodes []*testNode
}

// testNode is a node with its realtime server, which echoes.
type testNode struct {
	w      *world
	node   *Node
	engine *engine.Server
	public *memnet.Listener
	inner  *memnet.Listener
	web    *http.Server
	client *http.Client
	upper  *upper
	ended  bool
}

func run(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, store: newStore(), inner: make(map[string]*memnet.Listener)}
		w.cfg.Logger = slog.New(slog.DiscardHandler)
		f(w)
		for _, n := range w.nodes {
			n.leave()
		}
		synctest.Wait()
	})
}

func (w *world) dial(ctx context.Context, addr string) (net.Conn, error) {
	w.mu.Lock()
	l := w.inner[addr]
	w.mu.Unlock()
	if l == nil {
		return nil, errors.New("connection refused")
	}
	return l.Dial(ctx)
}

// start starts nodes.
func (w *world) start(names ...string) []*testNode {
	w.Helper()
	var list []*testNode
	for _, name := range names {
		list = append(list, w.node(name, w.cfg, name+":1"))
	}
	return list
}

func (w *world) node(name string, cfg Config, addr string) *testNode {
	w.Helper()
	n := &testNode{w: w, public: memnet.Listen(), upper: &upper{}}
	cfg.Name, cfg.Advertise, cfg.Store, cfg.Dial = name, addr, w.store, w.dial
	var err error
	if n.node, err = Join(w.Context(), cfg); err != nil {
		w.Fatal(err)
	}
	n.engine = engine.New(engine.Config{
		Handler: n.upper, NewID: n.node.NewID, Stranger: n.node.Forward, EIO3: true, Logger: w.cfg.Logger,
		MaxPayload: cfg.MaxBody, WebSocket: wsconn.NewUpgrader(wsconn.Config{}),
	})
	quiet := slog.NewLogLogger(slog.DiscardHandler, 0)
	n.web = &http.Server{Handler: n.engine, ErrorLog: quiet}
	go n.web.Serve(n.public)
	n.client = &http.Client{Transport: &http.Transport{DialContext: n.public.DialContext, DisableCompression: true, MaxIdleConnsPerHost: 10}}
	if addr == "" {
		n.node.Handle(n.engine)
	} else {
		n.inner = memnet.Listen()
		w.mu.Lock()
		w.inner[addr] = n.inner
		w.mu.Unlock()
		go n.node.Serve(n.inner, n.engine)
	}
	w.nodes = append(w.nodes, n)
	return n
}

// leave ends a node in good order.
func (n *testNode) leave() {
	if n.ended {
		return
	}
	n.ended = true
	n.engine.Shutdown(context.Background())
	n.node.Close(context.Background())
	n.client.CloseIdleConnections()
	n.web.Close()
}

// kill ends a node as SIGKILL does: nothing is said to anybody.
func (n *testNode) kill() {
	n.ended = true
	n.node.stop()
	n.node.mu.Lock()
	n.node.closed = true
	server := n.node.server
	n.node.mu.Unlock()
	n.w.mu.Lock()
	delete(n.w.inner, n.node.cfg.Advertise)
	n.w.mu.Unlock()
	if server != nil {
		server.Close()
	}
	n.node.links.close()
	n.node.tunnels.close()
	n.node.relay.close()
	n.web.Close()
	n.engine.Shutdown(context.Background())
	n.client.CloseIdleConnections()
}

// upper echoes, and records what became of sessions.
type upper struct {
	mu     sync.Mutex
	last   *engine.Session
	events []string
}

func (u *upper) Open(s *engine.Session) engine.Receiver {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = s
	return &receiver{u, s}
}

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

func (r *receiver) Message(data []byte, binary, _ bool) {
	r.s.Send(engine.NewBatch(false, engine.Packet{Type: engine.Message, Binary: binary, Data: bytes.Clone(data)}))
}
func (r *receiver) Handled() {}
func (r *receiver) record(s string) {
	r.u.mu.Lock()
	defer r.u.mu.Unlock()
	r.u.events = append(r.u.events, s)
}
func (r *receiver) Upgraded() { r.record("upgraded") }
func (r *receiver) Closed(reason engine.Reason, cause error) {
	if cause != nil {
		r.record(fmt.Sprintf("%s: %v", reason, cause))
	} else {
		r.record(string(reason))
	}
}

// response is what a client got.
type response struct {
	status int
	header http.Header
	body   string
}

func (r *response) String() string { return fmt.Sprintf("%d %q", r.status, r.body) }

func (n *testNode) try(ctx context.Context, method, query string, body io.Reader, headers ...string) (*response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://public.example/engine.io/?"+query, body)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := n.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return &response{res.StatusCode, res.Header, string(b)}, err
}

func (n *testNode) get(sid string, headers ...string) *response {
	n.w.Helper()
	res, err := n.try(context.Background(), "GET", poll(sid), nil, headers...)
	if err != nil {
		n.w.Fatal(err)
	}
	return res
}

func (n *testNode) post(sid, body string, headers ...string) *response {
	n.w.Helper()
	res, err := n.try(context.Background(), "POST", poll(sid), strings.NewReader(body), headers...)
	if err != nil {
		n.w.Fatal(err)
	}
	return res
}

// hold sends a GET whose answer comes later.
func (n *testNode) hold(sid string) <-chan *response {
	c := make(chan *response, 1)
	go func() {
		res, err := n.try(context.Background(), "GET", poll(sid), nil)
		if err != nil {
			res = &response{body: err.Error()}
		}
		c <- res
	}()
	synctest.Wait()
	return c
}

func (w *world) expect(res *response, status int, body string) {
	w.Helper()
	if res.status != status || res.body != body {
		w.Errorf("got %s, want %d %q", res, status, body)
	}
}

const unknown = `{"code":1,"message":"Session ID unknown"}`

func poll(sid string) string { return "EIO=4&transport=polling&sid=" + sid }

// open opens a polling session.
func (n *testNode) open(headers ...string) (sid string) {
	n.w.Helper()
	res, err := n.try(context.Background(), "GET", "EIO=4&transport=polling", nil, headers...)
	if err != nil {
		n.w.Fatal(err)
	}
	var open struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(res.body, "0")), &open); err != nil || res.status != 200 {
		n.w.Fatalf("handshake: %s: %v", res, err)
	}
	return open.SID
}

// socket is the client's side of a WebSocket.
type socket struct {
	w      *world
	conn   net.Conn
	r      *bufio.Reader
	status int
}

func (n *testNode) websocket(query string) *socket {
	n.w.Helper()
	conn, err := n.public.Dial(context.Background())
	if err != nil {
		n.w.Fatal(err)
	}
	n.w.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /engine.io/?EIO=4&transport=websocket&%s HTTP/1.1\r\nHost: public.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", query)
	ws := &socket{w: n.w, conn: conn, r: bufio.NewReader(conn)}
	res, err := http.ReadResponse(ws.r, nil)
	if err != nil {
		n.w.Fatal(err)
	}
	ws.status = res.StatusCode
	if res.StatusCode == 101 && res.Header.Get("Sec-Websocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		n.w.Errorf("the handshake isn't completed: %v", res.Header)
	}
	return ws
}

// send sends short text messages.
func (ws *socket) send(messages ...string) {
	var out []byte
	for _, m := range messages {
		out = append(out, 0x81, 0x80|byte(len(m)), 0, 0, 0, 0)
		out = append(out, m...)
	}
	ws.conn.Write(out)
}

// expect reads short messages; "end" is the end of the connection.
func (ws *socket) expect(messages ...string) {
	ws.w.Helper()
	for _, want := range messages {
		got := "end"
		var head [2]byte
		if _, err := io.ReadFull(ws.r, head[:]); err == nil {
			b := make([]byte, head[1])
			io.ReadFull(ws.r, b)
			if got = string(b); head[0] == 0x88 {
				got = "close"
			}
		}
		if got != want {
			ws.w.Errorf("got %q, want %q", got, want)
		}
	}
}
