package namespaces

import "sync"

// mailbox runs a socket's handlers (with Config.OneByOne a client's) one at a
// time, in order. It has a worker only while there is something to run.
type mailbox struct {
	mu      sync.Mutex
	jobs    *jobs // nil while empty
	bytes   int
	running bool
	space   chan struct{} // made by a reader that waits for room
}

// job is an event, or something else to run in its turn.
type job struct {
	event *Event
	run   func()
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

// put adds a job. It reports false if the mailbox is full; force adds it all the same.
// The job waits for start.
func (m *mailbox) put(s *Socket, j job, force bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.jobs == nil {
		m.jobs = jobLists.Get().(*jobs)
	}
	limits := &s.ns.reg.cfg.Limits
	if !force && (len(m.jobs.list) >= limits.WaitingEvents || m.bytes >= limits.WaitingBytes) {
		return false
	}
	m.jobs.list = append(m.jobs.list, j)
	if j.event != nil {
		m.bytes += j.event.size
	}
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

// run works until the mailbox is empty. What handlers send to their own session meanwhile
// is gathered, and written together.
func (m *mailbox) run(s *Socket) {
	defer s.ns.reg.running.end()
	sess := s.client.sess
	sess.Cork()
	defer sess.Uncork()
	for {
		m.mu.Lock()
		l := m.jobs
		m.jobs = nil
		m.running = l != nil
		m.mu.Unlock()
		if l == nil {
			return
		}
		for i, j := range l.list {
			l.list[i] = job{}
			if j.run != nil {
				j.run()
				continue
			}
			j.event.Socket.dispatch(j.event)
			m.taken(j.event.size)
		}
		l.release()
	}
}

// taken makes room for what waits to be put.
func (m *mailbox) taken(size int) {
	m.mu.Lock()
	m.bytes -= size
	space := m.space
	m.space = nil
	m.mu.Unlock()
	if space != nil {
		close(space)
	}
}

// wait returns a channel that is closed when something was taken out.
func (m *mailbox) wait() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.space == nil {
		m.space = make(chan struct{})
	}
	return m.space
}

// overflow reports whether even a reader that must not wait has to stop.
func (m *mailbox) overflow(s *Socket) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	limits := &s.ns.reg.cfg.Limits
	waiting := 0
	if m.jobs != nil {
		waiting = len(m.jobs.list)
	}
	return waiting >= overflowFactor*limits.WaitingEvents || m.bytes >= overflowFactor*limits.WaitingBytes
}

// overflowFactor is how many times the limit may wait while a handler waits for an ack.
const overflowFactor = 8
