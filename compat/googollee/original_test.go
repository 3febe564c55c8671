//go:build original

// The differential tests build testdata/program with googollee itself. This keeps
// it in go.mod; no test binary links it.
package socketio_test

import _ "github.com/googollee/go-socket.io"
