package engine

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// origins is the list of Config.Origins.
type origins struct {
	all      bool
	exact    map[string]bool
	patterns []*regexp.Regexp
}

func newOrigins(list []string) (*origins, error) {
	o := &origins{exact: make(map[string]bool)}
	for _, entry := range list {
		switch {
		case entry == "*":
			o.all = true
		case len(entry) > 2 && entry[0] == '/' && entry[len(entry)-1] == '/':
			re, err := regexp.Compile("^(?:" + entry[1:len(entry)-1] + ")$")
			if err != nil {
				return nil, fmt.Errorf("engine: origin %q: %w", entry, err)
			}
			o.patterns = append(o.patterns, re)
		default:
			u, err := url.Parse(entry)
			if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
				return nil, fmt.Errorf(`engine: origin %q: use scheme://host[:port], a regular expression between slashes, or "*"`, entry)
			}
			o.exact[strings.ToLower(entry)] = true
		}
	}
	return o, nil
}

// lists tells whether origin is on the list.
func (o *origins) lists(origin string) bool {
	if o.all || o.exact[strings.ToLower(origin)] {
		return true
	}
	for _, re := range o.patterns {
		if origin != "null" && re.MatchString(origin) {
			return true
		}
	}
	return false
}

// SameOrigin tells whether r is from a page of the host and port that it was
// sent to, or from none. The scheme is compared only where it is known.
func SameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	return origin == "" || sameOrigin(origin, r)
}

// sameOrigin is SameOrigin of an origin that isn't empty.
func sameOrigin(origin string, r *http.Request) bool {
	scheme, host, ok := strings.Cut(origin, "://")
	if !ok || host == "" || strings.ContainsAny(host, "/@?#") {
		return false
	}
	scheme = strings.ToLower(scheme)
	port := ""
	switch scheme {
	case "http":
		port = ":80"
	case "https":
		port = ":443"
	default:
		return false
	}
	if secure(r) && scheme != "https" || r.TLS == nil && r.URL.Scheme == "http" && scheme != "http" {
		return false
	}
	return strings.EqualFold(strings.TrimSuffix(host, port), strings.TrimSuffix(r.Host, port))
}

// allowed applies the origin policy. A request without Origin passes: it comes
// from a page of the same origin, or from no browser.
func (srv *Server) allowed(origin string, r *http.Request) bool {
	if f := srv.cfg.CheckOrigin; f != nil {
		return f(r)
	}
	return origin == "" || srv.origins.lists(origin) || sameOrigin(origin, r)
}

// CORS does for what a host serves beside the engine what the engine does for its own
// answers: it adds the headers that Config.Origins and CORS ask for, and answers a
// preflight request. Then it returns true.
func (srv *Server) CORS(w http.ResponseWriter, r *http.Request) (done bool) {
	return srv.cors(w, r, r.Header.Get("Origin"))
}

// cors adds the CORS headers, and answers a preflight request: then it returns true.
// Requests of origins that are not allowed get none.
func (srv *Server) cors(w http.ResponseWriter, r *http.Request, origin string) (done bool) {
	if len(srv.cfg.Origins) == 0 || srv.cfg.CheckOrigin != nil {
		return false
	}
	cfg, h := &srv.cfg.CORS, w.Header()
	if srv.origins.all {
		h["Access-Control-Allow-Origin"] = []string{"*"}
	} else {
		h.Add("Vary", "Origin")
		if origin != "" && srv.allowed(origin, r) {
			h["Access-Control-Allow-Origin"] = []string{origin}
		}
	}
	if cfg.Credentials {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
	if len(cfg.ExposedHeaders) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(cfg.ExposedHeaders, ","))
	}
	if r.Method != http.MethodOptions || !srv.allowed(origin, r) {
		return false
	}
	srv.preflight(h, r)
	h["Content-Length"] = zero
	w.WriteHeader(http.StatusNoContent)
	return true
}

func (srv *Server) preflight(h http.Header, r *http.Request) {
	cfg := &srv.cfg.CORS
	methods := "GET,HEAD,PUT,PATCH,POST,DELETE"
	if len(cfg.Methods) > 0 {
		methods = strings.Join(cfg.Methods, ",")
	}
	h.Set("Access-Control-Allow-Methods", methods)
	if len(cfg.Headers) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(cfg.Headers, ","))
	} else {
		h.Add("Vary", "Access-Control-Request-Headers")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
		}
	}
	if cfg.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(cfg.MaxAge.Seconds())))
	}
}
