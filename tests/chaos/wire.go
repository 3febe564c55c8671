package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// wire is one Socket.IO connection to the namespace "/", which ends for good when it ends.
type wire struct {
	id    string // unlike those of all others
	conn  net.Conn
	on    func(event string, data json.RawMessage, ack func(...any)) // called by the reader
	ended chan struct{}

	mu    sync.Mutex
	next  int
	calls map[int]chan json.RawMessage
}

var wires atomic.Int64

// dial connects as somebody. on gets what the server sends, one event at a time, not before start.
func dial(ctx context.Context, addr, name, as string) (*wire, error) {
	dialer := ws.Dialer{Timeout: 2 * time.Second}
	conn, br, _, err := dialer.Dial(ctx, "ws://"+addr+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return nil, err
	}
	w := &wire{id: name + "#" + strconv.FormatInt(wires.Add(1), 10), conn: conn, ended: make(chan struct{}), calls: map[int]chan json.RawMessage{}}
	rw := duplex{conn, conn}
	if br != nil { // the server's first frames came with the handshake
		rw.Reader = br
	}
	auth, _ := json.Marshal(map[string]string{"name": as})
	if err := w.write(append([]byte("40"), auth...)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	in := make(chan error, 1)
	go w.read(rw, in)
	if err := <-in; err != nil {
		return nil, err
	}
	return w, nil
}

func (w *wire) write(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	return wsutil.WriteClientText(w.conn, b)
}

func (w *wire) close() { _ = w.conn.Close() }

// read reads until the connection ends. in is told that it was let in, or why not.
func (w *wire) read(rw duplex, in chan<- error) {
	err := w.loop(rw, in)
	_ = w.conn.Close()
	w.mu.Lock()
	for _, ch := range w.calls {
		close(ch)
	}
	w.calls = nil
	w.mu.Unlock()
	close(w.ended)
	select {
	case in <- err:
	default:
	}
}

func (w *wire) loop(rw duplex, in chan<- error) error {
	for {
		_ = w.conn.SetReadDeadline(time.Now().Add(nodePing + nodePingTimeout))
		data, op, err := wsutil.ReadServerData(rw)
		if err != nil {
			return err
		}
		if op != ws.OpText || len(data) == 0 {
			continue
		}
		switch {
		case data[0] == '2':
			err = w.write([]byte("3"))
		case bytes.HasPrefix(data, []byte("40")):
			in <- nil
		case bytes.HasPrefix(data, []byte("42")):
			err = w.event(data[2:])
		case bytes.HasPrefix(data, []byte("43")):
			id, rest := number(data[2:])
			w.mu.Lock()
			ch := w.calls[id]
			delete(w.calls, id)
			w.mu.Unlock()
			var args []json.RawMessage
			if err = json.Unmarshal(rest, &args); err == nil && ch != nil && len(args) > 0 {
				ch <- args[0]
			}
		case bytes.HasPrefix(data, []byte("44")), bytes.HasPrefix(data, []byte("41")):
			return errEnded
		}
		if err != nil {
			return err
		}
	}
}

func number(b []byte) (int, []byte) {
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	n, _ := strconv.Atoi(string(b[:i]))
	return n, b[i:]
}

func (w *wire) event(b []byte) error {
	id, rest := number(b)
	var args []json.RawMessage
	var name string
	if err := json.Unmarshal(rest, &args); err != nil || len(args) == 0 {
		return fmt.Errorf("%s: %w", b, err)
	}
	if err := json.Unmarshal(args[0], &name); err != nil {
		return err
	}
	var data json.RawMessage
	if len(args) > 1 {
		data = args[1]
	}
	w.mu.Lock()
	on := w.on
	w.mu.Unlock()
	if on != nil {
		on(name, data, func(args ...any) {
			text, _ := json.Marshal(append([]any{}, args...))
			_ = w.write(append([]byte("43"+strconv.Itoa(id)), text...))
		})
	}
	return nil
}

// listen says who gets the server's events.
func (w *wire) listen(on func(event string, data json.RawMessage, ack func(...any))) {
	w.mu.Lock()
	w.on = on
	w.mu.Unlock()
}

// refused is the server's word that it did not do what was asked for.
type refused string

func (r refused) Error() string { return "refused: " + string(r) }

// call asks the server. The error is refused, or says that no answer came; v gets what the answer is.
func (w *wire) call(event string, in, v any) error {
	ch := make(chan json.RawMessage, 1)
	w.mu.Lock()
	if w.calls == nil {
		w.mu.Unlock()
		return errEnded
	}
	w.next++
	id := w.next
	w.calls[id] = ch
	w.mu.Unlock()
	text, err := json.Marshal([]any{event, in})
	if err == nil {
		err = w.write(append([]byte("42"+strconv.Itoa(id)), text...))
	}
	if err != nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case answer, ok := <-ch:
		if !ok {
			return errEnded
		}
		var is struct {
			OK   bool
			Code string
		}
		if err := json.Unmarshal(answer, &is); err != nil {
			return err
		}
		if !is.OK {
			return refused(is.Code)
		}
		if v != nil {
			return json.Unmarshal(answer, v)
		}
		return nil
	case <-timer.C:
		w.mu.Lock()
		delete(w.calls, id)
		w.mu.Unlock()
		return context.DeadlineExceeded
	}
}
