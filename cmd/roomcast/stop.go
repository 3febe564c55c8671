package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

var errSecondSignal = errors.New("a second signal ended the program before all clients were closed")

// cutTime is how long handlers may take to end once their connections are cut;
// leaveTime how long Redis may take to hear that this node is going.
const (
	cutTime   = 5 * time.Second
	leaveTime = 2 * time.Second
)

// stop ends gracefully. First /readyz fails, so that balancers send new clients
// elsewhere; then handshakes are refused, and connections closed at an even
// pace; what is left after the grace period is cut. A second signal skips to the end.
func (h *host) stop(signals <-chan os.Signal) error {
	s := &h.cfg.Shutdown
	delay, window := max(s.Delay.Std(), 0), max(s.Window.Std(), 0)
	ctx, interrupt := context.WithCancelCause(context.Background())
	h.tasks.Go(func() {
		select {
		case <-signals:
			interrupt(errSecondSignal)
		case <-ctx.Done():
		}
	})
	defer h.end()
	defer interrupt(nil) // before end, which waits for the task above

	h.ready.Hold("stopping", "the server is going away")
	h.log.Info("not ready any more", "delay", delay)
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return context.Cause(ctx)
	}

	h.log.Info("closing connections", "sessions", h.io.Stats().Engine.Sessions(), "window", window)
	draining, cancel := context.WithTimeout(ctx, window+s.Grace.Std())
	var passing sync.WaitGroup // connections of other nodes' sessions, which pass through here
	if h.peers != nil {
		passing.Go(func() { _ = h.peers.node.Drain(draining, window) })
	}
	err := h.io.Drain(draining, window)
	passing.Wait()
	cancel()
	if err != nil && ctx.Err() == nil {
		h.log.Warn("cutting the connections that are left", "sessions", h.io.Stats().Engine.Sessions())
	}

	cutting, cancel := context.WithTimeout(ctx, cutTime)
	defer cancel()
	err = errors.Join(h.io.Shutdown(cutting), h.public.Shutdown(cutting))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return fmt.Errorf("stop: %w", err)
	}
	h.log.Info("stopped")
	return nil
}
