package web

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// Public says what the public listener serves.
type Public struct {
	IO             http.Handler   // the realtime server
	Path           string         // where it is, such as "/socket.io"
	Page           http.Handler   // nil: no page
	Ready          *Readiness     // for /readyz
	TrustedProxies []netip.Prefix // see TrustProxies
	Logger         *slog.Logger   // nil: slog.Default()
}

// NewPublic returns the handler of the public listener: the realtime server,
// the page, /livez and /readyz.
func NewPublic(p Public) http.Handler {
	r := router(p.Logger)
	Mount(r, p.Path, p.IO)
	probes(r, p.Ready)
	if p.Page != nil {
		r.NoRoute(func(c *gin.Context) {
			c.Status(http.StatusOK) // Gin has set 404; the page decides
			p.Page.ServeHTTP(c.Writer, c.Request)
		})
	}
	return TrustProxies(p.TrustedProxies, r)
}

// router returns a Gin engine that routes and nothing more.
func router(log *slog.Logger) *gin.Engine {
	if log == nil {
		log = slog.Default()
	}
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	_ = r.SetTrustedProxies(nil) // see TrustProxies
	r.Use(guard(log))
	return r
}

func probes(r gin.IRouter, ready *Readiness) {
	for _, m := range []string{http.MethodGet, http.MethodHead} {
		r.Handle(m, "/livez", gin.WrapF(livez))
		r.Handle(m, "/readyz", gin.WrapH(ready))
	}
}

// guard keeps a handler's panic from ending more than its request, and logs
// panics and answers that are the server's fault. 503 is not: it says that the
// server is going away. A client can bring about others at will (500 is the official
// answer to an unknown method), so at most one line a second tells of them.
func guard(log *slog.Logger) gin.HandlerFunc {
	var failures seldom
	return func(c *gin.Context) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			log.Error("a request's handler panicked", "method", c.Request.Method, "path", c.Request.URL.Path,
				"panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			if !c.Writer.Written() {
				c.Status(http.StatusInternalServerError)
				c.Writer.WriteHeaderNow()
			}
		}()
		c.Next()
		if s := c.Writer.Status(); s >= 500 && s != http.StatusServiceUnavailable {
			if untold, ok := failures.tell(); ok {
				log.Warn("a request failed", "method", c.Request.Method, "path", c.Request.URL.Path, "status", s,
					"untold", untold)
			}
		}
	}
}

// seldom lets something through once a second.
type seldom struct {
	mu     sync.Mutex
	next   time.Time
	untold int
}

// tell reports whether it is time, and how many times it wasn't since then.
func (s *seldom) tell() (untold int, ok bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		s.untold++
		return 0, false
	}
	untold, s.untold = s.untold, 0
	s.next = now.Add(time.Second)
	return untold, true
}
