//go:build !compat

package main

import (
	socketio "github.com/googollee/go-socket.io"
	"github.com/googollee/go-socket.io/engineio"
)

func newServer(opts *engineio.Options) *socketio.Server { return socketio.NewServer(opts) }
