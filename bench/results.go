package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roomcast/roomcast/bench/load"
)

// results is the file in bench/results: every run, and where it was.
type results struct {
	Machine machine  `json:"machine"`
	Runs    []result `json:"runs"`
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int    `json:"memory"` // GiB
	Kernel string `json:"kernel"`
}

// result is one run of a scenario against one server. Metrics are in µs, bytes,
// and per second, unless scenarios.go says otherwise.
type result struct {
	Time     time.Time          `json:"time"`
	Scenario string             `json:"scenario"`
	Server   kind               `json:"server"`
	Version  string             `json:"version"`
	Round    int                `json:"round"`
	Quick    bool               `json:"quick,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Faults   load.Faults        `json:"faults"`
	Error    string             `json:"error,omitempty"`   // the run broke off
	Machine  *machine           `json:"machine,omitempty"` // nil: that of the file
}

// replace drops the runs of the scenarios in fresh against the servers in
// fresh, and adds those in fresh.
func (rs *results) replace(fresh []result) {
	type key struct {
		scenario string
		server   kind
	}
	measured := map[key]bool{}
	for _, r := range fresh {
		measured[key{r.Scenario, r.Server}] = true
	}
	rs.Runs = slices.DeleteFunc(rs.Runs, func(r result) bool { return measured[key{r.Scenario, r.Server}] })
	rs.Runs = append(rs.Runs, fresh...)
	order := scenarioNames()
	slices.SortStableFunc(rs.Runs, func(a, b result) int {
		return cmp.Compare(slices.Index(order, a.Scenario), slices.Index(order, b.Scenario))
	})
}

// moveTo makes m the machine of the file. Runs from another one keep theirs.
func (rs *results) moveTo(m machine) {
	if rs.Machine != m {
		old := rs.Machine
		for i := range rs.Runs {
			if r := &rs.Runs[i]; r.Machine == nil {
				r.Machine = &old
			} else if *r.Machine == m {
				r.Machine = nil
			}
		}
	}
	rs.Machine = m
}

// newest reads the newest file in dir; without one it returns no runs. Files of
// other benchmarks don't begin with the date.
func newest(dir string) (*results, error) {
	names, err := filepath.Glob(filepath.Join(dir, "[0-9]*.json"))
	if err != nil || len(names) == 0 {
		return &results{}, err
	}
	b, err := os.ReadFile(slices.Max(names))
	if err != nil {
		return nil, err
	}
	rs := new(results)
	if err := json.Unmarshal(b, rs); err != nil {
		return nil, fmt.Errorf("bench: %s: %w", slices.Max(names), err)
	}
	return rs, nil
}

func (rs *results) save(name string) error {
	b, err := json.MarshalIndent(rs, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644)
}

// span is the median, smallest and largest of some values.
type span struct {
	median, min, max float64
	n                int
}

func spanOf(values []float64) span {
	n := len(values)
	if n == 0 {
		return span{}
	}
	slices.Sort(values)
	return span{(values[(n-1)/2] + values[n/2]) / 2, values[0], values[n-1], n}
}

// metric gathers a metric of the runs of a scenario against a server.
func (rs *results) metric(scenario, name string, k kind, scale float64) span {
	var values []float64
	for _, r := range rs.Runs {
		if v, ok := r.Metrics[name]; ok && r.Scenario == scenario && r.Server == k && r.Error == "" {
			values = append(values, v*cmp.Or(scale, 1))
		}
	}
	return spanOf(values)
}

// faults adds up the faults and the broken runs of a server.
func (rs *results) faults(k kind) (sum load.Faults, broken int) {
	for _, r := range rs.Runs {
		if r.Server != k {
			continue
		}
		sum.Handshakes += r.Faults.Handshakes
		sum.Lost += r.Faults.Lost
		sum.Wrong += r.Faults.Wrong
		if r.Error != "" {
			broken++
		}
	}
	return sum, broken
}

// versions are those of the runs.
func (rs *results) versions(k kind) (list []string) {
	for _, r := range rs.Runs {
		if r.Server == k && r.Version != "" && !slices.Contains(list, r.Version) {
			list = append(list, r.Version)
		}
	}
	return list
}

func thisMachine() machine {
	m := machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			m.CPU = strings.Trim(line, "\t :")
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = int((uint64(info.Totalram)*uint64(info.Unit) + 1<<29) >> 30)
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	return m
}

// commit is the version of the source that is measured.
func commit(root string) string {
	out, err := exec.Command("git", "-C", root, "describe", "--always", "--dirty", "--abbrev=10").Output()
	if err != nil {
		return "unknown commit"
	}
	return strings.TrimSpace(string(out))
}
