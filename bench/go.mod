module github.com/roomcast/roomcast/bench

go 1.26.0

replace github.com/roomcast/roomcast => ../

require (
	github.com/googollee/go-socket.io v1.7.0
	github.com/roomcast/roomcast v0.0.0
	golang.org/x/sys v0.48.0
)

require (
	github.com/andybalholm/brotli v1.2.8 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
	github.com/gofrs/uuid v4.0.0+incompatible // indirect
	github.com/gomodule/redigo v1.8.4 // indirect
	github.com/gorilla/websocket v1.4.2 // indirect
)
