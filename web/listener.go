package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// Listen opens a TCP listener. The error says what to do about it; flag is the
// one that holds the address.
func Listen(addr, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("web: another program listens on %s; choose another address with --%s (port 0 takes any free port)", addr, flag)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("web: listening on %s isn't permitted; choose a port above 1023 with --%s", addr, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("web: %s isn't an address of this machine; choose another one with --%s", addr, flag)
	case err != nil:
		return nil, fmt.Errorf("web: --%s: %w", flag, err)
	}
	return l, nil
}

// NewServer returns an HTTP server with limits for hostile clients. It has no
// limit on whole requests: a long poll may last as long as a heartbeat, and the
// realtime server sets the deadlines of its own requests.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	if log == nil {
		log = slog.Default()
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    32 << 10,
		// Failed TLS handshakes and such: the peers' affair, and theirs to choose how many.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
