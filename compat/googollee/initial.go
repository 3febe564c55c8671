package socketio

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/roomcast/roomcast/compat/googollee/engineio"
	"github.com/roomcast/roomcast/compat/googollee/engineio/session"
	"github.com/roomcast/roomcast/compat/googollee/engineio/transport"
	"github.com/roomcast/roomcast/compat/googollee/engineio/transport/polling"
)

// initial is the connection that ConnInitor gets: its session isn't open yet.
type initial struct {
	id           string
	url          url.URL
	host, remote string
	header       http.Header
	made         time.Time
	close        func() // closes the session, if there is one by now
	mu           sync.Mutex
	data         any
	closed       bool
}

var _ engineio.Conn = (*initial)(nil)

func newInitial(id string, r *http.Request, closeSession func()) *initial {
	return &initial{id: id, url: *r.URL, host: r.Host, remote: r.RemoteAddr, header: r.Header, made: time.Now(), close: closeSession}
}

// old reports whether the handshake must be over by now.
func (c *initial) old() bool { return time.Since(c.made) > time.Minute }

func (c *initial) ID() string                { return c.id }
func (c *initial) URL() url.URL              { return c.url }
func (c *initial) LocalAddr() net.Addr       { return polling.Addr{Host: c.host} }
func (c *initial) RemoteAddr() net.Addr      { return polling.Addr{Host: c.remote} }
func (c *initial) RemoteHeader() http.Header { return c.header }

func (c *initial) Context() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.data
}

func (c *initial) SetContext(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.data = v
}

// Close refuses the client, or closes its session.
func (c *initial) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.close()
	return nil
}

func (c *initial) refused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *initial) NextReader() (session.FrameType, io.ReadCloser, error) {
	return 0, nil, transport.ErrNotSupported
}

func (c *initial) NextWriter(session.FrameType) (io.WriteCloser, error) {
	return nil, transport.ErrNotSupported
}
