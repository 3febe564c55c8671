package main

import (
	"fmt"
	"os"
	"time"

	"github.com/roomcast/roomcast/bench/load"
)

// idle measures what a connection costs that joined "/" and then only beats:
// "joined" and "beaten", bytes of resident memory each, after a collection,
// before and after heartbeats, and "minute", CPU seconds of all per minute.
//
// Connections come evenly over 4 s, and the measured window has two heartbeats of each.
func idle(r *run) error {
	n := pick(r, 10_000, 1000)
	interval := idleInterval(r.quick)

	// Memory that only the first connections need isn't the later ones'.
	first, err := r.sockets(200, &load.Events{})
	if err != nil {
		return err
	}
	for _, s := range first {
		s.Close(true)
	}
	if err := r.gone(); err != nil {
		return err
	}
	base, err := r.server.collected()
	if err != nil {
		return err
	}

	const heartbeats = 2
	arrival := interval * 4 / 25
	ready := 0
	ev := &load.Events{Ready: func(*load.Socket) { ready++ }}
	began := time.Now()
	sockets := make([]*load.Socket, n)
	for i := range n {
		var err error
		if sockets[i], err = r.loop.Dial(r.server.Addr, 0, ev); err != nil {
			return err
		}
		r.loop.Run(began.Add(arrival*time.Duration(i+1)/time.Duration(n)), nil)
	}
	if !r.loop.Run(time.Now().Add(patience), func() bool { return ready == n }) {
		return fmt.Errorf("%d of %d sockets joined: %s", ready, n, r.loop.Faults.First)
	}
	per := func(metric string) error {
		size, err := r.server.collected()
		r.metrics[metric] = float64(size-base) / float64(n)
		return err
	}
	if err := per("joined"); err != nil {
		return err
	}
	if err := r.begin(); err != nil {
		return err
	}
	window := time.Now()
	if r.loop.Version2 { // its clients ping, as far apart as they came
		for i := range heartbeats * n {
			r.loop.Run(window.Add(time.Duration(i/n)*interval+arrival*time.Duration(i%n+1)/time.Duration(n)), nil)
			sockets[i%n].Write(load.FramePing)
		}
	}
	// Some time more, as a server may be a little late.
	r.loop.Run(window.Add(heartbeats*interval+interval/10), nil)
	if err := r.end(n); err != nil {
		return err
	}
	r.metrics["minute"] = r.metrics["cpu"] / 1e6 * float64(n) * float64(time.Minute) / float64(heartbeats*interval)
	if err := per("beaten"); err != nil {
		return err
	}
	st, err := r.server.stats()
	if missing := n - st.Sockets; err == nil && missing != 0 {
		r.loop.Faults.Note(&r.loop.Faults.Lost, "the server counts %d sockets of %d", st.Sockets, n)
	}
	return err
}

// idleInterval is the ping interval of idle; 25 s is the servers' default.
func idleInterval(quick bool) time.Duration {
	if quick {
		return 2 * time.Second
	}
	return 25 * time.Second
}

// gone waits until the server has no socket.
func (r *run) gone() error {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		st, err := r.server.stats()
		if err != nil {
			return err
		}
		if st.Sockets == 0 && st.Sessions == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%v after all clients left the server has %d sockets and %d sessions", patience, st.Sockets, st.Sessions)
		}
	}
}

// churn connects, joins and disconnects 10,000 times, every other time without
// a close frame, and sets what stays: "left" (MB of resident memory after a
// collection) and "goroutines".
func churn(r *run) error {
	if err := cycle(r, pick(r, 2000, 200)); err != nil {
		return err
	}
	// Closed connections may linger for a second or two.
	time.Sleep(3 * time.Second)
	before, err := r.server.collect()
	if err != nil {
		return err
	}
	base, err := r.server.rss()
	if err != nil {
		return err
	}
	n := pick(r, 10_000, 1000)
	if err := r.begin(); err != nil {
		return err
	}
	if err := cycle(r, n); err != nil {
		return err
	}
	if err := r.end(n); err != nil {
		return err
	}
	after, err := r.server.collect()
	for deadline := time.Now().Add(patience); err == nil && after.Goroutines > before.Goroutines && time.Now().Before(deadline); {
		time.Sleep(200 * time.Millisecond)
		after, err = r.server.collect()
	}
	if err != nil {
		return err
	}
	size, err := r.server.rss()
	r.metrics["left"] = float64(size-base) / (1 << 20)
	r.metrics["goroutines"] = float64(after.Goroutines - before.Goroutines)
	if err == nil && after.Goroutines > before.Goroutines {
		var list []byte
		list, err = r.server.ask("/goroutines")
		fmt.Fprintf(os.Stderr, "goroutines left:\n%s\n", list)
	}
	return err
}

func cycle(r *run, n int) error {
	const atOnce = 50
	var (
		dialed, over int
		failed       error
		dial         func()
	)
	ev := &load.Events{
		Ready: func(s *load.Socket) {
			s.Close(s.Index%2 == 0)
			over++
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
		var s *load.Socket
		if s, failed = r.loop.Dial(r.server.Addr, 0, ev); failed == nil {
			s.Index = dialed
			dialed++
		}
	}
	for range atOnce {
		dial()
	}
	done := r.loop.Run(time.Now().Add(patience+time.Duration(n)*2*time.Millisecond), func() bool {
		return failed != nil || over == n
	})
	if failed != nil {
		return failed
	}
	if !done {
		return fmt.Errorf("%d of %d cycles came to an end: %s", over, n, r.loop.Faults.First)
	}
	return r.gone()
}
