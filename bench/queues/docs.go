package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// The table in docs/performance.md is between these lines.
const (
	tableBegins = "<!-- scripts/bench queues --update-docs writes from here -->"
	tableEnds   = "<!-- to here -->"
)

// table shows the medians of all peers, and ours relative to the others.
func table(all []result) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, peer := range peers {
		fmt.Fprintf(&b, " %s |", titles[peer])
	}
	b.WriteString(" no sockets ÷ asynq, BullMQ | over WebSocket, Redis ÷ asynq, BullMQ |\n|---|" + strings.Repeat("---|", len(peers)+2) + "\n")
	for _, sc := range scenarios {
		for _, metric := range sc.metrics {
			values := map[string]float64{}
			found := false
			for _, peer := range peers {
				values[peer] = median(all, sc.name, metric, peer)
				found = found || values[peer] != 0
			}
			if !found {
				continue
			}
			fmt.Fprintf(&b, "| %s: %s |", sc.title, units[metric])
			for _, peer := range peers {
				fmt.Fprintf(&b, " %s |", figure(values[peer]))
			}
			for _, own := range []string{"roomcast", "sockets"} {
				fmt.Fprintf(&b, " %s, %s |", ratio(values[own], values["asynq"]), ratio(values[own], values["bullmq"]))
			}
			b.WriteString("\n")
		}
	}
	checked, faults := 0, 0
	for _, res := range all {
		checked += res.Checked
		faults += res.Faults.Total()
	}
	fmt.Fprintf(&b, "\nOver WebSocket %d messages were checked one by one: %d faults.\n", checked, faults)
	return b.String()
}

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return "–"
	}
	return figure(a / b)
}

// updateDocs puts the table into the file.
func updateDocs(name string, all []result, fsync string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		return fmt.Errorf("bench: %s: the lines %q and %q, between which the table goes, are missing", name, tableBegins, tableEnds)
	}
	rounds := 0
	for _, res := range all {
		rounds = max(rounds, res.Round)
	}
	file := "no append-only file"
	if fsync != "" {
		file = "appendfsync " + fsync
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s UTC, medians of %d rounds, on %d cores, %s, Redis with %s.\n", all[len(all)-1].Time.Format("2006-01-02 15:04"),
		rounds, runtime.NumCPU(), runtime.Version(), file)
	if slices.ContainsFunc(all, func(r result) bool { return r.Quick }) {
		b.WriteString("**Some of these are short runs (`--quick`): they show that it works, not how fast.**\n")
	}
	b.WriteString("\n" + table(all))
	for _, res := range all {
		if res.Error != "" {
			fmt.Fprintf(&b, "\n- %s, %s, round %d: %s", res.Scenario, titles[res.Peer], res.Round, res.Error)
		}
	}
	return os.WriteFile(name, []byte(before+tableBegins+"\n\n"+b.String()+"\n"+tableEnds+after), 0o644)
}
