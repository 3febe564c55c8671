package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
)

// The tables in docs/performance.md begin and end with these lines.
const (
	tableBegins = "<!-- scripts/bench queues --update-docs writes from here -->"
	storeBegins = "<!-- scripts/bench queues --update-docs writes the store's from here -->"
	tableEnds   = "<!-- to here -->"
)

// table shows the medians of all peers, and then the targets.
func table(all []result) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, peer := range peers {
		fmt.Fprintf(&b, " %s |", titles[peer])
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(peers)) + "\n")
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
			b.WriteString("\n")
		}
	}
	checked, faults := 0, 0
	for _, res := range all {
		checked += res.Checked
		faults += res.Faults.Total()
	}
	fmt.Fprintf(&b, "\nOf Roomcast and the streams %d messages were checked one by one: %d faults.\n", checked, faults)
	return b.String() + targetsTable(all)
}

// updateDocs puts the tables into the file, those that there are.
func updateDocs(name string, all []result, store, fsync string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	text := string(b)
	if len(all) > 0 {
		if text, err = replace(text, tableBegins, peersTable(all, fsync)); err != nil {
			return fmt.Errorf("bench: %s: %w", name, err)
		}
	}
	if store != "" {
		if text, err = replace(text, storeBegins, store); err != nil {
			return fmt.Errorf("bench: %s: %w", name, err)
		}
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// replace puts a table where one is.
func replace(text, begins, table string) (string, error) {
	before, rest, ok := strings.Cut(text, begins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		return "", fmt.Errorf("the lines %q and %q, between which a table goes, are missing", begins, tableEnds)
	}
	return before + begins + "\n\n" + table + "\n" + tableEnds + after, nil
}

// peersTable is the table with what it was measured on.
func peersTable(all []result, fsync string) string {
	rounds := 0
	for _, res := range all {
		rounds = max(rounds, res.Round)
	}
	file := "no append-only file"
	if fsync != "" {
		file = "appendfsync " + fsync
	}
	var b strings.Builder
	const minute = "2006-01-02 15:04"
	fmt.Fprintf(&b, "Measured %s to %s UTC, medians of up to %d rounds, on %d cores, %s, Redis with %s.\n", all[0].Time.Format(minute),
		all[len(all)-1].Time.Format(minute), rounds, runtime.NumCPU(), runtime.Version(), file)
	if slices.ContainsFunc(all, func(r result) bool { return r.Quick }) {
		b.WriteString("**Some of these are short runs (`--quick`): they show that it works, not how fast.**\n")
	}
	b.WriteString("\n" + table(all))
	for _, res := range all {
		if res.Error != "" {
			fmt.Fprintf(&b, "\n- %s, %s, round %d: %s", res.Scenario, titles[res.Peer], res.Round, res.Error)
		}
	}
	return b.String()
}
