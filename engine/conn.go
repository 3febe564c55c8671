package engine

import (
	"errors"
	"net/http"
)

// ErrRenew is returned by Conn.Serve.
var ErrRenew = errors.New("engine: serve on a fresh goroutine")

// Conn is one message connection that carries a session: WebSocket or
// WebTransport. Implementations are in engine/wsconn and engine/wtconn.
type Conn interface {
	// Transport is "websocket" or "webtransport".
	Transport() string

	// Serve reads messages and hands them to sink until the connection ends or
	// sink returns an error, which it then returns. It is called once, on a
	// goroutine of its own, and releases the connection when it returns.
	// io.EOF means that the peer closed; any other error that the transport failed.
	//
	// ErrRenew means that nothing ended: Serve wants to be called again, on a
	// fresh goroutine, whose stack is small. A stack that has grown for the work on
	// a message would stay so while the connection rests.
	Serve(sink Sink) error

	// Write encodes and writes batches with as few system calls as it can, without blocking.
	// If done is false, part of them waits to be written: the caller must call
	// Drain before it writes again. It is not called concurrently.
	// Batches are not retained after done or Drain.
	Write(batches []*Batch) (done bool, err error)

	// Drain blocks until what Write left is written, or fails by its deadline.
	Drain() error

	// Close ends the connection, from any goroutine, without waiting: a close
	// frame is tried, Serve returns soon. Only the first call counts.
	Close() error
}

// Sink takes what a Conn reads.
type Sink interface {
	// Frame takes one whole message. Unless owned, data is only valid during the
	// call. It may be changed (base64 is decoded in place). Frame may block.
	Frame(data []byte, binary, owned bool) error

	// Handled is called when everything that one read brought was handed over.
	Handled()
}

// Upgrader turns an HTTP request into a Conn. engine/wsconn has the one for
// WebSocket, engine/wtconn the one for WebTransport.
type Upgrader interface {
	// Upgrade answers the request (101) with the headers set on w and those of
	// header, or answers with an error by itself. The engine sets its headers on
	// w and passes nil. rev is the Engine.IO revision (3 or 4); b64 says that the
	// peer cannot take binary messages.
	Upgrade(w http.ResponseWriter, r *http.Request, header http.Header, rev int, b64 bool) (Conn, error)
}
