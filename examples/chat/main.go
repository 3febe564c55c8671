// Chat is the first program of the README.
package main

import (
	"context"
	"log"

	"github.com/gin-gonic/gin"

	"github.com/roomcast/roomcast/server"
)

type Message struct {
	Room, Text string
}

func main() {
	io, err := server.New(server.Config{})
	if err != nil {
		log.Fatal(err)
	}
	chat := io.Of("/chat")
	server.OnAck(chat, "join", func(ctx context.Context, s *server.Socket, room string) (int, error) {
		return chat.Count(room) + 1, s.Join(room)
	})
	server.On(chat, "say", func(ctx context.Context, s *server.Socket, m Message) error {
		return s.To(m.Room).Emit(ctx, "said", m.Text)
	})

	r := gin.New() // the log of gin.Default would have session ids in it, which are secrets
	r.Any("/socket.io/*any", gin.WrapH(io))
	log.Fatal(r.Run("127.0.0.1:8080"))
}
