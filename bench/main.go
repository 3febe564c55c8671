// Command bench measures Roomcast beside the official Node server: the same
// application, the same load, one machine, in turns. scripts/bench runs it;
// docs/performance.md has the method and the figures.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roomcast/roomcast/bench/load"
	"github.com/roomcast/roomcast/bench/redisd"
)

func main() {
	if err := bench(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func bench(args []string) error {
	flags := flag.NewFlagSet("scripts/bench", flag.ExitOnError)
	root := flags.String("root", "..", "folder of the repository")
	rounds := flags.Int("rounds", 5, "runs of each scenario against each server")
	quick := flags.Bool("quick", false, "one short round: shows that all works, not how fast")
	servers := flags.String("servers", "node,roomcast", "which servers, in this order: also googollee and compat, which skip the scenarios that they can't play")
	profile := flags.String("profile", "", "run this scenario once against Roomcast and print its CPU profile")
	update := flags.Bool("update-docs", false, "write the figures to bench/results and docs/performance.md; scenarios that are not run keep theirs")
	list := flags.Bool("list", false, "list the scenarios")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), "usage: scripts/bench [flags] [scenario...]\n\n")
		flags.PrintDefaults()
		fmt.Fprintf(flags.Output(), "\nscenarios: %s\n", strings.Join(scenarioNames(), " "))
	}
	// Flags may follow scenarios.
	var names []string
	for {
		if err := flags.Parse(args); err != nil {
			return err
		}
		if args = flags.Args(); len(args) == 0 {
			break
		}
		names, args = append(names, args[0]), args[1:]
	}

	if *list {
		for _, sc := range scenarios {
			fmt.Printf("%-17s %s\n", sc.name, sc.title)
		}
		return nil
	}
	if err := raiseFiles(); err != nil {
		return err
	}
	if *profile != "" {
		i := slices.Index(scenarioNames(), *profile)
		if i < 0 {
			return fmt.Errorf("bench: no scenario %q: choose one of %s", *profile, strings.Join(scenarioNames(), " "))
		}
		return profileRun(*root, scenarios[i], *quick)
	}
	chosen, err := choose(names)
	if err != nil {
		return err
	}
	if *quick {
		*rounds = 1
	}
	var kinds []kind
	for name := range strings.SplitSeq(*servers, ",") {
		kinds = append(kinds, kind(name))
	}

	fresh := &results{Machine: thisMachine()}
	for _, sc := range chosen {
		if sc.adapter != "" && !redisd.Available() {
			fmt.Printf("%-17s skipped: it needs redis-server, which is not installed\n", sc.name)
			continue
		}
		n := *rounds
		if sc.rounds > 0 {
			n = min(n, sc.rounds)
		}
		for round := 1; round <= n; round++ {
			for _, k := range kinds {
				if k.version2() && !sc.version2 {
					continue
				}
				res, err := measure(*root, sc, k, round, *quick, nil)
				if err != nil {
					return err
				}
				fmt.Println(summary(sc, res))
				fresh.Runs = append(fresh.Runs, res)
			}
			slices.Reverse(kinds) // who goes first may matter
		}
	}
	fmt.Println("\n" + fresh.table())
	if *update {
		if err := publish(*root, fresh); err != nil {
			return err
		}
	}
	for _, k := range []kind{roomcast, compat} {
		if sum, broken := fresh.faults(k); sum.Total() > 0 || broken > 0 {
			return fmt.Errorf("bench: %d faults and %d broken runs against Roomcast", sum.Total(), broken)
		}
	}
	return nil
}

// measure runs a scenario once, against a fresh server. An error means that
// there was no server; what happens later is part of the result.
func measure(root string, sc scenario, k kind, round int, quick bool, p *profile) (result, error) {
	res := result{
		Time: time.Now().UTC().Truncate(time.Second), Scenario: sc.name, Server: k,
		Round: round, Quick: quick, Metrics: map[string]float64{},
	}
	var o options
	if sc.options != nil {
		o = sc.options(quick)
	}
	r := &run{quick: quick, profile: p, metrics: res.Metrics}
	var err error
	if sc.adapter == "" {
		var alone *process
		if alone, err = start(root, k, o); err == nil {
			r.nodes = []*process{alone}
		}
	} else {
		if r.redis, r.nodes, err = startCluster(root, k, o, sc.adapter); err == nil {
			r.alone, err = start(root, k, o)
		}
	}
	if r.redis != nil {
		defer r.redis.Stop()
	}
	for _, node := range r.nodes {
		defer node.stop()
	}
	if r.alone != nil {
		defer r.alone.stop()
	}
	if err != nil {
		return res, err
	}
	server := r.nodes[0]
	if res.Version = server.Version; k == roomcast || k == compat {
		res.Version = commit(root) + ", " + server.Version
	}
	loop, err := load.New()
	if err != nil {
		return res, err
	}
	defer loop.Close()
	loop.Version2 = k.version2()
	r.server, r.loop = server, loop
	if err := sc.run(r); err != nil {
		res.Error = err.Error()
	}
	res.Faults = loop.Faults
	return res, nil
}

// summary is a line about a run.
func summary(sc scenario, res result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-17s round %d  %-9s", res.Scenario, res.Round, res.Server)
	for _, row := range sc.rows {
		if v, ok := res.Metrics[row.metric]; ok {
			if row.scale > 0 {
				v *= row.scale
			}
			fmt.Fprintf(&b, "  %s %s %s", row.metric, figure(v), row.unit)
		}
	}
	if sc.rows[0].metric == "cpu" {
		fmt.Fprintf(&b, "  %.0f/s, generator %s µs", res.Metrics["rate"], figure(res.Metrics["generator"]))
	}
	if what := res.trouble(); what != "" {
		fmt.Fprintf(&b, "  FAULT: %s", what)
	}
	return b.String()
}

// publish merges the runs into the newest results and writes both files.
func publish(root string, fresh *results) error {
	dir := filepath.Join(root, "bench", "results")
	all, err := newest(dir)
	if err != nil {
		return err
	}
	all.moveTo(fresh.Machine)
	all.replace(fresh.Runs)
	if err := all.save(filepath.Join(dir, time.Now().UTC().Format(time.DateOnly)+".json")); err != nil {
		return err
	}
	return all.updateDocs(filepath.Join(root, "docs", "performance.md"))
}

// raiseFiles raises the limit of open files to what is allowed, for this
// process and the servers it starts.
func raiseFiles() error {
	const need = 10_500
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	if limit.Max < need {
		fmt.Fprintf(os.Stderr, "bench: at most %d open files are allowed and 10,000 connections need %d: run `ulimit -n %d` as root first\n", limit.Max, need, need)
	}
	return nil
}
