package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/roomcast/roomcast/internal/skew"
)

// part is a process of ours, a node or a worker.
type part struct {
	name  string
	cmd   *exec.Cmd
	clock *skew.Clock // nil: it can't be set
	in    io.WriteCloser
	ended chan struct{}
	last  string // what it said last, when it has ended
}

// startPart starts this program as p, and waits until it says that it runs.
func startPart(name string, p queuePart) (*part, error) {
	text, _ := json.Marshal(p)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r := &part{name: name, ended: make(chan struct{})}
	var out io.Reader
	r.cmd, r.clock, err = startSkewed(func() *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), queueEnv+"="+string(text))
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, _ = cmd.StdoutPipe() // they fail only if they are set
		r.in, _ = cmd.StdinPipe()
		return cmd
	})
	if err != nil {
		return nil, err
	}
	lines := bufio.NewReader(out)
	if r.last, err = lines.ReadString('\n'); err != nil {
		_ = r.cmd.Wait()
		return nil, fmt.Errorf("%s ended at its start", name)
	}
	go func() {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				break
			}
			r.last = line
		}
		_ = r.cmd.Wait()
		if r.clock != nil {
			_ = r.clock.Close()
		}
		close(r.ended)
	}()
	return r, nil
}

func (r *part) signal(s syscall.Signal) { _ = r.cmd.Process.Signal(s) }

func (r *part) kill() {
	r.signal(syscall.SIGKILL)
	<-r.ended
}

// stop ends it in good order.
func (r *part) stop() {
	_ = r.in.Close()
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		r.kill()
	}
}
