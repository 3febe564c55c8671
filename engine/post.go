package engine

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
	"unicode/utf8"
)

// post serves a POST: the packets of its body are handed over, then it is
// answered.
func (s *Session) post(w http.ResponseWriter, r *http.Request, p *poll) {
	octet := r.Header.Get("Content-Type") == "application/octet-stream"
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
	case p.posting:
		s.mu.Unlock()
		s.finish(TransportError, ErrDataOverlap)
		w.WriteHeader(http.StatusBadRequest)
		return
	case octet && s.rev != 3:
		s.mu.Unlock()
		s.finish(TransportError, ErrInvalidContent)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	p.posting, p.body = true, w
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		p.posting = false
		s.mu.Unlock()
	}()

	body, status := s.readBody(w, r, p)
	if status != http.StatusOK {
		hangUp(w, status)
		return
	}
	defer body.release()
	s.deliver(r, body, octet, p)
	h := w.Header()
	h["Content-Type"] = textHTML // officially so, against a download dialog of old browsers
	h["Content-Length"] = two
	s.polledHeaders(h, r)
	w.Write(okBody)
}

// body is a POST body; owned if it is not from the pool.
type body struct {
	data  []byte
	owned bool
}

// pooledBody is the size up to which bodies are read into pooled buffers.
const pooledBody = 16 << 10

var bodies = sync.Pool{New: func() any { return new([pooledBody]byte) }}

func (b *body) release() {
	if !b.owned {
		bodies.Put((*[pooledBody]byte)(b.data[:pooledBody]))
	}
}

// readBody reads the body of a POST within BodyTimeout and MaxPayload. A
// status other than 200 is for the client. The session ends if the request
// broke off, and survives a body that is too large.
func (s *Session) readBody(w http.ResponseWriter, r *http.Request, p *poll) (*body, int) {
	cfg := &s.server.cfg
	status := http.StatusOK
	var b *body
	var err error
	switch {
	case r.Header.Get("Content-Encoding") != "":
		status = http.StatusUnsupportedMediaType
		s.server.stats.reject(RejectedEncoding)
	case r.ContentLength > int64(cfg.MaxPayload):
		status = http.StatusRequestEntityTooLarge
	default:
		var ctl *http.ResponseController
		if cfg.BodyTimeout > 0 {
			ctl = http.NewResponseController(w)
			ctl.SetReadDeadline(time.Now().Add(cfg.BodyTimeout))
		}
		b, err = readAll(r.Body, int(r.ContentLength), cfg.MaxPayload)
		if ctl != nil && err == nil {
			ctl.SetReadDeadline(time.Time{})
		}
	}
	s.mu.Lock()
	p.body = nil
	gone := s.poll != p
	s.mu.Unlock()
	switch {
	case errors.Is(err, errTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		status = http.StatusRequestTimeout
		s.server.stats.reject(RejectedSlowBody)
	case err != nil:
		status = http.StatusBadRequest
	}
	if status == http.StatusRequestEntityTooLarge {
		s.server.stats.reject(RejectedBodySize)
	} else if err != nil && !gone {
		s.finish(TransportError, ErrDataClosed)
	}
	return b, status
}

var errTooLarge = errors.New("engine: body too large")

// readAll reads a body of up to limit bytes. length is what is announced, or -1.
func readAll(r io.Reader, length, limit int) (*body, error) {
	b := &body{}
	if length <= pooledBody {
		b.data = bodies.Get().(*[pooledBody]byte)[:0]
	} else {
		b.data, b.owned = make([]byte, 0, length+1), true
	}
	for {
		if len(b.data) == cap(b.data) {
			larger := append(make([]byte, 0, min(2*cap(b.data), limit+1)), b.data...)
			b.release()
			b.data, b.owned = larger, true
		}
		n, err := r.Read(b.data[len(b.data):min(cap(b.data), limit+1)])
		b.data = b.data[:len(b.data)+n]
		switch {
		case len(b.data) > limit:
			b.release()
			return nil, errTooLarge
		case err == io.EOF:
			return b, nil
		case err != nil:
			b.release()
			return nil, err
		}
	}
}

// deliver hands the packets of a body over, and ends the session if the client
// closes it.
func (s *Session) deliver(r *http.Request, b *body, octet bool, poll *poll) {
	data := b.data
	if poll.jsonp {
		var ok bool
		if data, ok = decodeJSONP(data); !ok {
			return
		}
	}
	if !octet && !utf8.Valid(data) {
		data = toValidUTF8(data)
	}
	p := payload{rest: data, rev: s.Protocol(), binary: octet}
	many, err := p.tooMany(s.server.cfg.MaxPacketsPerPayload)
	switch {
	case many:
		s.server.stats.reject(RejectedPacketCount)
		err = ErrTooManyPackets
	case len(data) == 0:
		err = ErrEmptyPacket
	}
	if err != nil {
		s.finish(ParseError, err)
		return
	}
	if s.packets(&p, b) {
		s.meet(r, poll)
		s.finishWith(TransportClose, nil, noopBatch)
	}
}

// packets hands the packets of a body over until one closes the session.
func (s *Session) packets(p *payload, b *body) (closed bool) {
	if !s.enter() {
		return false
	}
	defer s.leave()
	for {
		pkt, ok, err := p.next()
		switch {
		case err != nil:
			s.finish(ParseError, err)
			return false
		case !ok:
			return false
		case pkt.Type == Close:
			return true
		}
		// Who keeps a message keeps the whole body: worth it only for large ones.
		if s.receive(pkt, b.owned && 2*len(pkt.Data) >= cap(b.data)) != nil {
			return false
		}
	}
}

// meet waits for a GET before the session ends: clients have one under way, and
// would take its refusal for a fault.
func (s *Session) meet(r *http.Request, p *poll) {
	s.mu.Lock()
	if p.held || s.poll != p || s.state.Load() == stateClosed {
		s.mu.Unlock()
		return
	}
	came := make(chan struct{})
	p.came = came
	s.mu.Unlock()
	timer := time.NewTimer(crossing)
	defer timer.Stop()
	select {
	case <-came:
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// toValidUTF8 replaces invalid bytes by U+FFFD.
func toValidUTF8(b []byte) []byte { return []byte(string([]rune(string(b)))) }

// hangUp answers with status and has the connection closed, rather than read
// what the client still sends.
func hangUp(w http.ResponseWriter, status int) {
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
}
