//go:build compat

package main

import (
	socketio "github.com/googollee/go-socket.io"
	"github.com/googollee/go-socket.io/engineio"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/server"
)

// newServer leaves out the limit on handshakes, which googollee hasn't.
func newServer(opts *engineio.Options) *socketio.Server {
	return socketio.NewServerWith(opts, server.Config{Engine: engine.Config{HandshakeRate: -1}})
}
