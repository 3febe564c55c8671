package engine

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// poll is what a session has while its transport is polling. It is guarded by
// Session.mu.
type poll struct {
	b64     bool
	jsonp   bool
	j       string              // digits of the query key j
	held    bool                // a GET waits
	woken   bool                // and was told to answer
	posting bool                // a POST is being handled
	body    http.ResponseWriter // of the POST whose body is being read
	probed  bool                // a candidate has probed: no GET is held
	came    chan struct{}       // made by a POST that waits for a GET, closed by it
	answer  *Batch              // to a held GET once the session has left polling
	timer   *time.Timer         // for a GET to come while closing
	wake    chan struct{}       // of capacity 1
}

// wakeFor has the held GET answer with what is queued.
func (p *poll) wakeFor(s *Session) {
	if !s.queue.empty() {
		p.wakeUp()
	}
}

func (p *poll) wakeUp() {
	if p.held && !p.woken {
		p.woken = true
		p.wake <- struct{}{}
	}
}

// finish leaves polling: a held GET gets answer, a body is read no longer.
func (p *poll) finish(answer *Batch) {
	p.answer = answer
	p.wakeUp()
	p.arrived()
	if p.timer != nil {
		p.timer.Stop()
	}
	if p.body != nil {
		// The deadline ends the other goroutine's read.
		http.NewResponseController(p.body).SetReadDeadline(time.Unix(1, 0))
	}
}

// arrived tells a POST that waits for a GET.
func (p *poll) arrived() {
	if p.came != nil {
		close(p.came)
		p.came = nil
	}
}

// A client's requests come by several connections, so one may be handled before
// another that was sent first. A server with one thread, like the official one,
// hardly ever lets that happen.
const (
	// A GET that may have overtaken the upgrade packet gives it overtaking.
	overtaking = 10 * time.Millisecond
	// A POST that closes the session waits for a GET that it may have overtaken.
	crossing = 50 * time.Millisecond
)

// ErrReleased is the cause with which a host cancels the context of a held GET
// so that it is answered with a noop and the client asks again: the connection
// that the GET came by is about to end. Any other end of the context means that the
// client has gone.
var ErrReleased = errors.New("engine: the request was released")

// get serves a GET: it answers with what is queued, or holds the request until
// something is.
func (s *Session) get(w http.ResponseWriter, r *http.Request, p *poll) {
	s.mu.Lock()
	switch {
	case s.state.Load() == stateClosed:
		s.mu.Unlock()
		s.server.refuse(w, r, refusal{code: unknownSID, context: map[string]any{"sid": s.id}})
		return
	case s.poll != p:
		s.mu.Unlock()
		s.server.refuse(w, r, mismatch("polling", s.Transport()))
		return
	case p.held:
		s.mu.Unlock()
		s.finish(TransportError, ErrPollOverlap)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.arrived()
	late := s.cand != nil
	if s.idle() && !p.probed && s.hold(r, p, 0) {
		s.left(p)
		return
	}
	if late {
		if s.idle() && s.cand != nil && s.hold(r, p, overtaking) {
			s.left(p)
			return
		}
		if s.poll != p && s.state.Load() != stateClosed {
			s.mu.Unlock()
			s.server.refuse(w, r, mismatch("polling", s.Transport()))
			return
		}
	}
	s.answer(w, r, p)
}

// idle reports whether a GET has nothing to answer. s.mu is held.
func (s *Session) idle() bool { return s.queue.empty() && s.state.Load() == stateOpen }

// hold has a GET wait until it is woken, or for limit if that isn't 0. It
// reports whether the client has gone. s.mu is held before and after.
func (s *Session) hold(r *http.Request, p *poll, limit time.Duration) (gone bool) {
	var over <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		over = timer.C
	}
	p.held, p.woken = true, false
	s.mu.Unlock()
	told := false
	select {
	case <-p.wake:
		told = true
	case <-over:
	case <-r.Context().Done():
		gone = context.Cause(r.Context()) != ErrReleased
	}
	s.mu.Lock()
	p.held = false
	if !told && p.woken {
		<-p.wake
	}
	return gone
}

// left ends a session that is still polling, but whose client has left its GET.
// s.mu is held, and released here.
func (s *Session) left(p *poll) {
	current := s.poll == p
	s.mu.Unlock()
	if current {
		s.finish(TransportError, ErrPollClosed)
	}
}

// answer writes the response to a GET. s.mu is held, and released here.
func (s *Session) answer(w http.ResponseWriter, r *http.Request, p *poll) {
	over := false
	var q queue
	var list []*Batch
	var one [1]*Batch
	switch {
	case p.answer != nil: // the session has ended, or left polling
		one[0] = p.answer
		list = one[:]
	case !s.queue.empty():
		q = s.take()
		s.flying = load{} // from here on the client has them, or loses the session
		list = q.batches(&one)
	case s.state.Load() == stateClosing:
		list, over = leaveAnswer, true
	default:
		list = []*Batch{noopBatch}
	}
	s.mu.Unlock()
	if over {
		s.finish(ForcedClose, nil)
	}
	err := s.respond(w, r, p, list)
	if !q.empty() {
		s.server.stats.wrote(s, list)
		q.release()
	}
	if err != nil {
		s.finish(TransportError, ErrPollClosed)
	}
}

// Values of headers, shared by all responses. They are never changed.
var (
	textPlain = []string{"text/plain; charset=UTF-8"}
	script    = []string{"text/javascript; charset=UTF-8"}
	textHTML  = []string{"text/html"}
	octets    = []string{"application/octet-stream"}
	noStore   = []string{"no-store"}
	two       = []string{"2"}
	zero      = []string{"0"}
	nosniff   = []string{"nosniff"}
	okBody    = []byte("ok")
)

var payloads = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// respond writes batches as the body of a polling response.
func (s *Session) respond(w http.ResponseWriter, r *http.Request, p *poll, batches []*Batch) error {
	pooled := payloads.Get().(*[]byte)
	defer func() {
		if cap(*pooled) <= 64<<10 {
			payloads.Put(pooled)
		}
	}()
	body, text := appendPayload((*pooled)[:0], batches, s.Protocol(), p.b64 || p.jsonp)
	*pooled = body
	h := w.Header()
	h["Content-Type"] = textPlain
	if p.jsonp {
		body = appendJSONP(nil, p.j, body)
		// Officially text/plain, which a browser doesn't run beside nosniff.
		h["Content-Type"] = script
		h["X-Content-Type-Options"] = nosniff
	} else if !text {
		h["Content-Type"] = octets
	}
	s.polledHeaders(h, r)
	if encoding := s.server.compression(r, batches, len(body)); encoding != "" {
		body = compress(encoding, body)
		h["Content-Encoding"] = []string{encoding}
	}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	return s.server.write(w, body)
}

// write writes the body of a response. A client has WriteTimeout to take more
// than the kernel buffers for it.
func (srv *Server) write(w http.ResponseWriter, body []byte) (err error) {
	if len(body) < 32<<10 || srv.cfg.WriteTimeout <= 0 {
		_, err := w.Write(body)
		return err
	}
	defer func() {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			srv.stats.reject(RejectedSlowWrite)
		}
	}()
	ctl := http.NewResponseController(w)
	ctl.SetWriteDeadline(time.Now().Add(srv.cfg.WriteTimeout))
	defer ctl.SetWriteDeadline(time.Time{})
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := ctl.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
