package main

import (
	"net/http"
	"os"

	socketio "github.com/googollee/go-socket.io"
	"github.com/googollee/go-socket.io/parser"
)

// redis is one of several nodes behind the Redis at the address of the second argument.
func redis() (http.Handler, *socketio.Server, error) {
	server := socketio.NewServer(nil)
	if _, err := server.Adapter(&socketio.RedisAdapterOptions{Addr: os.Args[2], Prefix: "example"}); err != nil {
		return nil, nil, err
	}
	server.OnEvent("/", "join", func(s socketio.Conn, room string) []string {
		s.Join(room)
		return s.Rooms()
	})
	server.OnEvent("/", "say", func(s socketio.Conn, room, msg string) {
		server.BroadcastToRoom("/", room, "said", msg)
	})
	server.OnEvent("/", "show", func(s socketio.Conn, room string) {
		s.Emit("whose", func(name string, data *parser.Buffer) {
			server.BroadcastToRoom("/", room, "shown", name, map[string]*parser.Buffer{"bytes": data})
		})
	})
	server.OnEvent("/", "tell-all", func(s socketio.Conn, msg string) {
		server.BroadcastToNamespace("/", "said", msg)
	})
	server.OnEvent("/", "count", func(s socketio.Conn, room string) int { return server.RoomLen("/", room) })
	server.OnEvent("/", "rooms", func(s socketio.Conn) int { return len(server.Rooms("/")) })
	server.OnEvent("/", "clear", func(s socketio.Conn, room string) bool { return server.ClearRoom("/", room) })
	return server, server, nil
}
