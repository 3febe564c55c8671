package main

import (
	"fmt"
	"time"

	"github.com/roomcast/roomcast/bench/load"
)

// connect measures connecting WebSockets that join "/" and stay.
func connect(r *run) error {
	warm, n := pick(r, 1000, 200), pick(r, 5000, 1000)
	if _, err := r.sockets(warm, &load.Events{}); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	sockets, err := r.sockets(n, &load.Events{})
	if err != nil {
		return err
	}
	return r.end(len(sockets))
}

// question and answer of one echo, by which pollers and upgrades are checked.
var (
	question = `20["echo","` + text + `"]`
	answer   = `30["` + text + `"]`
)

// upgrade measures clients that poll, join "/", upgrade to WebSocket like the
// official client, and ask one question there.
func upgrade(r *run) error {
	if _, err := upgrades(r, pick(r, 300, 50)); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	n, err := upgrades(r, pick(r, 1500, 150))
	if err != nil {
		return err
	}
	return r.end(n)
}

// upgrades makes n such clients and returns how many were answered.
func upgrades(r *run, n int) (answered int, err error) {
	const atOnce = 32
	faults := &r.loop.Faults
	frame := load.AppendFrame(nil, load.Text, "4"+question)
	var (
		dialed, over int
		failed       error
		dial         func()
	)
	ev := &load.PollEvents{
		Ready: func(p *load.Poller) { p.Socket.Write(frame) },
		Message: func(p *load.Poller, data []byte) {
			faults.Note(&faults.Wrong, "poller %d got %.120q", p.Index, data)
		},
		Failed: func(*load.Poller) {
			over++
			dial()
		},
	}
	socket := &load.Events{
		Message: func(s *load.Socket, data []byte, _ bool) {
			if over++; string(data) == answer {
				answered++
			} else {
				faults.Note(&faults.Wrong, "socket %d got %.120q", s.Index, data)
			}
			dial()
		},
		Ended: func(*load.Socket) {
			over++
			dial()
		},
	}
	dial = func() {
		if failed != nil || dialed == n {
			return
		}
		var p *load.Poller
		if p, failed = r.loop.DialPolling(r.server.Addr, ev, socket); failed == nil {
			p.Index = dialed
			dialed++
		}
	}
	for range atOnce {
		dial()
	}
	done := r.loop.Run(time.Now().Add(patience+time.Duration(n)*5*time.Millisecond), func() bool {
		return failed != nil || over >= n
	})
	if failed == nil && !done {
		faults.Note(&faults.Handshakes, "%d of %d clients did not upgrade in time", n-over, n)
		faults.Handshakes += n - over - 1
	}
	return answered, failed
}

// pollEcho measures questions over long-polling, one at a time on each of 100
// clients.
func pollEcho(r *run) error {
	const conns = 100
	faults := &r.loop.Faults
	requests := make([][]byte, conns)
	waits := make([]uint8, conns) // for the answer (1) and for the end of the POST (2)
	ready, answered, open, failed := 0, 0, 0, 0
	going := false
	ask := func(p *load.Poller) {
		open++
		waits[p.Index] = 1 | 2
		p.Write(requests[p.Index])
	}
	settle := func(p *load.Poller, what uint8) {
		before := waits[p.Index]
		if waits[p.Index] &^= what; before != 0 && waits[p.Index] == 0 && going {
			ask(p)
		}
	}
	ev := &load.PollEvents{
		Ready: func(p *load.Poller) {
			requests[p.Index] = p.Request("4" + question)
			ready++
		},
		Message: func(p *load.Poller, data []byte) {
			open--
			if string(data) != answer {
				faults.Note(&faults.Wrong, "poller %d got %.120q", p.Index, data)
				return
			}
			answered++
			settle(p, 1)
		},
		Posted: func(p *load.Poller) { settle(p, 2) },
		Failed: func(*load.Poller) { failed++ },
	}
	var pollers []*load.Poller
	for i := range conns {
		p, err := r.loop.DialPolling(r.server.Addr, ev, nil)
		if err != nil {
			return err
		}
		p.Index = i
		pollers = append(pollers, p)
	}
	r.loop.Run(time.Now().Add(patience), func() bool { return ready+failed == conns })
	if ready == 0 {
		return fmt.Errorf("no client could join: %s", faults.First)
	}
	going = true
	for _, p := range pollers {
		if requests[p.Index] != nil {
			ask(p)
		}
	}
	r.loop.Run(time.Now().Add(r.warmUp()), nil)
	if err := r.begin(); err != nil {
		return err
	}
	before := answered
	r.loop.Run(time.Now().Add(r.length()), nil)
	if err := r.end(answered - before); err != nil {
		return err
	}
	going = false
	if !r.loop.Run(time.Now().Add(patience), func() bool { return open == 0 }) {
		faults.Note(&faults.Wrong, "%d questions were not answered", open)
	}
	return nil
}
