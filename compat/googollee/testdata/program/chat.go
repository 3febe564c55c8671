package main

import (
	"net/http"

	socketio "github.com/googollee/go-socket.io"
)

// chat is googollee's first example, in other words: notices in "/", messages
// in "/chat", and a farewell with what was said last.
func chat() (http.Handler, *socketio.Server, error) {
	server := socketio.NewServer(nil)
	server.OnConnect("/", func(s socketio.Conn) error {
		s.SetContext("")
		return nil
	})
	server.OnEvent("/", "notice", func(s socketio.Conn, msg string) {
		s.SetContext(msg)
		s.Emit("reply", "have "+msg)
	})
	server.OnEvent("/", "bye", func(s socketio.Conn) string {
		last := s.Context().(string)
		s.Emit("bye", last)
		s.Close()
		return last
	})
	server.OnEvent("/chat", "msg", func(s socketio.Conn, msg string) string {
		s.SetContext(msg)
		return "recv " + msg
	})
	server.OnEvent("/chat", "last", func(s socketio.Conn) string { return s.Context().(string) })
	server.OnError("/", func(socketio.Conn, error) {})
	server.OnDisconnect("/", func(socketio.Conn, string) {})

	mux := http.NewServeMux()
	mux.Handle("/socket.io/", server)
	return mux, server, nil
}
