package main

import (
	"fmt"
	"math"
	"strings"
)

// line is a row of the table with its figures. node is the other server's.
type line struct {
	title      string
	unit       string
	node, ours span
	ratio      float64 // NaN: one of them is missing
	must       string
	stretch    string
	verdict    string  // "stretch", "pass", "MISS", "" where nothing is demanded
	generator  float64 // µs of the generator for each of ours
}

// lines compares the runs in rs against two servers.
func (rs *results) lines(theirs, ours kind) (list []line) {
	for _, sc := range scenarios {
		for _, row := range sc.rows {
			l := line{title: sc.title + ": " + row.title, unit: row.unit}
			l.node = rs.metric(sc.name, row.metric, theirs, row.scale)
			l.ours = rs.metric(sc.name, row.metric, ours, row.scale)
			if l.node.n == 0 && l.ours.n == 0 {
				continue
			}
			l.ratio = ratioOf(l.node.median, l.ours.median)
			if row.metric == "cpu" {
				l.generator = rs.metric(sc.name, "generator", ours, row.scale).median
				if l.ours.n == 0 {
					l.generator = rs.metric(sc.name, "generator", theirs, row.scale).median
				}
			}
			l.must, l.stretch = row.target.text(row.target.must), row.target.text(row.target.stretch)
			l.verdict = row.target.verdict(l)
			list = append(list, l)
		}
	}
	return list
}

// ratioOf is NaN where either is 0, or missing.
func ratioOf(node, ours float64) float64 {
	if node == 0 || ours == 0 {
		return math.NaN()
	}
	return ours / node
}

func (t target) text(limit float64) string {
	switch t.kind {
	case ratio:
		return fmt.Sprintf("≤ %.2f × Node", limit)
	case atMost:
		return fmt.Sprintf("≤ %g", limit)
	case atLeast:
		return fmt.Sprintf("≥ %g", limit)
	}
	return ""
}

func (t target) verdict(l line) string {
	value := l.ours.median
	if t.kind == ratio {
		value = l.ratio
	}
	within := func(limit float64) bool {
		if t.kind == atLeast {
			return value >= limit
		}
		return value <= limit
	}
	switch {
	case t.kind == none || l.ours.n == 0 || math.IsNaN(value):
		return ""
	case within(t.stretch):
		return "stretch"
	case within(t.must):
		return "pass"
	}
	return "MISS"
}

// header and cells are the table's columns.
var header = []string{"scenario", "unit", "Node", "Roomcast", "ratio", "must", "stretch", "verdict", "generator"}

func (l line) cells() []string {
	return []string{
		l.title, l.unit, l.node.text(), l.ours.text(),
		dash(!math.IsNaN(l.ratio), l.ratio), l.must, l.stretch, l.verdict, dash(l.generator > 0, l.generator),
	}
}

func dash(known bool, v float64) string {
	if !known {
		return "–"
	}
	return figure(v)
}

// text is "median (min–max)".
func (s span) text() string {
	switch s.n {
	case 0:
		return "–"
	case 1:
		return figure(s.median)
	}
	return fmt.Sprintf("%s (%s–%s)", figure(s.median), figure(s.min), figure(s.max))
}

// figure writes v with three significant digits.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 1:
		return fmt.Sprintf("%.3f", v)
	case a < 10:
		return fmt.Sprintf("%.2f", v)
	case a < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// faultLines are the table's last lines: what must be 0.
func (rs *results) faultLines() (list [][]string) {
	ours, brokenOurs := rs.faults(roomcast)
	theirs, brokenTheirs := rs.faults(node)
	measured := len(rs.versions(roomcast)) > 0
	for _, f := range []struct {
		title        string
		theirs, ours int
	}{
		{"failed handshakes, all runs", theirs.Handshakes, ours.Handshakes},
		{"lost connections, all runs", theirs.Lost, ours.Lost},
		{"wrong or missing answers, all runs", theirs.Wrong, ours.Wrong},
		{"runs that broke off", brokenTheirs, brokenOurs},
	} {
		verdict := "pass"
		if f.ours > 0 {
			verdict = "MISS"
		}
		if !measured {
			verdict = ""
		}
		list = append(list, []string{f.title, "", fmt.Sprint(f.theirs), fmt.Sprint(f.ours), "", "0", "", verdict, ""})
	}
	return list
}

// table is all of it as Markdown.
func (rs *results) table() string {
	var tables []string
	if len(rs.versions(node))+len(rs.versions(roomcast)) > 0 {
		rows := [][]string{header}
		for _, l := range rs.lines(node, roomcast) {
			rows = append(rows, l.cells())
		}
		tables = append(tables, markdown(append(rows, rs.faultLines()...)))
	}
	if len(rs.versions(googollee))+len(rs.versions(compat)) > 0 {
		rows := [][]string{{"clients of version 2", "unit", "googollee", "Roomcast in its place", "ratio"}}
		for _, l := range rs.lines(googollee, compat) {
			rows = append(rows, []string{l.title, l.unit, l.node.text(), l.ours.text(), dash(!math.IsNaN(l.ratio), l.ratio)})
		}
		theirs, brokenTheirs := rs.faults(googollee)
		ours, brokenOurs := rs.faults(compat)
		rows = append(rows,
			[]string{"faults, all runs", "", fmt.Sprint(theirs.Total()), fmt.Sprint(ours.Total()), ""},
			[]string{"runs that broke off", "", fmt.Sprint(brokenTheirs), fmt.Sprint(brokenOurs), ""})
		tables = append(tables, markdown(rows))
	}
	return strings.Join(tables, "\n")
}

// markdown writes a table, padded so that it also reads well as text. The first
// row is the header.
func markdown(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, cells := range rows {
		for i, cell := range cells {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	write := func(cells []string, pad string) {
		for i, cell := range cells {
			fmt.Fprintf(&b, "| %s%s ", cell, strings.Repeat(pad, widths[i]-len([]rune(cell))))
		}
		b.WriteString("|\n")
	}
	write(rows[0], " ")
	write(make([]string, len(rows[0])), "-")
	for _, cells := range rows[1:] {
		write(cells, " ")
	}
	return b.String()
}
