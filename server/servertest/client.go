// Package servertest gives programs that are built on package server clients
// for their tests: they speak the protocol over WebSocket in memory, need no
// port, and work inside testing/synctest.
//
//	io, _ := server.New(server.Config{})
//	... handlers ...
//	ada := servertest.Serve(t, io).Connect("/chat", servertest.Auth(map[string]string{"name": "Ada"}))
//	ada.Emit("say", "hello")
//	var text string
//	ada.Expect("said").Decode(&text)
package servertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/roomcast/roomcast/internal/memnet"
	"github.com/roomcast/roomcast/parser"
)

// Patience is how long a client waits for what it expects before it fails its test.
const Patience = 10 * time.Second

// Server serves a handler in memory until the test ends.
type Server struct {
	t    testing.TB
	path string
	ln   *memnet.Listener
}

// Serve serves h, which is a server.Server or a router with one mounted at /socket.io/.
func Serve(t testing.TB, h http.Handler) *Server {
	t.Helper()
	s := &Server{t: t, path: "/socket.io/", ln: memnet.Listen()}
	if p, ok := h.(interface{ Path() string }); ok {
		s.path = p.Path()
	}
	hs := &http.Server{Handler: h}
	var done sync.WaitGroup
	done.Go(func() { _ = hs.Serve(s.ln) })
	t.Cleanup(func() {
		_ = hs.Close()
		done.Wait()
	})
	return s
}

// Dial opens a connection to the server, for tests that speak HTTP themselves.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) { return s.ln.Dial(ctx) }

// Option says how a client connects.
type Option func(*options)

type options struct {
	auth   any
	header http.Header
	query  url.Values
	codec  parser.Codec
}

// Auth is what the client sends when it joins the namespace.
func Auth(v any) Option { return func(o *options) { o.auth = v } }

// Header adds headers to the client's HTTP request.
func Header(h http.Header) Option { return func(o *options) { o.header = h } }

// Query adds parameters to the URL of the client's HTTP request.
func Query(q url.Values) Option { return func(o *options) { o.query = q } }

// Codec makes the client use another parser than parser.JSON.
func Codec(c parser.Codec) Option { return func(o *options) { o.codec = c } }

// Event is something that the server has sent.
type Event struct {
	Name string
	Args parser.Args // the arguments behind the name

	id     int64
	client *Client
}

// Decode decodes the arguments into the pointers; the test fails if they don't fit.
func (e *Event) Decode(into ...any) {
	e.client.t.Helper()
	if err := e.Args.DecodeAll(into...); err != nil {
		e.client.t.Fatalf("event %q: %v", e.Name, err)
	}
}

// Ack answers the event; the test fails if the server asked for no answer.
func (e *Event) Ack(args ...any) {
	e.client.t.Helper()
	if e.id < 0 {
		e.client.t.Fatalf("event %q wants no ack", e.Name)
	}
	p, err := parser.Marshal(args...)
	if err != nil {
		e.client.t.Fatal(err)
	}
	e.client.write(&parser.Packet{Type: parser.Ack, Namespace: e.client.namespace, ID: e.id, Payload: p})
}

// ConnectError is why the server refused a client.
type ConnectError struct {
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"` // nil: none came
}

// Error has the message.
func (e *ConnectError) Error() string { return "connect refused: " + e.Message }

// Client is a client in one namespace.
type Client struct {
	t         testing.TB
	namespace string
	codec     parser.Codec
	conn      net.Conn
	wmu       sync.Mutex
	id, pid   string
	events    chan *Event
	connected chan error
	reading   chan struct{} // has one token: who has it reads
	done      chan struct{} // closed when the server has ended the namespace or the connection

	mu    sync.Mutex
	acks  map[int64]chan parser.Args
	next  int64
	cause error
}

// Connect joins a namespace on a connection of its own; the test fails if it is refused.
func (s *Server) Connect(namespace string, opts ...Option) *Client {
	s.t.Helper()
	c, err := s.TryConnect(namespace, opts...)
	if err != nil {
		s.t.Fatalf("connect to %s: %v", namespace, err)
	}
	return c
}

// TryConnect is Connect for tests that expect a refusal: a *ConnectError, or
// what went wrong below.
func (s *Server) TryConnect(namespace string, opts ...Option) (*Client, error) {
	s.t.Helper()
	o := options{codec: parser.JSON, query: url.Values{}}
	for _, opt := range opts {
		opt(&o)
	}
	o.query.Set("EIO", "4")
	o.query.Set("transport", "websocket")
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	d := ws.Dialer{
		Header:  ws.HandshakeHeaderHTTP(o.header),
		NetDial: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.ln.Dial(ctx) },
	}
	conn, br, _, err := d.Dial(ctx, "ws://memory"+s.path+"?"+o.query.Encode())
	if err != nil {
		return nil, err
	}
	c := &Client{
		t: s.t, namespace: namespace, codec: o.codec, conn: conn,
		events: make(chan *Event, 1024), connected: make(chan error, 1), done: make(chan struct{}),
		reading: make(chan struct{}, 1),
		acks:    map[int64]chan parser.Args{},
	}
	var reader sync.WaitGroup
	var in io.Reader = conn
	if br != nil { // the server's first frames came with the handshake
		in = br
	}
	reader.Go(func() { c.read(in) })
	s.t.Cleanup(func() {
		_ = conn.Close()
		reader.Wait()
	})
	p := &parser.Packet{Type: parser.Connect, Namespace: namespace, ID: -1}
	if o.auth != nil {
		if p.Payload, err = parser.MarshalValue(o.auth); err != nil {
			return nil, err
		}
	}
	c.write(p)
	select {
	case err := <-c.connected:
		return c, err
	case <-c.done:
		return nil, c.cause
	case <-time.After(Patience):
		return nil, errors.New("no answer to CONNECT")
	}
}

// ID is the id that the server gave the socket.
func (c *Client) ID() string { return c.id }

// PrivateID is the id for recovery; empty if the server has it off.
func (c *Client) PrivateID() string { return c.pid }

// Emit sends an event.
func (c *Client) Emit(event string, args ...any) {
	c.t.Helper()
	c.emit(-1, event, args)
}

func (c *Client) emit(id int64, event string, args []any) {
	c.t.Helper()
	p, err := parser.MarshalEvent(event, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(&parser.Packet{Type: parser.Event, Namespace: c.namespace, ID: id, Payload: p})
}

// Call sends an event and returns the arguments of the server's ack; the test
// fails if none comes.
func (c *Client) Call(event string, args ...any) parser.Args {
	c.t.Helper()
	answer := make(chan parser.Args, 1)
	c.mu.Lock()
	id := c.next
	c.next++
	c.acks[id] = answer
	c.mu.Unlock()
	c.emit(id, event, args)
	select {
	case a := <-answer:
		return a
	case <-c.done:
		c.t.Fatalf("%q: the server closed the connection instead of an ack: %v", event, c.cause)
	case <-time.After(Patience):
		c.t.Fatalf("%q: no ack", event)
	}
	panic("unreachable")
}

// Next returns the next event from the server; the test fails if none comes.
func (c *Client) Next() *Event {
	c.t.Helper()
	select {
	case e := <-c.events:
		return e
	default:
	}
	select {
	case e := <-c.events:
		return e
	case <-c.done:
		select {
		case e := <-c.events: // it came before the end
			return e
		default:
		}
		c.t.Fatalf("no event: the server closed the connection: %v", c.cause)
	case <-time.After(Patience):
		c.t.Fatal("no event came")
	}
	panic("unreachable")
}

// Expect returns the next event, which has to have that name.
func (c *Client) Expect(event string) *Event {
	c.t.Helper()
	e := c.Next()
	if e.Name != event {
		c.t.Fatalf("event %q came, expected %q", e.Name, event)
	}
	return e
}

// Pending returns how many events have come that nobody has asked for.
func (c *Client) Pending() int { return len(c.events) }

// Leave leaves the namespace; the connection stays open.
func (c *Client) Leave() {
	c.write(&parser.Packet{Type: parser.Disconnect, Namespace: c.namespace, ID: -1})
}

// Close cuts the connection.
func (c *Client) Close() { _ = c.conn.Close() }

// Done is closed when the server has ended the namespace or the connection.
func (c *Client) Done() <-chan struct{} { return c.done }

// WaitClosed waits for that; the test fails if it doesn't happen.
func (c *Client) WaitClosed() {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(Patience):
		c.t.Fatal("the server did not close the connection")
	}
}

// Stall keeps the client from reading, and so from answering pings, until resume is called, except one
// packet for which it may be waiting. It must be resumed before the test ends.
func (c *Client) Stall() (resume func()) {
	c.reading <- struct{}{}
	return func() { <-c.reading }
}

func (c *Client) write(p *parser.Packet) {
	e, err := c.codec.Encode(p)
	if err != nil {
		c.t.Errorf("encode: %v", err)
		return
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if e.Text != nil {
		_ = wsutil.WriteClientText(c.conn, append([]byte("4"), e.Text...))
	}
	for _, b := range e.Binary {
		_ = wsutil.WriteClientBinary(c.conn, b)
	}
}

// read takes what the server sends until the connection ends.
func (c *Client) read(r io.Reader) {
	defer close(c.done)
	defer c.conn.Close() // as official clients do when their last namespace is gone
	decoder := c.codec.NewDecoder(parser.Limits{})
	rw := readWriter{r, c}
	for {
		c.reading <- struct{}{}
		<-c.reading
		data, op, err := wsutil.ReadServerData(rw)
		if err != nil {
			c.cause = err
			return
		}
		var p parser.Packet
		ok := false
		switch {
		case op == ws.OpBinary:
			p, ok, err = decoder.Binary(data, true)
		case bytes.Equal(data, []byte("2")):
			c.wmu.Lock()
			_ = wsutil.WriteClientText(c.conn, []byte("3"))
			c.wmu.Unlock()
		case len(data) > 0 && data[0] == '4':
			p, ok, err = decoder.Text(data[1:], true)
		}
		if err != nil {
			c.cause = fmt.Errorf("bad packet from the server: %w", err)
			return
		}
		if ok && !c.handle(&p) {
			return
		}
	}
}

func (c *Client) handle(p *parser.Packet) (more bool) {
	if p.Namespace != c.namespace {
		return true
	}
	switch p.Type {
	case parser.Connect:
		var answer struct{ SID, PID string }
		_ = json.Unmarshal(p.JSON, &answer)
		c.id, c.pid = answer.SID, answer.PID
		c.connected <- nil
	case parser.ConnectError:
		e := &ConnectError{}
		_ = json.Unmarshal(p.JSON, e)
		c.connected <- e
	case parser.Disconnect:
		c.cause = errors.New("disconnected by the server")
		return false
	case parser.Event:
		select {
		case c.events <- &Event{Name: p.Event(), Args: p.Args(), id: p.ID, client: c}:
		default:
			c.cause = fmt.Errorf("%d events came that nobody took", cap(c.events))
			return false
		}
	case parser.Ack:
		c.mu.Lock()
		answer := c.acks[p.ID]
		delete(c.acks, p.ID)
		c.mu.Unlock()
		if answer != nil {
			answer <- p.Args()
		}
	}
	return true
}

// readWriter lets wsutil answer control frames while it reads.
type readWriter struct {
	io.Reader
	c *Client
}

func (rw readWriter) Write(b []byte) (int, error) {
	rw.c.wmu.Lock()
	defer rw.c.wmu.Unlock()
	return rw.c.conn.Write(b)
}
