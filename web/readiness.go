package web

import (
	"encoding/json"
	"maps"
	"net/http"
	"sync"
)

// Readiness knows whether a balancer should send clients here. The zero
// Readiness is ready. Methods may be called from any goroutine.
type Readiness struct {
	mu      sync.Mutex
	reasons map[string]string // why not, by who says so
}

// Hold makes the server not ready, until Release is called with the same name.
// Reason is for people; it must not tell secrets, since the probe is public.
func (r *Readiness) Hold(name, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reasons == nil {
		r.reasons = make(map[string]string)
	}
	r.reasons[name] = reason
}

// Release takes back what Hold said.
func (r *Readiness) Release(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.reasons, name)
}

// Held returns the reason of the first of names that holds the server, or "".
func (r *Readiness) Held(names ...string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		if reason, held := r.reasons[name]; held {
			return reason
		}
	}
	return ""
}

// ServeHTTP answers 200 {"ready":true}, or 503 {"ready":false,"reasons":{name: reason}}.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	answer := struct {
		Ready   bool              `json:"ready"`
		Reasons map[string]string `json:"reasons,omitempty"`
	}{len(r.reasons) == 0, maps.Clone(r.reasons)}
	r.mu.Unlock()

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// livez answers that the process is alive, whatever else is wrong.
func livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte("ok\n"))
}
