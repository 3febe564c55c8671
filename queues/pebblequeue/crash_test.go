package pebblequeue

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roomcast/roomcast/queues"
)

// world is a store under load that keeps books: what was answered, and so must hold after a crash.
type world struct {
	mu        sync.Mutex
	published map[string]bool // stored, by its word
	asked     map[string]bool // published, with or without an answer
	settled   map[string]bool // deleted, by its word
	settling  map[string]bool // asked to
	entries   map[string]uint64
	acked     uint64
	ackAsked  uint64
}

func newWorld() *world {
	return &world{published: map[string]bool{}, asked: map[string]bool{}, settled: map[string]bool{},
		settling: map[string]bool{}, entries: map[string]uint64{}}
}

func (w *world) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// produce publishes messages and entries until the store fails.
func (w *world) produce(s *Store, who string) {
	ctx := context.Background()
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", who, i)
		c := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{{ID: id, Payload: queues.Payload{JSON: []byte(`"` + id + `"`)}}}}
		w.note(func() { w.asked[id] = true })
		s.Publish(ctx, []*queues.PublishCall{c})
		if c.Err != nil {
			return
		}
		w.note(func() { w.published[id] = true })
		if i%4 != 0 {
			continue
		}
		a := &queues.AppendCall{Inbox: "inbox", Limits: queues.InboxLimits{MaxLen: 1 << 20, MaxBytes: 1 << 40, TTL: time.Hour, Overflow: queues.RejectNew},
			Entries: []*queues.Entry{{Payload: queues.Payload{JSON: []byte(`"` + id + `"`)}}}}
		s.Append(ctx, []*queues.AppendCall{a})
		if a.Err != nil {
			return
		}
		w.note(func() { w.entries[id] = a.Results[0].Seq })
	}
}

// consume claims and settles until the store fails.
func (w *world) consume(s *Store, r *rand.Rand) {
	ctx := context.Background()
	opened, err := s.Open(ctx, "inbox", queues.Owner{Node: "n", Number: 1}, nil, false, queues.InboxLimits{})
	for err == nil {
		c := &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 1 + r.IntN(8)}}}
		s.Claim(ctx, []*queues.ClaimCall{c})
		if c.Err != nil {
			return
		}
		sc := &queues.SettleCall{Queue: "q"}
		for _, m := range c.Wants[0].Got {
			item := queues.Settlement{Ref: m.Ref(), Outcome: queues.Ack}
			switch r.IntN(8) {
			case 0:
				item.Outcome = queues.Release
			case 1:
				item.Outcome, item.Delay = queues.Nack, -1
			default:
				w.note(func() { w.settling[m.ID] = true })
			}
			sc.Items = append(sc.Items, item)
		}
		s.Settle(ctx, []*queues.SettleCall{sc})
		if sc.Err != nil {
			return
		}
		for i, m := range c.Wants[0].Got {
			if sc.Items[i].Outcome == queues.Ack && sc.Results[i] == nil {
				w.note(func() { w.settled[m.ID] = true })
			}
		}
		if r.IntN(10) == 0 {
			rc := &queues.ReadCall{Inbox: "inbox", Owner: queues.Owner{Node: "n", Number: 1}, Max: 3}
			s.Read(ctx, []*queues.ReadCall{rc})
			if rc.Err != nil || len(rc.Entries) == 0 {
				continue
			}
			seq := rc.Entries[len(rc.Entries)-1].Seq
			w.note(func() { w.ackAsked = max(w.ackAsked, seq) })
			ac := &queues.AcknowledgeCall{Inbox: "inbox", Owner: queues.Owner{Node: "n", Number: 1}, At: queues.Position{Epoch: opened.Epoch, Seq: seq}}
			s.Acknowledge(ctx, []*queues.AcknowledgeCall{ac})
			if ac.Err == nil {
				w.note(func() { w.acked = max(w.acked, seq) })
			}
		}
	}
}

// check drains what a crash has left, and compares it with the books.
func (w *world) check(t *testing.T, s *Store) {
	t.Helper()
	left := map[string]int{}
	for {
		ms := claim(t, s, "q", 256)
		if len(ms) == 0 {
			break
		}
		for _, m := range ms {
			left[m.ID]++
		}
		for _, err := range settle(t, s, queues.Ack, ms...) {
			if err != nil {
				t.Error(err)
			}
		}
	}
	dead, err := s.Peek(t.Context(), "q", queues.Dead, 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range dead {
		left[m.ID]++
	}
	for id := range w.published {
		if left[id] == 0 && !w.settling[id] {
			t.Errorf("%s is lost", id)
		}
	}
	for id, n := range left {
		switch {
		case w.settled[id]:
			t.Errorf("%s is back, though it was settled", id)
		case n > 1:
			t.Errorf("%s is there %d times", id, n)
		case !w.asked[id]:
			t.Errorf("%s was never published", id)
		}
	}
	w.checkInbox(t, s)
}

func (w *world) checkInbox(t *testing.T, s *Store) {
	t.Helper()
	o := queues.Owner{Node: "n", Number: 2}
	opened, err := s.Open(t.Context(), "inbox", o, nil, false, queues.InboxLimits{})
	if err != nil {
		t.Fatal(err)
	}
	if opened.Acked < w.acked || opened.Acked > w.ackAsked || !opened.Recovered {
		t.Errorf("opened %+v, acknowledged %d to %d", opened, w.acked, w.ackAsked)
	}
	found := map[string]uint64{}
	next := opened.Acked
	for {
		rc := &queues.ReadCall{Inbox: "inbox", Owner: o, After: next, Max: 1000}
		s.Read(t.Context(), []*queues.ReadCall{rc})
		if rc.Err != nil {
			t.Fatal(rc.Err)
		}
		if len(rc.Entries) == 0 {
			break
		}
		for _, m := range rc.Entries {
			if next++; m.Seq != next {
				t.Fatalf("entry %d where %d should be", m.Seq, next)
			}
			found[strings.Trim(string(m.Payload.JSON), `"`)] = m.Seq
		}
	}
	for id, seq := range w.entries {
		if seq > opened.Acked && found[id] != seq {
			t.Errorf("entry %d is lost", seq)
		}
	}
}

// load puts a store under load for a while, and returns a function that waits for its end after the store
// has failed or was closed.
func (w *world) load(s *Store, seed uint64) (wait func()) {
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { w.produce(s, fmt.Sprint(seed, "-", i)) })
	}
	wg.Go(func() { w.consume(s, rand.New(rand.NewPCG(seed, 1))) })
	return wg.Wait
}

// rounds is how often a test crashes something: ROOMCAST_ROUNDS, or n.
func rounds(n int) int {
	if more, err := strconv.Atoi(os.Getenv("ROOMCAST_ROUNDS")); err == nil {
		return more
	}
	return n
}

// Power fails while a store is under load: what was not synced is lost, wholly or in parts.
func TestPowerLoss(t *testing.T) {
	for round := range rounds(6) {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			seed := uint64(round)
			r := rand.New(rand.NewPCG(seed, 2))
			fs := vfs.NewCrashableMem()
			w := newWorld()
			config := func() Config { return Config{FS: fs, MemTable: 128 << 10} } // flushes and compactions, too
			s, err := Open("data", config())
			if err != nil {
				t.Fatal(err)
			}
			s.Configure(t.Context(), "q", queues.Config{MaxFailures: -1, MaxAttempts: -1}.WithDefaults())
			for crash := range 3 { // the power fails again and again
				wait := w.load(s, seed*10+uint64(crash))
				time.Sleep(time.Duration(20+r.IntN(80)) * time.Millisecond)
				cfg := vfs.CrashCloneCfg{}
				if crash > 0 { // parts of what wasn't synced are there: torn tails
					cfg.UnsyncedDataPercent, cfg.RNG = r.IntN(100), r
				}
				w.mu.Lock() // the books are closed at the moment of the crash
				fs = fs.CrashClone(cfg)
				frozen := w.clone()
				w.mu.Unlock()
				s.Close()
				wait()
				w = frozen
				if s, err = Open("data", config()); err != nil {
					t.Fatal(err)
				}
			}
			w.check(t, s)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			t.Logf("%d stored, %d settled, %d entries", len(w.published), len(w.settled), len(w.entries))
		})
	}
}

func (w *world) clone() *world {
	c := newWorld()
	for id := range w.published {
		c.published[id] = true
	}
	for id := range w.asked {
		c.asked[id] = true
	}
	for id := range w.settled {
		c.settled[id] = true
	}
	for id := range w.settling {
		c.settling[id] = true
	}
	for id, seq := range w.entries {
		c.entries[id] = seq
	}
	c.acked, c.ackAsked = w.acked, w.ackAsked
	return c
}

const victimDir = "PEBBLEQUEUE_VICTIM_DIR"

// victim is a process that is killed: it serves itself, and says on its standard output what was answered.
func victim(dir string) {
	s, err := Open(dir, Config{MemTable: 256 << 10})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	seed, _ := strconv.ParseUint(os.Getenv("PEBBLEQUEUE_VICTIM_SEED"), 10, 64)
	ctx := context.Background()
	s.Configure(ctx, "q", queues.Config{MaxFailures: -1, MaxAttempts: -1}.WithDefaults())
	for i := range 4 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d-%d-%d", seed, i, n)
				os.Stdout.WriteString("publish " + id + "\n")
				c := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{{ID: id, Payload: queues.Payload{JSON: []byte("1")}}}}
				s.Publish(ctx, []*queues.PublishCall{c})
				if c.Err == nil {
					os.Stdout.WriteString("published " + id + "\n")
				}
			}
		}()
	}
	for {
		c := &queues.ClaimCall{Queue: "q", Node: "n", Wants: []queues.Want{{Messages: 3}}}
		s.Claim(ctx, []*queues.ClaimCall{c})
		for _, m := range c.Wants[0].Got {
			os.Stdout.WriteString("settle " + m.ID + "\n")
			sc := &queues.SettleCall{Queue: "q", Items: []queues.Settlement{{Ref: m.Ref(), Outcome: queues.Ack}}}
			s.Settle(ctx, []*queues.SettleCall{sc})
			if sc.Err == nil && sc.Results[0] == nil {
				os.Stdout.WriteString("settled " + m.ID + "\n")
			}
		}
	}
}

// A process is killed while its store is under load, again and again.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	w := newWorld()
	settledTwice := 0
	for round := range rounds(4) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), victimDir+"="+dir, "PEBBLEQUEUE_VICTIM_SEED="+strconv.Itoa(round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var timer *time.Timer
		for lines.Scan() {
			if timer == nil { // it was killed before its queue was there, where it was slow to start
				timer = time.AfterFunc(time.Duration(200+rand.IntN(300))*time.Millisecond, func() { cmd.Process.Kill() })
			}
			what, id, _ := strings.Cut(lines.Text(), " ")
			switch what {
			case "publish":
				w.asked[id] = true
			case "published":
				w.published[id] = true
			case "settle":
				w.settling[id] = true
			case "settled":
				if w.settled[id] {
					settledTwice++
				}
				w.settled[id] = true
			default:
				t.Fatal(lines.Text())
			}
		}
		cmd.Wait()
		if timer == nil {
			t.Fatal("the victim ended by itself")
		}
		timer.Stop()
	}
	if settledTwice > 0 {
		t.Errorf("%d were settled twice", settledTwice)
	}
	s := mustOpen(t, dir, Config{})
	w.ackAsked = 0
	w.check(t, s)
	t.Logf("%d stored, %d settled", len(w.published), len(w.settled))
}

// After a crash a message that may have been handed out says so.
func TestAttemptAfterACrash(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, "data", Config{FS: fs})
	s.Configure(t.Context(), "q", queues.Config{}.WithDefaults())
	publish(t, s, "q", "1", "2")
	before := claim(t, s, "q", 1)[0]
	after := mustOpen(t, "data", Config{FS: fs.CrashClone(vfs.CrashCloneCfg{})})
	// It said gone, as if the message were settled, until it was handed out again.
	if err := settle(t, after, queues.Ack, before)[0]; queues.CodeOf(err) != queues.CodeSuperseded {
		t.Errorf("before it is handed out again: %v", err)
	}
	m := claim(t, after, "q", 1)[0]
	if m.Seq != before.Seq || m.Attempt < 2 {
		t.Errorf("message %d, attempt %d", m.Seq, m.Attempt)
	}
	if m.Fence <= before.Fence {
		t.Errorf("fence %d after %d", m.Fence, before.Fence)
	}
	if err := settle(t, after, queues.Ack, before)[0]; queues.CodeOf(err) != queues.CodeSuperseded {
		t.Error(err)
	}
	results := publish(t, after, "q", "3")
	if results[0].Seq <= m.Seq+1 {
		t.Errorf("number %d again", results[0].Seq)
	}
}

// After an orderly end everything is known exactly.
func TestReopen(t *testing.T) {
	fs := vfs.NewMem()
	clock := newTestClock()
	open := func() *Store { return mustOpen(t, "data", Config{FS: fs, Now: clock.now}) }
	s := open()
	ctx := t.Context()
	s.Configure(ctx, "q", queues.Config{BackoffBase: time.Hour}.WithDefaults())
	s.Configure(ctx, "paused", queues.Config{}.WithDefaults())
	s.Pause(ctx, "paused", true, false)
	publish(t, s, "q", "0", "1", "2", "3", "4")
	ms := claim(t, s, "q", 4)
	settle(t, s, queues.Ack, ms[0])
	settle(t, s, queues.Nack, ms[1])
	settle(t, s, queues.Reject, ms[2]) // ms[3] is leased
	c := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{
		{ID: "id", Payload: queues.Payload{JSON: []byte("5")}},
		{Key: "k", Payload: queues.Payload{JSON: []byte("6")}},
		{Key: "k", Payload: queues.Payload{JSON: []byte("7")}},
		{Delay: time.Minute, Payload: queues.Payload{JSON: []byte("8")}},
		{TTL: time.Minute, Payload: queues.Payload{JSON: []byte("9")}},
	}}
	s.Publish(ctx, []*queues.PublishCall{c})
	secret, _ := s.Secret(ctx)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open()
	st, err := s.Stats(ctx, "q")
	if err != nil {
		t.Fatal(err)
	}
	if st.Ready != 5 || st.Scheduled != 2 || st.Blocked != 1 || st.Dead != 1 || st.Leased != 0 || st.Bytes != 8 {
		t.Errorf("%+v", st)
	}
	attempts := map[string]int{}
	for _, m := range claim(t, s, "q", 3) {
		attempts[string(m.Payload.JSON)] = m.Attempt
	}
	if attempts["3"] != 2 || attempts["4"] != 1 || attempts["5"] != 1 {
		t.Errorf("attempts %v", attempts)
	}
	dead, _ := s.Peek(ctx, "q", queues.Dead, 0, 9)
	if len(dead) != 1 || dead[0].Reason != queues.DeadRejected || string(dead[0].Payload.JSON) != "2" {
		t.Errorf("%+v", dead)
	}
	again := &queues.PublishCall{Queue: "q", Drafts: []*queues.Draft{{ID: "id", Payload: queues.Payload{JSON: []byte("5")}}}}
	s.Publish(ctx, []*queues.PublishCall{again})
	if !again.Results[0].Duplicate || again.Results[0].Seq != c.Results[0].Seq {
		t.Errorf("%+v", again.Results)
	}
	if p, _ := s.Stats(ctx, "paused"); !p.PublishPaused || p.ConsumePaused {
		t.Errorf("%+v", p)
	}
	if same, _ := s.Secret(ctx); string(same) != string(secret) {
		t.Error("another secret")
	}
	clock.pass(2 * time.Hour)
	if _, err := s.Sweep(ctx, "q"); err != nil {
		t.Fatal(err)
	}
	var texts []string // what had failed, the key's first, what was delayed; the leases' ends are failures
	for _, m := range claim(t, s, "q", 9) {
		texts = append(texts, string(m.Payload.JSON))
	}
	slices.Sort(texts)
	if got := strings.Join(texts, " "); got != "1 6 8" {
		t.Errorf("later: %s", got)
	}
}

func TestReopenInboxes(t *testing.T) {
	fs := vfs.NewMem()
	clock := newTestClock()
	open := func() *Store { return mustOpen(t, "data", Config{FS: fs, Now: clock.now}) }
	s := open()
	ctx := t.Context()
	limits := queues.InboxLimits{MaxLen: 4, MaxBytes: 1 << 20, TTL: time.Hour, Overflow: queues.DropOldest}
	add := func(inbox string, e *queues.Entry) queues.AppendResult {
		c := &queues.AppendCall{Inbox: inbox, Limits: limits, Entries: []*queues.Entry{e}}
		s.Append(ctx, []*queues.AppendCall{c})
		return c.Results[0]
	}
	entry := func() *queues.Entry { return &queues.Entry{Payload: queues.Payload{JSON: []byte("1")}} }
	for range 6 {
		add("ann", entry())
	}
	owner := queues.Owner{Node: "n", Number: 1}
	opened, _ := s.Open(ctx, "ann", owner, nil, false, queues.InboxLimits{})
	ac := &queues.AcknowledgeCall{Inbox: "ann", Owner: owner, At: queues.Position{Epoch: opened.Epoch, Seq: 6}}
	s.Acknowledge(ctx, []*queues.AcknowledgeCall{ac})
	s.Subscribe(ctx, "bob", "news", queues.InboxLimits{Topics: 9})
	topic := func(seq uint64) *queues.Entry {
		e := entry()
		e.Topic, e.TopicSeq, e.ID = "news", seq, fmt.Sprint("id", seq)
		return e
	}
	add("bob", topic(7))
	s.Close()

	s = open()
	if r := add("ann", entry()); r.Seq != 7 {
		t.Errorf("%+v", r)
	}
	again, _ := s.Open(ctx, "ann", owner, &queues.Position{Epoch: opened.Epoch, Seq: 6}, false, queues.InboxLimits{})
	if !again.Recovered || again.Acked != 6 || again.First != 7 {
		t.Errorf("%+v", again)
	}
	if r := add("bob", topic(7)); !r.Duplicate {
		t.Errorf("%+v", r)
	}
	if r := add("bob", topic(8)); r.Seq != 2 {
		t.Errorf("%+v", r)
	}
	other := entry()
	other.ID = "id7"
	if r := add("bob", other); !r.Duplicate || r.Seq != 1 {
		t.Errorf("%+v", r)
	}
	members, _, _ := s.Members(ctx, "news", "", 9)
	if len(members) != 1 || members[0] != "bob" {
		t.Errorf("%v", members)
	}
}
