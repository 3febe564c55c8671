package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// The table in docs/performance.md is between these lines.
const (
	tableBegins = "<!-- scripts/bench --update-docs writes from here -->"
	tableEnds   = "<!-- to here -->"
)

// updateDocs puts rs into the file.
func (rs *results) updateDocs(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		return fmt.Errorf("bench: %s: the lines %q and %q, between which the table goes, are missing", name, tableBegins, tableEnds)
	}
	return os.WriteFile(name, []byte(before+tableBegins+"\n\n"+rs.section()+"\n"+tableEnds+after), 0o644)
}

// section is what the page says of the runs.
func (rs *results) section() string {
	var b strings.Builder
	rounds := 0
	first, last := rs.Runs[0].Time, rs.Runs[0].Time
	for _, r := range rs.Runs {
		rounds = max(rounds, r.Round)
		if r.Time.Before(first) {
			first = r.Time
		}
		if r.Time.After(last) {
			last = r.Time
		}
	}
	const format = "2006-01-02 15:04"
	fmt.Fprintf(&b, "Measured %s to %s UTC, up to %d rounds.\n\n", first.UTC().Format(format), last.UTC().Format(format), rounds)
	fmt.Fprintf(&b, "- Machine: %s\n", rs.Machine)
	for _, m := range rs.otherMachines() {
		var there []string
		for _, r := range rs.Runs {
			if r.Machine != nil && *r.Machine == m && !slices.Contains(there, r.Scenario) {
				there = append(there, r.Scenario)
			}
		}
		fmt.Fprintf(&b, "- On another machine, %s: %s\n", m, strings.Join(there, ", "))
	}
	fmt.Fprintf(&b, "- Node: %s\n", strings.Join(rs.versions(node), "; "))
	fmt.Fprintf(&b, "- Roomcast: %s\n", strings.Join(rs.versions(roomcast), "; "))
	if list := rs.versions(googollee); len(list) > 0 {
		fmt.Fprintf(&b, "- googollee: %s; Roomcast in its place: %s\n", strings.Join(list, "; "), strings.Join(rs.versions(compat), "; "))
	}
	if slices.ContainsFunc(rs.Runs, func(r result) bool { return r.Quick }) {
		b.WriteString("- **Some of these are short runs (`--quick`): they show that it works, not how fast.**\n")
	}
	b.WriteString("\n" + rs.table())
	for _, r := range rs.Runs {
		if what := r.trouble(); what != "" {
			fmt.Fprintf(&b, "\n- %s, %s, round %d: %s", r.Scenario, r.Server, r.Round, what)
		}
	}
	return b.String()
}

func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %d GiB, Linux %s", m.CPU, m.Cores, m.Memory, m.Kernel)
}

// otherMachines are those of runs that were not on the file's.
func (rs *results) otherMachines() (list []machine) {
	for _, r := range rs.Runs {
		if r.Machine != nil && !slices.Contains(list, *r.Machine) {
			list = append(list, *r.Machine)
		}
	}
	return list
}

// trouble describes what went wrong in a run, "" if nothing did.
func (r result) trouble() string {
	switch n := r.Faults.Total(); {
	case r.Error != "":
		return r.Error
	case n > 0:
		return fmt.Sprintf("%d faults, the first: %s", n, r.Faults.First)
	}
	return ""
}
