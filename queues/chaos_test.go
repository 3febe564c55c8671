package queues_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roomcast/roomcast/queues"
)

// history is what producers and workers have seen, and the rules that it must keep.
type history struct {
	t       *testing.T
	mu      sync.Mutex
	stored  map[string]string       // id -> key
	holders map[string]*chaosWorker // id -> who has it
	fences  map[string]uint64       // id -> of its last delivery
	acked   map[string]int          // id -> acknowledgements that were accepted
	open    map[string]string       // key -> id that somebody has
	first   map[string]uint64       // key -> number of its last message that was delivered for the first time
	counts  struct{ delivered, again, lostAnswers int }
	errors  int
}

func (h *history) fault(format string, args ...any) {
	if h.errors++; h.errors < 10 {
		h.t.Errorf(format, args...)
	}
}

func (h *history) delivered(w *chaosWorker, m *queues.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.delivered++
	if m.Attempt > 1 {
		h.counts.again++
	}
	if other := h.holders[m.ID]; other != nil {
		h.fault("%s has %s, which %s still has", w.name, m.ID, other.name)
	}
	if m.Fence <= h.fences[m.ID] {
		h.fault("%s: fence %d after %d", m.ID, m.Fence, h.fences[m.ID])
	}
	if h.acked[m.ID] > 0 {
		h.fault("%s was delivered after it was settled", m.ID)
	}
	h.holders[m.ID], h.fences[m.ID] = w, m.Fence
	if m.Key == "" {
		return
	}
	if other := h.open[m.Key]; other != "" {
		h.fault("%s and %s of one key are open", m.ID, other)
	}
	h.open[m.Key] = m.ID
	if m.Attempt == 1 {
		if m.Seq < h.first[m.Key] {
			h.fault("message %d of key %s after %d", m.Seq, m.Key, h.first[m.Key])
		}
		h.first[m.Key] = m.Seq
	}
}

// left says that w doesn't work on a message any more.
func (h *history) left(w *chaosWorker, m *queues.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.holders[m.ID] == w {
		delete(h.holders, m.ID)
		if h.open[m.Key] == m.ID {
			delete(h.open, m.Key)
		}
	}
}

func (h *history) settled(m *queues.Message, asked uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		return
	}
	if asked > m.Fence {
		h.fault("%s was settled with fence %d after %d was handed out", m.ID, m.Fence, asked)
	}
	if h.acked[m.ID]++; h.acked[m.ID] > 1 {
		h.fault("%s was settled twice", m.ID)
	}
}

func (h *history) fence(id string) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fences[id]
}

// chaosWorker takes messages of one node, does something with them for a while, and may vanish or freeze.
type chaosWorker struct {
	name  string
	h     *history
	r     *rand.Rand
	rmu   sync.Mutex
	alive atomic.Bool
	c     *queues.Consumer
	wg    sync.WaitGroup
}

func (w *chaosWorker) n(n int) int {
	w.rmu.Lock()
	defer w.rmu.Unlock()
	return w.r.IntN(n)
}

// live consumes for a while, again and again, until stop.
func (w *chaosWorker) live(b *node, stop <-chan struct{}) {
	for {
		w.alive.Store(true)
		cfg := queues.ConsumerConfig{Prefetch: 1 + w.n(4), Alive: w.alive.Load}
		if w.n(3) == 0 {
			cfg.Session = w.name
		}
		gone := make(chan struct{})
		var mu sync.Mutex
		over := false
		work := func(m *queues.Message) {
			mu.Lock()
			defer mu.Unlock()
			if over {
				w.h.left(w, m)
				return
			}
			w.wg.Go(func() { w.work(m, gone) })
		}
		cfg.Deliver = func(ms []*queues.Message) {
			for _, m := range ms {
				w.h.delivered(w, m)
				work(m)
			}
		}
		cfg.Revoked = func(ms []*queues.Message, reason string) {
			for _, m := range ms {
				w.h.left(w, m)
			}
		}
		c, err := b.Consume(context.Background(), "q", cfg)
		if err == nil {
			w.c = c
			for _, m := range c.Resumed() {
				work(m)
			}
			c.Start()
		}
		timer := time.NewTimer(time.Duration(5+w.n(120)) * time.Second)
		ended := false
		select {
		case <-timer.C:
		case <-stop:
			ended = true
		}
		if err == nil {
			mu.Lock()
			over = true
			mu.Unlock()
			close(gone) // before the broker knows: what it has is nobody's until then
			w.wg.Wait()
			c.Close()
		}
		if ended {
			return
		}
		time.Sleep(time.Duration(w.n(3000)) * time.Millisecond)
	}
}

func (w *chaosWorker) work(m *queues.Message, gone chan struct{}) {
	d := time.Duration(1+w.n(2000)) * time.Millisecond
	if w.n(200) == 0 {
		w.alive.Store(false) // frozen for longer than the lease
		d = 70 * time.Second
	}
	select {
	case <-time.After(d):
	case <-gone:
		w.h.left(w, m)
		return
	}
	w.alive.Store(true)
	outcome := queues.Ack
	switch w.n(12) {
	case 0:
		outcome = queues.Nack
	case 1:
		outcome = queues.Release
	}
	asked := w.h.fence(m.ID)
	w.h.left(w, m)
	for range 100 {
		ch := make(chan error, 1)
		w.c.Settle(m, outcome, 0, "", func(err error) { ch <- err })
		err := <-ch
		if queues.CodeOf(err) == queues.CodeUnavailable {
			time.Sleep(300 * time.Millisecond)
			asked = w.h.fence(m.ID)
			continue
		}
		if outcome == queues.Ack {
			w.h.settled(m, asked, err)
		}
		return
	}
}

// Three nodes share a store from which each is cut off now and then; workers vanish, freeze and fail.
// Nothing is lost, settled twice, or in two hands.
func TestChaos(t *testing.T) {
	seeds := 6
	if n, err := strconv.Atoi(os.Getenv("ROOMCAST_ROUNDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { chaos(t, uint64(seed)) })
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	h := &history{t: t, stored: map[string]string{}, holders: map[string]*chaosWorker{}, fences: map[string]uint64{},
		acked: map[string]int{}, open: map[string]string{}, first: map[string]uint64{}}
	mem := newStore()
	var stores []*faulty
	var nodes []*node
	for i := range 3 {
		stores = append(stores, &faulty{Store: mem})
		nodes = append(nodes, start(t, stores[i], queues.BrokerConfig{Node: fmt.Sprint("node", i)}))
	}
	nodes[0].queue("q", queues.Config{MaxFailures: -1, MaxAttempts: -1, BackoffMax: 5 * time.Second})
	stop := make(chan struct{})
	var workers, others sync.WaitGroup
	for i := range 12 {
		w := &chaosWorker{name: fmt.Sprint("worker", i), h: h, r: rand.New(rand.NewPCG(seed, uint64(i)))}
		workers.Go(func() { w.live(nodes[i%3], stop) })
	}
	for i := range 4 { // producers
		r := rand.New(rand.NewPCG(seed, uint64(100+i)))
		others.Go(func() {
			for j := range 250 {
				d := draft("x")
				d.ID = fmt.Sprint(i, "-", j)
				if r.IntN(2) == 0 {
					d.Key = fmt.Sprint("key", i, r.IntN(3)) // of this producer only: so the order is known
				}
				for {
					_, err := nodes[r.IntN(3)].PublishOne(context.Background(), "q", d)
					if err == nil {
						h.mu.Lock()
						h.stored[d.ID] = d.Key
						h.mu.Unlock()
						break
					}
					time.Sleep(200 * time.Millisecond)
				}
				time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
			}
		})
	}
	r := rand.New(rand.NewPCG(seed, 999))
	others.Go(func() { // the network
		for range 12 {
			time.Sleep(time.Duration(3+r.IntN(20)) * time.Second)
			s := stores[r.IntN(3)]
			if r.IntN(2) == 0 {
				s.fail(true)
			} else {
				s.failAfter(true)
				h.mu.Lock()
				h.counts.lostAnswers++
				h.mu.Unlock()
			}
			time.Sleep(time.Duration(500+r.IntN(12_000)) * time.Millisecond)
			s.fail(false)
			s.failAfter(false)
		}
	})
	others.Wait()
	for range 600 {
		time.Sleep(time.Second)
		if st, err := nodes[0].Stats(t.Context(), "q"); err == nil && st.Len() == 0 {
			break
		}
	}
	close(stop)
	workers.Wait()
	st, err := nodes[0].Stats(t.Context(), "q")
	if err != nil || st.Len() != 0 || st.Dead != 0 {
		t.Errorf("left: %+v, %v", st, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if st.Acked != uint64(len(h.stored)) || int(st.Published) != len(h.stored) {
		t.Errorf("%d stored, of which %d are known; %d settled", st.Published, len(h.stored), st.Acked)
	}
	t.Logf("%d messages, %d deliveries, %d of them again, %d lapsed, %d times answers were lost",
		len(h.stored), h.counts.delivered, h.counts.again, st.Lapsed, h.counts.lostAnswers)
}
