package main

import (
	"log/slog"
	"net"
	"os"
	"strings"
)

// notify tells systemd what the program is up to (Type=notify). Elsewhere it
// does nothing.
//
// https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
func notify(log *slog.Logger, state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if strings.HasPrefix(path, "@") { // an abstract socket
		path = "\x00" + path[1:]
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		log.Warn("systemd can't be told", "state", state, "error", err)
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
