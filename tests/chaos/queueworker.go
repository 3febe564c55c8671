package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roomcast/roomcast/tests/chaos/history"
)

// workerConfig is what a process with workers is told.
type workerConfig struct {
	Dir   string // for its history
	Name  string
	Nodes []string // addresses
	Count int
	Seed  uint64
}

// letter is what is in a message.
type letter struct {
	N      int    `json:"n"`                // number within its key
	Poison string `json:"poison,omitempty"` // what is wrong with it: "fails", "kills"
}

// delivered is queue:message.
type delivered struct {
	Queue, ID, R, Key string
	Attempt           int
	Fence             uint64
	LeaseMs           int64
	Data              letter
}

// worker takes messages, one connection after the other.
type worker struct {
	cfg     *workerConfig
	name    string
	session string // "": what it has goes back when it leaves
	queue   string
	rec     *history.Recorder
	calm    *atomic.Bool // nothing more goes wrong by the worker's own doing
	rmu     sync.Mutex
	rnd     *rand.Rand

	mu   sync.Mutex
	w    *wire
	node string
	held map[string]*delivered // by receipt; those of a session outlive the connection
	ops  atomic.Int64
}

func (w *worker) n(n int) int {
	w.rmu.Lock()
	defer w.rmu.Unlock()
	return w.rnd.IntN(n)
}

func (w *worker) some(ms int) time.Duration { return time.Duration(w.n(ms*1000)) * time.Microsecond }

// run works until standard input ends; "calm" has it do no more harm.
func (c *workerConfig) run() error {
	rec, err := history.NewRecorder(c.Dir, c.Name)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var calm atomic.Bool
	var all sync.WaitGroup
	for i := range c.Count {
		w := &worker{
			cfg: c, name: fmt.Sprint(c.Name, ".", i), rec: rec, calm: &calm, queue: "jobs",
			rnd: rand.New(rand.NewPCG(c.Seed, uint64(i))), held: map[string]*delivered{},
		}
		switch i % 16 {
		case 0, 3, 8, 11:
			w.session = w.name
		case 4:
			w.queue = "brief"
		case 5:
			w.queue = "desk"
		case 6, 14:
			w.queue = "small"
		case 7, 15:
			w.queue = "ring"
		}
		all.Go(func() { w.run(ctx) })
	}
	all.Go(func() { rec.Starved(c.Name, ctx.Done()) })
	fmt.Println("works")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		calm.Store(in.Text() == "calm")
	}
	stop()
	all.Wait()
	return rec.Close()
}

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.connection(ctx); err != nil {
			time.Sleep(20*time.Millisecond + w.some(100))
		} else if !w.calm.Load() {
			time.Sleep(w.some(300))
		}
	}
}

// connection is one connection. It returns nil if it was the worker that ended it.
func (w *worker) connection(ctx context.Context) error {
	i := w.n(len(w.cfg.Nodes))
	conn, err := dial(ctx, w.cfg.Nodes[i], w.name, w.name)
	if err != nil {
		return err
	}
	defer conn.close()
	node := "node" + strconv.Itoa(i)
	renew := w.session != "" || w.n(4) > 0
	w.mu.Lock()
	w.w, w.node = conn, node
	w.mu.Unlock()
	ask := map[string]any{"queue": w.queue, "prefetch": 1 + w.n(3), "renew": renew}
	if w.session != "" {
		ask["session"], ask["graceMs"] = w.session, graceTime.Milliseconds()
	}
	since := history.Now()
	var leave sync.Once
	// It says that it leaves, and then leaves, so that nobody else can have got what it has before.
	closeIt := func(why string) {
		leave.Do(func() {
			e := history.Event{Kind: history.Closed, Who: w.cfg.Name, Conn: conn.id, Outcome: why}
			if w.session != "" {
				e.Outcome = "grace of a session"
				e.Until = history.Now() + graceTime.Nanoseconds()
			}
			w.rec.Add(e)
			conn.close()
		})
	}
	ready := make(chan struct{}) // what the answer says comes first
	var once sync.Once
	start := func() { once.Do(func() { close(ready) }) }
	defer start()
	conn.listen(func(event string, data json.RawMessage, ack func(...any)) {
		<-ready
		switch event {
		case "queue:message":
			m := &delivered{}
			if err := json.Unmarshal(data, m); err != nil {
				panic(err)
			}
			e := history.Event{
				Kind: history.Deliver, At: history.Now(), Call: since, Queue: m.Queue, ID: m.ID, Key: m.Key, N: m.Data.N, Fence: m.Fence, Attempt: m.Attempt,
				Who: w.cfg.Name, Conn: conn.id, Node: node,
			}
			if !renew {
				e.Until = e.At + m.LeaseMs*1e6
			}
			if w.session != "" {
				e.How = "session"
			}
			w.rec.Add(e)
			w.mu.Lock()
			w.held[m.R] = m
			w.mu.Unlock()
			go w.work(conn, m, ack, renew, closeIt)
		case "queue:revoked":
			var r struct {
				Receipts []string
				Reason   string
			}
			_ = json.Unmarshal(data, &r)
			for _, receipt := range r.Receipts {
				if m := w.drop(receipt); m != nil {
					w.rec.Add(history.Event{Kind: history.Revoked, Queue: m.Queue, ID: m.ID, Fence: m.Fence, Who: w.cfg.Name, Conn: conn.id, How: r.Reason})
				}
			}
		}
	})
	var answer struct{ Resumed []string }
	if err := conn.call("queue:consume", ask, &answer); err != nil {
		closeIt("consume: " + err.Error())
		return err
	}
	if w.session != "" {
		w.resume(conn, node, answer.Resumed)
	}
	start()
	stay := time.NewTimer(500*time.Millisecond + w.some(5000))
	defer stay.Stop()
	for {
		select {
		case <-ctx.Done():
			closeIt("end")
			return nil
		case <-stay.C:
			if !w.calm.Load() {
				closeIt("socket closed")
				return nil
			}
		case <-conn.ended:
			closeIt("connection lost")
			return errEnded
		}
	}
}

// resume notes what the session has still. The rest isn't its own any more.
func (w *worker) resume(conn *wire, node string, receipts []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	still := map[string]*delivered{}
	for _, r := range receipts {
		if m := w.held[r]; m != nil {
			w.rec.Add(history.Event{Kind: history.Resumed, Queue: m.Queue, ID: m.ID, Fence: m.Fence, Who: w.cfg.Name, Conn: conn.id, Node: node})
			still[r] = m
		} else { // it never got it, or has settled it and not heard so
			go func() { _ = conn.call("queue:settle", map[string]any{"release": []string{r}}, nil) }()
		}
	}
	w.held = still
}

// drop forgets a message, and returns it if the worker had it.
func (w *worker) drop(receipt string) *delivered {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.held[receipt]
	delete(w.held, receipt)
	return m
}

// work does something with a message for a while and settles it, if it is its own still.
func (w *worker) work(conn *wire, m *delivered, ack func(...any), renew bool, closeIt func(string)) {
	took := w.some(12)
	switch {
	case m.Data.Poison == "kills" && w.session == "":
		closeIt("poison")
		return
	case w.calm.Load():
	case !renew && w.n(40) == 0:
		took = leaseTime + w.some(1000) // its lease will be over
	case w.n(50) == 0:
		took += w.some(1500)
	}
	time.Sleep(took)
	how := "ack"
	switch k := w.n(100); {
	case m.Data.Poison != "":
		how = "nack"
	case w.calm.Load():
	case k < 4:
		how = "nack"
	case k < 7:
		how = "release"
	case k < 8:
		how = "reject"
	}
	w.mu.Lock()
	cur := w.w
	mine := w.held[m.R] != nil
	w.mu.Unlock()
	if (cur != conn && w.session == "" || !mine) && w.n(2) == 0 {
		return // else it tries to settle what isn't its own any more, or what may be
	}
	op := fmt.Sprint(w.name, "-", os.Getpid(), "-", w.ops.Add(1))
	e := history.Event{Kind: history.Settle, Op: op, How: how, Queue: m.Queue, ID: m.ID, Fence: m.Fence, Who: w.cfg.Name, Conn: cur.id}
	if cur == conn && w.n(6) == 0 { // without an answer
		w.rec.Add(e)
		w.drop(m.R)
		if how == "ack" {
			ack()
		} else {
			ack(map[string]any{how: true, "delay": 20, "error": "chaos", "reason": "chaos"})
		}
		return
	}
	for range 20 {
		w.rec.Add(e)
		var answer struct{ Results map[string]string }
		err := cur.call("queue:settle", settlement(how, m.R), &answer)
		w.drop(m.R)
		if word := answer.Results[m.R]; err == nil && word != "unavailable" {
			w.rec.Add(history.Event{Kind: history.Settled, Op: op, Outcome: word})
			return
		}
		// Nobody knows: it asks again, on whatever connection there is.
		cur = w.other(cur, 100*time.Millisecond+w.some(200))
		op = fmt.Sprint(w.name, "-", os.Getpid(), "-", w.ops.Add(1))
		e.Op, e.Conn, e.At = op, cur.id, 0
	}
}

// other returns the connection that there is after a while, or at once, every other time, when it is another one than before: then
// it is ahead of those who get the message now.
func (w *worker) other(than *wire, d time.Duration) (cur *wire) {
	at := time.Now().Add(d)
	for eager := w.n(2) == 0; ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		cur = w.w
		w.mu.Unlock()
		if eager && cur != than || time.Now().After(at) {
			return cur
		}
	}
}

func settlement(how, receipt string) map[string]any {
	switch how {
	case "nack":
		return map[string]any{"nack": []any{map[string]any{"r": receipt, "delay": 20, "error": "chaos"}}}
	case "reject":
		return map[string]any{"reject": []any{map[string]any{"r": receipt, "reason": "chaos"}}}
	}
	return map[string]any{how: []string{receipt}}
}

// poison reports whether an id is of a message that can only end as a dead one.
func poison(id string) bool { return strings.HasSuffix(id, "-poison") }
