package web

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server/queueapi"
)

// Internal says what the internal listener serves.
type Internal struct {
	Metrics prometheus.Gatherer // for /metrics
	Ready   *Readiness          // for /readyz
	API     *API                // nil: there is none
	Logger  *slog.Logger        // nil: slog.Default()
}

// NewInternal returns the handler of the internal listener: /metrics,
// /debug/pprof/, /livez and /readyz, which ask for no password, and /api/, which
// asks for a token.
func NewInternal(c Internal) http.Handler {
	r := router(c.Logger)
	probes(r, c.Ready)
	if c.API != nil {
		c.API.mount(r)
	}
	r.GET("/metrics", gin.WrapH(promhttp.HandlerFor(c.Metrics, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		EnableOpenMetrics:   true,
	})))
	r.GET("/debug/pprof/*profile", func(c *gin.Context) {
		switch c.Param("profile") {
		case "/cmdline":
			pprof.Cmdline(c.Writer, c.Request)
		case "/profile":
			pprof.Profile(c.Writer, c.Request)
		case "/symbol":
			pprof.Symbol(c.Writer, c.Request)
		case "/trace":
			pprof.Trace(c.Writer, c.Request)
		default:
			pprof.Index(c.Writer, c.Request)
		}
	})
	r.NoRoute(func(c *gin.Context) {
		if strings.HasPrefix(c.Request.URL.Path, "/api/") {
			reply(c, http.StatusNotFound, queueapi.Refusal{Code: queues.CodeNotFound, Message: "there is no such request: see docs/queues.md"})
		}
	})
	return r
}
