// Command program is a program of googollee's users: it is built with
// googollee itself and with Roomcast in its place, and must behave the same.
//
// Its argument names a part. It prints {"port": n} when it listens, and ends
// when its standard input does.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	socketio "github.com/googollee/go-socket.io"
)

var parts = map[string]func() (http.Handler, *socketio.Server, error){
	"script": script,
	"chat":   chat,
	"gin":    ginCORS,
	"redis":  redis,
}

func main() {
	handler, server, err := parts[os.Args[1]]()
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- server.Serve() }()
	go http.Serve(ln, handler)
	fmt.Printf("{\"port\":%d}\n", ln.Addr().(*net.TCPAddr).Port)

	io.Copy(io.Discard, os.Stdin)
	if err := server.Close(); err != nil {
		log.Fatal(err)
	}
	if err := <-served; err != io.EOF {
		log.Fatalf("Serve ended with %v", err)
	}
}
