package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// storeTable runs the benchmarks of the embedded store by itself, and returns their table.
func storeTable(root string, quick bool) (string, error) {
	which, length := "Queue|Inboxes|Open", "2s"
	if quick {
		which, length = "Queue|Inboxes", "200ms"
	}
	cmd := exec.Command("go", "test", "./queues/pebblequeue", "-run", "^$", "-bench", which, "-benchtime", length)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as scripts/build has it
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("bench: the embedded store: %w\n%s", err, out)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s UTC on %d cores, %s, for %s each.\n\n", time.Now().UTC().Format("2006-01-02 15:04"), runtime.NumCPU(), runtime.Version(), length)
	b.WriteString("| | messages per s | p50 of a publish, ms | p99, ms | CPU, µs per message | bytes written per message |\n|---|---|---|---|---|---|\n")
	opening, targets := "", ""
	target := func(what, bound string, got, limit float64) {
		met := got >= limit
		if bound == "at most" {
			met = got <= limit
		}
		targets += fmt.Sprintf("| %s | %s %s | %s | %s |\n", what, bound, figure(limit), figure(got), verdict(met))
	}
	for line := range strings.Lines(string(out)) {
		name, values := benchmark(line)
		if name == "Open" {
			opening = fmt.Sprintf("\nOpening a folder with a million messages, after half as many were acknowledged: %.2f s, %.2f s of CPU.\n",
				values["ns/op"]/1e9, values["cpu-s/op"])
			target("a folder with a million messages opens in, s", "at most", values["ns/op"]/1e9, 1)
			continue
		}
		what := "inboxes, 64 senders"
		if kind, n, _ := strings.Cut(name, "/"); kind == "Queue" {
			what = "queue, " + strings.TrimSuffix(n+" producers", map[bool]string{true: "s"}[n == "1"])
		} else if name == "" {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", what, figure(values["msg/s"]), figure(values["p50-ms"]), figure(values["p99-ms"]),
			figure(values["cpu-µs/msg"]), figure(values["written-B/msg"]))
		switch what {
		case "queue, 64 producers":
			target("64 producers: messages per s", "at least", values["msg/s"], 40_000)
		case "queue, 512 producers":
			target("512 producers: messages per s", "at least", values["msg/s"], 120_000)
		case "inboxes, 64 senders":
			target("inboxes: bytes written per message", "at most", values["written-B/msg"], 600)
		}
	}
	return b.String() + opening + "\n| target | | measured | |\n|---|---|---|---|\n" + targets, nil
}

// benchmark reads a line of go test -bench; the name is empty if it is another one.
func benchmark(line string) (name string, values map[string]float64) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return "", nil
	}
	name, _, _ = strings.Cut(strings.TrimPrefix(fields[0], "Benchmark"), "-")
	values = map[string]float64{}
	for i := 2; i+1 < len(fields); i += 2 {
		if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
			values[fields[i+1]] = v
		}
	}
	return name, values
}
