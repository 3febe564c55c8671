package main

import (
	"net/http"

	"github.com/gin-gonic/gin"
	socketio "github.com/googollee/go-socket.io"
	"github.com/googollee/go-socket.io/engineio"
	"github.com/googollee/go-socket.io/engineio/transport"
	"github.com/googollee/go-socket.io/engineio/transport/polling"
	"github.com/googollee/go-socket.io/engineio/transport/websocket"
	"github.com/googollee/go-socket.io/parser"
)

const page = "https://page.example"

// ginCORS is a server behind Gin that pages of another origin use: at
// /socket.io/ by the transports' own checks, at /behind/ by a middleware.
func ginCORS() (http.Handler, *socketio.Server, error) {
	gin.SetMode(gin.ReleaseMode)
	check := func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		return origin == "" || origin == page // programs send none
	}
	server := socketio.NewServer(&engineio.Options{
		Transports: []transport.Transport{
			&polling.Transport{CheckOrigin: check},
			&websocket.Transport{CheckOrigin: check},
		},
	})
	gallery(server)
	behind := socketio.NewServer(nil)
	gallery(behind)
	go behind.Serve()

	router := gin.New()
	router.GET("/socket.io/*any", gin.WrapH(server))
	router.POST("/socket.io/*any", gin.WrapH(server))
	router.OPTIONS("/socket.io/*any", gin.WrapH(server))
	allow := func(c *gin.Context) {
		c.Header("Access-Control-Allow-Origin", page)
		c.Header("Access-Control-Allow-Credentials", "true")
		c.Header("Access-Control-Allow-Headers", "Content-Type")
		if c.Request.Method == http.MethodOptions {
			c.AbortWithStatus(http.StatusNoContent)
			return
		}
		c.Request.Header.Del("Origin") // else WebSockets of other origins are refused
	}
	router.Any("/behind/*any", allow, gin.WrapH(behind))
	return router, server, nil
}

// picture is an argument with a binary value in it.
type picture struct {
	Name string         `json:"name"`
	Data *parser.Buffer `json:"data"`
}

// gallery takes and gives pictures.
func gallery(server *socketio.Server) {
	server.OnEvent("/", "store", func(s socketio.Conn, p picture) int {
		s.SetContext(p)
		return len(p.Data.Data)
	})
	server.OnEvent("/", "load", func(s socketio.Conn) *picture {
		p := s.Context().(picture)
		return &p
	})
	server.OnEvent("/", "shrink", func(s socketio.Conn, data *parser.Buffer) {
		s.Emit("half", &parser.Buffer{Data: data.Data[:len(data.Data)/2]}, func(verdict string, rest *parser.Buffer) {
			s.Emit("verdict", verdict, len(rest.Data))
		})
	})
}
