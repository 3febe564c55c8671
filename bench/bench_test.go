package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/roomcast/roomcast/bench/load"
)

// An answer counts only if it is the one to an open question.
func TestEchoChecksAnswers(t *testing.T) {
	faults := new(load.Faults)
	e := &echoer{
		echo:    echo{conns: 1, inFlight: 11},
		open:    []uint64{1<<2 | 1<<10},
		answers: make([][]byte, 11),
		faults:  faults,
	}
	e.answers[2], e.answers[10] = []byte(`32["a"]`), []byte(`310["a"]`)
	s := &load.Socket{}
	for _, good := range []string{`32["a"]`, `310["a"]`} {
		if e.message(s, []byte(good), false); faults.Total() != 0 {
			t.Fatalf("%s: %+v", good, faults)
		}
	}
	if e.answered != 2 || e.open[0] != 0 || e.again != 1<<2|1<<10 {
		t.Errorf("answered %d, open %b, again %b", e.answered, e.open[0], e.again)
	}
	for i, bad := range []string{`32["a"]`, `32["b"]`, `311["a"]`, `3["a"]`, `2["a"]`, `3999999999999999999999["a"]`} {
		if e.message(s, []byte(bad), false); faults.Wrong != i+1 {
			t.Errorf("%s passed", bad)
		}
	}
}

// A member must get every broadcast once and in order.
func TestHallChecksOrder(t *testing.T) {
	r := &run{loop: new(load.Loop)}
	h := &hall{r: r, next: make([]int, 1), awaited: 1, prefix: []byte(`2["cast","`), suffix: []byte(`xx"]`), sent: 3}
	h.left = [64]int{1, 1, 1}
	s := &load.Socket{}
	h.message(s, []byte(`2["cast","00000000xx"]`))
	h.message(s, []byte(`2["cast","00000001xx"]`))
	if h.done != 2 || r.loop.Faults.Total() != 0 {
		t.Fatalf("%d done, %+v", h.done, r.loop.Faults)
	}
	for i, bad := range []string{
		`2["cast","00000001xx"]`, `2["cast","00000003xx"]`, `2["cast","00000002xy"]`, `2["cast","0000`, `2["other","00000002xx"]`,
	} {
		if h.message(s, []byte(bad)); r.loop.Faults.Wrong != i+1 || h.done != 2 {
			t.Errorf("%s passed", bad)
		}
	}
}

// "cluster" is all of the scenarios of two nodes; each names its adapter.
func TestClusterScenarios(t *testing.T) {
	list, err := choose([]string{"cluster"})
	if err != nil || len(list) != 4 {
		t.Fatalf("%d scenarios, %v", len(list), err)
	}
	for _, sc := range list {
		if (sc.adapter != classic && sc.adapter != streams) || sc.version2 || len(sc.name) > 17 {
			t.Errorf("%s: adapter %q, version2 %v", sc.name, sc.adapter, sc.version2)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		target     target
		node, ours float64
		want       string
	}{
		{target{0.5, 0.4, ratio}, 10, 4, "stretch"},
		{target{0.5, 0.4, ratio}, 10, 4.5, "pass"},
		{target{0.5, 0.4, ratio}, 10, 5.1, "MISS"},
		{target{0.5, 0.4, ratio}, 0, 5.1, ""},
		{target{6.5, 5, atMost}, 15, 5, "stretch"},
		{target{6.5, 5, atMost}, 15, 6.6, "MISS"},
		{target{0.8, 0.9, atLeast}, 1, 0.85, "pass"},
		{target{0.8, 0.9, atLeast}, 1, 0.7, "MISS"},
		{target{0, 0, atMost}, 0, 0, "stretch"},
		{target{}, 1, 1, ""},
	} {
		l := line{node: span{median: tt.node, n: 1}, ours: span{median: tt.ours, n: 1}, ratio: ratioOf(tt.node, tt.ours)}
		if got := tt.target.verdict(l); got != tt.want {
			t.Errorf("%+v, Node %g, ours %g: %q, want %q", tt.target, tt.node, tt.ours, got, tt.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	list := []float64{1, 2, 3, 4}
	if a, b, c := quantile(list, 0.25), quantile(list, 0.5), quantile(list, 1); a != 1 || b != 2 || c != 4 {
		t.Error(a, b, c)
	}
}

func TestSpan(t *testing.T) {
	if got := spanOf([]float64{4, 1, 3, 2}); got != (span{2.5, 1, 4, 4}) {
		t.Errorf("even: %+v", got)
	}
	if got := spanOf([]float64{5, 1, 3}); got != (span{3, 1, 5, 3}) {
		t.Errorf("odd: %+v", got)
	}
}

func TestChoose(t *testing.T) {
	list, err := choose([]string{"stuck", "echo"})
	if err != nil || len(list) != 7 || list[0].name != "echo-100" || list[6].name != "stuck" {
		t.Errorf("%d scenarios, %v", len(list), err)
	}
	if _, err := choose([]string{"ech"}); err == nil || !strings.Contains(err.Error(), "echo-100") {
		t.Errorf("unknown name: %v", err)
	}
}

// New runs replace those of their scenario, and the page gets one table.
func TestPublish(t *testing.T) {
	root := t.TempDir()
	page := filepath.Join(root, "docs", "performance.md")
	for _, dir := range []string{filepath.Dir(page), filepath.Join(root, "bench", "results")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(page, []byte("before\n"+tableBegins+"\nold\n"+tableEnds+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The results of scripts/bench queues are in the same folder, and are last by name.
	if err := os.WriteFile(filepath.Join(root, "bench", "results", "queues-2026-11-27.json"), []byte(`[]`), 0o644); err != nil {
		t.Fatal(err)
	}
	runs := func(scenario string, us float64, faults load.Faults) *results {
		rs := new(results)
		for _, k := range []kind{node, roomcast} {
			rs.Runs = append(rs.Runs, result{
				Time: time.Unix(0, 0), Scenario: scenario, Server: k, Version: string(k) + " 1", Round: 1,
				Metrics: map[string]float64{"cpu": us}, Faults: faults,
			})
		}
		return rs
	}
	for _, rs := range []*results{
		runs("fanout-1000", 1234, load.Faults{}),
		runs("echo-100", 21, load.Faults{}),
		runs("fanout-1000", 77, load.Faults{Lost: 3, First: "socket 5: EOF"}),
		{Runs: []result{
			{Time: time.Unix(0, 0), Scenario: "echo-100", Server: googollee, Version: "gg 1", Round: 1, Metrics: map[string]float64{"cpu": 88.8}},
			{Time: time.Unix(0, 0), Scenario: "echo-100", Server: compat, Version: "our 1", Round: 1, Metrics: map[string]float64{"cpu": 22.2}},
		}},
	} {
		if err := publish(root, rs); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"before\n", "\nafter\n", "fan-out to 1,000: CPU", "21.0", "77.0", "MISS", "3 faults, the first: socket 5: EOF",
		"| googollee", "88.8", "22.2", "0.250", "googollee: gg 1; Roomcast in its place: our 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, stale := range []string{"old", "1234"} {
		if strings.Contains(text, stale) {
			t.Errorf("%q is still there", stale)
		}
	}
	if strings.Count(text, "| scenario") != 1 || strings.Index(text, "echo + ack") > strings.Index(text, "fan-out") {
		t.Errorf("table:\n%s", text)
	}
}

// Figures that stay when others are measured on another machine stay that machine's.
func TestMachines(t *testing.T) {
	one, two := machine{CPU: "one", Cores: 1}, machine{CPU: "two", Cores: 2}
	rs := &results{Machine: one, Runs: []result{{Scenario: "idle", Server: node}, {Scenario: "echo-100", Server: node}}}
	rs.moveTo(two)
	rs.replace([]result{{Scenario: "idle", Server: node}})
	text := rs.section()
	for _, want := range []string{"- Machine: two, 2 cores", "- On another machine, one, 1 cores, 0 GiB, Linux : echo-100\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	rs.moveTo(one)
	if len(rs.otherMachines()) != 1 || rs.otherMachines()[0] != two {
		t.Errorf("back on the first: %v", rs.otherMachines())
	}
}
