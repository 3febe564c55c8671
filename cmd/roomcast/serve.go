package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/roomcast/roomcast/engine/wtconn"
	"github.com/roomcast/roomcast/internal/config"
	"github.com/roomcast/roomcast/internal/gcfloor"
	"github.com/roomcast/roomcast/queues"
	"github.com/roomcast/roomcast/server"
	"github.com/roomcast/roomcast/web"
)

func serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve clients until SIGTERM or SIGINT",
		Long: "Serve clients until SIGTERM or SIGINT.\n\n" +
			"Every setting is a flag, a variable in the environment (--listen: ROOMCAST_LISTEN) and a key in the\n" +
			"configuration file; flags win over the environment, the environment over the file. Plain serve admits\n" +
			"nobody: list the namespaces that exist, or use --demo.",
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("config") {
				file = os.Getenv(config.EnvName("config"))
			}
			c, err := config.Load(config.Source{File: file, Environ: os.Environ(), Flags: cmd.Flags()})
			if err != nil {
				return usageError{err}
			}
			log := newLogger(c, cmd.ErrOrStderr())
			slog.SetDefault(log)
			p, err := prepare(c, log)
			if err != nil {
				return usageError{err}
			}
			signals := make(chan os.Signal, 2)
			signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
			defer signal.Stop(signals)
			return serve(c, p, log, cmd.OutOrStdout(), signals)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "YAML file with settings (environment: ROOMCAST_CONFIG)")
	config.AddFlags(cmd.Flags())
	cmd.Flags().SortFlags = false
	return cmd
}

// host is a running server with its listeners.
type host struct {
	cfg      *config.Config
	log      *slog.Logger
	io       *server.Server
	ready    web.Readiness
	public   *http.Server
	internal *http.Server   // nil if off
	wt       *wtconn.Server // nil if off
	peers    *peers         // nil if the node is alone
	queues   *hostQueues    // nil if there are none
	unwatch  context.CancelFunc

	tasks  sync.WaitGroup
	failed chan error // what a listener died of
}

// serve runs until a signal comes or a listener fails.
func serve(c *config.Config, p prepared, log *slog.Logger, stdout io.Writer, signals <-chan os.Signal) error {
	gcfloor.Set(gcfloor.Default)
	h := &host{cfg: c, log: log, failed: make(chan error, 4), unwatch: func() {}}
	for _, w := range c.Warnings() {
		log.Warn(w)
	}
	url, early, err := h.startUntil(signals, p)
	if err != nil {
		h.end()
		if early != nil {
			return nil
		}
		return err
	}
	if c.Page {
		fmt.Fprintf(stdout, "Open %s\n", url)
	}
	notify(log, "READY=1")
	if early != nil {
		return h.leave(early, signals)
	}
	select {
	case sig := <-signals:
		return h.leave(sig, signals)
	case err := <-h.failed:
		h.end()
		return err
	}
}

// startUntil is start, which a signal ends early. The signal is returned.
func (h *host) startUntil(signals <-chan os.Signal, p prepared) (url string, early os.Signal, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case early = <-signals:
			cancel()
		case <-started:
		}
	})
	url, err = h.start(ctx, p)
	close(started)
	watch.Wait()
	cancel()
	return url, early, err
}

// leave stops because of a signal.
func (h *host) leave(sig os.Signal, signals <-chan os.Signal) error {
	h.log.Info("stopping; a second signal ends the program at once", "signal", sig.String())
	notify(h.log, "STOPPING=1")
	return h.stop(signals)
}

// start opens the listeners and returns the URL of the public one.
func (h *host) start(ctx context.Context, p prepared) (url string, err error) {
	c := h.cfg
	if c.Redis != "" {
		if h.peers, err = join(ctx, c, p, h.log); err != nil {
			return "", err
		}
	}
	if c.WebTransport {
		h.wt = wtconn.NewServer(wtconn.Config{
			TLS: p.cert.TLS(), MaxMessage: int(c.Limits.MaxPayload), WriteTimeout: c.Limits.WriteTimeout.Std(), Logger: h.log,
		})
	}
	if h.queues, err = openQueues(ctx, c, h.peers.redis(), h.log); err != nil {
		return "", err
	}
	if h.io, err = newIO(c, p, h.wt, h.peers, h.queues, h.log); err != nil {
		return "", err
	}
	h.watch()
	if err := h.startInternal(); err != nil {
		return "", err
	}

	trusted, err := config.ParsePrefixes(c.TrustedProxies)
	if err != nil {
		return "", err
	}
	public := web.Public{IO: h.io, Path: c.Path, Ready: &h.ready, TrustedProxies: trusted, Logger: h.log}
	if c.Page {
		public.Page = web.Page()
	}
	handler := web.NewPublic(public)
	l, err := web.Listen(c.Listen, "listen")
	if err != nil {
		return "", err
	}
	h.public = web.NewServer(handler, h.log)
	scheme := "http"
	if p.cert != nil {
		scheme = "https"
		h.public.TLSConfig = p.cert.TLS()
	}
	if h.wt != nil {
		udp, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			l.Close()
			return "", fmt.Errorf("listen for WebTransport: %w", err)
		}
		h.run("WebTransport", func() error { return h.wt.Serve(udp, handler) })
	}
	h.run("public", func() error {
		if scheme == "https" {
			return h.public.ServeTLS(l, "", "")
		}
		return h.public.Serve(l)
	})
	h.log.Info("listening", "listener", "public", "address", l.Addr().String(), "path", c.Path, "version", versionText())
	return scheme + "://" + shown(l.Addr()), nil
}

// watch lets other nodes in, and keeps an eye on the way to them and on the queues.
func (h *host) watch() {
	ctx, cancel := context.WithCancel(context.Background())
	h.unwatch = cancel
	if h.queues != nil {
		h.tasks.Go(func() { h.queues.watch(ctx, &h.ready, h.log) })
	}
	if h.peers == nil {
		return
	}
	h.peers.stats.Store(h.io.Engine().Stats())
	h.run("cluster", func() error { return h.peers.serve(h.io) })
	h.tasks.Go(func() { h.peers.watch(ctx, &h.ready, h.log) })
	if l := h.peers.listener; l != nil {
		h.log.Info("listening", "listener", "cluster", "address", l.Addr().String())
	}
}

func (h *host) startInternal() error {
	if h.cfg.InternalListen == "off" {
		return nil
	}
	l, err := web.Listen(h.cfg.InternalListen, "internal-listen")
	if err != nil {
		return err
	}
	metrics := web.Metrics(h.io.Stats, versionText())
	if h.peers != nil {
		metrics.MustRegister(nodeMetrics{h.peers.node}, adapterMetrics{h.peers.driver})
	}
	internal := web.Internal{Metrics: metrics, Ready: &h.ready, Logger: h.log}
	var broker *queues.Broker
	if h.queues != nil {
		broker = h.queues.broker
		metrics.MustRegister(web.QueueMetrics(broker))
	}
	token, err := apiToken(h.cfg)
	if err != nil {
		return err
	}
	if token != "" {
		internal.API = &web.API{Token: token, IO: h.io, Broker: broker, Apart: h.apart}
		if err := tellAddress(h.cfg, l); err != nil {
			return err
		}
	}
	h.internal = web.NewServer(web.NewInternal(internal), h.log)
	h.run("internal", func() error { return h.internal.Serve(l) })
	h.log.Info("listening", "listener", "internal", "address", l.Addr().String())
	return nil
}

// apart says why what is sent here can't reach other nodes; "" if it can.
func (h *host) apart() string { return h.ready.Held(notReadyRedis, notReadyAdapter) }

// run serves a listener on a goroutine that end waits for.
func (h *host) run(name string, f func() error) {
	h.tasks.Go(func() {
		if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			h.failed <- fmt.Errorf("%s listener: %w", name, err)
		}
	})
}

// end closes what is left, at once.
func (h *host) end() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if h.io != nil {
		_ = h.io.Shutdown(now)
	}
	if h.wt != nil {
		_ = h.wt.Close()
	}
	h.unwatch()
	if h.queues != nil {
		closing, cancel := context.WithTimeout(context.Background(), cutTime)
		h.queues.close(closing)
		cancel()
	}
	if h.peers != nil {
		leaving, cancel := context.WithTimeout(context.Background(), leaveTime)
		h.peers.close(leaving)
		cancel()
	}
	for _, s := range []*http.Server{h.public, h.internal} {
		if s != nil {
			_ = s.Close()
		}
	}
	h.tasks.Wait()
}

// shown is an address as a browser on this machine can open it.
func shown(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
