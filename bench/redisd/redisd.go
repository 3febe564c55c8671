// Package redisd starts redis-server for a measurement.
package redisd

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sys/unix"
)

// Server is a running redis-server.
type Server struct {
	Addr string // host:port
	PID  int

	cmd *exec.Cmd
	dir string
}

// Available reports whether redis-server is installed.
func Available() bool {
	_, err := exec.LookPath("redis-server")
	return err == nil
}

// Start runs a server on a free port, with its data in a folder of its own and
// without snapshots. It ends with Stop, or with this program.
func Start(ctx context.Context, args ...string) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: l.Addr().String()}
	_ = l.Close()
	if s.dir, err = os.MkdirTemp("", "roomcast-bench-redis-"); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	s.cmd = exec.Command("redis-server", append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", s.dir, "--save", "", "--logfile", filepath.Join(s.dir, "log"),
	}, args...)...)
	s.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, err
	}
	s.PID = s.cmd.Process.Pid
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, DisableIdentity: true, MaxRetries: -1})
	defer rdb.Close()
	for range 500 {
		if rdb.Ping(ctx).Err() == nil {
			return s, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Stop()
	return nil, errors.New("bench: redis-server doesn't answer")
}

// Stop kills the server and deletes its data.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}
