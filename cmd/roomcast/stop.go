package main

import (
	"context"
	"errors"
	"os"
	"time"
)

var errSecondSignal = errors.New("a second signal ended the program before all clients were closed")

// stop ends gracefully. First /readyz fails, so that balancers send new clients
// elsewhere; then handshakes are refused, and connections closed at an even
// pace; then the rest is cut. A second signal, or the end of the grace period,
// skips to the end.
func (h *host) stop(signals <-chan os.Signal) error {
	s := &h.cfg.Shutdown
	delay, window := max(s.Delay.Std(), 0), max(s.Window.Std(), 0)
	ctx, cancel := context.WithTimeout(context.Background(), delay+window+s.Grace.Std())
	defer cancel()
	ctx, interrupt := context.WithCancelCause(ctx)
	defer interrupt(nil)
	h.tasks.Go(func() {
		select {
		case <-signals:
			interrupt(errSecondSignal)
		case <-ctx.Done():
		}
	})
	defer h.end()
	defer interrupt(nil)

	h.ready.Hold("stopping", "the server is going away")
	h.log.Info("not ready any more", "delay", delay)
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return outcome(ctx, ctx.Err())
	}

	h.log.Info("closing connections", "sessions", h.io.Stats().Engine.Sessions(), "window", window)
	err := h.io.Drain(ctx, window)
	err = errors.Join(err, h.io.Shutdown(ctx))
	err = errors.Join(err, h.public.Shutdown(ctx))
	if err = outcome(ctx, err); err == nil {
		h.log.Info("stopped")
	}
	return err
}

// outcome says why the end wasn't graceful.
func outcome(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ctx), errSecondSignal) {
		return errSecondSignal
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("some connections did not close within shutdown.grace and were cut")
	}
	return err
}
