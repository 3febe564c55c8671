package socketio

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"

	"github.com/roomcast/roomcast/compat/googollee/engineio/transport/polling"
	"github.com/roomcast/roomcast/compat/googollee/engineio/transport/websocket"
	"github.com/roomcast/roomcast/engine"
)

// ServeHTTP answers Engine.IO requests.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	core, err := s.start()
	if err != nil {
		http.Error(w, "the server isn't running", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	if f := s.opts.RequestChecker; f != nil {
		more, err := f(r)
		if err != nil {
			refuse(w, err)
			return
		}
		maps.Copy(h, more)
	}
	if allowed := h.Get("Access-Control-Allow-Origin"); allowed != "" && (allowed == "*" || allowed == r.Header.Get("Origin")) {
		r = r.WithContext(context.WithValue(r.Context(), inFront{}, true))
	}
	s.cors(h, r)
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Headers", "Content-Type")
		w.WriteHeader(http.StatusOK)
		return
	}
	core.Engine().ServeHTTP(w, r)
}

// inFront is the key under which a request's context has that middleware in
// front of the server has let its origin in.
type inFront struct{}

// refuse answers as the engine does when a request is forbidden.
func refuse(w http.ResponseWriter, err error) {
	body, _ := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{4, err.Error()})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	w.Write(body)
}

// cors adds the headers with which pages of other origins may read an answer.
func (s *Server) cors(h http.Header, r *http.Request) {
	f := s.pollingCheck()
	if f == nil || !f(r) {
		return
	}
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin == "" {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	}
}

// checkOrigin decides whether a page may connect.
func (s *Server) checkOrigin(r *http.Request) bool {
	if r.URL.Query().Get("transport") == "websocket" {
		if t := s.websocket(); t.CheckOrigin != nil {
			return t.CheckOrigin(r)
		}
		return engine.SameOrigin(r)
	}
	if engine.SameOrigin(r) || r.Context().Value(inFront{}) != nil {
		return true
	}
	f := s.pollingCheck()
	return f != nil && f(r)
}

func (s *Server) websocket() *websocket.Transport {
	for _, t := range s.opts.Transports {
		if t, ok := t.(*websocket.Transport); ok {
			return t
		}
	}
	return websocket.Default
}

// pollingCheck returns the polling transport's CheckOrigin, or nil.
func (s *Server) pollingCheck() func(*http.Request) bool {
	for _, t := range s.opts.Transports {
		if t, ok := t.(*polling.Transport); ok && t.CheckOrigin != nil {
			return t.CheckOrigin
		}
	}
	return polling.Default.CheckOrigin
}
