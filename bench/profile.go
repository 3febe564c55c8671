package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// profile records a CPU profile of the Go server in the measured window.
type profile struct {
	name string // of the file it is written to
}

func (p *profile) start(s *process) error {
	_, err := s.ask("/profile/start")
	return err
}

func (p *profile) stop(s *process) error {
	b, err := s.ask("/profile/stop")
	if err != nil {
		return err
	}
	return os.WriteFile(p.name, b, 0o644)
}

// profileRun runs a scenario once and prints what took the time.
func profileRun(root string, sc scenario, quick bool) error {
	p := &profile{name: filepath.Join(os.TempDir(), "roomcast-"+sc.name+".prof")}
	res, err := measure(root, sc, roomcast, 1, quick, p)
	if err != nil {
		return err
	}
	if res.Error != "" {
		return fmt.Errorf("bench: %s: %s", sc.name, res.Error)
	}
	fmt.Println(summary(sc, res))
	for _, order := range []string{"-flat", "-cum"} {
		out, err := exec.Command("go", "tool", "pprof", "-top", "-nodecount=60", order, p.name).Output()
		if err != nil {
			return fmt.Errorf("bench: go tool pprof: %w", err)
		}
		for line := range strings.Lines(string(out)) {
			// Names of generic functions can be very long.
			fmt.Println(cut(strings.TrimSuffix(line, "\n"), 150))
		}
	}
	fmt.Println("\nThe profile is in", p.name)
	return nil
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
