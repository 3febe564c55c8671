// Package socketio has the API of github.com/googollee/go-socket.io v1.7.0 on
// Roomcast's server: programs written for it run unchanged, and serve the
// clients of Socket.IO 1.4 to 4.
//
//	import socketio "github.com/roomcast/roomcast/compat/googollee"
//
//	server := socketio.NewServer(nil)
//	server.OnEvent("/", "notice", func(s socketio.Conn, msg string) { s.Emit("reply", "have "+msg) })
//	go server.Serve()
//	http.Handle("/socket.io/", server)
//
// The handlers of one connection, of all its namespaces, run one at a time, in
// the order of its packets. docs/from-googollee.md has what differs from googollee,
// and how to go on to package server; Server.Native mixes both.
package socketio
