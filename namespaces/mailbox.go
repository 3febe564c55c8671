package namespaces

import "sync"

// mailbox runs a socket's handlers (with Config.OneByOne a client's) one at a
// time, in order. It has a worker only while there is something to run.
//
// What may wait is bounded for each kind of job: events by Limits.WaitingEvents
// and WaitingBytes, notes of outgoing events by the same numbers, callbacks of
// acks by Limits.PendingAcks. The rest comes once for a socket (its start, its
// upgrade and its end), or from the program itself (Socket.Do).
type mailbox struct {
	mu      sync.Mutex
	jobs    *jobs // nil while empty
	events  load  // that wait for their handler
	notes   load  // of outgoing events
	running bool
	space   chan struct{} // made by a reader that waits for room

	// Of the worker that runs it.
	last     bool // nothing else is in the list behind the job that runs
	gathered bool // something was left to the end of the run
}

// load is how much of something waits.
type load struct{ n, bytes int }

func (l *load) add(size int)  { l.n++; l.bytes += size }
func (l *load) take(size int) { l.n--; l.bytes -= size }

// full reports whether as much waits as may, times factor.
func (l *load) full(limits *Limits, factor int) bool {
	return l.n/factor >= limits.WaitingEvents || l.bytes/factor >= limits.WaitingBytes
}

// job is an event, or something else to run in its turn.
type job struct {
	event *Event
	run   func()
	note  int // of a note of an outgoing event: its size, at least 1
}

// jobs is a pooled list.
type jobs struct{ list []job }

var jobLists = sync.Pool{New: func() any { return &jobs{make([]job, 0, 16)} }}

func (l *jobs) release() {
	if cap(l.list) <= 1024 {
		l.list = l.list[:0]
		jobLists.Put(l)
	}
}

// mail returns the mailbox that the socket's handlers run in.
func (s *Socket) mail() *mailbox {
	if s.client.box != nil {
		return s.client.box
	}
	return &s.box
}

// overflowFactor is how many times the limit may wait while a handler waits for an ack.
const overflowFactor = 8

// put adds a job, which waits for start.
func (m *mailbox) put(run func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(job{run: run})
}

func (m *mailbox) add(j job) {
	if m.jobs == nil {
		m.jobs = jobLists.Get().(*jobs)
	}
	m.jobs.list = append(m.jobs.list, j)
}

// putEvent adds an event, unless factor times the limit wait already: then it
// returns a channel that is closed when an event was taken out.
func (m *mailbox) putEvent(e *Event, factor int) (full <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.events.full(&e.Socket.ns.reg.cfg.Limits, factor) {
		if m.space == nil {
			m.space = make(chan struct{})
		}
		return m.space
	}
	m.events.add(e.size)
	m.add(job{event: e})
	return nil
}

// putNote adds what shows an outgoing event of that size to the program, unless
// the limit waits already.
func (m *mailbox) putNote(s *Socket, size int, run func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notes.full(&s.ns.reg.cfg.Limits, 1) {
		return false
	}
	size = max(size, 1)
	m.notes.add(size)
	m.add(job{run: run, note: size})
	return true
}

// start sees to it that somebody runs what is in the mailbox.
func (m *mailbox) start(s *Socket) {
	m.mu.Lock()
	start := !m.running && m.jobs != nil
	if start {
		m.running = true
		s.ns.reg.running.begin()
	}
	m.mu.Unlock()
	if start {
		s.ns.reg.workers.run(s)
	}
}

// rests reports whether all is done that was put.
func (m *mailbox) rests() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.running && m.jobs == nil
}

// run works until the mailbox is empty. What handlers send to their own session meanwhile
// is gathered, and written together.
func (m *mailbox) run(s *Socket) {
	defer s.ns.reg.running.end()
	sess := s.client.sess
	sess.Cork()
	defer sess.Uncork()
	m.gathered = false
	for {
		m.mu.Lock()
		l := m.jobs
		m.jobs = nil
		m.running = l != nil
		m.mu.Unlock()
		if l == nil {
			return
		}
		if m.gathered { // what follows may take its time
			sess.Hold()
			m.gathered = false
		}
		for i, j := range l.list {
			l.list[i] = job{}
			m.last = i == len(l.list)-1
			m.taken(&j)
			if j.event != nil {
				j.event.Socket.dispatch(j.event)
			} else {
				j.run()
			}
		}
		l.release()
	}
}

// taken makes room for what waits to be put: j is about to run.
func (m *mailbox) taken(j *job) {
	if j.event == nil && j.note == 0 {
		return
	}
	m.mu.Lock()
	var space chan struct{}
	if j.event != nil {
		m.events.take(j.event.size)
		space, m.space = m.space, nil
	} else {
		m.notes.take(j.note)
	}
	m.mu.Unlock()
	if space != nil {
		close(space)
	}
}
