package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// official is the official server as a node, from the repository's root.
const official = "tests/cluster/node.mjs"

// runAvalanche kills a node with all clients; they come back to the others. The same then happens to
// official servers, for comparison: nothing is demanded of them.
func runAvalanche(o options) error {
	own, err := avalanche(o, o.node(), "Roomcast")
	if err != nil {
		return err
	}
	rows := []*avalancheRow{own}
	if o.beside {
		name, err := officialName()
		if err == nil {
			cfg := o.node()
			cfg.Official = official
			var theirs *avalancheRow
			if theirs, err = avalanche(o, cfg, name); err == nil {
				rows = append(rows, theirs)
			}
		}
		if err != nil {
			o.say("without the official servers: %v", err)
		}
	}
	o.say("%-16s %6s %10s %6s %8s %8s %8s %8s %10s %10s", "", "back", "recovered", "fresh", "missed", "p50", "p99", "last", "CPU nodes", "CPU Redis")
	for _, r := range rows {
		o.say("%-16s %6d %10d %6d %8d %7.2fs %7.2fs %7.2fs %9.2fs %9.2fs", r.name, r.back, r.verdict.recovered, r.verdict.fresh, r.verdict.missed,
			r.quantile(0.5).Seconds(), r.quantile(0.99).Seconds(), r.quantile(1).Seconds(), r.nodes.Seconds(), r.redis.Seconds())
	}
	return o.judge(own.verdict, true)
}

// officialName is the name and version of the official server. The error says why there is none here.
func officialName() (string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return "", errors.New("there is no Node here")
	}
	folder := filepath.Dir(official)
	text, err := os.ReadFile(filepath.Join(folder, "node_modules/socket.io/package.json"))
	if err != nil {
		return "", fmt.Errorf("run npm ci --prefix %s first", folder)
	}
	var is struct{ Name, Version string }
	err = json.Unmarshal(text, &is)
	return is.Name + " " + is.Version, err
}

// avalancheRow is what came of it.
type avalancheRow struct {
	name         string
	back         int
	took         []time.Duration // from the end of the node until each client was in its room again; sorted
	nodes, redis time.Duration   // CPU of the nodes that were left, and of Redis, until all were back
	verdict      *verdict
}

func (r *avalancheRow) quantile(q float64) time.Duration {
	return r.took[int(q*float64(len(r.took)-1))]
}

func avalanche(o options, cfg nodeConfig, name string) (*avalancheRow, error) {
	row := &avalancheRow{name: name}
	cl, err := newCluster(o.nodes, cfg, "")
	if err != nil {
		return nil, err
	}
	defer cl.close()
	cl.limit = 20 * time.Second // as officially
	all := cl.nodes
	cl.mu.Lock()
	cl.nodes = append([]*process(nil), all[:1]...) // everybody goes to the first
	cl.mu.Unlock()
	if err := cl.join(o.clients, jitter{}); err != nil {
		return nil, err
	}
	time.Sleep(time.Second)
	cpu := func() (nodes, redis time.Duration) {
		for _, p := range all[1:] {
			nodes += cpuOf(p.cmd.Process.Pid)
		}
		return nodes, redisCPU(cl.redis.target())
	}
	nodes, redis := cpu()
	killed := time.Now()
	cl.mu.Lock()
	cl.nodes = all
	cl.mu.Unlock()
	cl.kill(0)
	if err := cl.wait(2*time.Minute, func(c *client) bool { return c.backAt.Load() > killed.UnixNano() }); err != nil {
		return nil, err
	}
	row.nodes, row.redis = cpu()
	row.nodes, row.redis = row.nodes-nodes, row.redis-redis
	for _, c := range cl.clients {
		row.took = append(row.took, time.Unix(0, c.backAt.Load()).Sub(killed))
	}
	row.back = len(row.took)
	slices.Sort(row.took)
	row.verdict, err = o.settle(cl, row.name)
	return row, err
}

// cpuOf is the user and system time of a process, 0 if there is none. It reads the CPU
// clock of that process, which is finer than /proc.
func cpuOf(pid int) time.Duration {
	const sched = 2 // CPUCLOCK_SCHED of linux/posix-timers.h
	var ts unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|sched), &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// redisCPU is that of a single Redis, by its own account.
func redisCPU(t target) (used time.Duration) {
	rdb := t.client()
	defer rdb.Close()
	text, _ := rdb.Info(context.Background(), "cpu").Result()
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			seconds, _ := strconv.ParseFloat(value, 64)
			used += time.Duration(seconds * float64(time.Second))
		}
	}
	return used
}
