// Command queues measures Roomcast's message queues in Redis beside BullMQ, asynq and
// a bare stream: the same work, one Redis server, in turns. scripts/bench queues runs it.
//
// The peers asynq, bullmq, stream and roomcast measure the path between a program and the
// store: no sockets are in it, and Roomcast's part is its Broker with
// queues/redisqueue. The peers sockets and embedded measure all of it: WebSockets
// that publish, a server with server/queueapi, its queue in Redis or in a
// folder, and WebSockets that work and ack; of the CPU only the server's is counted.
// A message is 64 bytes, the handler does nothing.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sys/unix"

	"github.com/roomcast/roomcast/bench/load"
	"github.com/roomcast/roomcast/bench/redisd"
)

// Scenarios, how long each is measured, and how many of five rounds it has.
var scenarios = []struct {
	name, title string
	length      time.Duration
	rounds      int
	metrics     []string
	peers       []string // nil: all
}{
	{"throughput", "64 publishers, one message a call", 2 * time.Second, 5, []string{"rate", "app", "redis", "both", "calls"}, nil},
	{"batch", "one publisher, 100 messages a call", 2 * time.Second, 3, []string{"rate", "app", "redis", "both", "calls"}, nil},
	{"paced", "1,000 messages per second", 2500 * time.Millisecond, 3, []string{"rate", "p50", "p99"}, others("stream4")},
	{"idle", "a message every 200 ms", 2500 * time.Millisecond, 3, []string{"p50", "requests"}, others("stream4")},
	{"apart", "the same, published on another node", 2500 * time.Millisecond, 3, []string{"p50"}, []string{"roomcast"}},
	{"waiting", "100,000 messages that wait", 0, 1, []string{"memory", "dataset"}, []string{"asynq", "bullmq", "stream", "roomcast"}},
	{"inboxes", "20,000 inboxes with one message", 0, 1, []string{"memory", "dataset"}, []string{"stream", "roomcast"}},
}

var units = map[string]string{
	"rate": "messages per s", "app": "app CPU, µs per message", "redis": "Redis CPU, µs per message", "both": "CPU of both, µs per message",
	"p50": "p50 from publish to handler, ms", "p99": "p99 from publish to handler, ms", "requests": "requests to Redis per s without messages",
	"calls":  "requests to Redis per message",
	"memory": "memory of Redis, bytes for each", "dataset": "of which data, bytes",
}

var peers = []string{"asynq", "bullmq", "stream", "stream4", "roomcast", "sockets", "embedded"}

var titles = map[string]string{
	"asynq": "asynq", "bullmq": "BullMQ", "stream": "bare stream, 64 consumers", "stream4": "bare stream, 4", "roomcast": "Roomcast, Redis, no sockets",
	"sockets": "Roomcast over WebSocket, Redis", "embedded": "Roomcast over WebSocket, embedded",
}

// ours are Roomcast's peers.
var ours = peers[4:]

// others are all peers but one.
func others(but string) []string {
	return slices.DeleteFunc(slices.Clone(peers), func(peer string) bool { return peer == but })
}

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "server":
		err = serve(args[1], args[2])
	case len(args) == 6 && args[0] == "fill":
		err = fill(args[1], args[2], args[3], args[4], args[5])
	case len(args) == 5 && args[0] == "peer":
		name, scenario, addr, profile := args[1], args[2], args[3], args[4]
		switch name {
		case "sockets":
			err = runSockets(scenario, addr, profile)
		case "embedded":
			err = runSockets(scenario, "", profile)
		default:
			err = runPeer(name, scenario, addr, profile)
		}
	default:
		err = bench(args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// result is one run of a scenario with one peer.
type result struct {
	Time     time.Time          `json:"time"`
	Scenario string             `json:"scenario"`
	Peer     string             `json:"peer"`
	Round    int                `json:"round"`
	Quick    bool               `json:"quick,omitempty"`
	Metrics  map[string]float64 `json:"metrics,omitempty"`
	Checked  int                `json:"checked,omitempty"` // messages, one by one; only over sockets
	Faults   load.Faults        `json:"faults,omitzero"`
	Error    string             `json:"error,omitempty"`
}

func bench(args []string) error {
	flags := flag.NewFlagSet("scripts/bench queues", flag.ExitOnError)
	root := flags.String("root", "..", "folder of the repository")
	rounds := flags.Int("rounds", 5, "runs of a scenario with each peer; of those that vary less, three fifths")
	quick := flags.Bool("quick", false, "one short round: shows that all works, not how fast")
	chosen := flags.String("peers", strings.Join(peers, ","), "which peers")
	only := flags.String("scenarios", "", "which scenarios, separated by commas, store being the embedded store by itself; empty: all")
	fsync := flags.String("appendfsync", "", "run Redis with an append-only file: everysec or always")
	save := flags.Bool("update-docs", false, "write all runs to bench/results, and the tables to docs/performance.md")
	profile := flags.String("profile", "", "write the CPU profile of roomcast, or of the server behind sockets or embedded, to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *quick {
		*rounds = 1
	}
	order := strings.Split(*chosen, ",")
	var all []result
	for _, sc := range scenarios {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), sc.name) {
			continue
		}
		for round := 1; round <= (*rounds*sc.rounds+4)/5; round++ {
			for _, peer := range order {
				if sc.peers != nil && !slices.Contains(sc.peers, peer) {
					continue
				}
				length := sc.length
				if *quick {
					length = 700 * time.Millisecond
				}
				res := result{Time: time.Now().UTC().Truncate(time.Second), Scenario: sc.name, Peer: peer, Round: round, Quick: *quick}
				var metrics map[string]float64
				var done report
				var err error
				if n := filled[sc.name]; n > 0 {
					if *quick {
						n /= 20
					}
					metrics, err = measureMemory(*root, peer, sc.name, n)
				} else {
					metrics, done, err = measure(*root, peer, sc.name, *fsync, *profile, length)
				}
				switch {
				case err != nil:
					res.Error = err.Error()
				case done.Faults.Total() > 0:
					res.Error = fmt.Sprintf("%d faults, the first: %s", done.Faults.Total(), done.Faults.First)
				}
				res.Metrics, res.Checked, res.Faults = metrics, done.Checked, done.Faults
				all = append(all, res)
				fmt.Printf("%-10s round %d  %-8s  %s %s\n", sc.name, round, peer, figures(metrics, sc.metrics), res.Error)
			}
			slices.Reverse(order) // who goes first may matter
		}
	}
	fmt.Println("\n" + table(all))
	var store string
	if *only == "" && !*quick || slices.Contains(strings.Split(*only, ","), "store") {
		var err error
		if store, err = storeTable(*root, *quick); err != nil {
			return err
		}
		fmt.Println(store)
	}
	if *save {
		if err := updateDocs(filepath.Join(*root, "docs", "performance.md"), all, store, *fsync); err != nil {
			return err
		}
		b, err := json.MarshalIndent(all, "", "\t")
		if err != nil {
			return err
		}
		name := filepath.Join(*root, "bench", "results", "queues-"+time.Now().UTC().Format(time.DateOnly)+".json")
		if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
			return err
		}
	}
	for _, res := range all {
		if slices.Contains(ours, res.Peer) && res.Error != "" {
			return errors.New("bench: a run of Roomcast broke off: " + res.Error)
		}
	}
	return nil
}

func figures(metrics map[string]float64, names []string) string {
	var parts []string
	for _, name := range names {
		if v, ok := metrics[name]; ok {
			parts = append(parts, fmt.Sprintf("%s %.3g", name, v))
		}
	}
	return strings.Join(parts, "  ")
}

func figure(v float64) string {
	switch {
	case v == 0:
		return "–"
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func median(all []result, scenario, metric, peer string) float64 {
	var values []float64
	for _, res := range all {
		if v, ok := res.Metrics[metric]; ok && res.Scenario == scenario && res.Peer == peer && res.Error == "" {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// report is what a peer says: at first which processes it has, at last what it has done.
type report struct {
	PIDs      []int     `json:"pids"`
	Messages  int       `json:"messages"`
	Latencies []float64 `json:"latencies"` // ms

	// Of the peers that check every message.
	Checked int         `json:"checked"`
	Faults  load.Faults `json:"faults"`
}

// measure runs a scenario with a peer against a fresh Redis server.
func measure(root, peer, scenario, fsync, profile string, length time.Duration) (metrics map[string]float64, done report, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), length+30*time.Second)
	defer cancel()
	var args []string
	if fsync != "" {
		args = []string{"--appendonly", "yes", "--appendfsync", fsync}
	}
	rd, err := redisd.Start(ctx, args...)
	if err != nil {
		return nil, done, err
	}
	defer rd.Stop()
	addr := rd.Addr
	rdb := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true})
	defer rdb.Close()

	own, err := os.Executable()
	if err != nil {
		return nil, done, err
	}
	cmd := exec.CommandContext(ctx, own, "peer", peer, scenario, addr, profile)
	if peer == "bullmq" {
		cmd = exec.CommandContext(ctx, "node", filepath.Join(root, "bench", "node", "bullmq.mjs"), scenario, addr)
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, done, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, done, err
	}
	if err := cmd.Start(); err != nil {
		return nil, done, err
	}
	defer func() {
		_ = in.Close() // it ends then
		_ = cmd.Wait()
	}()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	// It says when it has warmed up, is told when to stop, and answers what it has done.
	next := func(r *report) error {
		if !lines.Scan() {
			return fmt.Errorf("%s has ended", peer)
		}
		return json.Unmarshal(lines.Bytes(), r)
	}
	var begun report
	if err := next(&begun); err != nil {
		return nil, done, err
	}
	var quiet float64
	if scenario == "idle" {
		before, err := infoNumber(ctx, rdb, "stats", "total_reads_processed")
		if err != nil {
			return nil, done, err
		}
		time.Sleep(length)
		after, err := infoNumber(ctx, rdb, "stats", "total_reads_processed")
		if err != nil {
			return nil, done, err
		}
		quiet = (after - before - 1) / length.Seconds()
	}
	use := func() (app, server time.Duration, calls float64, err error) {
		for _, pid := range begun.PIDs {
			cpu, err := cpuOf(pid)
			if err != nil {
				return 0, 0, 0, err
			}
			app += cpu
		}
		if server, err = redisCPU(ctx, rdb); err != nil {
			return 0, 0, 0, err
		}
		calls, err = infoNumber(ctx, rdb, "stats", "total_reads_processed")
		return app, server, calls, err
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		return nil, done, err
	}
	if err := next(&report{}); err != nil { // it has warmed up
		return nil, done, err
	}
	began := time.Now()
	app, server, calls, err := use()
	if err != nil {
		return nil, done, err
	}
	time.Sleep(length)
	app2, server2, calls2, err := use()
	if err != nil {
		return nil, done, err
	}
	if _, err := io.WriteString(in, "stop\n"); err != nil {
		return nil, done, err
	}
	took := time.Since(began)
	if err := next(&done); err != nil {
		return nil, done, err
	}
	if done.Messages == 0 {
		return nil, done, errors.New("nothing was done")
	}
	n := float64(done.Messages)
	metrics = map[string]float64{
		"rate":  n / took.Seconds(),
		"app":   float64((app2 - app).Microseconds()) / n,
		"redis": float64((server2 - server).Microseconds()) / n,
		"calls": (calls2 - calls) / n,
	}
	metrics["both"] = metrics["app"] + metrics["redis"]
	if scenario == "idle" {
		if metrics["requests"] = max(quiet, 0); peer == "embedded" {
			delete(metrics, "requests") // there is no Redis in it
		}
	}
	if peer == "embedded" {
		delete(metrics, "redis")
		delete(metrics, "both")
		delete(metrics, "calls")
	}
	if l := done.Latencies; len(l) > 0 {
		slices.Sort(l)
		metrics["p50"], metrics["p99"] = l[len(l)/2], l[len(l)*99/100]
	}
	return metrics, done, nil
}

func infoNumber(ctx context.Context, rdb *redis.Client, section, name string) (float64, error) {
	text, err := rdb.Info(ctx, section).Result()
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(text, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r")
	return strconv.ParseFloat(value, 64)
}

// redisCPU is the time that the server has worked.
func redisCPU(ctx context.Context, rdb *redis.Client) (time.Duration, error) {
	var sum float64
	for _, name := range []string{"used_cpu_user", "used_cpu_sys"} {
		v, err := infoNumber(ctx, rdb, "cpu", name)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return time.Duration(sum * 1e9), nil
}

// cpuOf is the time that a process has worked, from the kernel's clock of it.
func cpuOf(pid int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED of linux/posix-timers.h
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("bench: CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
