package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// forwarded marks the context of a request that another node has handed on:
// it isn't handed on again.
type forwarded struct{}

// Forward hands a request on to the node that has the session of this id, and
// its answer to the client. It is meant for engine.Config.Stranger: it reports
// whether the request is answered. It isn't if there is no such node any more;
// then nothing has been written, and the session is unknown.
//
// A request is handed on once, and never a second time: the owner may have read the first.
func (n *Node) Forward(w http.ResponseWriter, r *http.Request, session string) bool {
	owner, ok := n.keys.owner(session)
	if !ok || owner == n.id || r.Context().Value(forwarded{}) != nil {
		return false
	}
	m, ok := n.find(r.Context(), owner)
	if !ok {
		n.stats.Failed[FailedGone].Add(1)
		return false
	}
	if n.forwards.Add(1) > int64(n.cfg.MaxForwards) {
		n.forwards.Add(-1)
		n.stats.Failed[FailedBusy].Add(1)
		busy(w)
		return true
	}
	f := &forward{node: n, to: m, w: w, r: r, started: time.Now()}
	defer func() {
		if !f.tunnelled {
			n.forwards.Add(-1)
		}
	}()
	return f.run()
}

func busy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "Too many requests of other nodes' sessions", http.StatusServiceUnavailable)
}

// forward is a request that is being handed on.
type forward struct {
	node      *Node
	to        Member
	w         http.ResponseWriter
	r         *http.Request
	msg       *message
	started   time.Time
	tunnelled bool
}

// run reports whether the request is answered.
func (f *forward) run() bool {
	n := f.node
	var err error
	upgrade := len(f.r.Header["Upgrade"]) > 0 && f.r.ProtoMajor == 1
	if f.msg, err = newMessage(f.r, n.id, f.to.ID, upgrade); err != nil {
		n.stats.Failed[FailedUnsuitable].Add(1)
		return false
	}
	if f.r.Method == http.MethodPost && !f.readBody() {
		return true
	}
	if f.to.Addr != "" {
		l, err := n.links.take(f.r.Context(), f.to)
		if err == nil {
			return f.over(l)
		}
		if !errors.Is(err, errShunned) && f.r.Context().Err() == nil {
			n.log.Debug("cluster: a node can't be reached directly", "node", f.to.Name, "addr", f.to.Addr, "error", err)
		}
	}
	if upgrade { // the client stays on polling
		n.stats.Failed[FailedUnreachable].Add(1)
		return false
	}
	return f.relay()
}

// readBody reads the client's body before anything is handed on, so that
// slow clients cost the owner nothing. It answers bodies that are too large and
// reports false. A body that breaks off is handed on as such.
func (f *forward) readBody() bool {
	r, max := f.r, f.node.cfg.MaxBody
	ctl := http.NewResponseController(f.w)
	if r.ContentLength <= int64(max) {
		ctl.SetReadDeadline(time.Now().Add(f.node.cfg.BodyTimeout))
		size := int(r.ContentLength)
		if size < 0 {
			size = 512
		}
		body := make([]byte, 0, size+1)
		for len(body) <= max {
			if len(body) == cap(body) {
				body = append(body, 0)[:len(body)]
			}
			k, err := r.Body.Read(body[len(body):min(cap(body), max+1)])
			body = body[:len(body)+k]
			if err == nil {
				continue
			}
			f.msg.body, f.msg.length = body, len(body)
			if err != io.EOF {
				f.msg.length = max
				f.msg.body = body[:min(len(body), max-1)]
			}
			ctl.SetReadDeadline(time.Time{})
			if len(body) <= max {
				return true
			}
		}
	}
	f.w.Header().Set("Connection", "close")
	f.w.WriteHeader(http.StatusRequestEntityTooLarge)
	return false
}

// over hands the request on over a link.
func (f *forward) over(l *link) bool {
	n := f.node
	broken := len(f.msg.body) < f.msg.length
	err := l.write(n.keys, f.msg)
	if err != nil || broken {
		n.links.discard(f.to.ID, l) // of a broken body the owner sees the end
		n.stats.Failed[FailedBroken].Add(1)
		return broken && err == nil && f.hangUp()
	}
	// The owner learns that a client has gone by the end of its link.
	stop := context.AfterFunc(f.r.Context(), func() { l.conn.Close() })
	res, err := http.ReadResponse(l.r, &http.Request{Method: f.msg.method})
	if err == nil && res.StatusCode == http.StatusOK && res.ContentLength == 0 {
		err = errCut // no answer of a session is empty: its handler was cut short
	}
	if err != nil || res.StatusCode == http.StatusForbidden && len(res.Header[headerSeal]) > 0 {
		stop()
		n.links.discard(f.to.ID, l)
		if f.r.Context().Err() != nil {
			return true // nobody is left to be answered
		}
		why := FailedBroken
		if err == nil {
			why = FailedRefused
			n.log.Error("cluster: a node refuses what this one hands on", "node", f.to.Name, "addr", f.to.Addr)
		}
		n.stats.Failed[why].Add(1)
		return false
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		if !stop() {
			n.links.discard(f.to.ID, l)
			return true
		}
		n.links.detach(f.to.ID, l)
		f.tunnel(l, res)
		return true
	}
	f.count(Direct)
	if err = f.respond(res); err == nil && !res.Close && stop() {
		n.links.put(f.to.ID, l)
		return true
	}
	stop()
	n.links.discard(f.to.ID, l)
	if errors.Is(err, errCut) {
		n.stats.Failed[FailedBroken].Add(1)
		panic(http.ErrAbortHandler) // the client must not take this for the whole
	}
	return true
}

// errCut says that the owner's answer broke off.
var errCut = errors.New("cluster: the answer broke off")

// hangUp answers a client whose body broke off.
func (f *forward) hangUp() bool {
	f.w.Header().Set("Connection", "close")
	f.w.WriteHeader(http.StatusBadRequest)
	return true
}

func (f *forward) count(via Via) {
	st := &f.node.stats
	if f.r.Method == http.MethodPost {
		st.Posts[via].Add(1)
		st.Latency.add(time.Since(f.started))
		return
	}
	st.Polls[via].Add(1)
}

// respond gives the owner's answer to the client.
func (f *forward) respond(res *http.Response) error {
	h := f.w.Header()
	for name, values := range res.Header {
		if !dropped(name) && name != "Date" {
			h[name] = values // whatever our own layers have set, the owner's have, too
		}
	}
	if res.Close {
		h.Set("Connection", "close") // the owner doesn't want to hear more of this client
	}
	if res.ContentLength >= 0 {
		h["Content-Length"] = res.Header["Content-Length"]
	}
	if res.ContentLength < 0 || res.ContentLength >= 32<<10 {
		ctl := http.NewResponseController(f.w)
		ctl.SetWriteDeadline(time.Now().Add(f.node.cfg.WriteTimeout))
		defer ctl.SetWriteDeadline(time.Time{})
	}
	f.w.WriteHeader(res.StatusCode)
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	buf := (*b)[:cap(*b)]
	for {
		k, err := res.Body.Read(buf)
		if k > 0 {
			if _, werr := f.w.Write(buf[:k]); werr != nil {
				return werr
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return errCut
		}
	}
}
