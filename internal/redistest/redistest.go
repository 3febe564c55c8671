// Package redistest starts real Redis servers for tests, each on a port of its
// own, with its data in the test's folder.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/roomcast/roomcast/internal/skew"
)

// TB is what is needed of a testing.TB. Programs bring one of their own.
type TB interface {
	Helper()
	Cleanup(func())
	TempDir() string
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
}

// Server is a running redis-server. Its methods fail the test by themselves.
type Server struct {
	Addr string // host:port, the same after a restart

	t        TB
	dir      string
	args     []string
	sentinel bool
	skewed   bool

	mu      sync.Mutex
	cmd     *exec.Cmd
	done    chan struct{} // closed when cmd has ended
	clock   *skew.Clock   // if it is skewed
	primary *Server       // nil: it is none's replica
	admin   *redis.Client // nil: not needed yet
}

// Start starts a redis-server without persistence, or with what args (such as
// "--appendonly", "yes") say, and ends it with the test. Where there is no
// redis-server the test is skipped, or fails if ROOMCAST_TEST_REDIS is "required".
// REDIS_SERVER names another binary.
func Start(t TB, args ...string) *Server {
	t.Helper()
	s := &Server{Addr: freeAddr(t), t: t, dir: t.TempDir(), args: args}
	binary(t)
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// StartWithClock is Start of a server whose clock can be set; where that can't be done the test is skipped.
func StartWithClock(t TB, args ...string) *Server {
	t.Helper()
	s := &Server{Addr: freeAddr(t), t: t, dir: t.TempDir(), args: args, skewed: true}
	binary(t)
	t.Cleanup(s.Kill)
	s.Restart()
	return s
}

// SetClock has the server's clock, which StartWithClock allows to set, be fast by d, or slow if d is negative, until
// it ends.
func (s *Server) SetClock(d time.Duration) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.clock.Set(d); err != nil {
		s.t.Fatal(err)
	}
}

// Need skips the test where there is no redis-server, or fails it if ROOMCAST_TEST_REDIS is "required".
func Need(t TB) {
	t.Helper()
	binary(t)
}

// binary returns the server's path, or ends the test as Need does.
func binary(t TB) string {
	t.Helper()
	name := os.Getenv("REDIS_SERVER")
	if name == "" {
		name = "redis-server"
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("ROOMCAST_TEST_REDIS") == "required" {
		t.Fatal("redis-server is needed for this test: ", err)
	}
	t.Skip("no redis-server here: install Redis 7, or name the binary in REDIS_SERVER")
	return ""
}

// URL returns the server's address as a redis:// URL.
func (s *Server) URL() string { return "redis://" + s.Addr }

// Dir returns the folder with the server's data.
func (s *Server) Dir() string { return s.dir }

// Client returns a client that is closed with the test.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, DisableIdentity: true})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Restart starts the server on its port again, after Stop or Kill, or at
// first, and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := s.start(deadline)
		if err == nil {
			return
		}
		// A process that is being started has all our open files for a moment, the listener among
		// them by which the port was found free.
		if time.Now().After(deadline) || !strings.Contains(err.Error(), "Address already in use") {
			s.t.Fatal(err)
		}
	}
}

// start starts the process and waits until it answers.
func (s *Server) start(deadline time.Time) error {
	host, port, _ := net.SplitHostPort(s.Addr)
	logfile := s.dir + "/redis.log"
	_ = os.Remove(logfile)
	args := append([]string{
		"--bind", host, "--port", port, "--dir", s.dir, "--save", "", "--appendonly", "no",
		"--logfile", logfile, "--daemonize", "no", "--protected-mode", "no", "--repl-diskless-sync-delay", "0",
	}, s.args...)
	if s.primary != nil {
		host, port, _ := net.SplitHostPort(s.primary.Addr)
		args = append(args, "--replicaof", host, port)
	}
	if s.sentinel {
		args = []string{s.dir + "/sentinel.conf", "--sentinel"}
	}
	cmd := exec.Command(binary(s.t), args...)
	cmd.SysProcAttr = dieWithUs()
	err := s.launch(cmd)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	s.cmd, s.done = cmd, done
	c := redis.NewClient(&redis.Options{Addr: s.Addr, DisableIdentity: true, MaxRetries: -1})
	defer c.Close()
	for ; ; time.Sleep(10 * time.Millisecond) {
		err := c.Ping(context.Background()).Err()
		if err == nil {
			return nil
		}
		select {
		case <-done:
			s.cmd = nil
			log, _ := os.ReadFile(logfile)
			return fmt.Errorf("redis-server ended at its start:\n%s", log)
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("redis-server doesn't answer: %w", err)
		}
	}
}

func (s *Server) launch(cmd *exec.Cmd) (err error) {
	if !s.skewed {
		return cmd.Start()
	}
	if s.clock != nil {
		_ = s.clock.Close()
	}
	s.clock, err = skew.Start(cmd)
	if errors.Is(err, skew.ErrUnsupported) {
		s.t.Skip(err)
	}
	return err
}

// Kill ends the server with SIGKILL and waits for its end. What it had not
// persisted is gone. It does nothing if the server isn't running.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server in good order.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	<-s.done
	s.cmd = nil
}

func (s *Server) running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd != nil
}

// Freeze stops the server's process without closing its connections; Thaw
// lets it go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig)
	}
}

func freeAddr(t TB) string { return fmt.Sprintf("127.0.0.1:%d", freePort(t)) }

// freePort returns a port below those that the system gives to connections: one of them could
// take a port before the server has it, or while it is down.
func freePort(t TB) int {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(22_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port for a redis-server")
	return 0
}
