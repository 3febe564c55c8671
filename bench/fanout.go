package main

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/roomcast/roomcast/bench/load"
)

// digits is how long the number of a broadcast is, at the front of its payload.
const digits = 8

// fanout is a scenario in which one socket casts to a room of others. A
// broadcast ends when all members have it; then the next is sent.
type fanout struct {
	members  int
	inFlight int // at most 16
	size     int // of the payload, bytes
}

// hall is the state of a run of fanout.
type hall struct {
	fanout
	r       *run
	sender  *load.Socket
	members []*load.Socket // split evenly over the nodes, in turn of these
	next    []int          // by member: the number of the broadcast it must get next
	awaited int            // members that a broadcast must reach
	sent    int
	done    int           // broadcasts that all have
	left    [64]int       // by broadcast modulo 64: members that it hasn't reached
	at      [64]time.Time // when it was sent
	ended   func(n int)   // called when all have broadcast n
	prefix  []byte        // of the packet at a member, before the number
	suffix  []byte        // after it
	scratch []byte
	payload []byte
}

// newHall connects the members and the sender.
func newHall(r *run, f fanout) (*hall, error) {
	filler := strings.Repeat("x", f.size-digits)
	h := &hall{
		fanout:  f,
		r:       r,
		next:    make([]int, f.members),
		awaited: f.members,
		prefix:  []byte(`2["cast","`),
		suffix:  []byte(filler + `"]`),
	}
	joined := 0
	ev := &load.Events{Message: func(s *load.Socket, data []byte, _ bool) {
		if string(data) == "30[true]" {
			joined++
			return
		}
		h.message(s, data)
	}}
	// The sender's first, so that the members' indices are theirs afterwards.
	sender, err := r.sockets(1, &load.Events{Message: func(_ *load.Socket, data []byte, _ bool) {
		r.loop.Faults.Note(&r.loop.Faults.Wrong, "the sender got %.120q", data)
	}})
	if err != nil {
		return nil, err
	}
	h.sender = sender[0]
	for i, p := range r.nodes {
		share := f.members*(i+1)/len(r.nodes) - f.members*i/len(r.nodes)
		some, err := r.socketsAt(p.Addr, share, ev)
		if err != nil {
			return nil, err
		}
		for _, s := range some {
			s.Index += len(h.members)
		}
		h.members = append(h.members, some...)
	}
	join := load.AppendFrame(nil, load.Text, `420["join","room"]`)
	for _, s := range h.members {
		s.Write(join)
	}
	if !r.loop.Run(time.Now().Add(patience), func() bool { return joined == f.members }) {
		return nil, fmt.Errorf("%d of %d members joined the room: %s", joined, f.members, r.loop.Faults.First)
	}
	return h, nil
}

// message checks a broadcast at a member: whole, in order, once.
func (h *hall) message(s *load.Socket, data []byte) {
	rest, ok := bytes.CutPrefix(data, h.prefix)
	n := 0
	if ok = ok && len(rest) > digits && bytes.Equal(rest[digits:], h.suffix); ok {
		for _, c := range rest[:digits] {
			n = n*10 + int(c-'0')
		}
	}
	if !ok || n != h.next[s.Index] || n >= h.sent {
		faults := &h.r.loop.Faults
		faults.Note(&faults.Wrong, "member %d got %.120q instead of broadcast %d", s.Index, data, h.next[s.Index])
		return
	}
	h.next[s.Index]++
	if h.left[n&63]--; h.left[n&63] == 0 {
		h.done++
		if h.ended != nil {
			h.ended(n)
		}
	}
}

// cast sends n broadcasts in one write.
func (h *hall) cast(n int) {
	h.scratch = h.scratch[:0]
	now := time.Now()
	for range n {
		h.payload = fmt.Appendf(h.payload[:0], `42["cast",{"room":"room","data":"%0*d%s}]`, digits, h.sent, h.suffix[:len(h.suffix)-1])
		h.scratch = load.AppendFrame(h.scratch, load.Text, h.payload)
		h.left[h.sent&63], h.at[h.sent&63] = h.awaited, now
		h.sent++
	}
	if n > 0 {
		h.sender.Write(h.scratch)
	}
}

// keep keeps inFlight broadcasts on their way for a time.
func (h *hall) keep(d time.Duration) {
	h.r.loop.Run(time.Now().Add(d), func() bool {
		h.cast(h.inFlight - (h.sent - h.done))
		return false
	})
}

// finish waits for the broadcasts on their way.
func (h *hall) finish() {
	if !h.r.loop.Run(time.Now().Add(patience), func() bool { return h.done == h.sent }) {
		faults := &h.r.loop.Faults
		faults.Note(&faults.Wrong, "%d broadcasts did not reach all members", h.sent-h.done)
	}
}

func (f fanout) run(r *run) error {
	h, err := newHall(r, f)
	if err != nil {
		return err
	}
	h.keep(r.warmUp())
	h.finish()
	if err := r.begin(); err != nil {
		return err
	}
	before := h.done
	h.keep(r.length())
	h.finish()
	return r.end((h.done - before) * f.members)
}

// paced casts 20 times a second to 1,000 members and sets the latency of the
// last member: "p50" and "p99" in ms.
func paced(r *run) error {
	const interval = 50 * time.Millisecond
	h, err := newHall(r, fanout{members: 1000, inFlight: 1, size: len(text)})
	if err != nil {
		return err
	}
	h.keep(r.warmUp())
	h.finish()
	var took []float64
	h.ended = func(n int) { took = append(took, time.Since(h.at[n&63]).Seconds()*1e3) }
	if err := r.begin(); err != nil {
		return err
	}
	casts := pick(r, 200, 20)
	first := time.Now()
	for i := range casts {
		h.cast(1)
		r.loop.Run(first.Add(time.Duration(i+1)*interval), nil)
		if h.sent-h.done > 60 {
			return fmt.Errorf("%d broadcasts are on their way: the server can't keep up", h.sent-h.done)
		}
	}
	h.finish()
	if err := r.end(len(took) * h.awaited); err != nil {
		return err
	}
	slices.Sort(took)
	r.metrics["p50"], r.metrics["p99"] = quantile(took, 0.50), quantile(took, 0.99)
	return nil
}

// quantile is that of a sorted list which isn't empty.
func quantile(sorted []float64, q float64) float64 {
	return sorted[int(math.Ceil(q*float64(len(sorted))))-1]
}

// stuck casts to 20 members, of whom one then stops to read. It sets "kept",
// the rate of broadcasts afterwards relative to before, and "growth", by how
// many MB the server's memory grew at most meanwhile.
func stuck(r *run) error {
	const members = 20
	h, err := newHall(r, fanout{members: members, inFlight: 1, size: 4096})
	if err != nil {
		return err
	}
	h.keep(r.warmUp())
	h.finish()
	rate := func(d time.Duration) float64 {
		began, before := time.Now(), h.done
		h.keep(d)
		h.finish()
		return float64(h.done-before) / time.Since(began).Seconds()
	}
	whole := rate(r.length())

	base, err := r.server.collected()
	if err != nil {
		return err
	}
	one := h.members[0]
	one.Expected = true // it may be thrown out
	one.Pause()
	h.awaited--
	if err := r.begin(); err != nil {
		return err
	}
	began, before, peak := time.Now(), h.done, base
	for range 10 {
		rate(r.length() / 5)
		now, err := r.server.rss()
		if err != nil {
			return err
		}
		peak = max(peak, now)
	}
	stuckRate := float64(h.done-before) / time.Since(began).Seconds()
	if err := r.end((h.done - before) * h.awaited); err != nil {
		return err
	}
	r.metrics["kept"] = stuckRate / whole
	r.metrics["growth"] = float64(peak-base) / (1 << 20)
	r.metrics["withheld"] = float64(h.done-before) * 4096 / (1 << 20)
	return nil
}
