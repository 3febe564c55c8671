// Command googollee is the application of the benchmark on
// github.com/googollee/go-socket.io v1.7.0, the same as in ../goserver. It is built
// twice: with that module, and with Roomcast's compat/googollee in its place.
// It prints one line of JSON with its addresses when it listens, and ends with its standard input.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	socketio "github.com/googollee/go-socket.io"
	"github.com/googollee/go-socket.io/engineio"
)

// cast is the argument of the event "cast".
type cast struct {
	Room string `json:"room"`
	Data string `json:"data"`
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal("googollee: ", err)
	}
}

func run() error {
	ms, _ := strconv.Atoi(os.Getenv("PING_INTERVAL_MS")) // 0: the default
	server := newServer(&engineio.Options{PingInterval: time.Duration(ms) * time.Millisecond})
	server.OnConnect("/", func(socketio.Conn) error { return nil })
	server.OnEvent("/", "echo", func(_ socketio.Conn, v string) string { return v })
	server.OnEvent("/", "join", func(s socketio.Conn, room string) bool { s.Join(room); return true })
	server.OnEvent("/", "cast", func(_ socketio.Conn, c cast) { server.BroadcastToRoom("/", c.Room, "cast", c.Data) })

	public, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	private, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	failed := make(chan error, 4)
	go func() { failed <- server.Serve() }()
	go func() { failed <- http.Serve(public, server) }()
	go func() { failed <- http.Serve(private, side{server}) }()
	fmt.Printf(`{"addr":%q,"side":%q,"version":%q}`+"\n", public.Addr(), private.Addr(), version())

	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		failed <- err
	}()
	return <-failed
}

// version tells which of the two this is.
func version() string {
	name := "go-socket.io"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path != "github.com/googollee/go-socket.io" {
				continue
			}
			if name += " " + m.Version; m.Replace != nil {
				name = "compat/googollee"
			}
		}
	}
	return name + ", " + runtime.Version()
}

// side answers outside of what is measured.
type side struct{ server *socketio.Server }

func (s side) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/gc" {
		for range 2 { // pools need two collections
			debug.FreeOSMemory()
		}
	}
	n := s.server.Count()
	json.NewEncoder(w).Encode(map[string]int{"sockets": n, "sessions": n, "goroutines": runtime.NumGoroutine()})
}
