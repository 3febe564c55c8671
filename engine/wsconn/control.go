package wsconn

import (
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"
)

// maxControl bounds the control frames that wait, in bytes.
const maxControl = 2 << 10

// control holds control frames until somebody writes them.
type control struct {
	any  atomic.Bool // buf isn't empty
	last bool        // buf ends with a close frame
	mu   sync.Mutex
	buf  []byte
}

// waiting reports whether frames wait.
func (q *control) waiting() bool { return q.any.Load() }

// pong queues the answer to a ping. When too many wait, they are dropped: only
// the latest ping has to be answered.
//
// https://datatracker.ietf.org/doc/html/rfc6455#section-5.5.3
func (q *control) pong(payload []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last {
		return
	}
	if len(q.buf)+2+len(payload) > maxControl {
		q.buf = q.buf[:0]
	}
	q.buf = appendFrame(q.buf, ws.OpPong, payload)
	q.any.Store(true)
}

// close queues the close frame.
func (q *control) close(code ws.StatusCode) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.buf = appendClose(q.buf, code)
	q.last = true
	q.any.Store(true)
}

// take returns and forgets the frames that wait, and reports whether the last
// is a close frame.
func (q *control) take() (b []byte, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b = q.buf
	q.buf = nil
	q.any.Store(false)
	return b, q.last
}
