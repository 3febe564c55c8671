// This module stands in for googollee's, in a program that isn't changed:
//
//	replace github.com/googollee/go-socket.io => <roomcast>/compat/googollee/replace
//
// See docs/from-googollee.md.
module github.com/googollee/go-socket.io

go 1.26.0

require github.com/roomcast/roomcast v0.0.0

require (
	github.com/andybalholm/brotli v1.2.8 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
	github.com/redis/go-redis/v9 v9.23.0 // indirect
	github.com/vmihailenco/msgpack/v5 v5.4.1 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

replace github.com/roomcast/roomcast => ../../..
