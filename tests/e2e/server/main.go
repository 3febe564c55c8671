// Command server hosts the fixtures of the end-to-end tests on our server. It
// does exactly what tests/e2e/reference.mjs does on the official one.
//
// It takes its configuration as one JSON argument, prints {"port": n} when it
// listens, and ends when its standard input closes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/roomcast/roomcast/engine"
	"github.com/roomcast/roomcast/engine/wsconn"
	"github.com/roomcast/roomcast/parser/msgpack"
	"github.com/roomcast/roomcast/server"
)

// config is what the tests vary.
type config struct {
	Port         int      // 0: any free one
	Recovery     bool     // connection state recovery
	Parser       string   // "msgpack", or the default
	Origins      []string // that may connect besides the server's own
	Deflate      bool     // permessage-deflate
	JSONP        bool     // polling by script elements
	PingInterval int      // ms
	PingTimeout  int      // ms
	ClientFiles  string   // folder of the client's bundles
	Redis        string   // URL; joins the server to others
	Adapter      string   // of Redis
	Node         string   // the server's name among them
}

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	var c config
	if len(os.Args) > 1 {
		if err := json.Unmarshal([]byte(os.Args[1]), &c); err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
	}
	cfg := server.Config{
		Engine: engine.Config{
			EIO3:         true,
			JSONP:        c.JSONP,
			Origins:      c.Origins,
			CORS:         engine.CORS{Credentials: true},
			PingInterval: time.Duration(c.PingInterval) * time.Millisecond,
			PingTimeout:  time.Duration(c.PingTimeout) * time.Millisecond,
		},
		WebSocket: wsconn.Config{Deflate: c.Deflate},
		Limits:    server.Limits{NamespacesPerClient: 32},
	}
	if c.Parser == "msgpack" {
		cfg.Parser = msgpack.Codec
	}
	if c.Recovery {
		cfg.Recovery = &server.Recovery{MaxDisconnection: 2 * time.Minute}
	}
	if c.ClientFiles != "" {
		cfg.ClientFiles = os.DirFS(c.ClientFiles)
	}
	var others *peers
	if c.Redis != "" {
		var err error
		if others, err = join(c, &cfg); err != nil {
			return err
		}
	}
	sio, err := server.New(cfg)
	if err != nil {
		return err
	}
	newFixtures(others != nil).install(sio)
	if others != nil {
		go others.serve(sio)
	}

	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.Port))
	if err != nil {
		return err
	}
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	routes := http.NewServeMux()
	routes.Handle("/", sio)
	routes.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {}) // balancers ask for it
	host := &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- host.Serve(listener) }()

	io.Copy(io.Discard, os.Stdin)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err = errors.Join(sio.Shutdown(ctx), host.Shutdown(ctx))
	if others != nil {
		err = errors.Join(err, others.leave(ctx))
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}
