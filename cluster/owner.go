package cluster

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/engine"
)

// inboundKey is the key of a connection's *inbound.
type inboundKey struct{}

// Serve takes requests of other nodes from l, checks that they are, and has h
// answer them as if their clients had come here. h is the realtime server
// itself: what middleware stands before it elsewhere has already been passed. It
// returns after Close, with http.ErrServerClosed.
func (n *Node) Serve(l net.Listener, h http.Handler) error {
	var conns atomic.Int64
	server := &http.Server{
		Handler:           &owner{n, h},
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10, // what the public listener lets in, and ours
		ErrorLog:          slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, inboundKey{}, new(inbound))
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				if conns.Add(1) > 2*int64(n.cfg.MaxForwards) {
					c.Close()
				}
			case http.StateClosed, http.StateHijacked:
				conns.Add(-1)
			}
		},
	}
	n.mu.Lock()
	if n.closed || n.server != nil {
		n.mu.Unlock()
		l.Close()
		return http.ErrServerClosed
	}
	n.server, n.handler = server, h
	n.mu.Unlock()
	return server.Serve(l)
}

// Handle has h answer the requests that come through the Store, for a node
// that doesn't Serve.
func (n *Node) Handle(h http.Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handler = h
}

// owner is what other nodes speak with.
type owner struct {
	node *Node
	next http.Handler
}

func (o *owner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := o.node
	in := r.Context().Value(inboundKey{}).(*inbound)
	if r.Header.Get(headerNonce) != "" && r.URL.Path == helloPath {
		if n.hello(w, r, in) != nil {
			n.refuse(w)
		}
		return
	}
	if n.check(r, in) != nil {
		n.refuse(w)
		return
	}
	n.serve(w, r, o.next)
}

// refuse answers who isn't a node of this cluster.
func (n *Node) refuse(w http.ResponseWriter) {
	n.stats.Refused.Add(1)
	w.Header().Set(headerSeal, "refused")
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusForbidden)
}

// serve serves a request that is known to come from another node.
func (n *Node) serve(w http.ResponseWriter, r *http.Request, h http.Handler) {
	from, to, err := understood(r)
	switch {
	case err != nil:
		n.refuse(w)
		return
	case to != n.id: // an earlier process was meant
		http.NotFound(w, r)
		return
	}
	if n.taken.Add(1) > int64(n.cfg.MaxForwards) {
		n.taken.Add(-1)
		n.stats.Refused.Add(1)
		busy(w)
		return
	}
	defer n.taken.Add(-1)
	n.stats.Taken.Add(1)
	ctx := context.WithValue(r.Context(), forwarded{}, true)
	if r.Method == http.MethodGet && len(r.Header["Upgrade"]) == 0 {
		var free func()
		ctx, free = n.holds.add(ctx, n, from)
		defer free()
	}
	h.ServeHTTP(w, r.WithContext(ctx))
}

// holds are the GETs that are held for other nodes' clients.
type holds struct {
	mu sync.Mutex
	of map[ID]map[*hold]struct{}
}

type hold struct {
	cancel context.CancelCauseFunc
	since  time.Time
}

func (hs *holds) init() { hs.of = make(map[ID]map[*hold]struct{}) }

// holdLeast is how long a GET that came by a node that is going away is held nevertheless: its client
// may have no other way, and would ask again at once.
const holdLeast = time.Second

// add keeps account of a GET that came from a node, until free is called.
func (hs *holds) add(ctx context.Context, n *Node, from ID) (_ context.Context, free func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	h := &hold{cancel, time.Now()}
	hs.mu.Lock()
	set := hs.of[from]
	if set == nil {
		set = make(map[*hold]struct{})
		hs.of[from] = set
	}
	set[h] = struct{}{}
	hs.mu.Unlock()
	stop := func() bool { return true }
	if m, ok := n.table.get(from); ok && m.Draining {
		stop = time.AfterFunc(holdLeast, func() { cancel(engine.ErrReleased) }).Stop
	}
	return ctx, func() {
		stop()
		cancel(context.Canceled)
		hs.mu.Lock()
		defer hs.mu.Unlock()
		if delete(set, h); len(set) == 0 && len(hs.of[from]) == 0 {
			delete(hs.of, from)
		}
	}
}

// release lets go of the GETs of a node that is going away.
func (hs *holds) release(from ID) {
	limit := time.Now().Add(-holdLeast)
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for h := range hs.of[from] {
		if h.since.Before(limit) {
			h.cancel(engine.ErrReleased)
		}
	}
}
