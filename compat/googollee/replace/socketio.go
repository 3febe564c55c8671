// Package socketio is github.com/roomcast/roomcast/compat/googollee under
// googollee's import path.
package socketio

import (
	compat "github.com/roomcast/roomcast/compat/googollee"
	"github.com/roomcast/roomcast/compat/googollee/engineio"
	"github.com/roomcast/roomcast/server"
)

type (
	Broadcast           = compat.Broadcast
	Conn                = compat.Conn
	EachFunc            = compat.EachFunc
	Namespace           = compat.Namespace
	RedisAdapterOptions = compat.RedisAdapterOptions
	Server              = compat.Server
)

// NewServer returns a server; nil options are the defaults.
func NewServer(opts *engineio.Options) *Server { return compat.NewServer(opts) }

// NewServerWith is NewServer with settings that googollee hasn't.
func NewServerWith(opts *engineio.Options, cfg server.Config) *Server {
	return compat.NewServerWith(opts, cfg)
}
