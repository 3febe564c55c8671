package main

import (
	"flag"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/roomcast/roomcast/internal/redistest"
)

// TestMain lets the test's own program be the nodes.
func TestMain(m *testing.M) {
	if runPart() {
		return
	}
	_ = flag.Set("test.parallel", "4") // they wait most of the time
	os.Exit(m.Run())
}

// TestShort runs each scenario in short form.
func TestShort(t *testing.T) {
	redistest.Need(t)
	for name, o := range map[string]options{
		"jitter":           {clients: 60, rate: 20, duration: 2 * time.Second},
		"avalanche":        {clients: 150, rate: 20},
		"nemesis-single":   {clients: 40, rate: 60, duration: 5 * time.Second},
		"nemesis-sentinel": {clients: 40, rate: 60, duration: 2 * time.Second},
		"nemesis-cluster":  {clients: 40, rate: 60, duration: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "nemesis") {
				t.Parallel() // most of it is waiting
			}
			o.nodes, o.maxLen, o.say = 3, 1_000_000, t.Logf
			if err := scenarios[name](o); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestToxics has links to Redis that are slow, narrow, torn and cut up, by Toxiproxy.
func TestToxics(t *testing.T) {
	redistest.Need(t)
	path := t.TempDir() + "/toxics"
	if out, err := exec.Command("go", "build", "-C", "../toxics", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("Toxiproxy can't be built here: %v: %s", err, out)
	}
	t.Setenv(toxicsEnv, path)
	o := options{clients: 40, rate: 60, duration: 7 * time.Second, nodes: 3, maxLen: 1_000_000, only: "toxic", say: t.Logf}
	if err := scenarios["nemesis-single"](o); err != nil {
		t.Error(err)
	}
}

// TestQueues runs the chaos of queues and inboxes in short form, over each store. Package history tests that its checker
// sees what is wrong.
func TestQueues(t *testing.T) {
	for _, name := range []string{"queues-embedded", "queues-power", "queues-redis", "queues-everysec", "queues-cluster"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			o := options{clients: 32, nodes: 3, rate: 600, duration: 5 * time.Second, say: t.Logf}
			switch name {
			case "queues-embedded":
			case "queues-power":
				o.duration, o.only = 3*time.Second, "power"
			case "queues-cluster":
				redistest.Need(t)
				o.only = "slot"
			default:
				redistest.Need(t)
			}
			if err := scenarios[name](o); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCheck: the checker sees what is wrong.
func TestCheck(t *testing.T) {
	began := time.Now()
	var stream []sent
	for i := range 10 {
		stream = append(stream, sent{0, i, began.Add(time.Second), i%3 - 1, strconv.Itoa(i)}) // to all, r0, r1
	}
	ev := func(n, segment int) event { return event{0, n, strconv.Itoa(n), segment} }
	for name, test := range map[string]struct {
		got                   []event
		segments              int
		lost, twice, disorder int
		missed                int
	}{
		"everything":        {[]event{ev(0, 0), ev(1, 0), ev(3, 0), ev(4, 0), ev(6, 0), ev(7, 0), ev(9, 0)}, 1, 0, 0, 0, 0},
		"one is missing":    {[]event{ev(0, 0), ev(1, 0), ev(4, 0), ev(6, 0), ev(7, 0), ev(9, 0)}, 1, 1, 0, 0, 1},
		"the end":           {[]event{ev(0, 0), ev(1, 0), ev(3, 0)}, 1, 4, 0, 0, 4},
		"twice":             {[]event{ev(0, 0), ev(0, 0), ev(1, 0), ev(3, 0), ev(4, 0), ev(6, 0), ev(7, 0), ev(9, 0)}, 1, 0, 1, 0, 0},
		"swapped":           {[]event{ev(1, 0), ev(0, 0), ev(3, 0), ev(4, 0), ev(6, 0), ev(7, 0), ev(9, 0)}, 1, 0, 0, 1, 0},
		"another's":         {[]event{ev(0, 0), ev(1, 0), ev(2, 0), ev(3, 0), ev(4, 0), ev(6, 0), ev(7, 0), ev(9, 0)}, 1, 0, 0, 1, 0},
		"a fresh session":   {[]event{ev(0, 0), ev(4, 1), ev(6, 1), ev(7, 1), ev(9, 1)}, 2, 3, 0, 0, 2}, // all were sent after it had begun
		"nothing, and owed": {nil, 1, 7, 0, 0, 7},
		"a fork":            {[]event{ev(0, 0), {0, 1, "9-0", 0}, {0, 5, "9-1", 0}, ev(9, 1)}, 2, 6, 0, 1, 4}, // the next session is owed all; and event 5 was not for it
		"over a fork":       {[]event{ev(0, 0), {0, 1, "9-0", 0}, ev(3, 0), ev(4, 0), ev(6, 0), ev(7, 0), ev(9, 0)}, 1, 1, 0, 6, 0},
	} {
		c := &client{got: test.got}
		for range test.segments {
			c.segments = append(c.segments, began)
		}
		v := check(stream, []*client{c})
		if v.lost != test.lost || v.twice != test.twice || v.disorder != test.disorder || v.missed != test.missed {
			t.Errorf("%s: lost %d, twice %d, out of order %d, missed %d", name, v.lost, v.twice, v.disorder, v.missed)
		}
	}
}
