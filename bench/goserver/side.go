package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"runtime/pprof"
	"sync"

	"github.com/roomcast/roomcast/server"
)

// side answers outside of what is measured.
type side struct {
	srv *server.Server
	ns  *server.Namespace

	mu      sync.Mutex
	profile bytes.Buffer
}

func (s *side) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.URL.Path {
	case "/gc":
		collect()
		fallthrough
	case "/stats":
		json.NewEncoder(w).Encode(stats(s.srv, s.ns))
	case "/profile/start":
		s.profile.Reset()
		if err := pprof.StartCPUProfile(&s.profile); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	case "/profile/stop":
		pprof.StopCPUProfile()
		w.Write(s.profile.Bytes())
	case "/heap":
		pprof.Lookup("heap").WriteTo(w, 0)
	case "/goroutines":
		pprof.Lookup("goroutine").WriteTo(w, 1)
	default:
		http.NotFound(w, r)
	}
}
