package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// kind is one of the servers that are measured.
type kind string

const (
	node      kind = "node"
	roomcast  kind = "roomcast"
	googollee kind = "googollee" // v1.7.0, with clients of version 2
	compat    kind = "compat"    // Roomcast in its place, with the same clients
)

// version2 reports whether the clients are of version 2.
func (k kind) version2() bool { return k == googollee || k == compat }

// options are what a scenario asks of a server. Zero is the server's default.
type options struct {
	PingInterval time.Duration
	MaxPayload   int     // bytes
	Redis        string  // host:port; "": the server is alone
	Adapter      adapter // with Redis
}

// process is a server in a process of its own.
type process struct {
	Addr    netip.AddrPort // of the Socket.IO server
	Side    string         // host:port of the side listener: /stats, /gc and pprof
	Version string

	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan error
}

// start runs a server. It ends with stop, or with this program, because its
// standard input does.
func start(root string, k kind, o options) (*process, error) {
	var cmd *exec.Cmd
	switch k {
	case node:
		cmd = exec.Command("node", "--expose-gc", filepath.Join(root, "bench", "node", "server.mjs"))
	case roomcast:
		cmd = exec.Command(filepath.Join(root, "bin", "goserver"))
	case googollee, compat:
		cmd = exec.Command(filepath.Join(root, "bin", "bench-"+string(k)))
	default:
		return nil, fmt.Errorf("bench: no server %q: choose from %s, %s, %s and %s", k, node, roomcast, googollee, compat)
	}
	cmd.Env = append(os.Environ(), "NODE_ENV=production",
		fmt.Sprint("PING_INTERVAL_MS=", o.PingInterval.Milliseconds()),
		fmt.Sprint("MAX_PAYLOAD=", o.MaxPayload),
		fmt.Sprint("REDIS_ADDR=", o.Redis),
		fmt.Sprint("ADAPTER=", o.Adapter))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", k, err)
	}
	p := &process{cmd: cmd, stdin: stdin, exited: make(chan error, 1)}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	go func() { p.exited <- cmd.Wait() }()
	if err == nil {
		var hello struct{ Addr, Side, Version string }
		if err = json.Unmarshal(line, &hello); err == nil {
			p.Side, p.Version = hello.Side, hello.Version
			p.Addr, err = netip.ParseAddrPort(hello.Addr)
		}
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("bench: %s did not say where it listens: %w", k, err)
	}
	return p, nil
}

// stop kills the server: what is measured is measured, and the next is fresh.
func (p *process) stop() {
	p.stdin.Close()
	p.cmd.Process.Kill()
	<-p.exited
}

// cpu is the user and system time that the process has used, from the kernel's
// clock of that process, in nanoseconds (what /proc/<pid>/stat has in ticks).
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.cmd.Process.Pid) }

func cpuOf(pid int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED of linux/posix-timers.h
	clock := int32(^pid<<3 | sched)
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("bench: CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// rss is the resident memory of the process in bytes.
func (p *process) rss() (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("bench: memory of the server: %w", err)
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, fmt.Errorf("bench: memory of the server: %q", b)
	}
	pages, err := strconv.Atoi(string(fields[1]))
	return pages * os.Getpagesize(), err
}

// stats is what a server tells of itself.
type stats struct {
	Sockets    int `json:"sockets"`
	Sessions   int `json:"sessions"`
	Goroutines int `json:"goroutines"` // 0: it has none
	Nodes      int `json:"nodes"`      // that it knows of, itself included
}

// side asks the side listener. It keeps no connection, so that asking leaves
// nothing behind in what is measured.
var side = &http.Client{
	Timeout:   2 * time.Minute,
	Transport: &http.Transport{DisableKeepAlives: true},
}

func (p *process) ask(path string) ([]byte, error) {
	resp, err := side.Get("http://" + p.Side + path)
	if err != nil {
		return nil, fmt.Errorf("bench: side listener: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("bench: side listener: %s: %w", path, err)
	}
	return b, nil
}

// collect makes the server collect its garbage, and returns its stats.
func (p *process) collect() (st stats, err error) {
	b, err := p.ask("/gc")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(b, &st)
}

func (p *process) stats() (st stats, err error) {
	b, err := p.ask("/stats")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal(b, &st)
}

// collected is the resident memory after a collection.
func (p *process) collected() (int, error) {
	if _, err := p.collect(); err != nil {
		return 0, err
	}
	return p.rss()
}
