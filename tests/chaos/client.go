package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// event is one that a client has received.
type event struct {
	sender, number int
	offset         string
	segment        int // how many fresh sessions the client had had
}

// unlogged reports whether the event had no place in the stream.
func (e event) unlogged() bool { return e.offset == "unlogged" || e.offset == "" }

// client is a Socket.IO client that comes back by itself, as the official one does, and notes what it gets.
type client struct {
	room   int
	nodes  func() []string // addresses to connect to
	limit  time.Duration   // for getting in
	jitter jitter

	pid, offset string
	joined      bool

	mu       sync.Mutex
	got      []event
	segments []time.Time // when each of its sessions had joined; zero: it hadn't

	recovered, fresh, failed atomic.Int64
	backAt                   atomic.Int64 // when it last was let in, Unix nanoseconds
	there                    atomic.Bool  // it is in now
	rest                     atomic.Bool  // it doesn't drop off any more
}

// jitter says how a client drops off by itself. Zero: it doesn't.
type jitter struct{ stay, away [2]time.Duration }

func between(r [2]time.Duration) time.Duration {
	if r[1] <= r[0] {
		return r[0]
	}
	return r[0] + rand.N(r[1]-r[0])
}

// run connects until ctx ends.
func (c *client) run(ctx context.Context) {
	for fails := 0; ctx.Err() == nil; {
		err := c.session(ctx)
		pause := time.Duration(0)
		switch {
		case err == nil: // it went by itself
			fails = 0
			pause = between(c.jitter.away)
		default:
			c.failed.Add(1)
			fails++
			pause = min(time.Duration(fails)*100*time.Millisecond, time.Second)
			pause = pause/2 + rand.N(pause)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

var errEnded = errors.New("the connection ended")

// patience is how long a client waits for an answer, and until it is let in.
const patience = 10 * time.Second

// session is one connection. It returns nil if the client dropped off by itself.
func (c *client) session(ctx context.Context) error {
	addrs := c.nodes()
	if len(addrs) == 0 {
		return errEnded
	}
	dialer := ws.Dialer{Timeout: c.limit}
	conn, br, _, err := dialer.Dial(ctx, "ws://"+addrs[rand.IntN(len(addrs))]+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer c.there.Store(false)
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	rw := duplex{conn, conn}
	if br != nil { // the server's first frames came with the handshake
		rw.Reader = br
	}
	auth := map[string]string{}
	if c.pid != "" {
		auth["pid"] = c.pid
		if c.offset != "" {
			auth["offset"] = c.offset
		}
	}
	hello, _ := json.Marshal(auth)
	if err := wsutil.WriteClientText(conn, append([]byte("40"), hello...)); err != nil {
		return err
	}
	left := make(chan struct{})
	in, began := false, time.Now()
	entered := func() {
		in = true
		c.there.Store(true)
		c.backAt.Store(time.Now().UnixNano())
		if c.jitter.stay[1] > 0 {
			time.AfterFunc(between(c.jitter.stay), func() {
				if !c.rest.Load() {
					close(left)
					_ = conn.Close()
				}
			})
		}
	}
	for {
		_ = conn.SetReadDeadline(time.Now().Add(40 * time.Second))
		if !in {
			_ = conn.SetReadDeadline(began.Add(c.limit))
		}
		data, op, err := wsutil.ReadServerData(rw)
		if err != nil {
			select {
			case <-left:
				return nil
			default:
				return err
			}
		}
		if op != ws.OpText || len(data) == 0 {
			continue
		}
		switch {
		case data[0] == '2':
			err = wsutil.WriteClientText(conn, []byte("3"))
		case bytes.HasPrefix(data, []byte("40")):
			var answer struct{ SID, PID string }
			if err := json.Unmarshal(data[2:], &answer); err != nil {
				return err
			}
			if answer.PID == c.pid && c.pid != "" {
				c.recovered.Add(1)
			} else {
				c.begin(answer.PID)
			}
			if c.joined {
				entered()
			} else {
				err = wsutil.WriteClientText(conn, []byte(`421["join","r`+strconv.Itoa(c.room)+`"]`))
			}
		case bytes.HasPrefix(data, []byte("431")):
			c.begun()
			entered()
		case bytes.HasPrefix(data, []byte("42")):
			err = c.take(data[2:])
		case bytes.HasPrefix(data, []byte("44")), bytes.HasPrefix(data, []byte("41")):
			return errEnded
		}
		if err != nil {
			return err
		}
	}
}

// begin begins a fresh session.
func (c *client) begin(pid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pid, c.offset, c.joined = pid, "", false
	c.segments = append(c.segments, time.Time{})
	if len(c.segments) > 1 {
		c.fresh.Add(1)
	}
}

// begun notes that the client is in its room: from now on it is owed everything.
func (c *client) begun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.joined = true
	c.segments[len(c.segments)-1] = time.Now()
}

type duplex struct {
	io.Reader
	io.Writer
}

// forget is sent when the session's state could not be saved in time.
const forget = `["unlogged","unlogged"]`

// take notes an event: ["n",sender,number,time,offset].
func (c *client) take(data []byte) error {
	if string(data) == forget {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.offset = "unlogged"
		return nil
	}
	var name, offset string
	var sender, number int
	var at int64
	if err := json.Unmarshal(data, &[]any{&name, &sender, &number, &at, &offset}); err != nil {
		return fmt.Errorf("%s: %w", data, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = offset
	c.got = append(c.got, event{sender, number, offset, len(c.segments) - 1})
	return nil
}
