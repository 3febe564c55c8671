package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// toxicsEnv names the program of tests/toxics. Without it there are no such faults.
const toxicsEnv = "CHAOS_TOXICS"

// toxics is Toxiproxy, in a process of its own.
type toxics struct {
	mu  sync.Mutex
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// startToxics returns nil if there is no program.
func startToxics() (*toxics, error) {
	path := os.Getenv(toxicsEnv)
	if path == "" {
		return nil, nil
	}
	t := &toxics{cmd: exec.Command(path)}
	t.cmd.Stderr = os.Stderr
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.out = bufio.NewScanner(out)
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return t, t.cmd.Start()
}

func (t *toxics) do(command map[string]any) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line, _ := json.Marshal(command)
	if _, err := t.in.Write(append(line, '\n')); err != nil {
		return "", err
	}
	if !t.out.Scan() {
		return "", fmt.Errorf("toxics has ended")
	}
	if text, bad := strings.CutPrefix(t.out.Text(), "error: "); bad {
		return "", fmt.Errorf("toxics: %s: %s", line, text)
	}
	return t.out.Text(), nil
}

// link opens a link, and returns its address.
func (t *toxics) link(name, to string) (string, error) {
	return t.do(map[string]any{"link": name, "to": to})
}

func (t *toxics) end() {
	if t != nil {
		_ = t.in.Close()
		_ = t.cmd.Wait()
	}
}

// toxic is one of Toxiproxy's kinds of harm.
type toxic struct {
	kind       string
	attributes map[string]int // in milliseconds, kB/s and bytes, as Toxiproxy has them
}

var allToxics = []toxic{
	{"latency", map[string]int{"latency": 40, "jitter": 30}},
	{"bandwidth", map[string]int{"rate": 30}},
	{"slow_close", map[string]int{"delay": 500}},
	{"reset_peer", map[string]int{"timeout": 0}},
	{"slicer", map[string]int{"average_size": 60, "size_variation": 40, "delay": 200}},
}

// add does harm to a link, in both directions; remove ends it.
func (t *toxics) add(link string, x toxic) error {
	for _, stream := range []string{"upstream", "downstream"} {
		_, err := t.do(map[string]any{"link": link, "toxic": map[string]any{
			"name": x.kind + stream, "type": x.kind, "stream": stream, "attributes": x.attributes,
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *toxics) remove(link string, x toxic) error {
	for _, stream := range []string{"upstream", "downstream"} {
		if _, err := t.do(map[string]any{"link": link, "remove": x.kind + stream}); err != nil {
			return err
		}
	}
	return nil
}
