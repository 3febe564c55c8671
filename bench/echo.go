package main

import (
	"bytes"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/roomcast/roomcast/bench/load"
)

// text is the payload of messages: 64 bytes.
var text = strings.Repeat("0123456789abcdef", 4)

// object is the payload of the scenario with an object, in the form in which
// both servers encode it again.
const object = `{"id":4711,"room":"lobby","user":{"name":"Ada","admin":false},"tags":["a","b"],"text":"Good morning, everybody!","at":1764000000000}`

// echo is a scenario in which each of conns sockets keeps some questions open
// and asks again as it is answered.
type echo struct {
	conns    int
	inFlight int    // at most 64
	event    string // name of the event
	argument string // its argument, JSON
	apart    bool   // each packet is written by itself
}

// echoer is the state of a run of echo. Ack ids are the numbers of the slots, so
// that questions and answers are the same bytes every time.
type echoer struct {
	echo
	questions [][]byte // frames, by slot
	answers   [][]byte // packets, by slot
	open      []uint64 // by socket: bit set of the open slots
	again     uint64   // slots answered in the current read
	answered  int
	draining  bool
	scratch   []byte
	faults    *load.Faults
}

func (e echo) run(r *run) error {
	st := &echoer{echo: e, faults: &r.loop.Faults, open: make([]uint64, e.conns)}
	for slot := range e.inFlight {
		st.questions = append(st.questions, load.AppendFrame(nil, load.Text, fmt.Sprintf("42%d[%q,%s]", slot, e.event, e.argument)))
		st.answers = append(st.answers, fmt.Appendf(nil, "3%d[%s]", slot, e.argument))
	}
	sockets, err := r.sockets(e.conns, &load.Events{Message: st.message, Handled: st.handled})
	if err != nil {
		return err
	}
	for _, s := range sockets {
		st.again = 1<<e.inFlight - 1
		st.handled(s)
	}
	r.loop.Run(time.Now().Add(r.warmUp()), nil)
	if err := r.begin(); err != nil {
		return err
	}
	before := st.answered
	r.loop.Run(time.Now().Add(r.length()), nil)
	if err := r.end(st.answered - before); err != nil {
		return err
	}
	st.drain(r)
	return nil
}

func (e *echoer) message(s *load.Socket, data []byte, binary bool) {
	slot, digits := 0, data[1:]
	for len(digits) > 0 && digits[0] >= '0' && digits[0] <= '9' && slot < e.inFlight {
		slot = slot*10 + int(digits[0]-'0')
		digits = digits[1:]
	}
	bit := uint64(1) << (slot & 63)
	if slot >= e.inFlight || !bytes.Equal(data, e.answers[slot]) || e.open[s.Index]&bit == 0 {
		e.faults.Note(&e.faults.Wrong, "socket %d got %.120q", s.Index, data)
		return
	}
	e.open[s.Index] &^= bit
	e.again |= bit
	e.answered++
}

// handled asks again, in the slots that were answered by one read.
func (e *echoer) handled(s *load.Socket) {
	again := e.again
	e.again = 0
	if again == 0 || e.draining {
		return
	}
	e.open[s.Index] |= again
	e.scratch = e.scratch[:0]
	for ; again != 0; again &= again - 1 {
		frame := e.questions[bits.TrailingZeros64(again)]
		if e.apart {
			s.Write(frame)
			continue
		}
		e.scratch = append(e.scratch, frame...)
	}
	if len(e.scratch) > 0 {
		s.Write(e.scratch)
	}
}

// drain waits for the open questions and counts those without an answer.
func (e *echoer) drain(r *run) {
	e.draining = true
	open := func() (n int) {
		for _, slots := range e.open {
			n += bits.OnesCount64(slots)
		}
		return n
	}
	if !r.loop.Run(time.Now().Add(patience), func() bool { return open() == 0 }) {
		e.faults.Note(&e.faults.Wrong, "%d questions were not answered", open())
		e.faults.Wrong += open() - 1
	}
}

// binaryEcho sends 1 MiB back and forth on a few sockets.
func binaryEcho(r *run) error {
	const (
		conns = 4
		size  = 1 << 20
	)
	blob := make([]byte, size)
	for i := range blob {
		blob[i] = byte(i * 7)
	}
	question := load.AppendFrame(nil, load.Text, `451-0["binary",{"_placeholder":true,"num":0}]`)
	question = load.AppendFrame(question, load.Binary, blob)
	answer := []byte(`61-0[{"_placeholder":true,"num":0}]`)

	faults := &r.loop.Faults
	waiting := make([]bool, conns) // for the attachment
	answered, open, draining := 0, 0, false
	ev := &load.Events{Message: func(s *load.Socket, data []byte, binary bool) {
		want := answer
		if binary {
			// Comparing all of it costs less than half a system call's share.
			want = blob
		}
		if binary != waiting[s.Index] || !bytes.Equal(data, want) {
			faults.Note(&faults.Wrong, "socket %d got %d bytes: %.120q", s.Index, len(data), data)
			return
		}
		waiting[s.Index] = !binary
		if binary {
			answered++
			open--
			if !draining {
				open++
				s.Write(question)
			}
		}
	}}
	sockets, err := r.sockets(conns, ev)
	if err != nil {
		return err
	}
	for _, s := range sockets {
		open++
		s.Write(question)
	}
	r.loop.Run(time.Now().Add(r.warmUp()), nil)
	if err := r.begin(); err != nil {
		return err
	}
	before := answered
	r.loop.Run(time.Now().Add(r.length()), nil)
	if err := r.end(answered - before); err != nil {
		return err
	}
	draining = true
	if !r.loop.Run(time.Now().Add(patience), func() bool { return open == 0 }) {
		faults.Note(&faults.Wrong, "%d questions were not answered", open)
	}
	return nil
}
