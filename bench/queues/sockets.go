package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/roomcast/roomcast/bench/load"
)

const (
	producers = 64
	workers   = 64
	prefetch  = 16

	patience = 15 * time.Second // for what is still to come at the end
)

// sockets is the load through Socket.IO: WebSockets that publish, each waiting for the answer, and
// WebSockets that work with prefetch 16 and ack what they get. Every message has a number. It must be
// stored, handed out and settled once.
type sockets struct {
	loop  *load.Loop
	start time.Time
	batch int // messages in one publish

	producers, workers []*load.Socket
	consuming          int // workers that the server has answered

	busy      []bool // by producer: a publish has no answer yet
	again     bool   // publish as soon as there is an answer
	next      int    // number of the next message
	stored    int    // messages whose publish was answered with ok
	seen      []bool // by number: was handed out
	received  int
	acks      []byte // frames that answer what one read has brought
	scratch   []byte
	frame     []byte // of scratch
	stats     []byte // the answer to queue:stats
	counting  bool
	latencies []float64
}

// runSockets is the process of the load. It says hello, and does what its standard input says, as runPeer does.
func runSockets(scenario, addr, profile string) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(own, "server", addr, profile)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = in.Close() // it ends then
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return err
	}
	server, err := netip.ParseAddrPort(strings.TrimSpace(line))
	if err != nil {
		return err
	}
	l := &sockets{start: time.Now(), batch: 1, busy: make([]bool, producers)}
	if l.loop, err = load.New(); err != nil {
		return err
	}
	defer l.loop.Close()
	if err := l.connect(server); err != nil {
		return err
	}

	words := make(chan struct{})
	go func() {
		defer close(words)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			words <- struct{}{}
		}
	}()
	say := func(r report) {
		b, _ := json.Marshal(r)
		fmt.Println(string(b))
	}
	say(report{PIDs: []int{cmd.Process.Pid}})
	told := func() bool {
		select {
		case <-words:
			return true
		default:
			return false
		}
	}
	// until runs the loop, publishing at a pace if there is one, until it is told to stop or the time is over.
	var pace time.Duration
	var due time.Time
	turn := 0
	until := func(end time.Time) {
		for !told() && time.Now().Before(end) {
			stop := time.Now().Add(5 * time.Millisecond)
			if pace > 0 {
				for !due.After(time.Now()) {
					l.publish(turn % producers)
					turn++
					due = due.Add(pace)
				}
				if due.Before(stop) {
					stop = due
				}
			}
			l.loop.Run(stop, nil)
		}
	}
	until(time.Now().Add(time.Minute)) // "go"
	switch scenario {
	case "throughput":
		l.again = true
		for i := range l.producers {
			l.publish(i)
		}
	case "batch":
		l.again, l.batch = true, 100
		l.publish(0)
	case "paced":
		pace = time.Millisecond
	case "idle":
		pace = 200 * time.Millisecond
	}
	due = time.Now()
	until(time.Now().Add(500 * time.Millisecond))
	before := l.received
	l.counting = true
	say(report{})
	until(time.Now().Add(time.Minute)) // "stop"
	r := report{Messages: l.received - before}
	if pace > 0 {
		r.Latencies = l.latencies
	}
	l.counting, l.again = false, false
	l.check()
	r.Checked, r.Faults = l.received, l.loop.Faults
	say(r)
	return nil
}

// connect connects all sockets, and has the workers consume.
func (l *sockets) connect(server netip.AddrPort) error {
	ready := 0
	joined := func(*load.Socket) { ready++ }
	producer := &load.Events{Ready: joined, Message: l.answered}
	worker := &load.Events{Ready: joined, Message: l.delivered, Handled: l.ack}
	for i := range producers + workers {
		events, list := producer, &l.producers
		if i >= producers {
			events, list = worker, &l.workers
		}
		s, err := l.loop.Dial(server, 0, events)
		if err != nil {
			return err
		}
		s.Index = len(*list)
		*list = append(*list, s)
	}
	if !l.loop.Run(time.Now().Add(patience), func() bool { return ready == producers+workers }) {
		return errors.New("bench: not all sockets could join")
	}
	consume := load.AppendFrame(nil, load.Text, fmt.Sprintf(`420["queue:consume",{"queue":"q","prefetch":%d}]`, prefetch))
	for _, s := range l.workers {
		s.Write(consume)
	}
	if !l.loop.Run(time.Now().Add(patience), func() bool { return l.consuming == workers }) {
		return errors.New("bench: not all workers could consume: " + l.loop.Faults.First)
	}
	return nil
}

// publish has a producer publish, unless it waits for an answer: a question that comes too early is left out.
func (l *sockets) publish(i int) {
	if l.busy[i] {
		return
	}
	l.busy[i] = true
	b := append(l.scratch[:0], `420["queue:publish",{"queue":"q",`...)
	if l.batch > 1 {
		b = append(b, `"messages":[`...)
	}
	at := time.Since(l.start).Nanoseconds()
	for n := range l.batch {
		switch {
		case n > 0:
			b = append(b, `,{"data":"`...)
		case l.batch > 1:
			b = append(b, `{"data":"`...)
		default:
			b = append(b, `"data":"`...)
		}
		// 64 bytes with the quotes: the time, the number, and more.
		b = appendDigits(b, at, 20)
		b = append(appendDigits(b, int64(l.next), 12), filler...)
		l.next++
		b = append(b, `"}`...)
	}
	if l.batch > 1 {
		b = append(b, `]}`...)
	}
	b = append(b, ']')
	l.scratch = b
	l.frame = load.AppendFrame(l.frame[:0], load.Text, b)
	l.producers[i].Write(l.frame)
}

// appendDigits appends n with so many digits: fmt takes as long as the rest of a publish.
func appendDigits(dst []byte, n int64, digits int) []byte {
	dst = append(dst, "00000000000000000000"[:digits]...)
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

var filler = strings.Repeat("x", 30)

func (l *sockets) wrong(s *load.Socket, data []byte) {
	l.loop.Faults.Note(&l.loop.Faults.Wrong, "socket %d got %.200q", s.Index, data)
}

// answered takes the answer to a publish.
func (l *sockets) answered(s *load.Socket, data []byte, _ bool) {
	if bytes.HasPrefix(data, []byte("31[")) {
		l.stats = bytes.Clone(data[2:])
		return
	}
	if !bytes.HasPrefix(data, []byte(`30[{"ok":true,`)) || bytes.Contains(data, []byte(`"ok":false`)) || !l.busy[s.Index] {
		l.wrong(s, data)
		return
	}
	l.busy[s.Index] = false
	l.stored += l.batch
	if l.again {
		l.publish(s.Index)
	}
}

// delivered takes a message, 2<ack id>["queue:message",{…}], and prepares the ack.
func (l *sockets) delivered(s *load.Socket, data []byte, _ bool) {
	if bytes.HasPrefix(data, []byte(`30[{"`)) && bytes.Contains(data, []byte(`"ok":true`)) {
		l.consuming++
		return
	}
	const event, member = `["queue:message",`, `"data":"`
	at := bytes.Index(data, []byte(member)) + len(member)
	id := bytes.IndexByte(data, '[')
	if id < 1 || data[0] != '2' || !bytes.HasPrefix(data[id:], []byte(event)) || at < len(member) || len(data) < at+62 ||
		string(data[at+32:at+62]) != filler || !bytes.Contains(data, []byte(`"attempt":1,`)) {
		l.wrong(s, data)
		return
	}
	sent, err := strconv.ParseInt(string(data[at:at+20]), 10, 64)
	number, err2 := strconv.Atoi(string(data[at+20 : at+32]))
	if err != nil || err2 != nil || number >= l.next {
		l.wrong(s, data)
		return
	}
	for len(l.seen) <= number {
		l.seen = append(l.seen, false)
	}
	if l.seen[number] {
		l.wrong(s, data) // a second time
		return
	}
	l.seen[number] = true
	l.received++
	if l.counting && len(l.latencies) < 100_000 {
		l.latencies = append(l.latencies, float64(time.Since(l.start).Nanoseconds()-sent)/1e6)
	}
	l.scratch = append(append(append(l.scratch[:0], "43"...), data[1:id]...), "[]"...)
	l.acks = load.AppendFrame(l.acks, load.Text, l.scratch)
}

// ack acks what one read has brought with one write.
func (l *sockets) ack(s *load.Socket) {
	if len(l.acks) > 0 {
		s.Write(l.acks)
		l.acks = l.acks[:0]
	}
}

// check waits until all was handed out and settled, and compares what the server counts.
func (l *sockets) check() {
	faults := &l.loop.Faults
	waiting := func() bool {
		for _, busy := range l.busy {
			if busy {
				return true
			}
		}
		return l.received < l.stored
	}
	end := time.Now().Add(patience)
	l.loop.Run(end, func() bool { return !waiting() })
	for n := range l.next {
		if n >= len(l.seen) || !l.seen[n] {
			faults.Note(&faults.Wrong, "message %d was not handed out", n)
		}
	}
	ask := load.AppendFrame(nil, load.Text, `421["queue:stats",{"queue":"q"}]`)
	var st []struct {
		OK                                                                        bool
		Ready, Leased, Dead, Published, Delivered, Redelivered, Acked, Duplicates int
	}
	for {
		l.stats = nil
		l.producers[0].Write(ask)
		l.loop.Run(end, func() bool { return l.stats != nil })
		if err := json.Unmarshal(l.stats, &st); err != nil || len(st) != 1 || !st[0].OK {
			faults.Note(&faults.Wrong, "the answer to queue:stats: %q", l.stats)
			return
		}
		n := l.received
		if st[0].Acked == n || time.Now().After(end) {
			if s := st[0]; s.Ready != 0 || s.Leased != 0 || s.Dead != 0 || s.Published != n || s.Delivered != n || s.Redelivered != 0 || s.Acked != n {
				faults.Note(&faults.Wrong, "of %d messages the server says %+v", n, s)
			}
			return
		}
		l.loop.Run(time.Now().Add(20*time.Millisecond), nil)
	}
}
